"""Constraint on arrays of real numbers some of whose entries are zero by definition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from latentem.constraints.base import Constraint, Index, Mask, Shape, Value, as_float


@dataclass(frozen=True)
class Pattern(Constraint):
    """Real numbers where `free` and zero elsewhere; see `pattern`."""

    free: tuple[bool, ...]
    axes: Shape

    @property
    def shape(self) -> Shape:
        return self.axes

    @property
    def _mask(self) -> np.ndarray:
        return np.array(self.free, bool).reshape(self.axes)

    @property
    def size(self) -> int:
        return sum(self.free)

    @property
    def kind(self) -> str:
        return "real numbers, zero outside of the free entries,"

    @property
    def free_indices(self) -> tuple[Index, ...]:
        return tuple(tuple(int(i) for i in index) for index in np.argwhere(self._mask))

    def constrain(self, u: ArrayLike) -> Value:
        u = as_float(u)
        return jnp.zeros(self.axes, u.dtype).at[np.nonzero(self._mask)].set(u)

    def unconstrain(self, value: ArrayLike) -> Float[Array, " n"]:
        return as_float(value)[np.nonzero(self._mask)]

    def contains(self, value: ArrayLike) -> Bool[Array, ""]:
        v = as_float(value)
        return jnp.all(jnp.where(self._mask, jnp.isfinite(v), v == 0))

    def boundary(self, value: ArrayLike) -> Mask:
        return jnp.zeros(self.axes, bool)

    def log_det_jacobian(self, u: ArrayLike) -> Float[Array, ""]:
        return jnp.zeros((), as_float(u).dtype)


def pattern(free: Any) -> Constraint:
    """Arrays of real numbers that are zero wherever `free` is False.

    Args:
        free: booleans, of the shape of the values.

    >>> pattern([[False, True], [True, False]]).constrain(np.array([3.0, 4.0])).tolist()
    [[0.0, 3.0], [4.0, 0.0]]
    """
    mask = np.asarray(free, bool)
    return Pattern(tuple(mask.ravel().tolist()), mask.shape)
