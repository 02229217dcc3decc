"""Values that are equal to one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from latentem.constraints.base import Constraint, Index, Mask, Shape, Value, as_float, tolerance


@dataclass(frozen=True)
class Repeated(Constraint):
    """Values of one constraint along a leading axis, some of them the same; see `repeated`."""

    inner: Constraint
    which: tuple[int, ...]

    @cached_property
    def _distinct(self) -> Constraint:
        return self.inner.batched(max(self.which) + 1)

    @property
    def _first(self) -> np.ndarray:
        # A new array each time, and of 32 bits: JAX remembers a NumPy constant, with the width it had then.
        return np.unique(self.which, return_index=True)[1].astype(np.int32)

    @property
    def _which(self) -> np.ndarray:
        return np.array(self.which, np.int32)

    @property
    def shape(self) -> Shape:
        return (len(self.which), *self.inner.shape)

    @property
    def size(self) -> int:
        return self._distinct.size

    @property
    def kind(self) -> str:
        return f"{self.inner.kind} that are equal as in {list(self.which)},"

    @property
    def free_indices(self) -> tuple[Index, ...]:
        return tuple((int(self._first[i]), *rest) for i, *rest in self._distinct.free_indices)

    def constrain(self, u: ArrayLike) -> Value:
        return self._distinct.constrain(u)[self._which]

    def unconstrain(self, value: ArrayLike) -> Float[Array, " n"]:
        return self._distinct.unconstrain(as_float(value)[self._first])

    def contains(self, value: ArrayLike) -> Bool[Array, ""]:
        v = as_float(value)
        same = v[self._first][self._which]
        near = jnp.abs(v - same) <= tolerance(v.dtype) * (1 + jnp.abs(same))
        return jnp.all(near) & self._distinct.contains(v[self._first])

    def boundary(self, value: ArrayLike) -> Mask:
        return self._distinct.boundary(as_float(value)[self._first])[self._which]

    def log_det_jacobian(self, u: ArrayLike) -> Float[Array, ""]:
        return self._distinct.log_det_jacobian(u)


def repeated(constraint: Constraint, which: Sequence[int]) -> Constraint:
    """Values of a constraint along a leading axis, some of them equal: entry i is number which[i] of the free ones.

    Args:
        constraint: of one value.
        which: numbers 0, 1, ... of the distinct values, one for each entry.

    Raises:
        ValueError: numbers that are not 0, 1, ... without a gap.

    >>> repeated(lem.real(), [0, 1, 0]).constrain(np.array([2.0, 3.0])).tolist()
    [2.0, 3.0, 2.0]
    """
    numbers = tuple(int(i) for i in which)
    if not numbers or set(numbers) != set(range(max(numbers) + 1)):
        raise ValueError(f"repeated(which={list(which)!r}): expected the numbers 0, 1, ... of the distinct values")
    return Repeated(constraint, numbers)
