"""What inference is computed at: a model, its data and a point, in float64 whatever the dtype of the fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import jax
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from latentem.constraints import ParameterSpace
from latentem.constraints.base import Batched
from latentem.constraints.elementwise import Interval, Positive
from latentem.constraints.vectors import Simplex
from latentem.data import Data
from latentem.forms import Form, Prepared
from latentem.forms.choose import choose_form
from latentem.model import Model
from latentem.numerics.compiled import jit

#: Largest log or logit of a param on the edge of its set.
FARTHEST = 60.0

Matrix = Float[np.ndarray, "P P"]


@dataclass(frozen=True, eq=False)
class Estimate:
    """A point to infer at.

    Args:
        model: the declaration.
        data: observations and weights, as they came through the door.
        params: pytree of NumPy arrays, the maximiser of log-likelihood + log prior.
        distinct: the same observations with duplicates collapsed into weights, for sums over them; `data` if None.
        anchored: a compressed form and its data in float64, for the same sums; they cost a fraction of those over rows.
        by_formula: whether a formula of the model may be used; not where it has lost its digits.
        edges: raveled params that lie at an edge without being on it; none if left out.
    """

    model: Model
    data: Data
    params: Any
    distinct: Data | None = None
    anchored: tuple[Form, Prepared] | None = None
    by_formula: bool = True
    edges: Bool[np.ndarray, " D"] | None = None
    _kept: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def space(self) -> ParameterSpace:
        """The parameters of the model."""
        return self.model.space

    @property
    def n_observations(self) -> float:
        """Sum of the weights."""
        return float(np.sum(np.asarray(self.data.weights, dtype=np.float64)))

    @cached_property
    def u(self) -> Float[np.ndarray, " P"]:
        """The free vector at `params`. Where those lie on an edge, logs and logits stop at FARTHEST, so that second
        derivatives do not overflow."""
        u, parts = self._located[0], []
        ends = np.cumsum([c.size for c in self.space.constraints], dtype=int)
        edges = jax.tree.leaves(self.as_tree(self.on_edge))
        for c, part, edge in zip(self.space.constraints, np.split(u, ends[:-1]), edges, strict=True):
            inner = c.inner if isinstance(c, Batched) else c
            logs = isinstance(inner, Positive | Interval | Simplex) and edge.any()
            parts.append(np.clip(part, -FARTHEST, FARTHEST) if logs else part)
        return np.concatenate(parts) if parts else u

    @cached_property
    def jacobian(self) -> Float[np.ndarray, "D P"]:
        """Derivative of the raveled params with respect to the free vector."""
        with jax.enable_x64(True):
            return np.asarray(_jacobian(self.space, self.u))

    @cached_property
    def on_edge(self) -> np.ndarray:
        """Which of the D raveled params lie on the edge of their set, (D,) bool."""
        return self._located[1]

    @cached_property
    def _located(self) -> tuple[np.ndarray, np.ndarray]:
        with jax.enable_x64(True):
            u, edge = (np.asarray(a) for a in self.space.locate(self.params))
            return u, edge if self.edges is None else edge | self.edges

    @cached_property
    def is_fixed(self) -> np.ndarray:
        """Which of the D raveled params cannot move, (D,) bool: the fixed, a simplex of one, structural zeros."""
        if not self.space.size:
            return np.ones(sum(int(np.prod(c.shape)) for c in self.space.constraints), bool)
        with jax.enable_x64(True):
            # Somewhere inside, where nothing stands still by chance.
            moves = np.asarray(_jacobian(self.space, np.linspace(0.3, 0.7, self.space.size)))
        return ~np.any(moves != 0, axis=1)

    @cached_property
    def free_entries(self) -> Float[np.ndarray, " P"]:
        """Position among the D raveled params of the entry that each free coordinate is named after, (P,)."""
        where = {name: i for i, name in enumerate(self.space.natural_names)}
        return np.array([where[name] for name in self.space.free_names], dtype=int)

    def at_data(self, f: Callable[[Form, Any, Prepared], Any], every_row: bool = False) -> Any:
        """`f(form, u, prepared)` in float64, as NumPy arrays; `every_row` where it does not sum over observations."""
        data = self.data if every_row or self.distinct is None else self.distinct
        with jax.enable_x64(True):
            if self.anchored is not None and not every_row:
                return jax.tree.map(np.asarray, f(self.anchored[0], self.u, self.anchored[1]))
            form, prepared = choose_form(self.model, data, by_formula=self.by_formula)
            return jax.tree.map(np.asarray, f(form, self.u, prepared))

    def kept(self, key: Any, compute: Callable[[], Any]) -> Any:
        """`compute()`, done once for each key."""
        if key not in self._kept:
            self._kept[key] = compute()
        return self._kept[key]

    def as_tree(self, values: Float[np.ndarray, "*lead D"]) -> Any:
        """A pytree shaped like params, its leaves with the leading axes of `values`."""
        ends = np.cumsum([int(np.prod(c.shape)) for c in self.space.constraints])
        parts = np.split(values, ends[:-1], axis=-1) if len(ends) else []
        shaped = [p.reshape((*values.shape[:-1], *c.shape)) for p, c in zip(parts, self.space.constraints, strict=True)]
        return self.space.treedef.unflatten(shaped)

    @cached_property
    def theta(self) -> Float[np.ndarray, " D"]:
        """The params, raveled."""
        leaves = self.space.treedef.flatten_up_to(self.params)
        return np.concatenate([np.ravel(np.asarray(a, np.float64)) for a in leaves]) if leaves else np.zeros(0)


@partial(jit, static_argnums=0)
def _jacobian(space: ParameterSpace, u: Array) -> Array:
    return jax.jacfwd(lambda v: ravel_pytree(space.constrain(v))[0])(u)
