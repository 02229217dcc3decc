"""What an HMM can be told: zeros, fixed parts, priors, labels, missing entries, families; and what it refuses."""

from __future__ import annotations

import re
from typing import Any

import jax
import numpy as np
import pytest
from hmm.brute import answers
from scipy.stats import norm, poisson

import latentem as lem
from latentem import families

RNG = np.random.default_rng(0)
COUNTS = RNG.poisson(np.repeat([2.0, 9.0, 2.0, 9.0], 15))
SERIES = lem.sequences(COUNTS, lengths=[20, 25, 15])
KEY = jax.random.key(0)
START = {
    "initial": np.array([0.5, 0.5]),
    "transition": np.array([[0.8, 0.2], [0.3, 0.7]]),
    "emission": {"rate": np.array([3.0, 7.0])},
}


def total(params: Any, emission: np.ndarray, lengths: list[int]) -> float:
    parts = np.split(emission, np.cumsum(lengths)[:-1])
    return sum(forward(params["initial"], params["transition"], part) for part in parts)


def forward(first: np.ndarray, matrix: np.ndarray, emission: np.ndarray) -> float:
    alpha, evidence = first * np.exp(emission[0]), 0.0
    for b in emission[1:]:
        evidence += np.log(alpha.sum())
        alpha = (alpha / alpha.sum()) @ matrix * np.exp(b)
    return evidence + np.log(alpha.sum())


def test_standard_errors_are_those_of_a_numerical_hessian() -> None:
    fit = lem.fit(lem.HMM(2, families.Poisson(), initial=[0.5, 0.5]), SERIES, initial=START)

    def at(theta: np.ndarray) -> float:
        a, b, *rate = theta
        params = {**START, "transition": np.array([[a, 1 - a], [b, 1 - b]])}
        return total(params, poisson.logpmf(COUNTS[:, None], np.array(rate)), [20, 25, 15])

    theta = np.concatenate([fit.params["transition"][:, 0], fit.params["emission"]["rate"]])
    assert at(theta) == pytest.approx(fit.log_likelihood, abs=1e-10)
    step = 1e-4 * np.diag([1.0, 1.0, 10.0, 10.0])
    hessian = np.array(
        [[(at(theta + p + q) - at(theta + p - q) - at(theta - p + q) + at(theta - p - q)) for q in step] for p in step]
    ) / (4 * np.outer(step.sum(axis=1), step.sum(axis=1)))
    expected = np.sqrt(np.diag(np.linalg.inv(-hessian)))
    errors = fit.standard_errors()
    found = np.concatenate([errors["transition"][:, 0], errors["emission"]["rate"]])
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_zeros_stay_zero_and_are_no_parameters() -> None:
    left_right = np.triu(np.ones((3, 3)))
    hmm = lem.HMM(3, families.Poisson(), initial=[1, 0, 0], allowed=left_right)
    fit = lem.fit(hmm, SERIES, key=KEY, method=lem.Plain(), polish=False)
    assert np.all(fit.params["transition"][left_right == 0] == 0.0)
    assert fit.n_parameters == 3 + 3
    assert fit.status.ok
    assert np.all(np.diff(fit.trace) > -1e-9)
    assert all(np.all(np.diff(path) >= 0) for path in fit.viterbi())


def test_fixed_transitions_and_shared_parameters() -> None:
    matrix = START["transition"]
    fit = lem.fit(lem.HMM(2, families.Poisson(), fixed={"transition": matrix}), SERIES, initial=START, polish=False)
    np.testing.assert_array_equal(fit.params["transition"], matrix)
    x = COUNTS.astype(float)
    shared = lem.fit(lem.HMM(2, families.Gaussian("diagonal"), shared=("variance",)), x, key=KEY, polish=False)
    assert shared.params["emission"]["variance"].shape == (1,)
    assert shared.n_parameters == 1 + 2 + 2 + 1


def test_a_dirichlet_prior_adds_its_counts() -> None:
    # The M-step of a MAP fit: (expected + concentration - 1) / total, and the maximum is where nothing moves.
    concentration = 1.0 + 20.0 * np.eye(2)
    hmm = lem.HMM(2, families.Poisson(), prior={"transition": lem.priors.Dirichlet(tuple(map(tuple, concentration)))})
    fit = lem.fit(hmm, SERIES, initial=START)
    expected = sum(np.sum(part, axis=0) for part in fit.transition_expectations())
    counts = expected + concentration - 1.0
    np.testing.assert_allclose(fit.params["transition"], counts / counts.sum(axis=1, keepdims=True), atol=1e-6)
    free = lem.fit(lem.HMM(2, families.Poisson()), SERIES, initial=START, polish=False)
    assert np.all(np.diag(fit.params["transition"]) > np.diag(free.params["transition"]))


def test_labels_of_every_step_leave_nothing_to_infer() -> None:
    states = np.repeat([0, 1, 0, 1], 15)
    series = lem.sequences(COUNTS, lengths=[20, 25, 15], labels=states)
    fit = lem.fit(lem.HMM(2, families.Poisson()), series, initial=START, polish=False)
    rates = [COUNTS[states == k].mean() for k in range(2)]
    np.testing.assert_allclose(fit.params["emission"]["rate"], rates, rtol=1e-9)
    moves = np.zeros((2, 2))
    for part in series.split(states):
        np.add.at(moves, (part[:-1], part[1:]), 1)
    np.testing.assert_allclose(fit.params["transition"], moves / moves.sum(axis=1, keepdims=True), rtol=1e-9)


def test_single_missing_entries_are_left_out_of_their_step() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(6, 2))
    x[1, 0] = x[4, 1] = np.nan
    x[2] = np.nan
    mean, variance = np.array([[0.0, 1.0], [1.0, -1.0]]), np.array([[1.0, 2.0], [0.5, 1.0]])
    hmm, series = lem.HMM(2, families.Gaussian("diagonal")).declare(x)
    params = {**START, "emission": {"mean": mean, "variance": variance}}
    each = norm.logpdf(x[:, None], mean, np.sqrt(variance))
    brute = answers(START["initial"], START["transition"], np.nansum(each, axis=2))
    assert lem.chain.log_prob(hmm.model(), params, series)[0] == pytest.approx(brute["log_prob"], abs=1e-12)
    np.testing.assert_allclose(lem.chain.smoothed(hmm.model(), params, series), brute["smoothed"], atol=1e-12)


@pytest.mark.parametrize(
    "family",
    [families.StudentT(), families.Independent({"n": families.Poisson(), "y": families.Gaussian("diagonal")})],
    ids=["StudentT", "Independent"],
)
def test_families_climb(family: Any) -> None:
    y = COUNTS + np.random.default_rng(3).normal(size=60)
    x = {"n": COUNTS, "y": y[:, None]} if isinstance(family, families.Independent) else y[:, None]
    fit = lem.fit(lem.HMM(2, family), x, key=KEY, method=lem.Plain(), max_iterations=30, polish=False)
    assert np.all(np.diff(fit.trace) > -1e-9)
    assert np.mean(fit.viterbi() == fit.viterbi()[0]) == pytest.approx(0.5, abs=0.06)


def test_verbs_of_a_fit() -> None:
    fit = lem.fit(lem.HMM(2, families.Poisson()), SERIES, initial=START, polish=False)
    filtered = fit.filter()
    state, evidence = None, 0.0
    for t, count in enumerate(COUNTS[:20]):
        state, gained = fit.step(state, count)
        evidence += gained
        np.testing.assert_allclose(state, filtered[0][t], atol=1e-12)
    assert evidence == pytest.approx(fit.log_prob()[0], abs=1e-10)
    assert fit.log_prob().sum() == pytest.approx(fit.log_likelihood, abs=1e-9)
    far = fit.forecast(400)
    assert far.shape == (3, 400, 2)
    np.testing.assert_allclose(far[:, 0], [f[-1] @ fit.params["transition"] for f in filtered], atol=1e-12)
    np.testing.assert_allclose(far[:, -1] @ fit.params["transition"], far[:, -1], atol=1e-10)  # stationary
    paths, score = fit.viterbi_top(3)
    assert np.all(np.diff(score, axis=1) <= 0)
    np.testing.assert_array_equal(paths[1][:, 0], fit.viterbi()[1])


def test_pseudo_residuals_of_the_true_model_are_standard_normal() -> None:
    params = {**START, "emission": {"mean": np.array([[0.0], [3.0]]), "variance": np.array([[1.0], [2.0]])}}
    hmm = lem.HMM(2, families.Gaussian("diagonal"), initial=START["initial"], fixed=_all_fixed(params))
    fit = lem.fit(hmm, np.zeros((4, 1)) + np.arange(4)[:, None], initial=params)
    x = fit.sample(jax.random.key(1), 4000)
    residuals = fit.pseudo_residuals(x)
    assert abs(residuals.mean()) < 4 / np.sqrt(4000)
    assert residuals.std() == pytest.approx(1.0, abs=0.05)
    assert abs(np.corrcoef(residuals[1:], residuals[:-1])[0, 1]) < 4 / np.sqrt(4000)


def _all_fixed(params: Any) -> dict[str, Any]:
    return {"transition": params["transition"], **params["emission"]}


POISSON = families.Poisson()
FREE = lem.HMM(2, POISSON).declare(SERIES)[0].model()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: lem.sequences(COUNTS, lengths=[10, 20]), "lengths add up to 30: expected 60, the number of rows"),
        (lambda: lem.sequences([[1, 2], []]), "sequence 1 is empty: expected at least one step; leave it out"),
        (lambda: lem.sequences(COUNTS, labels=[0, 1]), "labels have shape (2,): expected (60,), one for each step"),
        (lambda: lem.sequences([1.0, 2.0], labels=[0.5, 1]), "labels: expected states 0, 1, ... and -1"),
        (
            lambda: lem.sequences({"id": [1, 2, 1], "x": [1, 2, 3]}, sequence="id"),
            "the rows of sequence 1 are not together: sort the rows by sequence, then by time",
        ),
        (lambda: lem.sequences({"x": [1, 2]}, sequence="id"), "no column is called 'id'"),
        (lambda: lem.HMM(0, POISSON), "states=0: expected an integer >= 1"),
        (lambda: lem.HMM(2, POISSON, initial="fixed"), "initial='fixed': expected 'free', 'stationary' or 2"),
        (lambda: lem.HMM(2, POISSON, initial=[0.5, 0.6]), "expected 'free', 'stationary' or 2 probabilities"),
        (lambda: lem.HMM(2, POISSON, allowed=[[1, 1], [0, 0]]), "row 1 allows no entry, so there is no way out"),
        (lambda: lem.HMM(2, POISSON, fixed={"transition": np.ones((2, 2))}), "fixed transition: expected 2 rows"),
        (lambda: lem.HMM(2, POISSON, prior={"rate": lem.priors.Gamma(2.0, 1.0)}), "prior for 'rate': expected"),
        (lambda: lem.fit(lem.HMM(99, POISSON), COUNTS, key=KEY), "states=99 > 60 steps: ask for fewer states"),
        (lambda: lem.fit(lem.HMM(2, POISSON), [np.nan, np.nan], key=KEY), "every step of every sequence is missing"),
        (
            lambda: lem.fit(lem.HMM(2, POISSON), lem.sequences(COUNTS, labels=np.full(60, 2)), key=KEY),
            "labels hold state 2: expected 0 to 1, or -1 for not known",
        ),
        (
            lambda: lem.fit(lem.HMM(2, POISSON), lem.sequences([[1.0, 2.0], [np.nan, np.nan]]), key=KEY),
            "every step of sequence 1 is missing: leave it out",
        ),
        (
            lambda: lem.fit(lem.HMM(2, families.Categorical(2)), [0, 1, 2], key=KEY),
            "Categorical: observations[2] = 2: expected integers 0, ..., 1; raise categories or recode",
        ),
        (
            lambda: lem.fit(lem.HMM(2, families.Categorical(2)), [0, 1, -1], key=KEY),
            "Categorical: observations[2] = -1: expected integers 0, 1, 2",
        ),
        (
            lambda: lem.sequences({"y": COUNTS, "z": COUNTS[:59]}),
            "columns differ in length (observations['y'] has 60, observations['z'] has 59): expected one entry",
        ),
        (
            lambda: lem.sequences([{"y": [1, 2], "z": [3, 4]}, {"y": [1, 2], "z": [3]}]),
            "columns of sequence 1 differ in length (observations['y'] has 2, observations['z'] has 1)",
        ),
        (lambda: lem.Chain(2, lambda p, x, z: 0.0, labels=(0,)), "Chain(2) with 1 labels: expected one for each"),
        (lambda: lem.sequences([]), "observations are empty: expected at least one step"),
        (lambda: lem.sequences(COUNTS, lengths=[60, 0]), "lengths = [60, 0]: expected a list of whole numbers of at"),
        (
            lambda: lem.sequences(COUNTS, lengths=[60], sequence=np.zeros(60)),
            "lengths and sequence both say where sequences end: pass one of them",
        ),
        (lambda: lem.sequences([[1, 2], [3]], labels=[[0], [1, 1]]), "labels of sequence 0 have length 1: expected 2"),
        (lambda: lem.sequences(COUNTS, labels=np.full(60, -2)), "labels: expected states 0, 1, ... and -1"),
        (lambda: lem.HMM(3, POISSON, allowed=[[1, 1], [0, 1]]), "allowed has shape (2, 2): expected (3, 3)"),
        (lambda: lem.fit(lem.HMM(2, POISSON), SERIES, weights=[1, 2], key=KEY), "weights have shape (2,)"),
        (lambda: lem.fit(lem.HMM(2, POISSON), SERIES, key=KEY, compress=True), "is a chain, whose steps are not"),
    ],
)
def test_bad_input_is_told_in_one_line(make: Any, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: lem.sequences([[1, 2], 3]), "observations mix numbers and sequences"),
        (lambda: lem.sequences([[1, 2], [3]], lengths=[2, 1]), "or sequences and lengths=: expected"),
        (lambda: lem.fit(lem.HMM(2, POISSON), lem.sequences(["a", "b"])), "observations holds text (a, b)"),
        (lambda: lem.chain.smoothed(FREE, START, COUNTS), "sequences of type ndarray: expected lem.sequences(...)"),
    ],
)
def test_other_types_are_told_in_one_line(make: Any, told: str) -> None:
    with pytest.raises(TypeError, match=re.escape(told)) as error:
        make()
    assert "\n" not in str(error.value)


def test_a_sequence_of_labels_alone_says_something() -> None:
    series = lem.sequences([[1.0, 2.0], [np.nan, np.nan]], labels=[[-1, -1], [0, 1]]).without_gaps()
    assert series.observed is not None and series.observed.tolist() == [True, True, False, False]
