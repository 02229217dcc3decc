"""Weights by covariates, components of different families, zeros."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.optimize import approx_fprime
from scipy.stats import norm, poisson

import latentem as lem
from latentem import families as F


def two_lines() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    n = 200
    z, age = rng.normal(size=n), rng.uniform(-1, 1, n)
    first = rng.random(n) < 1 / (1 + np.exp(-0.5 - 2 * age))
    y = np.where(first, 1 + 2 * z, -2 - z) + 0.5 * rng.normal(size=n)
    return {"y": y, "z": z, "age": age}


def test_a_gated_mixture_is_at_a_maximum_of_its_likelihood() -> None:
    data = two_lines()
    fit = lem.fit(lem.Mixture(F.GaussianRegression("y", "z"), 2, gate="age"), data, key=0, starts=3)
    p = fit.params

    def log_likelihood(u: np.ndarray) -> float:
        odds = u[0] + u[1] * data["age"]
        log = [-np.logaddexp(0, odds), odds - np.logaddexp(0, odds)]
        each = [
            log[i] + norm.logpdf(data["y"], u[2 + i] + u[4 + i] * data["z"], np.exp(0.5 * u[6 + i])) for i in (0, 1)
        ]
        return float(np.sum(np.logaddexp(*each)))

    b = p["components"]["coefficients"]
    u = np.concatenate([p["gate"][0], b[:, 0], b[:, 1], np.log(p["components"]["variance"])])
    assert fit.status.ok and fit.n_parameters == 8
    assert fit.log_likelihood == pytest.approx(log_likelihood(u), rel=1e-12)
    assert np.max(np.abs(approx_fprime(u, log_likelihood, 1e-6))) < 1e-3
    errors = fit.standard_errors()["gate"]
    assert (errors > 0).all() and abs(abs(p["gate"][0, 1]) - 2) < 4 * errors[0, 1]
    new = fit.responsibilities({"age": np.array([-1.0, 1.0]), "z": np.zeros(2), "y": np.full(2, -0.5)})
    assert new.shape == (2, 2) and abs(new[0, 0] - new[1, 0]) > 0.2


@pytest.mark.slow
def test_classes_by_a_covariate_and_by_groups_agree() -> None:
    """A gate on a 0/1 column is free weights in each of two groups: the log-likelihoods add up."""
    rng = np.random.default_rng(1)
    group = np.repeat([0.0, 1.0], 80)
    z = rng.random(160) < np.where(group == 1, 0.8, 0.3)
    items = {f"i{j}": (rng.random(160) < np.where(z, 0.85, 0.2)).astype(float) for j in range(4)}
    family = F.Independent({name: F.Bernoulli() for name in items})
    fit = lem.fit(lem.Mixture(family, 2, gate="g"), {**items, "g": group}, key=0, starts=2)
    p = np.stack([fit.params["components"][name]["probability"] for name in items], axis=1)
    x = np.stack(list(items.values()), axis=1)
    each = np.exp(x @ np.log(p).T + (1 - x) @ np.log(1 - p).T)
    total = 0.0
    for g in (0.0, 1.0):
        odds = fit.params["gate"] @ [1.0, g]
        share = 1 / (1 + np.exp(-odds[0]))
        here = each[group == g]
        total += np.sum(np.log(here @ [1 - share, share]))
        # the weight in a group is the mean responsibility there: the score of its own coefficient
        assert fit.responsibilities()[group == g, 1].mean() == pytest.approx(share, abs=1e-6)
    assert fit.log_likelihood == pytest.approx(total, rel=1e-10)


@pytest.mark.slow
def test_zeros_by_covariates_are_those_of_statsmodels() -> None:
    rng = np.random.default_rng(4)
    n = 400
    z = rng.normal(size=n)
    y = np.where(rng.random(n) < 1 / (1 + np.exp(0.5 - z)), 0, rng.poisson(np.exp(1 + 0.3 * z))).astype(float)
    design = sm.add_constant(z)
    reference = sm.ZeroInflatedPoisson(y, design, exog_infl=design).fit(method="newton", disp=0, maxiter=200)
    fit = lem.fit(lem.Mixture(F.ZeroInflated(F.PoissonRegression("y", "z"), "z"), 1), {"y": y, "z": z})
    assert fit.log_likelihood == pytest.approx(reference.llf, abs=1e-6)
    own = fit.params["components"]
    found = np.concatenate([own["zero"][0], own["family"]["coefficients"][0]])
    np.testing.assert_allclose(found, reference.params, atol=1e-4)


@pytest.mark.parametrize(
    ("family", "glm", "column"),
    [
        (F.PoissonRegression("count", "z", offset="log_time"), sm.families.Poisson(), "count"),
        pytest.param(
            F.GammaRegression("cost", "z"),
            sm.families.Gamma(sm.families.links.Log()),
            "cost",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            F.BernoulliRegression("share", "z", weights="trials"),
            sm.families.Binomial(),
            "share",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_offsets_and_numbers_behind_a_response_are_those_of_glm(family: Any, glm: Any, column: str) -> None:
    rng = np.random.default_rng(2)
    n = 120
    z, time, trials = rng.normal(size=n), rng.uniform(1, 5, n), rng.integers(1, 9, n).astype(float)
    data = {
        "z": z,
        "log_time": np.log(time),
        "trials": trials,
        "count": rng.poisson(time * np.exp(0.5 + 0.4 * z)).astype(float),
        "cost": rng.gamma(3.0, np.exp(1 + 0.5 * z) / 3.0),
        "share": rng.binomial(trials.astype(int), 1 / (1 + np.exp(-z))) / trials,
    }
    fit = lem.fit(lem.Mixture(family, 1), data)
    options = {"offset": data["log_time"]} if column == "count" else {}
    if column == "share":
        options = {"var_weights": trials}
    reference = sm.GLM(data[column], sm.add_constant(z), family=glm, **options).fit(tol=1e-12)
    np.testing.assert_allclose(fit.params["components"]["coefficients"][0], reference.params, rtol=1e-6, atol=1e-8)


@pytest.mark.slow
def test_categories_given_a_covariate_are_those_of_statsmodels() -> None:
    rng = np.random.default_rng(5)
    z = rng.normal(size=150)
    y = np.argmax(np.stack([0 * z, 0.5 + z, -0.3 - 0.5 * z]) + rng.gumbel(size=(3, 150)), axis=0).astype(float)
    fit = lem.fit(lem.Mixture(F.CategoricalRegression("y", "z"), 1), {"y": y, "z": z})
    reference = sm.MNLogit(y, sm.add_constant(z)).fit(disp=0, tol=1e-12)
    np.testing.assert_allclose(fit.params["components"]["coefficients"][0], reference.params.T, atol=1e-6)


@pytest.mark.slow
def test_components_of_different_families() -> None:
    rng = np.random.default_rng(6)
    x = np.r_[rng.poisson(2.0, 150), rng.negative_binomial(5, 0.2, 100)].astype(float)
    fit = lem.fit(lem.Mixture([F.Poisson(), F.NegativeBinomial()]), x, key=0, starts=2)
    p = fit.params["components"]
    m, s = p["1"]["mean"][0], p["1"]["dispersion"][0]
    from scipy.stats import nbinom

    w = fit.params["weights"]
    density = w[0] * poisson.pmf(x, p["0"]["rate"][0]) + w[1] * nbinom.pmf(x, s, s / (s + m))
    assert fit.status.ok and fit.log_likelihood == pytest.approx(np.log(density).sum(), rel=1e-10)


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (
            lem.Mixture(F.Gaussian(), 2, gate="age"),
            {"y": np.arange(4.0), "age": np.array([1.0, np.nan, 2.0, 3.0])},
            "gate column 'age' is nan in row 1: expected a number, weights depend on it",
        ),
        (
            lem.Mixture(F.Gaussian(), 2, gate="sex"),
            {"y": np.arange(4.0), "age": np.arange(4.0)},
            "no gate column 'sex' in columns y, age: expected sex; add it",
        ),
        (
            lem.Mixture(F.Gaussian(), 2, gate=("age",)),
            {"y": np.arange(4.0), "age": np.ones(4)},
            "the constant and the gate columns age are linearly dependent",
        ),
        (lem.Mixture(F.Gaussian(), 2, gate="age"), {"age": np.arange(4.0)}, "no columns beside the gate age"),
    ],
)
def test_bad_gates_are_refused_in_one_line(model: Any, data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        lem.fit(model, data, key=0)
    assert "\n" not in str(caught.value)


def test_bad_lists_of_families() -> None:
    with pytest.raises(TypeError, match="Mixture: 3: expected a family"):
        lem.Mixture([F.Poisson(), 3])
    with pytest.raises(ValueError, match="components=4: expected 2, as the list"):
        lem.Mixture([F.Poisson(), F.Gaussian()], 4)


@pytest.mark.slow
def test_slopes_in_common() -> None:
    rng = np.random.default_rng(8)
    z = rng.uniform(0, 2, 120)
    y = rng.poisson(np.exp(np.where(rng.random(120) < 0.5, -1.0, 1.5) + 0.8 * z)).astype(float)
    family = F.PoissonRegression("y", "z", intercept="own")
    fit = lem.fit(lem.Mixture(family, 2, shared=("coefficients",)), {"y": y, "z": z}, key=0, starts=2)
    p = fit.params["components"]
    assert p["coefficients"].shape == (1,) and p["intercept"].shape == (2,) and fit.n_parameters == 4

    def log_likelihood(u: np.ndarray) -> float:
        each = [poisson.logpmf(y, np.exp(u[1 + k] + u[3] * z)) for k in (0, 1)]
        return float(np.sum(np.logaddexp(np.log(u[0]) + each[0], np.log1p(-u[0]) + each[1])))

    u = np.concatenate([fit.params["weights"][:1], p["intercept"], p["coefficients"]])
    assert fit.log_likelihood == pytest.approx(log_likelihood(u), rel=1e-12)
    assert np.max(np.abs(approx_fprime(u, log_likelihood, 1e-7))) < 1e-2
    with pytest.raises(ValueError, match="intercept='own': expected covariates, and a regression by"):
        F.GaussianRegression("y", "z", intercept="own")
