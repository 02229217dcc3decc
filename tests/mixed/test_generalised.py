"""Generalised linear mixed models against other programs and direct integration."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.special import expit, gammaln

import latentem as lem

CATTLE = lem.datasets.cattle_pneumonia()
TABLE = {**CATTLE.columns, "healthy": CATTLE.size - CATTLE.incidence}
FORMULA = "cbind(incidence, healthy) ~ C(period) + (1 | herd)"
X = np.column_stack([np.ones(56), *((CATTLE.period == k) * 1.0 for k in (2, 3, 4))])


@cache
def fitted(nodes: int | None) -> Any:
    return lem.fit(lem.Mixed(FORMULA, family="binomial", nodes=nodes), TABLE)


def of_herd(herd: int, beta: np.ndarray, sd: float, u: float) -> float:
    """log p(records of a herd, u)."""
    at = CATTLE.herd == herd
    eta = X[at] @ beta + sd * u
    y, n = CATTLE.incidence[at], CATTLE.size[at]
    ways = gammaln(n + 1) - gammaln(y + 1) - gammaln(n - y + 1)
    return float(np.sum(y * np.log(expit(eta)) + (n - y) * np.log(expit(-eta)) + ways) - 0.5 * u**2)


def test_laplace_against_lme4_and_against_a_laplace_of_each_herd() -> None:
    fit = fitted(None)
    # summary(glmer(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp, binomial)) of lme4 prints these; its
    # inner iterations stop early (tolPwrss = 1e-7), by 3e-4 of the log-likelihood.
    assert fit.log_likelihood == pytest.approx(-92.0266, abs=4e-4)
    np.testing.assert_allclose(fit.params["fixed"], [-1.3983, -0.9919, -1.1282, -1.5797], atol=7e-4)
    np.testing.assert_allclose(fit.fixed_effects()["se"], [0.2312, 0.3032, 0.3228, 0.4220], atol=5e-3)
    assert fit.variance_components()["variance"][0] == pytest.approx(0.4123, abs=4e-4)
    beta, sd = fit.params["fixed"], float(fit.params["effects"]["herd"][0, 0])
    total = 0.0
    for herd in range(1, 16):
        mode = minimize_scalar(
            lambda u, h=herd: -of_herd(h, beta, sd, u), bounds=(-5, 5), method="bounded", options={"xatol": 1e-10}
        ).x
        at = CATTLE.herd == herd
        p = expit(X[at] @ beta + sd * mode)
        total += of_herd(herd, beta, sd, mode) - 0.5 * np.log(1 + sd**2 * np.sum(CATTLE.size[at] * p * (1 - p)))
    assert fit.log_likelihood == pytest.approx(total, abs=1e-8)
    assert fit.status.ok and "approximate: the log-likelihood is Laplace's approximation" in fit.notes


def test_quadrature_against_direct_integration() -> None:
    fit = fitted(25)
    beta, sd = fit.params["fixed"], float(fit.params["effects"]["herd"][0, 0])

    def integrated(change: float) -> float:
        found = 0.0
        for herd in range(1, 16):
            value = quad(
                lambda u, h=herd: np.exp(of_herd(h, beta, sd + change, u)), -12, 12, epsabs=0, epsrel=1e-12, limit=400
            )[0]
            found += np.log(value / np.sqrt(2 * np.pi))
        return found

    assert fit.log_likelihood == pytest.approx(integrated(0.0), abs=1e-8)
    assert max(integrated(-0.02), integrated(0.02)) < fit.log_likelihood
    assert fitted(None).log_likelihood < fit.log_likelihood  # here Laplace's approximation is too low


def test_the_score_of_the_approximation_is_its_derivative() -> None:
    fit = fitted(None)
    theta = np.concatenate([fit.params["fixed"] + 0.2, [0.9]])
    import jax

    with jax.enable_x64(True):
        records = fit.solved.records
        point = records.at(theta)
        h = 1e-5
        numeric = [
            (records.at(theta + h * e).log_likelihood - records.at(theta - h * e).log_likelihood) / (2 * h)
            for e in np.eye(len(theta))
        ]
        np.testing.assert_allclose(point.score, numeric, atol=1e-5)


def test_poisson_and_bernoulli_recover_what_was_simulated() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(60), 20)
    x, effect = rng.normal(size=1200), rng.normal(0, 0.7, 60)[group]
    eta = 0.5 + 0.4 * x + effect
    table = {
        "x": x,
        "group": group,
        "count": rng.poisson(np.exp(eta)),
        "event": (rng.uniform(size=1200) < expit(eta)) * 1,
    }
    for family, response in (("poisson", "count"), ("bernoulli", "event")):
        fit: Any = lem.fit(lem.Mixed(f"{response} ~ x + (1 | group)", family=family), table)
        rows = fit.fixed_effects()
        assert np.all(np.abs(rows["estimate"] - [0.5, 0.4]) < 3.5 * rows["se"])
        sd, se = fit.params["effects"]["group"][0, 0], fit.standard_errors()["effects"]["group"][0, 0]
        assert abs(sd - 0.7) < 3.5 * se
        assert np.all(fit.predict() > 0) and "z value" in fit.summary()


def test_bad_input() -> None:
    for formula, options, told in (
        (FORMULA, {"family": "binomal"}, "expected 'gaussian', 'bernoulli'"),
        (FORMULA, {"nodes": 25}, "with a family other than"),
        (FORMULA, {"family": "poisson"}, "2 responses: expected one response"),
        ("size ~ 1 + (1 | herd)", {"family": "bernoulli"}, "expected 0 and 1"),
        ("size ~ 1 + (1 | herd)", {"family": "binomial"}, r"expected cbind\(successes, failures\)"),
        ("incidence ~ 1 + (1 | herd) + (1 | period)", {"family": "poisson", "nodes": 9}, "one grouping"),
        ("incidence ~ 1 + (1 | herd)", {"family": "poisson", "precision": "size"}, "only family='gaussian'"),
    ):
        with pytest.raises(ValueError, match=told):
            lem.fit(lem.Mixed(formula, **options), TABLE)
