"""Transition matrices: from counts to probabilities, entries that are fixed or tied, where a fit begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem.constraints import tied

#: What starts give to staying in a state.
STICKINESS = 0.8


def log(p: Any) -> Any:
    """log p with -inf at 0 and a gradient of 0 there."""
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1.0)), -jnp.inf)


def shares(counts: Float[Array, "*K n"], old: Float[Array, "*K n"], prior: Any = None) -> Float[Array, "*K n"]:
    """Counts as probabilities; a row without counts keeps the old ones."""
    counts = with_prior(counts, old, prior)
    total = jnp.sum(counts, axis=-1, keepdims=True)
    return jnp.where(total > 0, counts / jnp.where(total > 0, total, 1.0), old)


def with_prior(counts: Float[Array, "*K n"], old: Float[Array, "*K n"], prior: Any) -> Float[Array, "*K n"]:
    """Counts and those that a Dirichlet prior stands for."""
    if prior is None:
        return counts
    concentration = jnp.broadcast_to(jnp.asarray(prior.concentration, counts.dtype), counts.shape)
    return jnp.maximum(counts + jnp.where(old > 0, concentration - 1.0, 0.0), 0.0)


def stationary(transition: Float[Array, "K K"]) -> Float[Array, " K"]:
    """Stationary distribution of a transition matrix: delta (I - A + U) = 1, U all ones (Zucchini et al. 2016, 1.3)."""
    k = transition.shape[0]
    return jnp.linalg.solve((jnp.eye(k, dtype=transition.dtype) - transition + 1.0).T, jnp.ones(k, transition.dtype))


def restricted(states: int, fixed: Mapping[str, Any], groups: Any, allowed: Any, covariates: tuple[str, ...]) -> Any:
    """The constraint of transitions that are fixed or tied.

    Args:
        states: K.
        fixed: may hold "transition", NaN for entries that are free.
        groups: lists of entries that are equal.
        allowed: the constraint of the zeros, or None.
        covariates: names of what transitions depend on.

    Raises:
        ValueError: what is fixed, tied and impossible does not go together.
    """
    if covariates:
        if len(groups):
            raise ValueError("tied=... with covariates: expected transitions without covariates")
        return lem.fixed(fixed["transition"])
    shape = (states, states)
    matrix = np.asarray(fixed.get("transition", np.full(shape, np.nan)), dtype=np.float64)
    if matrix.shape != shape:
        raise ValueError(f"fixed transition has shape {matrix.shape}: expected {shape}, NaN where it is free")
    if not np.isnan(matrix).any():
        if len(groups):
            raise ValueError("tied=... with a transition matrix that is fixed: expected NaN for free entries")
        if not bool(lem.stochastic(states).contains(matrix)):
            raise ValueError(f"fixed transition: expected {states} rows of {states} that add up to 1")
        return lem.fixed(matrix)
    if allowed is not None:
        impossible = ~np.array(allowed.allowed)
        if np.any(impossible & (np.nan_to_num(matrix) > 0)):
            raise ValueError("fixed transition holds a probability where allowed is False: expected 0 or NaN")
        matrix = np.where(impossible, 0.0, matrix)
    return tied(matrix, groups)


def sticky(key: Array, possible: np.ndarray, counts: Any, dtype: Any) -> Float[Array, "K K"]:
    """A start of a transition matrix: one move from each state, drawn, and those that are known.

    Args:
        key: typed PRNG key.
        possible: (K, K) booleans.
        counts: (K, K) moves between known states, or 0.
        dtype: of the answer.
    """
    k = len(possible)
    draws = shares(jax.random.exponential(key, (k, k), dtype), jnp.ones((k, k)))
    matrix = STICKINESS * jnp.eye(k, dtype=dtype) + (1 - STICKINESS) * draws + counts
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
