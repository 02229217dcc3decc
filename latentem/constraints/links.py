"""Values that are those of other parameters of the same space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from latentem.constraints.base import Constraint, Index, Mask, Shape, Value, as_float


@dataclass(frozen=True)
class Linked(Constraint):
    """Values along a leading axis, some of them borrowed from other parameters; the `ParameterSpace` puts them there.

    Args:
        inner: the constraint of one value.
        which: for each value its number among the distinct ones of its own, -1 where it is borrowed.
        sources: (place, name of the parameter it is borrowed from, place there) of each borrowed value.
        single: there is one value, borrowed as a whole, and no leading axis.
    """

    inner: Constraint
    which: tuple[int, ...]
    sources: tuple[tuple[int, str, int], ...]
    single: bool = False

    @property
    def _distinct(self) -> Constraint:
        return self.inner.batched(max(self.which) + 1)

    @property
    def _every(self) -> Constraint:
        return self.inner if self.single else self.inner.batched(len(self.which))

    @property
    def own_places(self) -> np.ndarray:
        """Where each distinct value of its own comes first."""
        return self._first

    @property
    def _first(self) -> np.ndarray:
        found, first = np.unique(self.which, return_index=True)
        return first[found >= 0].astype(np.int32)

    @property
    def shape(self) -> Shape:
        return self._every.shape

    @property
    def size(self) -> int:
        return self._distinct.size

    @property
    def kind(self) -> str:
        return f"{self.inner.kind} that equal {', '.join(dict.fromkeys(name for _, name, _ in self.sources))} in part,"

    @property
    def free_indices(self) -> tuple[Index, ...]:
        return tuple((int(self._first[i]), *rest) for i, *rest in self._distinct.free_indices)

    def constrain(self, u: ArrayLike) -> Value:
        u = as_float(u)
        instead = self.inner.constrain(jnp.zeros(self.inner.size, u.dtype))
        if self.single:
            return instead
        both = jnp.concatenate([self._distinct.constrain(u).reshape(-1, *self.inner.shape), instead[None]])
        return both[np.array(self.which, np.int32)]

    def unconstrain(self, value: ArrayLike) -> Float[Array, " n"]:
        if self.size == 0:
            return jnp.zeros(0, as_float(value).dtype)
        return self._distinct.unconstrain(as_float(value)[self._first])

    def contains(self, value: ArrayLike) -> Bool[Array, ""]:
        return self._every.contains(value)

    def boundary(self, value: ArrayLike) -> Mask:
        return self._every.boundary(value)

    def log_det_jacobian(self, u: ArrayLike) -> Float[Array, ""]:
        return self._distinct.log_det_jacobian(u)

    def filled(self, value: Any, others: Mapping[str, Any]) -> Any:
        """The value with what is borrowed in its place; a NumPy array where it is one."""
        if self.single:
            found = others[self.sources[0][1]]
            return found.astype(value.dtype)
        for place, name, there in self.sources:
            if isinstance(value, jax.Array):
                value = value.at[place].set(others[name][there].astype(value.dtype))
            else:
                value = np.array(value)
                value[place] = others[name][there]
        return value
