"""Parameters that are held in some components and free in others.

In the M-step components do not see one another where they share nothing, so that each takes the formula of what is held
in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

import latentem as lem
from latentem.constraints import Constraint, held
from latentem.families import Restrictions
from latentem.models.mixture.names import map_two

Params = dict[str, Any]


@dataclass(frozen=True)
class Partly:
    """Values with a leading axis over components, NaN where they are free; as bytes, so that it hashes and compares."""

    content: bytes
    shape: tuple[int, ...]

    @property
    def value(self) -> np.ndarray:
        """The values."""
        return np.frombuffer(self.content, np.float64).reshape(self.shape)

    @property
    def whole(self) -> Bool[np.ndarray, " K"]:
        """In which components everything is given."""
        return np.asarray(~np.any(np.isnan(self.value).reshape(self.shape[0], -1), axis=1))

    @property
    def by_component(self) -> bool:
        """Whether each component has everything given or nothing."""
        lost = np.isnan(self.value).reshape(self.shape[0], -1)
        return bool(np.all(lost.all(axis=1) | self.whole))


def given(value: Any) -> Constraint | Partly:
    """What a user fixed: a constant, or values that hold NaN where they are free."""
    array = np.asarray(value)
    if array.dtype.kind != "f" or not np.isnan(array).any():
        return lem.fixed(value)
    array = np.array(array, np.float64) + 0.0
    return Partly(array.tobytes(), array.shape)


def of_held(one: Constraint, value: Partly, name: str, shared: bool) -> Constraint:
    """The constraint of a parameter that is held in part; `one` is that of one component.

    Raises:
        ValueError: values of another shape, outside their set, or given in part where that is not possible.
    """
    if not shared:
        return held(one, value.value, name)
    raise ValueError(f"fixed {name} holds NaN, and all components have it in common: give numbers, or leave it out")


def can_be_closed(mixture: Any) -> bool:
    """Whether what is held in part leaves formulas of M-steps: no parameter held entry by entry, none in common."""
    return not mixture.partly or (not mixture.shared and all(value.by_component for _, value in mixture.partly))


def by_component(mixture: Any) -> list[tuple[Restrictions, Bool[np.ndarray, " K"]]]:
    """(what an M-step may not do, in which components) for each set of parameters that is held in some."""
    base, k = mixture.restrictions, mixture.components
    of_each = [frozenset(name for name, value in mixture.partly if value.whole[c]) for c in range(k)]
    found = []
    for own in dict.fromkeys(of_each):
        given = Restrictions.of(base.shared, base.fixed | own, base.prior)
        found.append((given, np.array([one == own for one in of_each])))
    return found


def maximized(mixture: Any, expected: Float[Array, "K S"], params: Params, context: Any) -> Params:
    """Closed-form M-step of the parameters of all components."""
    new: Params | None = None
    for given, where in by_component(mixture):
        found = mixture.family.maximize(expected, params, context, **given.keywords)
        if new is None:
            new = found
            continue

        def put(_: str, a: Array, b: Array, where: Any = where) -> Array:
            return jnp.where(where.reshape((-1,) + (1,) * (jnp.ndim(a) - 1)), b, a)

        new = map_two(put, new, found)
    assert new is not None
    return new
