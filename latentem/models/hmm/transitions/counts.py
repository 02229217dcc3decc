"""Transition matrices: from counts to probabilities, and where a fit begins."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

#: What probabilities of float32 may miss of 1.
FEW_DIGITS = 2e-6
#: What starts give to staying in a state; part of the starts that take their moves from the seeds of the states.
STICKINESS, SEEDED = 0.8, 0.5


def log(p: Any) -> Any:
    """log p with -inf at 0 and a gradient of 0 there."""
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1.0)), -jnp.inf)


def shares(counts: Float[Array, "*K n"], old: Float[Array, "*K n"], prior: Any = None) -> Float[Array, "*K n"]:
    """Counts as probabilities; a row without counts keeps the old ones."""
    counts = with_prior(counts, old, prior)
    total = jnp.sum(counts, axis=-1, keepdims=True)
    return jnp.where(total > 0, counts / jnp.where(total > 0, total, 1.0), old)


def in_full(rows: np.ndarray) -> np.ndarray:
    """Probabilities that add up to 1 up to the rounding of float32, as those that do in float64; others as they are."""
    total = np.sum(rows, axis=-1, keepdims=True)
    return np.where(np.abs(total - 1) < FEW_DIGITS, rows / np.where(total > 0, total, 1), rows)


def with_prior(counts: Float[Array, "*K n"], old: Float[Array, "*K n"], prior: Any) -> Float[Array, "*K n"]:
    """Counts and those that a Dirichlet prior stands for."""
    if prior is None:
        return counts
    concentration = jnp.broadcast_to(jnp.asarray(prior.concentration, counts.dtype), counts.shape)
    return jnp.maximum(counts + jnp.where(old > 0, concentration - 1.0, 0.0), 0.0)


def drawn(key: Array, possible: np.ndarray, counts: Any, seeded: Any, dtype: Any) -> Float[Array, "K K"]:
    """A start of a transition matrix: one move from each state, drawn, and those that are known. Half of the starts
    are sticky; the others, where states may as well alternate, move as their seeds do.

    Args:
        key: typed PRNG key.
        possible: (K, K) booleans.
        counts: (K, K) moves between known states, or 0.
        seeded: (K, K) moves between the states that steps have at the start.
        dtype: of the answer.
    """
    k = len(possible)
    draws = shares(jax.random.exponential(key, (k, k), dtype), jnp.ones((k, k)))
    eye = jnp.eye(k, dtype=dtype)
    by_seeds = jax.random.bernoulli(jax.random.fold_in(key, 1), SEEDED)
    matrix = STICKINESS * jnp.where(by_seeds, shares(seeded, eye), eye) + (1 - STICKINESS) * draws + counts
    matrix = jnp.where(possible, matrix, 0)
    return matrix / jnp.sum(matrix, axis=1, keepdims=True)


def known_moves(
    label: Any, begins: Any, weights: Float[Array, " T"], states: int
) -> tuple[Float[Array, " K"], Float[Array, "K K"]]:
    """(how often a sequence begins in each state, how often each state follows each), where both are known.

    Args:
        label: (T,) known states, -1 where one is not known; None where none is.
        begins: (T,) whether a sequence begins there.
        weights: (T,).
        states: K.
    """
    if label is None:
        return jnp.zeros(states, weights.dtype), jnp.zeros((states, states), weights.dtype)
    each = jax.nn.one_hot(label, states, dtype=weights.dtype)
    weighted = weights[:, None] * each
    first = jnp.sum(jnp.where(begins[:, None], weighted, 0.0), axis=0)
    return first, jnp.where(begins[1:, None], 0.0, each[:-1]).T @ weighted[1:]
