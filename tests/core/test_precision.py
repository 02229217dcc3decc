"""Densities that close over NumPy arrays, in both precisions in one process."""

import jax.numpy as jnp
import numpy as np
import pytest

import latentem as lem

LOADINGS = np.array([0.1, 0.2, 0.3])  # none of them a float32
RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 3)) + RNG.choice([-9.0, 9.0], 30)[:, None] * LOADINGS
START = {"weight": [0.5, 0.5], "mean": [-1.0, 1.0]}


def cll(params, x, z):
    r = x - params["mean"][z] * LOADINGS
    return jnp.log(params["weight"][z]) - 0.5 * jnp.sum(r**2) - 1.5 * jnp.log(2 * jnp.pi)


MODEL = lem.Model(cll, lem.Finite(2), {"weight": lem.simplex(2), "mean": lem.ordered(2)})


def declared(params) -> float:
    """Log-likelihood in NumPy."""
    r = X[:, None, :] - np.asarray(params["mean"])[:, None] * LOADINGS
    density = np.exp(-0.5 * (r**2).sum(-1)) / (2 * np.pi) ** 1.5
    return float(np.log(density @ params["weight"]).sum())


def test_one_after_the_other() -> None:
    double = lem.fit(MODEL, X, initial=START)
    assert double.log_likelihood == pytest.approx(declared(double.params), rel=1e-13)
    single = lem.fit(MODEL, X, initial=START, dtype="float32")
    assert single.log_likelihood == pytest.approx(double.log_likelihood, rel=1e-5)
    again = lem.fit(MODEL, X, initial=START)
    assert again.log_likelihood == double.log_likelihood
    np.testing.assert_allclose(lem.solve(MODEL, X, initial=START)["mean"], double.params["mean"], rtol=1e-3)
