"""Scores, bootstrap, selection and likelihood-ratio tests of chain models: a sequence is one observation."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.optimize import approx_fprime

import latentem as lem

LENGTHS = np.array([20, 30, 10, 20, 1])
X = np.random.default_rng(0).poisson(np.append(np.array([2, 9])[np.repeat([0, 1] * 8, 5)], 2)).astype(float)
SERIES = lem.sequences(X, lengths=LENGTHS)
TWO = lem.HMM(2, lem.families.Poisson(), initial=(0.5, 0.5))
START = {
    "initial": np.array([0.5, 0.5]),
    "transition": np.array([[0.8, 0.2], [0.3, 0.7]]),
    "emission": {"rate": np.array([2.0, 9.0])},
}


@pytest.fixture(scope="module")
def fitted() -> lem.Fit:
    return lem.fit(TWO, SERIES, initial=START)


def test_scores_are_derivatives_of_each_sequence(fitted: lem.Fit) -> None:
    scores = fitted.scores_per_observation()
    space, model = fitted.model.space, fitted.model
    u = np.asarray(space.unconstrain(jax.tree.map(np.asarray, fitted.params)), dtype=np.float64)

    def log_prob(v: np.ndarray, n: int) -> float:
        with jax.enable_x64(True):
            params = jax.tree.map(np.asarray, space.constrain(v))
        return lem.chain.log_prob(model, params, SERIES)[n]

    with jax.enable_x64(True):
        u = np.asarray(space.unconstrain(fitted.params))
    for n in (1, 4):
        np.testing.assert_allclose(scores[n], approx_fprime(u, log_prob, 1e-6, n), atol=1e-4)
    assert scores.shape == (5, 4)
    np.testing.assert_allclose(scores.sum(axis=0), 0, atol=1e-6)
    information = np.asarray(fitted.information(kind="score"))
    np.testing.assert_allclose(information, scores.T @ scores, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_bootstrap_simulates_sequences_of_the_same_lengths(fitted: lem.Fit) -> None:
    found = lem.bootstrap(fitted, jax.random.key(1), 30)
    assert found.converged >= 28
    rates = found.params["emission"]["rate"]
    # Far-apart states: the spread is that of Poisson means, sqrt(rate / steps in the state).
    share = np.mean(fitted.viterbi(lem.sequences(X, lengths=[81]))[0])
    expected = np.sqrt(fitted.params["emission"]["rate"] / (81 * np.array([1 - share, share])))
    np.testing.assert_allclose(rates.std(axis=0, ddof=1), expected, rtol=0.5)
    assert np.all(np.abs(rates.mean(axis=0) - fitted.params["emission"]["rate"]) < 4 * expected / np.sqrt(30))
    labelled = lem.fit(TWO, lem.sequences(X, lengths=LENGTHS, labels=np.full(81, -1)), initial=START)
    with pytest.raises(ValueError, match="fit without labels"):
        lem.bootstrap(labelled, jax.random.key(0), 3)


@pytest.mark.slow
def test_a_likelihood_ratio_test_finds_the_second_state(fitted: lem.Fit) -> None:
    one = lem.fit(lem.HMM(1, lem.families.Poisson(), initial=(1.0,)), SERIES, key=jax.random.key(0))
    found = lem.likelihood_ratio_test(one, fitted, method="bootstrap", key=jax.random.key(2), replicates=9, starts=1)
    assert found.statistic == pytest.approx(2 * (fitted.log_likelihood - one.log_likelihood), rel=1e-9)
    # Under one state the ratio is of order 1: the largest of 9 is far below what is observed.
    assert found.p_value == pytest.approx(0.1) and np.all(found.replicates >= 0) and np.max(found.replicates) < 15
    assert found.statistic > 50


def test_selection_prefers_two_states() -> None:
    models = {"one": lem.HMM(1, lem.families.Poisson(), initial=(1.0,)), "two": TWO}
    found = lem.select(models, SERIES, key=jax.random.key(0), starts=2)
    assert found.winner == "two"
