"""Some columns given others: joint minus marginal, and regressions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

import latentem as lem
from latentem import families as F


@pytest.fixture(scope="module")
def faithful() -> lem.Fit:
    return lem.fit(lem.GaussianMixture(2), lem.datasets.old_faithful().matrix(), key=0, starts=2)


def test_conditional_is_joint_minus_marginal(faithful: lem.Fit) -> None:
    x = lem.datasets.old_faithful().matrix()[:50]
    given = np.c_[x[:, 0], np.full(50, np.nan)]
    found = faithful.condition(given, of=[1])
    apart = faithful.log_prob(x) - faithful.log_prob(given)
    np.testing.assert_allclose(found.log_density(x[:, 1:]), apart, rtol=1e-12, atol=1e-12)


def test_moments_and_quantiles_by_integration(faithful: lem.Fit) -> None:
    grid = np.linspace(0, 150, 20001)
    found = faithful.condition(np.array([[3.0, np.nan]]), of=[1])
    density = np.exp([norm.logpdf(grid, found.means[0, k, 0], np.sqrt(found.covariances[0, k, 0, 0])) for k in (0, 1)])
    density = found.weights[0] @ density
    step = grid[1] - grid[0]
    mean = np.sum(grid * density) * step
    assert found.mean[0, 0] == pytest.approx(mean, rel=1e-9)
    assert found.covariance[0, 0, 0] == pytest.approx(np.sum((grid - mean) ** 2 * density) * step, rel=1e-8)
    upto = np.cumsum(density) * step
    quantiles = found.quantile([0.05, 0.5, 0.95])[0]
    np.testing.assert_allclose(np.interp(quantiles, grid, upto), [0.05, 0.5, 0.95], atol=5e-4)


def test_one_component_is_least_squares() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 3)) @ rng.normal(size=(3, 3))
    fit = lem.fit(lem.MultivariateNormal(), {"a": x[:, 0], "b": x[:, 1], "c": x[:, 2]})
    design = np.c_[np.ones(80), x[:, :2]]
    b, rest, *_ = np.linalg.lstsq(design, x[:, 2], rcond=None)
    found = fit.condition({"a": x[:, 0], "b": x[:, 1]}, of=["c"])
    np.testing.assert_allclose(found.mean[:, 0], design @ b, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(found.covariance[:, 0, 0], rest[0] / 80, rtol=1e-8)


@pytest.mark.slow
def test_classes_given_columns() -> None:
    """Two classes, so that the shares of a category given another column are a table of the joint probabilities."""
    rng = np.random.default_rng(1)
    z = rng.random(300) < 0.4
    table = {"a": (rng.random(300) < np.where(z, 0.9, 0.2)).astype(float), "b": rng.poisson(np.where(z, 8, 1)) * 1.0}
    fit = lem.fit(lem.Mixture(F.Independent({"a": F.Bernoulli(), "b": F.Poisson()}), 2), table, key=0)
    found = fit.condition({"b": np.array([0.0, 12.0])}, of=["a"])
    p, w = fit.params["components"]["a"]["probability"], fit.params["weights"]
    log = (
        np.log(w)
        - fit.params["components"]["b"]["rate"]
        + np.array([[0.0], [12.0]]) * np.log(fit.params["components"]["b"]["rate"])
    )
    r = np.exp(log) / np.exp(log).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.shares["a"][:, 1], r @ p, rtol=1e-9)
    assert found.mode["a"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("of", "message"),
    [
        ([2], "condition: no column 2: expected some of 0, 1"),
        ([0, 1], "expected some columns, each once, and not all 2 of them"),
        (["x"], "condition: no column 'x'"),
    ],
)
def test_bad_columns(faithful: lem.Fit, of, message) -> None:
    with pytest.raises(ValueError, match=message):
        faithful.condition(np.array([[3.0, np.nan]]), of=of)
