"""Values of one constraint along a leading axis, some of which are given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from latentem.constraints.base import Batched, Constraint, Index, Mask, Shape, Value, as_float, tolerance
from latentem.constraints.constants import fixed
from latentem.constraints.elementwise import Elementwise


@dataclass(frozen=True)
class Held(Constraint):
    """Values along a leading axis, NaN where they are free; made by `held`.

    Args:
        inner: the constraint of one value.
        content, count: the given values, as the bytes of a float64 array, and how many there are.
    """

    inner: Constraint
    content: bytes
    count: int

    @property
    def shape(self) -> Shape:
        return (self.count, *self.inner.shape)

    @cached_property
    def given(self) -> np.ndarray:
        """The given values, NaN where they are free."""
        return np.frombuffer(self.content, np.float64).reshape(self.shape)

    @property
    def _by_entry(self) -> bool:
        return isinstance(self.inner, Elementwise)

    @property
    def _cells(self) -> Shape:
        """The shape in which values are held one by one: entries, or values as a whole."""
        return (self.given.size,) if self._by_entry else self.shape

    @property
    def free(self) -> Bool[np.ndarray, " M"]:
        """Which of these are free."""
        lost = np.isnan(self.given)
        return np.asarray(lost.ravel() if self._by_entry else np.any(lost.reshape(self.count, -1), axis=1))

    @property
    def held_rows(self) -> Bool[np.ndarray, " K"]:
        """Which values are given as a whole."""
        return np.asarray(~np.any(np.isnan(self.given).reshape(self.count, -1), axis=1))

    @property
    def in_part(self) -> bool:
        """Whether a value is given in part."""
        lost = np.isnan(self.given).reshape(self.count, -1)
        return bool(np.any(lost.any(axis=1) & ~lost.all(axis=1)))

    @property
    def _where(self) -> np.ndarray:
        return np.flatnonzero(self.free).astype(np.int32)

    @property
    def _part(self) -> Constraint:
        number = int(self.free.sum())
        return replace(self.inner, axes=(number,)) if self._by_entry else self.inner.batched(number)  # pyright: ignore

    @property
    def size(self) -> int:
        return self._part.size

    @property
    def kind(self) -> str:
        return f"{self.inner.kind} some of which are given,"

    @property
    def free_indices(self) -> tuple[Index, ...]:
        where = self._where
        if self._by_entry:
            return tuple(
                tuple(int(i) for i in np.unravel_index(where[j], self.shape)) for (j,) in self._part.free_indices
            )
        return tuple((int(where[i]), *rest) for i, *rest in self._part.free_indices)

    def constrain(self, u: ArrayLike) -> Value:
        u = as_float(u)
        whole = jnp.asarray(np.nan_to_num(self.given), u.dtype).reshape(self._cells)
        return whole.at[self._where].set(self._part.constrain(u)).reshape(self.shape)

    def unconstrain(self, value: ArrayLike) -> Float[Array, " n"]:
        return self._part.unconstrain(as_float(value).reshape(self._cells)[self._where])

    def contains(self, value: ArrayLike) -> Bool[Array, ""]:
        v = as_float(value)
        away = jnp.abs(v - jnp.asarray(np.nan_to_num(self.given), v.dtype))
        near = away <= tolerance(v.dtype) * np.abs(np.nan_to_num(self.given)).astype(v.dtype)
        return jnp.all(near | np.isnan(self.given)) & self._part.contains(v.reshape(self._cells)[self._where])

    def boundary(self, value: ArrayLike) -> Mask:
        part = self._part.boundary(as_float(value).reshape(self._cells)[self._where])
        return jnp.zeros(self._cells, bool).at[self._where].set(part).reshape(self.shape)

    def log_det_jacobian(self, u: ArrayLike) -> Float[Array, ""]:
        return self._part.log_det_jacobian(u)

    def put_back(self, value: Any) -> Any:
        """The value with what is given in its place; a NumPy array where it is one."""
        if isinstance(value, jax.Array):
            return jnp.where(np.isnan(self.given), value, jnp.asarray(np.nan_to_num(self.given), value.dtype))
        return np.where(np.isnan(self.given), value, self.given)


def held(inner: Constraint, values: Any, name: str = "values") -> Constraint:
    """Values of `inner` along a leading axis, those given that are not NaN.

    Args:
        inner: the constraint of one value.
        values: (K, *inner.shape); where `inner` ties its entries together (probabilities, matrices), a value is given
            as a whole or not at all.
        name: for complaints.

    Raises:
        ValueError: another shape, numbers that are none of the constraint, a value given in part.

    >>> from latentem.constraints import positive
    >>> held(positive(), [2.0, np.nan]).constrain(np.zeros(1)).tolist()
    [2.0, 1.0]
    """
    array = np.array(values, np.float64)
    if array.shape[1:] != inner.shape or array.ndim < 1:
        raise ValueError(f"fixed {name} has shape {array.shape}: expected (K, *{inner.shape}), NaN where it is free")
    lost = np.isnan(array)
    if not lost.any():
        return fixed(array)
    found = Held(inner, (array + 0.0).tobytes(), len(array))
    if found.in_part and not isinstance(inner, Elementwise):
        row = int(np.argmax(lost.reshape(len(array), -1).any(axis=1) & ~found.held_rows))
        raise ValueError(f"fixed {name}[{row}] is given in part: expected {inner.describe()}, or NaN throughout")
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        full = np.where(lost, np.asarray(found.constrain(np.zeros(found.size))), array)
        right = [bool(inner.contains(one)) for one in full]
    if not all(right):
        row = right.index(False)
        raise ValueError(f"fixed {name}[{row}] = {array[row].tolist()}: expected {inner.describe()}")
    return found


def one_of(constraint: Constraint) -> Constraint:
    """The constraint of one of the values that lie along a leading axis."""
    if isinstance(constraint, Elementwise):
        return replace(constraint, axes=constraint.axes[1:])
    if isinstance(constraint, Batched):
        return constraint.inner if len(constraint.batch) == 1 else Batched(constraint.inner, constraint.batch[1:])
    raise ValueError(f"{constraint.describe()}: expected values along a leading axis")
