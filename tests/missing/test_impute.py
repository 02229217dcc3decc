"""Missing entries filled in: by conditional means, and several times for inference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import multivariate_normal

import latentem as lem
from latentem import families as F

nan = np.nan


def airquality() -> np.ndarray:
    return lem.datasets.airquality().matrix("ozone", "solar", "wind", "temperature")


@pytest.fixture(scope="module")
def air() -> lem.Fit:
    return lem.fit(lem.MultivariateNormal(), airquality())


@pytest.mark.parametrize(
    ("x", "log_likelihood"),
    [
        # EM in plain R, mvnmle 0.1-11.2, norm 1.0-11
        (airquality(), -2326.69738279834),
        (lem.datasets.cement().matrix(), -132.925250445116),
    ],
)
def test_the_maximum_with_missing_entries_is_that_of_other_programs(x: np.ndarray, log_likelihood: float) -> None:
    fit = lem.fit(lem.MultivariateNormal(), x)
    assert fit.log_likelihood == pytest.approx(log_likelihood, abs=1e-8)


def test_conditional_means_are_regressions_on_what_is_observed(air: lem.Fit) -> None:
    """Every filled entry by the normal equations of its own row, in NumPy."""
    x, mean, covariance = airquality(), *(air.params["components"][name][0] for name in ("mean", "covariance"))
    filled = air.impute()
    for row, done in zip(x, filled, strict=True):
        seen = ~np.isnan(row)
        slope = np.linalg.solve(covariance[np.ix_(seen, seen)], covariance[np.ix_(seen, ~seen)])
        np.testing.assert_allclose(done[~seen], mean[~seen] + (row - mean)[seen] @ slope, rtol=1e-8)
        np.testing.assert_array_equal(done[seen], row[seen])
    # at the maximum, EM by pattern does not move: the mean of the completed rows is the mean
    np.testing.assert_allclose(filled.mean(axis=0), mean, rtol=1e-8)


def test_scores_of_complete_rows_are_those_of_the_completed_data(air: lem.Fit) -> None:
    complete = ~np.isnan(airquality()).any(axis=1)
    np.testing.assert_allclose(air.log_prob(air.impute())[complete], air.log_prob()[complete], rtol=1e-12)


def test_drawn_entries_have_the_conditional_distribution(air: lem.Fit) -> None:
    """With the params held, the draws of one entry have its conditional mean and variance."""
    mean, covariance = (air.params["components"][name][0] for name in ("mean", "covariance"))
    row = np.array([[nan, 190.0, nan, 67.0]])
    drawn = np.concatenate(air.impute(500, key=0, x=np.repeat(row, 20, axis=0), params="fixed"))
    given, hidden = np.array([1, 3]), np.array([0, 2])
    slope = np.linalg.solve(covariance[np.ix_(given, given)], covariance[np.ix_(given, hidden)])
    expected = mean[hidden] + (row[0, given] - mean[given]) @ slope
    spread = covariance[np.ix_(hidden, hidden)] - covariance[np.ix_(hidden, given)] @ slope
    np.testing.assert_allclose(drawn[:, hidden].mean(axis=0), expected, atol=5 * np.sqrt(spread.max() / 10_000))
    np.testing.assert_allclose(np.cov(drawn[:, hidden].T), spread, rtol=0.06, atol=4)


def test_pooled_regression_is_within_chance_of_another_program(air: lem.Fit) -> None:
    """Ozone on solar radiation, wind and temperature over 50 imputations by EM on bootstrap samples (Amelia's method,
    in plain NumPy): .0594 -3.223 1.660, errors .0218 .635 .254."""

    def regression(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        design = np.c_[np.ones(len(x)), x[:, 1:]]
        b, rest, *_ = np.linalg.lstsq(design, x[:, 0], rcond=None)
        return b, rest[0] / (len(x) - 4) * np.linalg.inv(design.T @ design)

    pooled = air.impute(50, key=3).pool(regression, df=149)
    errors = np.array([0.0218, 0.635, 0.254])
    # both are averages over 50 draws: differences of a fifth of a standard error are chance
    np.testing.assert_allclose(pooled.estimate[1:], [0.0594, -3.223, 1.660], atol=0.2 * errors.max(), rtol=0.08)
    np.testing.assert_allclose(pooled.standard_errors[1:], errors, rtol=0.12)
    assert (pooled.df < 149).all() and ((pooled.fraction_missing > 0.05) & (pooled.fraction_missing < 0.6)).all()


@pytest.mark.slow
def test_tables_come_back_as_they_were() -> None:
    rng = np.random.default_rng(0)
    kind = np.repeat(["a", "b"], 30)
    size = np.where(kind == "a", 0.0, 8.0) + rng.normal(size=60)
    number = np.where(kind == "a", rng.poisson(2.0, 60), rng.poisson(30.0, 60)).astype(float)
    kind = kind.astype(object)
    kind[[3, 40]], number[[5, 45]], size[[7, 50]] = None, nan, nan
    family = F.Independent({"size": F.Gaussian(), "kind": F.Categorical(), "number": F.Poisson()})
    columns: dict[str, Any] = {"size": size, "kind": kind, "number": number}
    fit = lem.fit(lem.Mixture(family, 2), columns, key=0)
    found = fit.impute()
    assert found["kind"][3] == "a" and found["kind"][40] == "b"
    assert found["number"][5] < 6 < 20 < found["number"][45] and abs(found["size"][50] - 8) < 1
    frame = pd.DataFrame({**columns, "kind": pd.Categorical(kind), "other": "text"}, index=np.arange(60) * 2)
    again = fit.impute(x=frame)
    assert isinstance(again, pd.DataFrame) and (again.index == frame.index).all() and list(again) == list(frame)
    assert again["kind"].dtype == frame["kind"].dtype and again["kind"].iloc[3] == "a"
    np.testing.assert_allclose(again["number"], found["number"])
    again = fit.impute(x=pl.DataFrame({**columns, "kind": pl.Series(kind.tolist(), dtype=pl.Categorical)}))
    assert isinstance(again, pl.DataFrame) and again["kind"].null_count() == 0
    np.testing.assert_allclose(again["size"], found["size"])
    copies = fit.impute(3, key=0)
    assert len(copies) == 3 and {copy["kind"][3] for copy in copies} <= {"a", "b"}
    assert len({float(copy["number"][45]) for copy in copies}) > 1 and all(c["number"][45] % 1 == 0 for c in copies)


def test_a_row_without_any_entry_is_filled_with_the_mean_and_told() -> None:
    x = np.vstack([airquality()[:40], np.full((1, 4), nan)])
    fit = lem.fit(lem.MultivariateNormal(), x)
    with pytest.warns(UserWarning, match="row 40 has no observed entry: filled with what is expected of any row"):
        filled = fit.impute()
    np.testing.assert_allclose(filled[40], fit.params["components"]["mean"][0], rtol=1e-10)


def test_sequences_are_filled_in_from_their_neighbours() -> None:
    x = np.array([0, 1, 0, nan, 0, 9, 8, nan, 10, 9, 1, 0, nan, 2, 12, 9.0])
    fit = lem.fit(lem.HMM(2, F.Poisson()), x, key=0)
    # what each state expects, by the probability of the state given all observations
    expected = (fit.smooth() @ fit.params["emission"]["rate"])[[3, 7]]
    np.testing.assert_allclose(fit.impute()[[3, 7]], expected, rtol=1e-9)
    drawn = np.array(fit.impute(400, key=1, params="fixed"))
    assert drawn.shape == (400, 16)
    np.testing.assert_allclose(drawn[:, [3, 7]].mean(axis=0), expected, atol=5 * 4.0 / np.sqrt(400))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda fit: fit.impute(5), "impute: copies are drawn at random: pass key=0, or any other seed"),
        (lambda fit: fit.impute(0, key=0), "impute: m=0: expected how many copies, at least 1"),
        (
            lambda fit: fit.impute(2, key=0, params="mle"),
            "params='mle': expected one of normal, bootstrap, fixed",
        ),
        (
            lambda fit: fit.impute(1, key=0).pool(lambda x: (x[:, 0].mean(), 1.0)),
            "pool: 1 completed data set: expected at",
        ),
    ],
)
def test_bad_input_is_refused_in_one_line(air: lem.Fit, ask: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ask(air)
    assert "\n" not in str(caught.value)


def test_a_column_without_any_entry_is_refused() -> None:
    with pytest.raises(ValueError, match="column 1 has no observed entry: expected at least one; drop"):
        lem.fit(lem.MultivariateNormal(), [[1.0, nan], [2.0, nan]])


@pytest.mark.slow
def test_pooled_intervals_cover() -> None:
    """500 sets of 100 rows with 30 % of one column missing at random: 93 to 97 of 100 intervals hold the slope."""
    inside, sets = 0, 500
    for seed in range(sets):
        rng = np.random.default_rng(seed)
        x = multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]]).rvs(100, random_state=rng)
        x[rng.random(100) < 0.6 / (1 + np.exp(-2 * x[:, 0])), 1] = nan
        fit = lem.fit(lem.MultivariateNormal(), x)

        def slope(x: np.ndarray) -> tuple[float, float]:
            design = np.c_[np.ones(len(x)), x[:, 0]]
            b, rest, *_ = np.linalg.lstsq(design, x[:, 1], rcond=None)
            return b[1], rest[0] / (len(x) - 2) * np.linalg.inv(design.T @ design)[1, 1]

        low, high = fit.impute(20, key=seed).pool(slope, df=98).confidence_intervals()
        inside += bool(low[0] < 0.6 < high[0])
    assert 0.93 <= inside / sets <= 0.97
