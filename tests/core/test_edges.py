"""Estimates at an edge are called so and have no standard errors; what no data could tell is no edge."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

import latentem as lem

F = lem.families
RNG = np.random.default_rng(1)

# Rubin (1981), Journal of Educational Statistics 6, table 1.
EFFECT = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
ERROR = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])


def schools(params: Any, x: Any, z: Any) -> Any:
    return norm.logpdf(x["y"], z, x["s"]) + norm.logpdf(z, params["mu"], params["tau"])


def test_a_spread_of_zero_is_a_boundary() -> None:
    """Eight schools: the maximum-likelihood spread is 0, and the mean is weighted by precision."""
    model = lem.Model(schools, lem.Continuous(1, "hessian"), {"mu": lem.real(), "tau": lem.positive()})
    fit = lem.fit(model, {"y": EFFECT, "s": ERROR}, initial={"mu": 0.0, "tau": 5.0})
    assert fit.status is lem.Status.boundary and fit.params["tau"] < 0.1
    weight = ERROR**-2.0
    assert abs(fit.params["mu"] - weight @ EFFECT / weight.sum()) < 1e-3
    errors = fit.standard_errors()
    assert np.isnan(errors["tau"])
    assert abs(errors["mu"] - weight.sum() ** -0.5) < 1e-3


def one_factor(params: Any, x: Any, z: Any) -> Any:
    mean = params["mean"] + params["loading"] * z
    return jnp.sum(norm.logpdf(x, mean, jnp.sqrt(params["unique"]))) + norm.logpdf(z)


def test_a_heywood_case_is_a_boundary() -> None:
    z = RNG.normal(size=(60, 1))
    x = z * [1.0, 0.9, 0.3, 0.4] + RNG.normal(size=(60, 4)) * [0.0, 1.0, 1.0, 1.0]
    space = {"mean": lem.real(4), "loading": lem.real(4), "unique": lem.positive(4)}
    start = {"mean": x.mean(axis=0), "loading": [1.0, 0.9, 0.3, 0.4], "unique": np.full(4, 0.5)}
    fit = lem.fit(lem.Model(one_factor, lem.Continuous(1, "hessian"), space), x, initial=start)
    assert np.min(fit.params["unique"]) < 1e-3 * np.max(fit.params["unique"])
    assert fit.status is lem.Status.boundary
    assert np.isnan(fit.standard_errors()["unique"][np.argmin(fit.params["unique"])])


def test_categories_that_were_never_seen_are_not_counted() -> None:
    """Rolls 1 to 6: nobody can estimate the probability of a 0."""
    rolls = RNG.integers(1, 7, 120)
    fit = lem.fit(lem.Mixture(F.Categorical(), 1), rolls)
    assert fit.n_parameters == 5 and fit.status is lem.Status.converged
    np.testing.assert_allclose(fit.params["components"]["probabilities"][0], np.bincount(rolls) / 120, atol=1e-12)


def test_structural_zeros_are_not_listed_as_params_without_errors() -> None:
    x = np.sort(RNG.poisson(3.0, 60)).astype(float)
    forward = lem.HMM(2, F.Poisson(), allowed=[[1, 1], [0, 1]], initial=[1.0, 0.0])
    fit = lem.fit(forward, x, key=0)
    assert fit.params["transition"][1, 0] == 0
    assert fit.status is lem.Status.converged
    assert not any("transition[1" in note for note in fit.error_notes())


def test_more_params_than_observations_are_told_of() -> None:
    fit = lem.fit(lem.Mixture(F.Poisson(), 3), np.array([0.0, 3.0, 9.0]), key=0)
    assert any("5 free params and 3 observations" in note for note in fit.notes)


def test_counts_of_a_billion_fall_by_no_rounding() -> None:
    x = np.concatenate([RNG.poisson(1e9, 60), RNG.poisson(1.001e9, 60)]).astype(float)
    fit = lem.fit(lem.Mixture(F.Poisson(), 2), x, key=0)
    assert fit.status is lem.Status.converged
    rate = np.sort(np.ravel(fit.params["components"]["rate"]))
    np.testing.assert_allclose(rate, [x[:60].mean(), x[60:].mean()], rtol=1e-9)


def test_k_means_has_an_inertia_and_no_criteria() -> None:
    fit = lem.fit(lem.KMeans(2), RNG.normal(size=(40, 2)), key=0)
    assert np.isnan(fit.aic) and np.isnan(fit.bic) and fit.to_dict()["aic"] is None
    assert f"inertia {fit.inertia():.6f}" in fit.summary() and "AIC" not in fit.summary()
