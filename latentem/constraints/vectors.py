"""Constraints on vectors: the probability simplex and increasing numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from latentem.constraints.base import (
    EDGE,
    Constraint,
    Index,
    Shape,
    as_count,
    as_float,
    as_shape,
    tiny,
    tolerance,
)


@dataclass(frozen=True)
class Simplex(Constraint):
    """Probability vectors of length k; see `simplex`."""

    k: int

    @property
    def shape(self) -> Shape:
        return (self.k,)

    @property
    def size(self) -> int:
        return self.k - 1

    @property
    def kind(self) -> str:
        return "probabilities that add up to 1 along the last axis,"

    @property
    def free_indices(self) -> tuple[Index, ...]:
        return tuple((i,) for i in range(self.k - 1))

    def constrain(self, u: ArrayLike) -> Float[Array, " k"]:
        return jax.nn.softmax(_with_zero(as_float(u)))

    def unconstrain(self, value: ArrayLike) -> Float[Array, " n"]:
        v = as_float(value)
        logs = jnp.log(jnp.maximum(v, tiny(v.dtype)))
        return logs[:-1] - logs[-1]

    def contains(self, value: ArrayLike) -> Bool[Array, ""]:
        v = as_float(value)
        return jnp.all(v >= 0) & (jnp.abs(jnp.sum(v) - 1.0) <= tolerance(v.dtype))

    def boundary(self, value: ArrayLike) -> Bool[Array, " k"]:
        v = as_float(value)
        # One probability alone is always 1: a set of one point has no edge.
        return (v < EDGE) | (1.0 - v < EDGE) if self.k > 1 else jnp.zeros(v.shape, bool)

    def log_det_jacobian(self, u: ArrayLike) -> Float[Array, ""]:
        return jnp.sum(jax.nn.log_softmax(_with_zero(as_float(u))))


@dataclass(frozen=True)
class Ordered(Constraint):
    """Increasing vectors of length k; see `ordered`."""

    k: int

    @property
    def shape(self) -> Shape:
        return (self.k,)

    @property
    def size(self) -> int:
        return self.k

    @property
    def kind(self) -> str:
        return "finite numbers that increase along the last axis,"

    @property
    def free_indices(self) -> tuple[Index, ...]:
        return tuple((i,) for i in range(self.k))

    def constrain(self, u: ArrayLike) -> Float[Array, " k"]:
        u = as_float(u)
        return jnp.cumsum(jnp.concatenate([u[:1], jnp.exp(u[1:])]))

    def unconstrain(self, value: ArrayLike) -> Float[Array, " k"]:
        v = as_float(value)
        # Equal neighbours part by the spacing of the numbers around them: anything less is lost when added
        # again.
        step = float(jnp.finfo(v.dtype).eps) * _pair_scale(v)
        return jnp.concatenate([v[:1], jnp.log(jnp.maximum(jnp.diff(v), jnp.maximum(step, tiny(v.dtype))))])

    def contains(self, value: ArrayLike) -> Bool[Array, ""]:
        v = as_float(value)
        return jnp.all(jnp.isfinite(v)) & jnp.all(v[1:] >= v[:-1])

    def boundary(self, value: ArrayLike) -> Bool[Array, " k"]:
        v = as_float(value)
        equal = jnp.diff(v) <= EDGE * _pair_scale(v)
        return jnp.pad(equal, (0, 1)) | jnp.pad(equal, (1, 0))

    def log_det_jacobian(self, u: ArrayLike) -> Float[Array, ""]:
        return jnp.sum(as_float(u)[1:])


def simplex(k: int, batch: int | Sequence[int] = ()) -> Constraint:
    """Probability vectors: k numbers of at least 0 that add up to 1. An exact 0 is a legal value.

    Args:
        k: the length of a vector.
        batch: leading axes, a whole number or a tuple; values then have shape `batch + (k,)`.

    Returns:
        A constraint; the free coordinates are the log ratios of the first k - 1 entries to the last.

    Raises:
        ValueError: for k below 1, or a batch that is not made of whole numbers.

    >>> simplex(2, batch=3).constrain(jnp.zeros(3)).tolist()
    [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]

    Source: Aitchison (1986), The Statistical Analysis of Compositional Data: the additive log ratio.
    """
    return Simplex(as_count(k, "k", least=1)).batched(*as_shape(batch, "batch"))


def ordered(k: int, batch: int | Sequence[int] = ()) -> Constraint:
    """Increasing vectors of k numbers; equal neighbours are its edge, and legal.

    Args:
        k: the length of a vector.
        batch: leading axes, a whole number or a tuple; values then have shape `batch + (k,)`.

    Returns:
        A constraint; the free coordinates are the first number and the logs of the steps.

    Raises:
        ValueError: for k below 1, or a batch that is not made of whole numbers.

    >>> ordered(3).constrain(jnp.zeros(3)).tolist()
    [0.0, 1.0, 2.0]
    """
    return Ordered(as_count(k, "k", least=1)).batched(*as_shape(batch, "batch"))


def _with_zero(u: Array) -> Array:
    return jnp.concatenate([u, jnp.zeros(1, u.dtype)])


def _pair_scale(v: Array) -> Array:
    return jnp.maximum(jnp.abs(v[1:]), jnp.abs(v[:-1]))
