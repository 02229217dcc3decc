"""Many starts: which optima there are, which starts to give up, and which maxima are none."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inference.zoo import FAITHFUL, HASSELBLAD, fitted
from jax.scipy.stats import poisson

import latentem as lem
from latentem.ascent.loop import CONVERGED, RUNNING, STOPPED
from latentem.ascent.optima import losers

WAITING = FAITHFUL[:, 1]
THREE = lem.GaussianMixture(3)
# The best of 2,000 starts by k-means++ and by random responsibilities (recomputed with this library).
BEST = -1031.63470871992


@pytest.fixture(scope="module")
def sixty() -> lem.Fit:
    return lem.fit(THREE, WAITING, key=jax.random.key(0), starts=60)


def test_sixty_starts_find_the_best_optimum_and_report_the_others(sixty: lem.Fit) -> None:
    assert sixty.status is lem.Status.converged
    assert sixty.log_likelihood == pytest.approx(BEST, abs=1e-8)
    optima = sixty.optima
    assert len(optima) >= 3
    values = [o.objective for o in optima]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(BEST, abs=1e-8) and max(values[1:]) < BEST - 1
    assert sum(o.starts for o in optima) + np.sum(sixty.ends.outcomes != CONVERGED) == 60
    assert not any(o.spurious for o in optima)
    # Each is an optimum: EM from there stays.
    for optimum in optima:
        again = lem.fit(THREE, WAITING, initial=optimum.params)
        assert again.log_likelihood == pytest.approx(optimum.objective, abs=1e-8)


def test_the_summary_lists_the_optima(sixty: lem.Fit) -> None:
    text = sixty.summary()
    assert f"{len(sixty.optima)} optima found by 60 starts" in text
    assert "-1031.634709" in text


def test_one_start_has_one_optimum() -> None:
    (only,) = fitted("hasselblad").optima
    assert only.starts == 1 and only.objective == pytest.approx(-1989.9458598829638, abs=1e-9)
    assert "optima" not in fitted("hasselblad").summary()


def test_losers_are_given_up_only_when_clearly_behind() -> None:
    t = np.arange(50)
    trace = np.stack(
        [
            np.full(50, -100.0),  # ended
            np.full(50, -101.0),  # ended
            -110 - 0.9**t,  # settles at -110
            -110 - 8 * (1 - np.minimum(1, np.exp((t - 60) / 8))),  # speeds up: leaves a plateau
            -101.5 - 0.9**t,  # within two nats
            np.full(50, -100.0),  # ended
            np.full(50, -100.0),
            np.full(50, -100.0),
        ]
    )
    outcomes = np.array([CONVERGED, CONVERGED, RUNNING, RUNNING, RUNNING, CONVERGED, CONVERGED, CONVERGED])
    np.testing.assert_array_equal(np.flatnonzero(losers(outcomes, trace[:, -1], trace)), [2])
    # Before half have ended, nobody knows what the best is.
    early = np.where(np.arange(8) < 5, RUNNING, CONVERGED)
    assert not losers(early, trace[:, -1], trace).any()


def test_a_loser_is_stopped_and_not_chosen(sixty: lem.Fit) -> None:
    stopped = sixty.ends.outcomes == STOPPED
    assert stopped.any()
    assert np.all(sixty.starts[stopped] < BEST - 1)


SPIKE = {
    "weights": [0.5, 0.45, 0.05],
    "components": {"mean": [[80.0], [54.0], [78.0]], "covariance": [[[30.0]], [[30.0]], [[1e-7]]]},
}


def test_a_collapsed_covariance_is_never_chosen_silently() -> None:
    alone = lem.fit(THREE, WAITING, initial=SPIKE)
    assert alone.status is lem.Status.boundary
    assert any("components.covariance has collapsed" in note for note in alone.notes)
    assert alone.log_likelihood > BEST + 10
    among = lem.fit(THREE, WAITING, initial=SPIKE, key=jax.random.key(0), starts=4)
    assert among.status is lem.Status.converged
    assert among.log_likelihood <= BEST + 1e-8
    assert any("1 start with a higher objective left out as spurious" in note for note in among.notes)
    assert among.optima[0].spurious == "components.covariance has collapsed"
    kept = lem.fit(THREE, WAITING, initial=SPIKE, key=jax.random.key(0), starts=4, exclude_degenerate=False)
    assert kept.log_likelihood == pytest.approx(alone.log_likelihood, abs=1e-6)
    assert kept.status is lem.Status.boundary
    assert any("spurious maximum" in note for note in kept.notes)


def test_collapsed_spherical_variances_are_found_too() -> None:
    model = lem.GaussianMixture(3, "spherical")
    variance = lem.fit(model, WAITING, key=jax.random.key(0), max_iterations=1).params["components"]["variance"]
    start = {
        "weights": SPIKE["weights"],
        "components": {
            "mean": [[80.0], [54.0], [78.0]],
            "variance": np.array([30.0, 30.0, 1e-7]).reshape(variance.shape),
        },
    }
    alone = lem.fit(model, WAITING, initial=start)
    assert alone.status is lem.Status.boundary
    assert any("variance has collapsed" in note for note in alone.notes)


def two_rates(params: Any, x: Any, z: Any) -> Any:
    return jnp.log(params["weight"][z]) + poisson.logpmf(x, params["rate"][z])


def test_a_rate_of_zero_is_no_collapse_because_counts_have_bounded_density() -> None:
    model = lem.Model(two_rates, lem.Finite(2), {"weight": lem.simplex(2), "rate": lem.positive(2)})
    x = np.array([0.0] * 10 + [7.0, 8.0, 9.0, 10.0, 6.0, 8.0])
    fit = lem.fit(model, x, initial={"weight": [0.5, 0.5], "rate": [0.1, 8.0]})
    assert fit.params["rate"][0] < 1e-6
    assert not any("spurious" in note for note in fit.notes)


def test_an_empty_component_is_flagged() -> None:
    model = lem.Model(two_rates, lem.Finite(2), {"weight": lem.simplex(2), "rate": lem.positive(2)})
    x = np.array([3.0, 4.0, 4.0, 5.0, 3.0, 4.0])
    start = {"weight": [1 - 1e-12, 1e-12], "rate": [4.0, 60.0]}
    fit = lem.fit(model, x, initial=start, polish=False)
    assert fit.status is lem.Status.boundary
    assert any("weight[1] belongs to an empty component" in note for note in fit.notes)


def test_saved_and_loaded_fits_know_their_own_optimum(tmp_path: Any) -> None:
    path = fitted("hasselblad").save(tmp_path / "fit")
    (only,) = lem.load(path, model=HASSELBLAD.model).optima
    assert only.objective == pytest.approx(-1989.9458598829638, abs=1e-9)
