"""Families of responses of generalised linear mixed models: counts and proportions."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jaxtyping import Array


class Family(NamedTuple):
    """How a response depends on the linear predictor. Links are canonical.

    Args:
        log_density: `(y (columns,), eta) -> ()`, under JAX.
        mean: of eta, NumPy.
        link: of responses (n, columns), moved off their edges, for a start.
        columns: of a response.
        weight: `(eta, size) -> ` variance of a response, which is also the curvature of its log-density in eta.
        draw: `(rng, eta, size) -> (n, columns)`.
    """

    log_density: Callable[[Array, Array], Array]
    mean: Callable[[np.ndarray], np.ndarray]
    link: Callable[[np.ndarray], np.ndarray]
    columns: int
    weight: Callable[[np.ndarray, np.ndarray], np.ndarray]
    draw: Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]

    def size(self, y: np.ndarray) -> np.ndarray:
        """Trials of each response, 1 where it has none."""
        return y.sum(axis=1) if self.columns == 2 else np.ones(len(y))


def _bernoulli(y: Array, eta: Array) -> Array:
    return y[0] * eta - jax.nn.softplus(eta)


def _binomial(y: Array, eta: Array) -> Array:
    n = y[0] + y[1]
    ways = gammaln(n + 1) - gammaln(y[0] + 1) - gammaln(y[1] + 1)
    return y[0] * eta - n * jax.nn.softplus(eta) + ways


def _poisson(y: Array, eta: Array) -> Array:
    return y[0] * eta - jnp.exp(eta) - gammaln(y[0] + 1)


def _logistic(eta: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-eta))


def _binomials(rng: np.random.Generator, eta: np.ndarray, size: np.ndarray) -> np.ndarray:
    drawn = rng.binomial(size.astype(np.int64), _logistic(eta)).astype(np.float64)
    return np.stack([drawn, size - drawn], axis=1)


def _variance(eta: np.ndarray, size: np.ndarray) -> np.ndarray:
    p = _logistic(eta)
    return size * p * (1 - p)


FAMILIES = {
    "bernoulli": Family(
        _bernoulli,
        _logistic,
        lambda y: np.log((y[:, 0] + 0.5) / (1.5 - y[:, 0])),
        1,
        _variance,
        lambda rng, eta, size: rng.binomial(1, _logistic(eta)).astype(np.float64)[:, None],
    ),
    "binomial": Family(
        _binomial,
        _logistic,
        lambda y: np.log((y[:, 0] + 0.5) / (y[:, 1] + 0.5)),
        2,
        _variance,
        _binomials,
    ),
    "poisson": Family(
        _poisson,
        np.exp,
        lambda y: np.log(y[:, 0] + 0.5),
        1,
        lambda eta, size: np.exp(eta),
        lambda rng, eta, size: rng.poisson(np.exp(eta)).astype(np.float64)[:, None],
    ),
}


def refuse_responses(family: str, y: np.ndarray) -> None:
    """ValueError where responses are none of the family."""
    known = FAMILIES[family]
    if y.shape[1] != known.columns:
        told = "cbind(successes, failures)" if known.columns == 2 else "one response"
        raise ValueError(f"family={family!r}: {y.shape[1]} responses: expected {told}")
    if np.any(y < 0) or np.any(y != np.rint(y)) or (family == "bernoulli" and np.any(y > 1)):
        expected = "0 and 1" if family == "bernoulli" else "counts"
        raise ValueError(
            f"family={family!r}: expected {expected}, found {y[(y < 0) | (y != np.rint(y)) | (y > 1)][0]:g}"
        )
