"""Rubin's rules, against their formulas by hand and the figures of a paper."""

import numpy as np
import pytest

import latentem as lem


def test_pooled_by_hand() -> None:
    """Three sets of two estimates: every term of Rubin (1987), (3.1.2) to (3.1.8)."""
    q = np.array([[1.0, 10.0], [1.2, 11.0], [1.4, 15.0]])
    u = np.array([np.diag([0.04, 1.0]), np.diag([0.05, 1.5]), np.diag([0.06, 2.0])])
    pooled = lem.pool(q, u)
    np.testing.assert_allclose(pooled.estimate, [1.2, 12.0])
    np.testing.assert_allclose(np.diagonal(pooled.within), [0.05, 1.5])
    np.testing.assert_allclose(np.diagonal(pooled.between), [0.04, 7.0])
    total = np.array([0.05 + 4 / 3 * 0.04, 1.5 + 4 / 3 * 7.0])
    np.testing.assert_allclose(pooled.standard_errors, np.sqrt(total))
    ratio = np.array([4 / 3 * 0.04 / 0.05, 4 / 3 * 7.0 / 1.5])
    np.testing.assert_allclose(pooled.df, 2 * (1 + 1 / ratio) ** 2)
    np.testing.assert_allclose(pooled.fraction_missing, (ratio + 2 / (pooled.df + 3)) / (ratio + 1))
    assert "fraction missing" in str(pooled)


def test_degrees_of_freedom_of_barnard_and_rubin_never_exceed_those_of_complete_data() -> None:
    q, u = [1.0, 1.01, 0.99, 1.0], [0.1] * 4
    assert lem.pool(q, u).df[0] > 1000
    pooled = lem.pool(q, u, df=10)
    # (df + 1) / (df + 3) df (1 - share), harmonically with the first
    share = 1.25 * np.var(q, ddof=1) / (0.1 + 1.25 * np.var(q, ddof=1))
    observed = 11 / 13 * 10 * (1 - share)
    assert pooled.df[0] == pytest.approx(1 / (share**2 / 3 + 1 / observed))
    assert pooled.df[0] < 10


def test_by_name_and_of_functions() -> None:
    data = [np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0])]
    pooled = lem.pool(data, lambda x: ({"mean": x.mean()}, [[x.var(ddof=1) / 3]]))
    assert pooled.names == ("mean",) and pooled.estimate[0] == 2.5
    low, high = pooled.confidence_intervals(0.9)
    assert low[0] < 2.5 < high[0]


@pytest.mark.parametrize(
    ("estimates", "covariances", "message"),
    [
        ([1.0], [1.0], "pool: 1 completed data set: expected at least 2; impute more copies"),
        ([1.0, [1.0, 2.0]], [1.0, 1.0], r"pool: estimates of lengths \[1, 2\]: expected one length"),
        ([1.0, 2.0], [1.0], "pool: 1 covariances: expected 2, one for each estimate"),
        ([1.0, 2.0], [np.eye(2), np.eye(2)], r"pool: covariances of shape \(2, 2\): expected \(1, 1\)"),
        ([1.0, 2.0], lambda x: x, "the function returned a float: expected"),
    ],
)
def test_bad_input(estimates, covariances, message) -> None:
    with pytest.raises(ValueError, match=message):
        lem.pool(estimates, covariances)
