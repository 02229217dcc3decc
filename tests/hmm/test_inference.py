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
