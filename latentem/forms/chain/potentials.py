"""What the recursions run on: log potentials of a chain on lanes."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float


class Potentials(NamedTuple):
    """Log probabilities of a chain on L steps of B lanes with K states; lanes are the minor axis.

    Args:
        first: of the first state, (K, 1).
        transition: row -> column: (K, K), or (L, K, K, B), into each step from the one before it.
        emission: log p(x_t | state), (L, K, B).
        start: (L, B) whether a sequence begins there.
        numbers: (exp(emission - shift), shift (L, B)), where they are known without taking the exponential of every
            step: XLA computes only what is used of this and of `emission`.
    """

    first: Float[Array, "K 1"]
    transition: Float[Array, "*L K K *B"]
    emission: Float[Array, "L K B"]
    start: Bool[Array, "L B"]
    numbers: tuple[Float[Array, "L K B"], Float[Array, "L B"]] | None = None


def shifted(emission: Float[Array, "*L K *B"], axis: int) -> tuple[Float[Array, "*L K *B"], Float[Array, "*L *B"]]:
    """(exp(emission - shift), shift), the shift being the largest over states."""
    top = lax.stop_gradient(jnp.max(emission, axis=axis))
    shift = jnp.where(jnp.isfinite(top), top, 0.0)
    return jnp.exp(emission - jnp.expand_dims(shift, axis)), shift


class Forward(NamedTuple):
    """What a forward pass leaves.

    Args:
        filtered: p(state | x up to here), in the arithmetic of the recursion, (L, K, B).
        log_scale: log p(x_t | x before it), (L, B); -inf where x is impossible.
        end: what the next stretch of the lanes needs.
    """

    filtered: Float[Array, "L K B"]
    log_scale: Float[Array, "L B"]
    end: Any


class Smoothed(NamedTuple):
    """What a backward pass leaves.

    Args:
        smoothed: p(state | all x), (L, K, B).
        pairs: p(state before, state | all x): summed over steps with their weights, (K, K), or of each step,
            (L, K, K, B), where transitions vary.
        end: what the stretch of the lanes before this one needs.
    """

    smoothed: Float[Array, "L K B"]
    pairs: Float[Array, "*L K K *B"]
    end: Any
