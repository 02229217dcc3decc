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
    assert (
        fit.status is lem.Status.approximate
        and "approximate: the log-likelihood is Laplace's approximation" in fit.notes
    )


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
    assert fit.status is lem.Status.converged
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


def test_residuals_and_influence_are_those_of_refits_with_the_components_held() -> None:
    fit = fitted(None)
    solved = fit.solved
    n, y = CATTLE.size, CATTLE.incidence
    p = expit(solved.eta)
    np.testing.assert_allclose(fit.residuals("response"), y - n * p)
    np.testing.assert_allclose(fit.residuals("pearson"), (y - n * p) / np.sqrt(n * p * (1 - p)))
    # summary() of lme4 prints scaled residuals from -2.3816 to 2.8791.
    np.testing.assert_allclose([fit.residuals().min(), fit.residuals().max()], [-2.3816, 2.8791], atol=2e-3)
    saturated = sum(np.log(np.where(a > 0, a / n, 1.0)) @ a for a in (y, n - y))
    given = np.log(p) @ y + np.log1p(-p) @ (n - y)
    assert np.sum(fit.residuals("deviance") ** 2) == pytest.approx(2 * (saturated - given))
    # One Newton step of penalised least squares without the record, all coefficients together.
    found = fit.influence()
    sd = float(solved.roots[0][0, 0])
    z = sd * (CATTLE.herd[:, None] == np.unique(CATTLE.herd)) * 1.0
    both = np.concatenate([X, z], axis=1)
    w, left = n * p * (1 - p), y - n * p
    penalty = np.diag([0.0] * 4 + [1.0] * 15)
    whole = np.linalg.inv(both.T @ (w[:, None] * both) + penalty)
    np.testing.assert_allclose(found.leverage, w * np.einsum("ni,ij,nj->n", both, whole, both), rtol=1e-8)
    for k in (0, 7, 31):
        rest = np.arange(56) != k
        own = np.linalg.inv(both[rest].T @ (w[rest, None] * both[rest]) + penalty)
        np.testing.assert_allclose(found.change[k], (-own @ both[k] * left[k])[:4], rtol=1e-7)
    assert np.all(found.cook >= 0)


def test_simulations_and_the_bootstrap_have_the_spread_that_the_fit_says() -> None:
    fit = fitted(None)
    drawn = fit.simulate(0, 400)
    assert drawn.shape == (400, 56, 2) and np.all(drawn.sum(axis=2) == CATTLE.size)
    rng = np.random.default_rng(1)
    sd = float(fit.params["effects"]["herd"][0, 0])
    mean = expit(X @ fit.params["fixed"] + sd * rng.normal(size=(20_000, 1))).mean(axis=0)
    spread = drawn[:, :, 0].std(axis=0) / np.sqrt(400)
    assert np.abs((drawn[:, :, 0].mean(axis=0) - CATTLE.size * mean) / spread).max() < 4.5
    kept = fit.simulate(0, 400, random=False)[:, :, 0].mean(axis=0)
    np.testing.assert_allclose(kept, CATTLE.size * fit.predict(), atol=5 * np.sqrt(CATTLE.size.max() / 4 / 400))
    refits = fit.bootstrap(0, 40)
    assert refits.converged.mean() > 0.9
    ratio = refits.standard_errors()["fixed"] / fit.fixed_effects()["se"]
    assert np.all((ratio > 0.7) & (ratio < 1.4))


def test_profiles_lie_below_the_maximum_and_cross_it_where_refits_do() -> None:
    fit = fitted(None)
    found = fit.profile("herd", points=2)
    assert 0 < found.lower < fit.params["effects"]["herd"][0, 0] < found.upper
    assert found.log_likelihood.max() == pytest.approx(fit.log_likelihood, abs=1e-8)
    at = np.searchsorted(found.value, found.upper)
    assert 2 * (fit.log_likelihood - found.log_likelihood[min(at, len(found.value) - 1)]) == pytest.approx(
        3.8415, abs=1e-3
    )
    slope = fit.profile(fit.solved.design.names[1], points=1)
    assert slope.lower < fit.params["fixed"][1] < slope.upper < 0
    with pytest.raises(ValueError, match="expected one of"):
        fit.profile("residual")


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
