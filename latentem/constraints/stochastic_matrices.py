"""Constraint on stochastic matrices: rows of probabilities, with entries that are structurally zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from latentem.constraints.base import EDGE, Constraint, Index, Shape, as_float, tiny, tolerance


@dataclass(frozen=True)
class Stochastic(Constraint):
    """Matrices whose rows are probabilities and whose entries outside of a pattern are zero; see `stochastic`."""

    allowed: tuple[tuple[bool, ...], ...]

    @property
    def shape(self) -> Shape:
        return (len(self.allowed), len(self.allowed[0]))

    @property
    def _mask(self) -> Bool[np.ndarray, "K M"]:
        return np.array(self.allowed)

    @property
    def _reference(self) -> np.ndarray:
        """The last allowed entry of each row, against which the others are measured."""
        return self._mask.shape[1] - 1 - np.argmax(self._mask[:, ::-1], axis=1)

    @property
    def _free(self) -> Bool[np.ndarray, "K M"]:
        free = self._mask
        free[np.arange(len(free)), self._reference] = False
        return free

    @property
    def size(self) -> int:
        return int(self._free.sum())

    @property
    def kind(self) -> str:
        return "rows of probabilities, zero outside of the allowed entries,"

    @property
    def free_indices(self) -> tuple[Index, ...]:
        return tuple((int(i), int(j)) for i, j in np.argwhere(self._free))

    def _logits(self, u: ArrayLike) -> Float[Array, "K M"]:
        u = as_float(u)
        base = jnp.asarray(np.where(self._mask, 0.0, -np.inf), u.dtype)
        rows, columns = np.nonzero(self._free)
        return base.at[rows, columns].set(u)

    def constrain(self, u: ArrayLike) -> Float[Array, "K M"]:
        return jax.nn.softmax(self._logits(u), axis=-1)

    def unconstrain(self, value: ArrayLike) -> Float[Array, " n"]:
        v = as_float(value)
        logs = jnp.log(jnp.maximum(v, tiny(v.dtype)))
        against = logs[np.arange(v.shape[0]), self._reference]
        return (logs - against[:, None])[np.nonzero(self._free)]

    def contains(self, value: ArrayLike) -> Bool[Array, ""]:
        v = as_float(value)
        zero = jnp.all(jnp.where(self._mask, True, v == 0))
        return zero & jnp.all(v >= 0) & jnp.all(jnp.abs(jnp.sum(v, axis=-1) - 1.0) <= tolerance(v.dtype))

    def boundary(self, value: ArrayLike) -> Bool[Array, "K M"]:
        v = as_float(value)
        several = self._mask.sum(axis=1, keepdims=True) > 1
        return ((v < EDGE) | (1.0 - v < EDGE)) & (self._mask & several)

    def log_det_jacobian(self, u: ArrayLike) -> Float[Array, ""]:
        logs = jax.nn.log_softmax(self._logits(u), axis=-1)
        several = self._mask & (self._mask.sum(axis=1, keepdims=True) > 1)
        return jnp.sum(jnp.where(several, logs, 0.0))


def stochastic(allowed: Any) -> Constraint:
    """Transition matrices: each row adds up to 1, entries that are not allowed are zero and are no parameters.

    Args:
        allowed: (K, K) booleans or zeros and ones; a number K allows all K * K entries.

    Raises:
        ValueError: not a matrix, or a row that allows no entry.

    >>> upper = stochastic(np.triu(np.ones((3, 3))))
    >>> upper.size
    3
    >>> np.round(upper.constrain(np.zeros(3)), 3).tolist()[1]
    [0.0, 0.5, 0.5]
    """
    mask = np.ones((allowed, allowed), bool) if isinstance(allowed, int) else np.asarray(allowed)
    if mask.ndim != 2 or 0 in mask.shape or not np.isin(mask, (0, 1)).all():
        raise ValueError(f"stochastic(allowed of shape {mask.shape}): expected a matrix of True and False")
    empty = np.flatnonzero(~mask.astype(bool).any(axis=1))
    if len(empty):
        raise ValueError(f"stochastic(allowed): row {empty[0]} allows no entry, so there is no way out of that state")
    return Stochastic(tuple(tuple(bool(a) for a in row) for row in mask))
