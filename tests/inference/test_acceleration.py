"""Acceleration: as many evaluations as R's SQUAREM, far fewer than EM, and never a worse optimum."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from inference.zoo import FACTORS, HASSELBLAD, MURRAY, TIED, fitted

import latentem as lem

# Evaluations of R SQUAREM 2021.1 (CRAN), default settings, tests/Hasselblad1969.R, to steps below 1e-8.
R_SQUAREM = {(0.5, 1.0, 3.0): 66, (0.3, 1.0, 2.5): 72, (0.9, 1.0, 3.0): 90, (0.2876, 1.5, 2.5): 75}


def from_start(start: tuple[float, ...], **options: Any) -> lem.Fit:
    return lem.fit(
        HASSELBLAD.model,
        HASSELBLAD.x,
        weights=HASSELBLAD.weights,
        initial={"weight": start[0], "rate": list(start[1:])},
        **options,
    )


@pytest.mark.parametrize(("start", "evaluations"), R_SQUAREM.items())
def test_squarem_takes_at_most_half_as_many_evaluations_again_as_in_r(start: Any, evaluations: int) -> None:
    fit = from_start(start, tolerance=0.0, step_tolerance=1e-8, polish=False)
    assert fit.status is lem.Status.converged
    assert fit.log_likelihood == pytest.approx(-1989.9458598829638, abs=1e-9)
    # `evaluations` counts the one that scores the params returned as well.
    assert fit.evaluations - 1 <= 1.5 * evaluations


@pytest.mark.parametrize(
    ("case", "published", "log_likelihood"),
    [(TIED, 1602, -1126.31592782340), (FACTORS, 8525, -751.021055213885)],
    ids=["old faithful", "attitude"],
)
def test_fifteen_times_fewer_evaluations_than_em(case: Any, published: int, log_likelihood: float) -> None:
    plain = case.fit(method=lem.Plain(), tolerance=0.0, step_tolerance=1e-6, polish=False, max_iterations=20_000)
    fast = fitted(case.name)
    assert plain.status is lem.Status.converged and fast.status is lem.Status.converged
    assert fast.log_likelihood == pytest.approx(log_likelihood, abs=1e-9)
    assert plain.log_likelihood == pytest.approx(log_likelihood, abs=1e-6)
    assert 15 * fast.evaluations <= min(plain.evaluations, published)


@pytest.mark.parametrize("name", ["hasselblad", "tied gaussians", "factors"])
def test_the_polish_ends_at_rounding_level(name: str) -> None:
    gradient = fitted(name).gradient
    assert gradient is not None and gradient < 1e-8


@pytest.mark.parametrize("method", [lem.SQUAREM(), lem.Anderson(3), lem.Anderson(8)], ids=repr)
def test_every_method_reaches_the_optimum_of_em_with_fewer_evaluations(method: Any) -> None:
    fit = from_start((0.5, 1.0, 3.0), method=method, tolerance=0.0, step_tolerance=1e-8, polish=False)
    assert fit.status is lem.Status.converged
    assert fit.log_likelihood == pytest.approx(-1989.9458598829638, abs=1e-9)
    assert fit.evaluations < 2643 / 15


def test_squarem_is_monotone() -> None:
    for start in R_SQUAREM:
        fit = from_start(start, tolerance=0.0, step_tolerance=1e-8, polish=False)
        assert np.all(np.diff(np.maximum.accumulate(fit.trace)) >= 0)
        assert fit.log_likelihood >= np.max(fit.trace) - 1e-9


def slowly(t: Any) -> Any:
    """Towards a = 3 and b = (3, 6), with rates 0.99, 0.9 and 0.5."""
    first = 0.99 * t["a"] + 0.03
    return {
        "a": first,
        "b": jnp.array([0.9, 0.5]) * (t["b"] - jnp.array([1.0, 2.0]) * t["a"]) + jnp.array([1.0, 2.0]) * first,
    }


def test_a_bare_fixed_point() -> None:
    start = {"a": 1.0, "b": np.array([0.0, 5.0])}
    plain = lem.accelerate(slowly, start, method=lem.Plain(), tolerance=1e-10)
    for method in (lem.SQUAREM(), lem.Anderson(3)):
        found = lem.accelerate(slowly, start, method=method, tolerance=1e-10)
        assert found.status is lem.Status.converged and found.objective is None
        np.testing.assert_allclose(found.params["a"], 3.0, atol=1e-7)
        np.testing.assert_allclose(found.params["b"], [3.0, 6.0], atol=1e-7)
        assert 10 * found.evaluations < plain.evaluations
        assert isinstance(found.params["b"], np.ndarray) and found.params["b"].dtype == np.float64


def gene_counting(t: Any) -> Any:
    """EM of the linkage counts 125, 18, 20, 34 (Rao 1965)."""
    z = 125.0 * t / (2.0 + t)
    return (z + 34.0) / (z + 72.0)


def linkage(t: Any) -> Any:
    return 125.0 * jnp.log(2.0 + t) + 38.0 * jnp.log1p(-t) + 34.0 * jnp.log(t)


def between(t: Any) -> Any:
    return (t > 0) & (t < 1)


def test_an_em_of_ones_own_with_its_objective_and_domain() -> None:
    found = lem.accelerate(gene_counting, 0.5, linkage, contains=between, tolerance=1e-12)
    assert float(found.params) == pytest.approx(0.6268214978709824, abs=1e-12)
    assert found.objective == pytest.approx(67.38410209472016, abs=1e-10)
    assert found.evaluations <= 12
    cut = lem.accelerate(gene_counting, 0.01, linkage, max_iterations=1)
    assert cut.status is lem.Status.max_iterations and cut.iterations == 1


def doubled(t: Any) -> Any:
    return jnp.concatenate([t, t])


def diverging(t: Any) -> Any:
    return jnp.exp(t * t)


def test_a_step_that_is_no_fixed_point() -> None:
    with pytest.raises(ValueError, match="structure and shapes"):
        lem.accelerate(doubled, np.ones(2))
    with pytest.raises(ValueError, match="not finite at the initial params"):
        lem.accelerate(jnp.log, -1.0)
    with pytest.raises(ValueError, match="tolerance=0"):
        lem.accelerate(jnp.cos, 1.0, tolerance=0)
    grown = lem.accelerate(diverging, 1.0, method=lem.Plain())
    assert grown.status is lem.Status.non_finite and np.isfinite(grown.params)


def test_murray_starts_at_the_saddle_and_leaves_it_or_says_so() -> None:
    # Murray (1977): EM started without correlation stays without; the maxima have correlation +-1/2.
    covariance = [[[2.0, 0.0], [0.0, 2.0]]]
    start = {"weights": [1.0], "components": {"mean": np.zeros((1, 2)), "covariance": covariance}}
    left = lem.fit(MURRAY.model, MURRAY.x, initial=start)
    assert left.status is lem.Status.converged
    assert left.log_likelihood == pytest.approx(-29.974286410464998, abs=1e-9)
    stuck = lem.fit(MURRAY.model, MURRAY.x, initial=start, polish=False)
    assert stuck.log_likelihood == pytest.approx(-30.033342386267996, abs=1e-9)
    eigenvalues = np.linalg.eigvalsh(stuck.information())
    assert eigenvalues[0] < 0
    assert np.isnan(stuck.standard_errors()["components"]["covariance"]).any()
    assert any("not a maximum" in note for note in stuck.error_notes())
