"""What every constraint answers, and the wrapper that gives one leading axes."""

from __future__ import annotations

import abc
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

Shape = tuple[int, ...]
Index = tuple[int, ...]
Value = Float[Array, "..."]
Mask = Bool[Array, "..."]

EDGE = 1e-10
"""How near to the edge of its set, relative to its scale, a value counts as lying on the edge."""


class Constraint(abc.ABC):
    """A set of arrays of one shape, and a bijection between its inside and R^size.

    Every constraint is a frozen dataclass: a hashable value that JAX sees as a leaf. All methods but
    `describe` and `batched` can be traced by jit, vmap and differentiation; they keep the dtype of a
    floating argument.

    What a concrete constraint gives:

    - `shape`: the shape of a value.
    - `size`: the number n of free coordinates.
    - `kind`: the plural noun that `describe` puts before the shape.
    - `constrain(u)`, `unconstrain(value)`: the bijection and its inverse.
    - `contains(value)`, `boundary(value)`: membership, and which entries lie on the edge.
    - `log_det_jacobian(u)`: of u -> the free coordinates of the value.
    - `free_indices`: where in the value those free coordinates are.
    """

    @property
    @abc.abstractmethod
    def shape(self) -> Shape:
        """The shape of a value."""

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """The number of free coordinates."""

    @property
    @abc.abstractmethod
    def kind(self) -> str:
        """The plural noun for the values, such as "positive numbers"."""

    @property
    @abc.abstractmethod
    def free_indices(self) -> tuple[Index, ...]:
        """The index into a value of each free coordinate, in the order of u."""

    @abc.abstractmethod
    def constrain(self, u: ArrayLike) -> Value:
        """Return the value with the free coordinates u (n,)."""

    @abc.abstractmethod
    def unconstrain(self, value: ArrayLike) -> Float[Array, " n"]:
        """Return the free coordinates (n,) of a value, always finite: the edge is moved a rounding inside."""

    @abc.abstractmethod
    def contains(self, value: ArrayLike) -> Bool[Array, ""]:
        """Say whether a value is in the set; False for NaN."""

    @abc.abstractmethod
    def boundary(self, value: ArrayLike) -> Mask:
        """Say for each entry of a value whether it lies on the edge of the set."""

    @abc.abstractmethod
    def log_det_jacobian(self, u: ArrayLike) -> Float[Array, ""]:
        """Return log |det| of the map from u to the entries of the value at `free_indices`."""

    def batched(self, *batch: int) -> Constraint:
        """Return the constraint on arrays of such values, with the leading axes `batch`."""
        axes = as_shape(batch, "batch")
        return Batched(self, axes) if axes else self

    def describe(self) -> str:
        """Return what is expected of a value, as an error message says it."""
        if self.shape == ():
            return "a " + self.kind.replace("numbers", "number", 1)
        return f"{self.kind} of shape {self.shape}"


@dataclass(frozen=True)
class Batched(Constraint):
    """Independent values of one constraint along leading axes; made by `Constraint.batched`."""

    inner: Constraint
    batch: Shape

    @property
    def shape(self) -> Shape:
        return self.batch + self.inner.shape

    @property
    def size(self) -> int:
        return math.prod(self.batch) * self.inner.size

    @property
    def kind(self) -> str:
        return self.inner.kind

    @property
    def free_indices(self) -> tuple[Index, ...]:
        return tuple(lead + index for lead in np.ndindex(*self.batch) for index in self.inner.free_indices)

    def constrain(self, u: ArrayLike) -> Value:
        return jax.vmap(self.inner.constrain)(self._rows_of_u(u)).reshape(self.shape)

    def unconstrain(self, value: ArrayLike) -> Float[Array, " n"]:
        return jax.vmap(self.inner.unconstrain)(self._rows(value)).reshape(self.size)

    def contains(self, value: ArrayLike) -> Bool[Array, ""]:
        return jnp.all(jax.vmap(self.inner.contains)(self._rows(value)))

    def boundary(self, value: ArrayLike) -> Mask:
        return jax.vmap(self.inner.boundary)(self._rows(value)).reshape(self.shape)

    def log_det_jacobian(self, u: ArrayLike) -> Float[Array, ""]:
        return jnp.sum(jax.vmap(self.inner.log_det_jacobian)(self._rows_of_u(u)))

    def batched(self, *batch: int) -> Constraint:
        return Batched(self.inner, as_shape(batch, "batch") + self.batch)

    def _rows(self, value: ArrayLike) -> Value:
        return as_float(value).reshape(math.prod(self.batch), *self.inner.shape)

    def _rows_of_u(self, u: ArrayLike) -> Float[Array, "batch m"]:
        return as_float(u).reshape(math.prod(self.batch), self.inner.size)


def as_float(value: ArrayLike) -> Value:
    """Return a JAX array: of the dtype given if that is floating, else of the default float dtype."""
    array = jnp.asarray(value)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(jnp.result_type(float))


def as_count(value: int, name: str, least: int = 0) -> int:
    """Return a whole number of at least `least`, or raise a one-line ValueError."""
    try:
        count = operator.index(value)
    except TypeError:
        count = -1
    if count < least:
        raise ValueError(f"{name} = {value!r}: expected a whole number of at least {least}")
    return count


def as_shape(value: int | Sequence[int], name: str) -> Shape:
    """Return a shape from a whole number or a sequence of them, or raise a one-line ValueError."""
    try:
        axes = tuple(value) if isinstance(value, Sequence) else (value,)
        return tuple(as_count(axis, name) for axis in axes)
    except ValueError:
        raise ValueError(f"{name} = {value!r}: expected a whole number or a tuple of them, none negative") from None


def tolerance(dtype: np.dtype) -> float:
    """Return the rounding that sums and symmetry of a value of this dtype are allowed."""
    return 1e-9 if jnp.finfo(dtype).bits >= 64 else 1e-6


def tiny(dtype: np.dtype) -> float:
    """Return the smallest positive number that exp(log(.)) keeps: a few times the smallest normal one, since
    XLA flushes what rounds below that to zero."""
    return 4.0 * float(jnp.finfo(dtype).tiny)
