"""Observations of which nothing is observed: their density is 1 whatever the parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from latentem.data.layout import Axis, Layout
from latentem.families import checks
from latentem.families.base import Family, Params, floating


@dataclass(frozen=True)
class Incomplete(Family):
    """A declared family whose observations may be missing as a whole, in new data: all NaN.

    >>> from latentem.families import Poisson
    >>> float(Incomplete(Poisson()).log_prob({"rate": 2.0}, jnp.nan))
    0.0
    """

    family: Family

    @property
    def columns(self) -> tuple[str, ...] | None:
        return self.family.columns

    def declare(self, x: Any) -> tuple[Family, Any]:
        return read(self.family, x)

    def constraints(self) -> Params:
        return self.family.constraints()

    def axes(self, path: tuple[str, ...], layout: Layout) -> tuple[Axis, ...]:
        return self.family.axes(path, layout)

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        x = jax.tree.map(floating, x)
        gone = jnp.any(jnp.stack([jnp.any(jnp.isnan(a)) for a in jax.tree.leaves(x)]))
        inside = jax.tree.map(lambda a: jnp.where(gone, jnp.asarray(self.family.inside, a.dtype), a), x)
        return jnp.where(gone, 0.0, self.family.log_prob(params, inside))

    def sample(self, params: Params, key: Array) -> Any:
        return self.family.sample(params, key)

    @property
    def conditional(self) -> bool:
        return self.family.conditional

    def sample_like(self, params: Params, key: Array, x: Any) -> Any:
        return self.family.sample_like(params, key, x)

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        return self.family.default(x, weights, context)


def read(family: Family, x: Any) -> tuple[Family, Any]:
    """See `Family.read`."""
    arrays = jax.tree.map(lambda a: checks.numbers(type(family).__name__, a), x, is_leaf=lambda a: isinstance(a, list))
    gone = missing_rows(arrays)
    if not gone.any():
        return family.declare(x)
    if gone.all():
        return Incomplete(family), arrays
    # A row that is there stands in, so that complaints name the rows of the data.
    stand_in = int(np.argmin(gone))

    def filled(a: np.ndarray) -> np.ndarray:
        return np.where(gone.reshape((-1,) + (1,) * (a.ndim - 1)), a[stand_in], a)

    declared, rows = family.declare(jax.tree.map(filled, arrays))

    def emptied(a: Any) -> np.ndarray:
        a = np.asarray(a, dtype=np.float64)
        return np.where(gone.reshape((-1,) + (1,) * (a.ndim - 1)), np.nan, a)

    return Incomplete(declared), jax.tree.map(emptied, rows)


def missing_rows(arrays: Any) -> Bool[np.ndarray, " N"]:
    """Rows of which every entry is NaN."""
    leaves = jax.tree.leaves(arrays)
    gone = np.ones(len(leaves[0]), bool)
    for a in leaves:
        gone &= np.isnan(a).reshape(len(a), -1).all(axis=1)
    return gone
