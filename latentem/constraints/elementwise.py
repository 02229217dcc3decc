"""Constraints on each entry by itself: real, positive, unit, interval."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from latentem.constraints.base import EDGE, Constraint, Index, Mask, Shape, Value, as_float, as_shape, tiny


@dataclass(frozen=True)
class Elementwise(Constraint):
    """The same interval of the real line for every entry of an array."""

    axes: Shape

    @property
    def shape(self) -> Shape:
        return self.axes

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def free_indices(self) -> tuple[Index, ...]:
        return tuple(np.ndindex(*self.shape))

    def constrain(self, u: ArrayLike) -> Value:
        return self._forward(as_float(u)).reshape(self.shape)

    def unconstrain(self, value: ArrayLike) -> Float[Array, " n"]:
        return self._inverse(as_float(value)).reshape(self.size)

    def contains(self, value: ArrayLike) -> Bool[Array, ""]:
        return jnp.all(self._inside(as_float(value)))

    def boundary(self, value: ArrayLike) -> Mask:
        return self._edge(as_float(value))

    def log_det_jacobian(self, u: ArrayLike) -> Float[Array, ""]:
        return jnp.sum(self._log_slope(as_float(u)))

    def batched(self, *batch: int) -> Constraint:
        # A batch of arrays of unrelated entries is just a larger array.
        return replace(self, axes=as_shape(batch, "batch") + self.axes)

    @abc.abstractmethod
    def _forward(self, u: Array) -> Array: ...

    @abc.abstractmethod
    def _inverse(self, value: Array) -> Array: ...

    @abc.abstractmethod
    def _inside(self, value: Array) -> Array: ...

    @abc.abstractmethod
    def _edge(self, value: Array) -> Array: ...

    @abc.abstractmethod
    def _log_slope(self, u: Array) -> Array: ...


@dataclass(frozen=True)
class Real(Elementwise):
    """Finite numbers; see `real`."""

    @property
    def kind(self) -> str:
        return "finite numbers"

    def _forward(self, u: Array) -> Array:
        return u

    def _inverse(self, value: Array) -> Array:
        return value

    def _inside(self, value: Array) -> Array:
        return jnp.isfinite(value)

    def _edge(self, value: Array) -> Array:
        return jnp.zeros(value.shape, bool)

    def _log_slope(self, u: Array) -> Array:
        return jnp.zeros_like(u)


@dataclass(frozen=True)
class Positive(Elementwise):
    """Positive numbers; see `positive`."""

    @property
    def kind(self) -> str:
        return "positive numbers"

    def _forward(self, u: Array) -> Array:
        return jnp.exp(u)

    def _inverse(self, value: Array) -> Array:
        # The upper end leaves room for the rounding of exp(log(.)), which would give infinity at the largest
        # number.
        return jnp.log(jnp.clip(value, tiny(value.dtype), 0.25 * float(jnp.finfo(value.dtype).max)))

    def _inside(self, value: Array) -> Array:
        return (value > 0) & jnp.isfinite(value)

    def _edge(self, value: Array) -> Array:
        return value < EDGE

    def _log_slope(self, u: Array) -> Array:
        return u


@dataclass(frozen=True)
class Interval(Elementwise):
    """Numbers from low to high, the ends included; see `interval` and `unit`."""

    low: float
    high: float

    @property
    def kind(self) -> str:
        return f"numbers between {self.low:g} and {self.high:g}"

    def _forward(self, u: Array) -> Array:
        # Measured from the nearer end: 1 - 1e-12 and -1e-300 (under a high of 0) both keep their digits.
        width = self.high - self.low
        return jnp.where(u < 0, self.low + width * jax.nn.sigmoid(u), self.high - width * jax.nn.sigmoid(-u))

    def _inverse(self, value: Array) -> Array:
        dtype = value.dtype.type
        low, high = dtype(self.low), dtype(self.high)
        first = np.nextafter(low, high) if low else dtype(tiny(value.dtype) * max(1.0, self.high))
        last = np.nextafter(high, low) if high else -dtype(tiny(value.dtype) * max(1.0, -self.low))
        inside = jnp.clip(value, first, last)
        return jnp.log(inside - low) - jnp.log(high - inside)

    def _inside(self, value: Array) -> Array:
        return (value >= self.low) & (value <= self.high)

    def _edge(self, value: Array) -> Array:
        reach = EDGE * (self.high - self.low)
        return (value - self.low < reach) | (self.high - value < reach)

    def _log_slope(self, u: Array) -> Array:
        return math.log(self.high - self.low) + jax.nn.log_sigmoid(u) + jax.nn.log_sigmoid(-u)


def real(shape: int | Sequence[int] = ()) -> Constraint:
    """Any finite numbers, each its own free coordinate.

    Args:
        shape: the shape of the values, a whole number or a tuple.

    Returns:
        A constraint; the bijection is the identity.

    Raises:
        ValueError: for a shape that is not made of whole numbers.

    >>> real((2, 3)).describe()
    'finite numbers of shape (2, 3)'
    """
    return Real(as_shape(shape, "shape"))


def positive(shape: int | Sequence[int] = ()) -> Constraint:
    """Numbers above 0, through the exponential.

    Args:
        shape: the shape of the values, a whole number or a tuple.

    Returns:
        A constraint; 0 itself is outside, and `unconstrain` moves it to the smallest number above.

    Raises:
        ValueError: for a shape that is not made of whole numbers.

    >>> positive(2).constrain(np.zeros(2)).tolist()
    [1.0, 1.0]
    """
    return Positive(as_shape(shape, "shape"))


def unit(shape: int | Sequence[int] = ()) -> Constraint:
    """Numbers from 0 to 1, through the logistic function; 0 and 1 are legal values.

    Args:
        shape: the shape of the values, a whole number or a tuple.

    Returns:
        A constraint, equal to `interval(0, 1, shape)`.

    Raises:
        ValueError: for a shape that is not made of whole numbers.

    >>> float(unit().constrain(np.zeros(1)))
    0.5
    """
    return Interval(as_shape(shape, "shape"), 0.0, 1.0)


def interval(low: float, high: float, shape: int | Sequence[int] = ()) -> Constraint:
    """Numbers from low to high, through the scaled logistic function; both ends are legal values.

    Args:
        low: the lower end, finite.
        high: the upper end, finite and above `low`.
        shape: the shape of the values, a whole number or a tuple.

    Returns:
        A constraint.

    Raises:
        ValueError: for ends that are not finite and in order, or a shape that is not made of whole numbers.

    >>> interval(-1, 3, 2).constrain(np.zeros(2)).tolist()
    [1.0, 1.0]
    """
    low, high = float(low), float(high)
    if not (low < high and math.isfinite(high - low)):
        raise ValueError(f"interval({low:g}, {high:g}): expected two finite ends, the lower one first")
    return Interval(as_shape(shape, "shape"), low, high)
