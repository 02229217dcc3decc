"""What a prior is, and the arithmetic that densities share."""

from __future__ import annotations

import abc
import math
import reprlib
from dataclasses import dataclass, fields, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float


@dataclass(frozen=True)
class Prior(abc.ABC):
    """A density of one parameter."""

    @abc.abstractmethod
    def log_prob(self, value: ArrayLike) -> Float[Array, ""]:
        """Return the log density of a value, summed over its entries or batch axes."""

    def permuted(self, order: np.ndarray, axes: tuple[int, ...], ndim: int) -> Prior:
        """The density of a value with the entries along some of its axes in another order; itself where it is that.

        Args:
            order: which of the old entries each of the new ones is.
            axes: of the value.
            ndim: number of axes of the value.
        """
        new = {}
        for field in fields(self):
            array = found = np.asarray(getattr(self, field.name))
            for axis in (axis - ndim + array.ndim for axis in axes):  # arguments broadcast from the right
                if axis >= 0 and array.shape[axis] == len(order):
                    found = np.take(found, order, axis=axis)
            if not np.array_equal(array, found):
                new[field.name] = found
        return replace(self, **new) if new else self

    def _store(self, **expected: str) -> None:
        """Turn the arguments into floats or nested tuples; a bad one raises a one-line ValueError."""
        shapes = []
        for field in fields(self):
            given, word = getattr(self, field.name), expected[field.name]
            label = f"{type(self).__name__}({field.name}={reprlib.repr(given)})"
            try:
                array = np.asarray(given, np.float64)
            except (TypeError, ValueError):
                raise ValueError(f"{label}: expected {word} numbers") from None
            if not (np.isfinite(array).all() and array.size) or (word == "positive" and (array <= 0).any()):
                raise ValueError(f"{label}: expected {word} numbers")
            object.__setattr__(self, field.name, nested(array.tolist()))
            shapes.append(array.shape)
        try:
            np.broadcast_shapes(*shapes)
        except ValueError:
            names = ", ".join(field.name for field in fields(self))
            raise ValueError(f"{type(self).__name__}: shapes {shapes} of {names} do not broadcast") from None

    def _spread(self, value: ArrayLike) -> list[Array]:
        """Return the value, then every argument broadcast to its shape and dtype."""
        x = as_float(value)
        arguments = [np.asarray(getattr(self, field.name)) for field in fields(self)]
        try:
            return [x, *(jnp.asarray(np.broadcast_to(a, x.shape), x.dtype) for a in arguments)]
        except ValueError:
            shape = np.broadcast_shapes(*(a.shape for a in arguments))
            raise ValueError(
                f"{self}: its shape {shape} does not broadcast to the parameter's shape {x.shape}"
            ) from None


def nested(value: Any) -> Any:
    return tuple(map(nested, value)) if isinstance(value, list) else value


def as_float(value: ArrayLike) -> Array:
    array = jnp.asarray(value)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(jnp.result_type(float))


def log_power(x: Array, exponent: Array) -> Array:
    """Return log(x ** exponent) for x >= 0, with 0 ** 0 = 1; whatever is finite below 0."""
    positive = x > 0
    at_zero = jnp.where(exponent == 0, 0.0, -jnp.sign(exponent) * jnp.inf)
    return jnp.where(positive, exponent * jnp.log(jnp.where(positive, x, 1.0)), jnp.where(x == 0, at_zero, 0.0))


def log_normal_density(x: Array, mean: Array, sd: Array) -> Array:
    return -0.5 * ((x - mean) / sd) ** 2 - jnp.log(sd) - 0.5 * math.log(2.0 * math.pi)


def total(terms: Array, inside: Array, constant: Array | float) -> Array:
    """Return the sum of the terms plus a constant; -inf where an entry is outside or impossible, so that no
    infinity of the other sign makes it NaN."""
    possible = jnp.all(inside) & ~jnp.any(terms == -jnp.inf)
    return jnp.where(possible, jnp.sum(jnp.where(possible, terms, 0.0)) + constant, -jnp.inf)
