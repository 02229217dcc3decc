"""The driver: what it does by itself, how it stops, and how one drives EM by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts.registry import POISSON, counts, poisson, poisson_maximize, poisson_statistics

import latentem as lem

X = counts(np.random.default_rng(0), 24)
MODEL = lem.Model(poisson, lem.Finite(2), POISSON, m_step=lem.ClosedForm(poisson_statistics, poisson_maximize))
START = {"weight": [0.5, 0.5], "rate": [1.0, 3.0]}


def fit(**options: Any) -> lem.Fit:
    return lem.fit(MODEL, X, **{"initial": START, "method": lem.Plain(), "polish": False, **options})


def test_em_by_hand_is_the_fit(x64: None) -> None:
    em = lem.em(MODEL)
    state, path = em.init(START, X), []
    step = jax.jit(em.step)
    for _ in range(12):
        state, info = step(state)
        path.append(float(info.objective))
    driven = fit(max_iterations=12, tolerance=0.0)
    assert driven.status is lem.Status.max_iterations and driven.iterations == 12
    np.testing.assert_allclose(driven.trace, path, rtol=1e-13)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), driven.params, state.params)


@pytest.mark.parametrize("stop", ["returns True", "Ctrl-C"])
def test_an_interrupted_fit_returns_the_best_params_so_far(stop: str) -> None:
    seen: list[lem.Snapshot] = []

    def callback(snapshot: lem.Snapshot) -> bool:
        seen.append(snapshot)
        if len(seen) == 2 and stop == "Ctrl-C":
            raise KeyboardInterrupt
        return len(seen) == 2

    found = fit(tolerance=0.0, callback=callback)
    assert found.status is lem.Status.interrupted and not found.status.ok
    assert len(seen) == 2 and seen[1].iterations > seen[0].iterations
    assert found.iterations == seen[1].iterations
    assert found.log_likelihood >= seen[1].objective - 1e-9
    jax.tree.map(np.testing.assert_array_equal, found.params, seen[1].params)
    # They are a start to go on from.
    assert fit(initial=found.params).log_likelihood >= found.log_likelihood - 1e-9


def test_a_callback_that_returns_nothing_changes_nothing() -> None:
    seen = []
    watched, alone = fit(callback=seen.append), fit()
    assert watched.log_likelihood == alone.log_likelihood and watched.iterations == alone.iterations
    assert seen and isinstance(seen[0].params["rate"], np.ndarray)


def test_tolerance_is_relative_to_observations() -> None:
    loose, tight = fit(tolerance=1e-4), fit(tolerance=1e-12)
    assert loose.status is tight.status is lem.Status.converged
    assert loose.iterations < tight.iterations
    assert abs(np.diff(loose.trace)[-1]) < 1e-4 * max(len(X), abs(loose.log_likelihood))


def test_the_best_of_several_starts_is_returned() -> None:
    found = fit(initial=None, key=jax.random.key(3), starts=5)
    assert found.starts.shape == (5,)
    assert found.log_likelihood == pytest.approx(np.max(found.starts), abs=1e-6)
    again = fit(initial=None, key=jax.random.key(3), starts=5)
    jax.tree.map(np.testing.assert_array_equal, found.params, again.params)


def test_a_given_start_is_the_first_of_several() -> None:
    best = fit(tolerance=1e-13)
    found = fit(initial=best.params, key=jax.random.key(4), starts=3, max_iterations=1, tolerance=0.0)
    assert found.starts[0] == pytest.approx(best.log_likelihood, abs=1e-9)
    assert np.all(found.starts[1:] < found.starts[0])


def downhill(expected: Any, params: Any) -> Any:
    best = poisson_maximize(expected, params)
    return {"weight": best["weight"], "rate": params["rate"] ** 2 / best["rate"]}


def test_an_objective_that_falls_is_said() -> None:
    model = lem.Model(poisson, lem.Finite(2), POISSON, m_step=lem.ClosedForm(poisson_statistics, downhill))
    found = lem.fit(model, X, initial=START, method=lem.Plain())
    assert found.status is lem.Status.decreased and "lem.check" in found.status.advice


def explodes(expected: Any, params: Any) -> Any:
    best = poisson_maximize(expected, params)
    near = jnp.max(jnp.abs(best["rate"] - params["rate"])) < 0.1
    return {"weight": best["weight"], "rate": jnp.where(near, jnp.nan, best["rate"])}


def test_params_stay_finite_when_the_m_step_does_not() -> None:
    model = lem.Model(poisson, lem.Finite(2), POISSON, m_step=lem.ClosedForm(poisson_statistics, explodes))
    found = lem.fit(model, X, initial=START, method=lem.Plain())
    assert found.status is lem.Status.non_finite
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found.params))
    assert np.isfinite(found.log_likelihood) and found.log_likelihood >= found.trace[0]


def test_map_reports_both_parts() -> None:
    model = lem.Model(poisson, lem.Finite(2), POISSON, prior={"rate": lem.priors.Gamma(2.0, 0.5)})
    found = lem.fit(model, X, initial=START)
    assert found.objective == found.log_likelihood + found.log_prior and found.log_prior < 0
    assert found.log_likelihood < fit(tolerance=1e-13).log_likelihood
    assert "log prior" in found.summary()


def test_nothing_depends_on_the_session() -> None:
    before = jax.config.jax_enable_x64
    found = fit()
    assert jax.config.jax_enable_x64 is before
    assert all(type(leaf) is np.ndarray and leaf.dtype == np.float64 for leaf in jax.tree.leaves(found.params))
    assert found.log_prob().dtype == np.float64 and found.responsibilities().shape == (24, 2)
    with pytest.raises(ValueError, match="declares no sampler"):
        found.sample(jax.random.key(0), 3)
