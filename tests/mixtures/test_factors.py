"""Factor analysis, principal components, and mixtures of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import latentem as lem


def attitude() -> np.ndarray:
    return lem.datasets.attitude().matrix()


@pytest.fixture(scope="module")
def two() -> lem.Fit:
    return lem.fit(lem.FactorAnalysis(2), attitude())


def test_attitude_is_that_of_factanal(two: lem.Fit) -> None:
    """R 4.2.2, factanal(attitude, 2), lower = 1e-6."""
    uniquenesses = [0.20972771, 0.13233552, 0.64101520, 0.39638343, 0.31773961, 0.89685632, 0.03661595]
    assert two.status.ok and two.log_likelihood == pytest.approx(-751.021055213885, abs=1e-6)
    np.testing.assert_allclose(two.loadings().uniquenesses, uniquenesses, atol=1e-4)
    assert two.n_parameters == 7 + 7 * 2 - 1 + 7


def test_rotations_leave_the_covariance_as_it_is(two: lem.Fit) -> None:
    plain = two.loadings()
    common = plain.loadings @ plain.loadings.T
    for rotation in ("varimax", "oblimin"):
        turned = two.loadings(rotation)
        np.testing.assert_allclose(turned.loadings @ turned.correlation @ turned.loadings.T, common, atol=1e-6)
    np.testing.assert_allclose(np.diagonal(common) + plain.uniquenesses, 1, rtol=1e-12)


def test_scores_by_regression_and_bartlett(two: lem.Fit) -> None:
    x = attitude()
    b = two.loadings(standardised=False).loadings
    own = {name: value[0] for name, value in two.params["components"].items()}
    away = x - own["mean"]
    covariance = own["loadings"] @ own["loadings"].T + np.diag(own["noise"])
    np.testing.assert_allclose(two.scores(), away @ np.linalg.solve(covariance, b), atol=1e-8)
    precise = b / own["noise"][:, None]
    np.testing.assert_allclose(two.scores(method="bartlett"), away @ precise @ np.linalg.inv(b.T @ precise), atol=1e-8)


@pytest.mark.slow
def test_a_heywood_case_is_told() -> None:
    """R 4.2.2, factanal(iris[, 1:4], 1), lower = 1e-6: the uniqueness of petal length ends at its bound, which is lower
    still here."""
    fit = lem.fit(lem.FactorAnalysis(1), lem.datasets.iris().matrix())
    assert fit.log_likelihood == pytest.approx(-422.377911156035, abs=5e-4)
    assert any("Heywood case: the factors explain column 2 wholly" in note for note in fit.notes)


@pytest.mark.slow
def test_principal_components_are_those_of_the_covariance() -> None:
    """Tipping and Bishop (1999): noise is the mean of the eigenvalues left out."""
    x = lem.datasets.iris().matrix()
    fit = lem.fit(lem.FactorAnalysis(2, noise="spherical"), x)
    values = np.linalg.eigvalsh(np.cov(x.T, bias=True))
    own = {name: value[0] for name, value in fit.params["components"].items()}
    assert own["noise"] == pytest.approx(values[:2].mean(), rel=1e-8)
    covariance = own["loadings"] @ own["loadings"].T + own["noise"] * np.eye(4)
    assert fit.log_likelihood == pytest.approx(multivariate_normal(x.mean(axis=0), covariance).logpdf(x).sum())


def test_missing_entries_are_filled_in_through_the_factors(two: lem.Fit) -> None:
    x = attitude()
    x[3, 1] = np.nan
    own = {name: value[0] for name, value in two.params["components"].items()}
    covariance = own["loadings"] @ own["loadings"].T + np.diag(own["noise"])
    seen = ~np.isnan(x[3])
    slope = np.linalg.solve(covariance[np.ix_(seen, seen)], covariance[seen, 1])
    assert two.impute(x=x)[3, 1] == pytest.approx(own["mean"][1] + (x[3] - own["mean"])[seen] @ slope)


@pytest.mark.slow
def test_a_mixture_of_factor_analysers_is_at_a_maximum() -> None:
    x = lem.datasets.iris().matrix()
    fit = lem.fit(lem.GaussianMixture(2, factors=1), x, key=0, starts=3)
    full = lem.fit(lem.GaussianMixture(2), x, key=0, starts=3)
    assert fit.status.ok and fit.n_parameters == 1 + 2 * (4 + 4 + 4)
    assert fit.log_likelihood < full.log_likelihood
    assert np.max(np.abs(fit.scores_per_observation().sum(axis=0))) < 1e-3


def test_more_factors_than_identified_are_refused() -> None:
    with pytest.raises(ValueError, match="2 factors of 4 columns are more than .* identify: expected at most 1"):
        lem.fit(lem.FactorAnalysis(2), lem.datasets.iris().matrix())
    with pytest.raises(ValueError, match="factors=0: expected how many, at least 1"):
        lem.FactorAnalysis(0)
