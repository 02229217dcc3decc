"""How the posterior of a latent follows from log p(x, z): against closed forms and brute force."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm
from scipy import integrate, stats
from scipy.optimize import minimize_scalar

import latentem as lem

X = np.array([0.3, -1.2, 2.0])


def normal(params: Any, x: Any, z: Any) -> Any:
    """z ~ N(0, 1), x | z ~ N(mean + slope z, 1)."""
    return norm.logpdf(z) + norm.logpdf(x, params["mean"] + params["slope"] * z)


PARAMS = {"mean": 0.4, "slope": 0.8}
SPACE = {"mean": lem.real(), "slope": lem.real()}


def evidence(model: lem.Model, x: np.ndarray, params: Any = PARAMS) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(jax.vmap(lambda row: model.log_evidence(params, row))(jnp.asarray(x)))


@pytest.mark.parametrize("method", ["grid", "hermite", "hessian"])
def test_a_normal_latent_gives_the_normal_marginal(method: Any) -> None:
    model = lem.Model(normal, lem.Continuous(1, method), SPACE)
    expected = stats.norm.logpdf(X, PARAMS["mean"], np.sqrt(1 + PARAMS["slope"] ** 2))
    np.testing.assert_allclose(evidence(model, X), expected, rtol=0, atol=5e-9 if method == "grid" else 1e-9)


@pytest.mark.parametrize("method", ["grid", "hermite", "hessian"])
def test_its_posterior_is_the_normal_posterior(method: Any, x64: None) -> None:
    posterior = lem.Model(normal, lem.Continuous(1, method), SPACE).posterior(PARAMS, jnp.asarray(2.0))
    precision = 1 + PARAMS["slope"] ** 2
    mean = PARAMS["slope"] * (2.0 - PARAMS["mean"]) / precision
    moments = posterior.expect(lambda z: jnp.stack([z, z**2]))
    np.testing.assert_allclose(moments, [mean, mean**2 + 1 / precision], atol=1e-7)


def two_factors(params: Any, x: Any, z: Any) -> Any:
    return jnp.sum(norm.logpdf(z)) + jnp.sum(norm.logpdf(x, params["loadings"] @ z, 1.0))


@pytest.mark.parametrize(("method", "size"), [("grid", 31), ("hermite", 21), ("hessian", None)])
def test_two_dimensions(method: Any, size: int | None) -> None:
    loadings = np.array([[0.7, 0.0], [0.4, 0.5], [-0.3, 0.6]])
    model = lem.Model(two_factors, lem.Continuous(2, method, size=size), {"loadings": lem.real((3, 2))})
    rows = np.array([X, -X])
    expected = stats.multivariate_normal(np.zeros(3), loadings @ loadings.T + np.eye(3)).logpdf(rows)
    np.testing.assert_allclose(evidence(model, rows, {"loadings": loadings}), expected, atol=1e-7)


def logistic(params: Any, x: Any, z: Any) -> Any:
    return norm.logpdf(z) + jnp.sum(jax.nn.log_sigmoid(jnp.where(x > 0, 1.0, -1.0) * (z - params["mean"])))


def test_a_density_without_closed_form_is_integrated_as_by_brute_force() -> None:
    answers = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    for method in ("grid", "hermite"):
        model = lem.Model(logistic, lem.Continuous(1, method), {"mean": lem.real()})
        ours = evidence(model, answers, {"mean": 0.3})
        for row, value in zip(answers, ours, strict=True):

            def integrand(z: float, row: Any = row) -> float:
                return float(stats.norm.pdf(z) * np.prod(1 / (1 + np.exp(-np.where(row > 0, 1, -1) * (z - 0.3)))))

            assert value == pytest.approx(np.log(integrate.quad(integrand, -10, 10, epsabs=1e-13)[0]), abs=2e-8)


def counts(params: Any, x: Any, z: Any) -> Any:
    return norm.logpdf(z) + x * (z + params["level"]) - jnp.exp(z + params["level"])


def test_adaptive_nodes_follow_each_observation() -> None:
    # Posteriors as narrow as 1 / sqrt(x), and far out: no fixed grid has nodes there.
    x = np.array([0.0, 3.0, 400.0, 20000.0])
    ours = evidence(lem.Model(counts, lem.Continuous(1, "adaptive", size=15), {"level": lem.real()}), x, {"level": 3.0})
    for count, value in zip(x, ours, strict=True):

        def log_p(z: float, count: float = count) -> float:
            return float(stats.norm.logpdf(z) + count * (z + 3) - np.exp(z + 3))

        peak = minimize_scalar(lambda z: -log_p(z), bounds=(-20, 20), options={"xatol": 1e-10}).x
        ends = peak + np.array([-12, 12]) / np.sqrt(1 + count)
        exact, _ = integrate.quad(lambda z, p=peak: np.exp(log_p(z) - log_p(p)), *ends, epsabs=1e-13)
        assert value == pytest.approx(np.log(exact) + log_p(peak), abs=1e-6)


def test_adaptive_nodes_are_exact_for_a_normal_posterior_of_any_shape() -> None:
    def quadratic(params: Any, x: Any, z: Any) -> Any:
        return -0.5 * z @ z + jnp.sum(
            norm.logpdf(x, jnp.array([[2.0, 1.0], [0.3, -1.0], [1.0, 1.0]]) @ z, params["sd"])
        )

    x = np.array([[1.0, -2.0, 5.0], [30.0, 0.0, 2.0]])
    adaptive, exact = (
        evidence(lem.Model(quadratic, lem.Continuous(2, method), {"sd": lem.positive()}), x, {"sd": 0.2})
        for method in ("adaptive", "hessian")
    )
    np.testing.assert_allclose(adaptive, exact, rtol=1e-10)


@pytest.mark.parametrize("method", ["grid", "hermite"])
def test_weights_of_a_standard_normal_add_to_one(method: Any) -> None:
    for dim in (1, 2):
        values, log_weights = lem.Continuous(dim, method, size=9).nodes() or ((), ())
        density = stats.norm.logpdf(values).reshape(len(values), -1).sum(axis=1)
        assert np.sum(np.exp(log_weights + density)) == pytest.approx(1.0, rel=1e-13)
        assert np.shape(values) == ((9,) if dim == 1 else (81, 2))


def test_finite_is_the_sum_over_its_values_and_hard_the_largest(x64: None) -> None:
    table = jnp.log(jnp.array([0.2, 0.5, 0.1]))
    soft, hard = (lem.Finite(3, hard=hard).posterior(lambda z: table[z], {}, None) for hard in (False, True))
    assert soft.log_evidence == pytest.approx(np.log(0.8)) and hard.log_evidence == pytest.approx(np.log(0.5))
    np.testing.assert_allclose(soft.probabilities, [0.25, 0.625, 0.125])
    np.testing.assert_array_equal(hard.probabilities, [0.0, 1.0, 0.0])


@pytest.mark.parametrize("compress", [False, True])
def test_one_grid_serves_fits_of_both_precisions(compress: bool) -> None:
    model = lem.Model(logistic, lem.Continuous(1, size=15), {"mean": lem.real()})
    answers = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    wide, narrow, again = (
        lem.fit(model, answers, initial={"mean": 0.3}, dtype=dtype, polish=False, compress=compress)
        for dtype in ("float64", "float32", "float64")
    )
    assert again.log_likelihood == wide.log_likelihood
    assert narrow.log_likelihood == pytest.approx(wide.log_likelihood, rel=1e-5)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: lem.Finite(0), "Finite"),
        (lambda: lem.Finite(2.5), "Finite"),  # type: ignore[arg-type]
        (lambda: lem.Continuous(0), "expected a dimension >= 1"),
        (lambda: lem.Continuous(4), "up to 3 dimensions"),
        (lambda: lem.Continuous(1, "simpson"), "expected one of 'grid', 'hermite', 'adaptive'"),  # type: ignore[arg-type]
        (lambda: lem.Continuous(1, size=1), "at least 2 nodes"),
        (lambda: lem.Continuous(1, bounds=(3.0, 3.0)), "low < high"),
    ],
)
def test_bad_latents_are_refused_in_one_line(make: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told) as error:
        make()
    assert "\n" not in str(error.value)


def test_sobol_nodes_integrate_four_dimensions() -> None:
    # E prod_d cos(a_d z_d) = exp(-a.a / 2) for a standard normal z.
    latent = lem.Continuous(4, "sobol", size=4096)
    values, log_weights = latent.nodes() or ((), ())
    weights = np.exp(log_weights - 0.5 * np.sum(np.asarray(values) ** 2, axis=1) - 2 * np.log(2 * np.pi))
    np.testing.assert_allclose(weights, 1 / 4096, rtol=1e-12)
    frequency = np.array([0.3, 1.0, 0.7, 0.5])
    assert weights @ np.prod(np.cos(values * frequency), axis=1) == pytest.approx(
        np.exp(-frequency @ frequency / 2), abs=2e-3
    )
    with pytest.raises(ValueError, match="power of two nodes, such as 2048"):
        lem.Continuous(4, "sobol", size=1000)
