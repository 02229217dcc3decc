"""Constraints on matrices entry by entry: some are given, some are free, some are equal to one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from latentem.constraints.base import EDGE, Constraint, Index, Mask, Shape, Value, as_float, tiny, tolerance


@dataclass(frozen=True)
class Entries(Constraint):
    """Real numbers of which each is given, or one of `size` free ones; see `entries`."""

    given: tuple[float, ...]
    group: tuple[int, ...]
    axes: Shape

    @property
    def shape(self) -> Shape:
        return self.axes

    @property
    def size(self) -> int:
        return max(self.group, default=-1) + 1

    @property
    def kind(self) -> str:
        return "real numbers with fixed or equal entries,"

    @property
    def groups(self) -> np.ndarray:
        """Which free number each entry is, -1 where it is given."""
        return np.array(self.group, np.int32).reshape(self.axes)

    @property
    def fixed(self) -> np.ndarray:
        """The given entries, 0 where one is free."""
        return np.array(self.given, np.float64).reshape(self.axes)

    @property
    def free_indices(self) -> tuple[Index, ...]:
        flat = [self.group.index(g) for g in range(self.size)]
        return tuple(tuple(int(i) for i in np.unravel_index(k, self.axes)) for k in flat)

    def constrain(self, u: ArrayLike) -> Value:
        u = as_float(u)
        fixed = jnp.asarray(self.fixed, u.dtype)
        return fixed if not self.size else jnp.where(self.groups >= 0, u[np.maximum(self.groups, 0)], fixed)

    def unconstrain(self, value: ArrayLike) -> Float[Array, " n"]:
        v = as_float(value)
        where = np.array([self.group.index(g) for g in range(self.size)], np.int32)
        return v.reshape(-1)[where]

    def contains(self, value: ArrayLike) -> Bool[Array, ""]:
        v = as_float(value)
        held = self.constrain(self.unconstrain(v))
        return jnp.all(jnp.abs(v - held) <= tolerance(v.dtype) * (1 + jnp.abs(held)))

    def boundary(self, value: ArrayLike) -> Mask:
        return jnp.zeros(self.axes, bool)

    def log_det_jacobian(self, u: ArrayLike) -> Float[Array, ""]:
        return jnp.zeros((), as_float(u).dtype)


@dataclass(frozen=True)
class Diagonal(Constraint):
    """Diagonal matrices of variances, each given or one of `size` free ones; see `diagonal`."""

    given: tuple[float, ...]
    group: tuple[int, ...]

    @property
    def shape(self) -> Shape:
        return (len(self.group), len(self.group))

    @property
    def size(self) -> int:
        return max(self.group, default=-1) + 1

    @property
    def kind(self) -> str:
        return "diagonal matrices of variances"

    @property
    def groups(self) -> np.ndarray:
        """Which free variance each entry of the diagonal is, -1 where it is given."""
        return np.array(self.group, np.int32)

    @property
    def free_indices(self) -> tuple[Index, ...]:
        return tuple((self.group.index(g),) * 2 for g in range(self.size))

    def constrain(self, u: ArrayLike) -> Value:
        u = as_float(u)
        fixed = jnp.asarray(np.array(self.given, np.float64), u.dtype)
        if self.size:
            fixed = jnp.where(self.groups >= 0, jnp.exp(u)[np.maximum(self.groups, 0)], fixed)
        return jnp.diag(fixed)

    def unconstrain(self, value: ArrayLike) -> Float[Array, " n"]:
        v = jnp.diagonal(as_float(value))
        where = np.array([self.group.index(g) for g in range(self.size)], np.int32)
        return jnp.log(jnp.maximum(v[where], tiny(v.dtype)))

    def contains(self, value: ArrayLike) -> Bool[Array, ""]:
        v = as_float(value)
        held = self.constrain(self.unconstrain(v))
        near = jnp.abs(v - held) <= tolerance(v.dtype) * (1 + jnp.abs(held))
        return jnp.all(near) & jnp.all(jnp.diagonal(v) >= 0)

    def boundary(self, value: ArrayLike) -> Mask:
        v = as_float(value)
        free = np.diag(self.groups >= 0)
        return jnp.where(free, v <= EDGE * jnp.max(jnp.abs(v)), False)

    def log_det_jacobian(self, u: ArrayLike) -> Float[Array, ""]:
        return jnp.sum(as_float(u))


def entries(pattern: Any) -> Entries:
    """Matrices (or vectors) some of whose entries are given or equal.

    Args:
        pattern: nested lists: a number is a given entry, NaN a free one, a name one that is the same wherever the name
            stands.

    >>> entries([["a", 0.0], [1.0, "a"]]).constrain(np.array([0.5])).tolist()
    [[0.5, 0.0], [1.0, 0.5]]
    """
    cells = np.array(pattern, dtype=object)
    given, group, names = [], [], {}
    for k, cell in enumerate(cells.ravel()):
        if isinstance(cell, str) or np.isnan(cell):
            name = cell if isinstance(cell, str) else k
            group.append(names.setdefault(name, len(names)))
            given.append(0.0)
        else:
            group.append(-1)
            given.append(float(cell))
    return Entries(tuple(given), tuple(group), cells.shape)


def diagonal(pattern: Any) -> Diagonal:
    """Diagonal matrices of variances some of which are given or equal.

    Args:
        pattern: how many variances, all free; or the diagonal: a number is a given variance, NaN a free one, a name one
            that is the same wherever the name stands.

    Raises:
        ValueError: no variance, or a given one below 0.

    >>> diagonal(3).size
    3
    >>> diagonal(["level", 0.0, "level"]).constrain(np.array([0.0])).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    found = entries([np.nan] * pattern if isinstance(pattern, int) else pattern)
    if len(found.shape) != 1 or not found.group:
        raise ValueError(f"diagonal({pattern!r}): expected a number of variances of at least 1, or a list of them")
    if min(found.given) < 0:
        raise ValueError(f"diagonal({pattern!r}): a given variance is negative: expected numbers >= 0")
    return Diagonal(found.given, found.group)
