"""Transitions that are fixed or equal: expected counts maximised by scipy, and the chain of pairs on itself."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from hmm.brute import answers
from scipy.optimize import minimize
from scipy.stats import poisson

import latentem as lem

NAN = np.nan
X = np.random.default_rng(0).poisson(np.array([2, 9, 20])[np.repeat([0, 2, 1, 0, 2, 1, 0, 1], 4)]).astype(float)
START = {
    "initial": np.array([0.4, 0.3, 0.3]),
    "transition": np.array([[0.6, 0.3, 0.1], [0.15, 0.7, 0.15], [0.2, 0.2, 0.6]]),
    "emission": {"rate": np.array([2.0, 8.0, 19.0])},
}
GIVEN = np.array([[NAN, NAN, NAN], [NAN, 0.7, NAN], [NAN, NAN, NAN]])
TIED = lem.HMM(
    3, lem.families.Poisson(), fixed={"transition": GIVEN}, tied=[[(0, 0), (2, 2)], [(1, 0), (1, 2)], [(2, 0), (2, 1)]]
)


def test_one_step_of_em_maximises_the_expected_counts() -> None:
    one = lem.fit(TIED, X[:9], initial=START, method=lem.Plain(), max_iterations=1, polish=False).params["transition"]
    brute = answers(START["initial"], START["transition"], poisson.logpmf(X[:9, None], START["emission"]["rate"]))
    counts = brute["pairs"].sum(axis=0)

    def matrix(v: np.ndarray) -> np.ndarray:
        a, b = 1 / (1 + np.exp(-v))  # staying in 0 and in 2; the part of what leaves 0 that goes to 1
        rest = 1 - a
        return np.array([[a, rest * b, rest * (1 - b)], [0.15, 0.7, 0.15], [rest / 2, rest / 2, a]])

    best = minimize(lambda v: -np.sum(counts * np.log(matrix(v))), np.zeros(2), tol=1e-12)
    np.testing.assert_allclose(one, matrix(best.x), atol=1e-6)
    assert np.sum(counts * np.log(one)) >= -best.fun - 1e-12


def test_a_fit_keeps_what_is_fixed_and_tied() -> None:
    fit = lem.fit(TIED, X, initial=START)
    a = fit.params["transition"]
    assert a[1, 1] == 0.7 and a[0, 0] == pytest.approx(a[2, 2], abs=1e-14) and a[2, 0] == pytest.approx(a[2, 1])
    np.testing.assert_allclose(a.sum(axis=1), 1, atol=1e-14)
    assert np.all(np.diff(fit.trace) > -1e-9) and fit.n_parameters == 2 + 2 + 3


def test_a_symmetric_pair_of_states() -> None:
    # Counts of both rows are pooled: staying is (stays of both) / (all).
    hmm = lem.HMM(2, lem.families.Categorical(2), tied=[[(0, 0), (1, 1)]], fixed={"probabilities": np.eye(2)})
    x = np.array([0, 0, 1, 1, 1, 0, 1, 1, 1, 1])
    fit = lem.fit(hmm, x, key=jax.random.key(0), polish=False)
    np.testing.assert_allclose(fit.params["transition"], [[6 / 9, 3 / 9], [3 / 9, 6 / 9]], rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"fixed": {"transition": [[0.5, NAN, NAN], [0.7, 0.4, NAN], [NAN] * 3]}},
            "row 1 of the fixed transition adds",
        ),
        ({"fixed": {"transition": [[0.5, 0.2, 0.2], [NAN] * 3, [NAN] * 3]}}, "row 0 of the fixed transition adds up"),
        ({"fixed": {"transition": np.full((2, 2), NAN)}}, r"fixed transition has shape \(2, 2\): expected \(3, 3\)"),
        ({"tied": [[(0, 0), (3, 3)]]}, r"tied entry \(3, 3\): expected \(row, column\) inside"),
        ({"tied": [[(0, 0), (1, 1)], [(1, 1), (2, 2)]]}, r"tied entry \(1, 1\) is fixed, impossible or tied twice"),
        ({"tied": [[(0, 0), (1, 1), (1, 0)]]}, "rows 0 and 1 of the transition matrix have tied entries between them"),
        ({"tied": [[(0, 0), (1, 1)]], "covariates": "z"}, "tied=... with covariates"),
    ],
)
def test_bad_input(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lem.HMM(3, lem.families.Poisson(), **options)
