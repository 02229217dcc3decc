"""A density of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.constraints import Constraint
from latentem.families import checks
from latentem.families.base import Family, Params, middle


@dataclass(frozen=True, init=False)
class Custom(Family):
    """One component with any log density written in jax.numpy.

    Args:
        log_density: (params, x) -> scalar, for ONE observation x: a number, a vector, or a dict of them.
        params: {name: Constraint}, or nested dicts of them; (name, constraint) pairs are read as a dict.
        sample: (params, key) -> one observation, or None.
        inside: a value of x with a finite density; stands in for missing columns inside `Independent`.

    Raises:
        TypeError: for a log_density that cannot be called, or a parameter that is not a Constraint.

    >>> from latentem.constraints import positive
    >>> def laplace(params, x):
    ...     return -jnp.abs(x) / params["width"] - jnp.log(2 * params["width"])
    >>> Custom(laplace, {"width": positive()}).constraints()["width"].describe()
    'a positive number'
    """

    log_density: Callable[[Any, Any], Any]
    params: Any
    sample_one: Callable[[Any, Array], Any] | None
    inside: float

    def __init__(
        self,
        log_density: Callable[[Any, Any], Any],
        params: Any,
        sample: Callable[[Any, Array], Any] | None = None,
        inside: float = 1.0,
    ) -> None:
        if not callable(log_density):
            raise TypeError(f"Custom: log_density={log_density!r}: expected a function (params, x) -> scalar; give one")
        object.__setattr__(self, "log_density", log_density)
        object.__setattr__(self, "params", _freeze("params", params))
        object.__setattr__(self, "sample_one", sample)
        object.__setattr__(self, "inside", inside)

    @property
    def columns(self) -> Any:
        """Observations as they are given."""
        return ...

    def declare(self, x: Any) -> tuple[Custom, Any]:
        return self, jax.tree.map(_numbers, x, is_leaf=lambda leaf: isinstance(leaf, list))

    def constraints(self) -> Params:
        return _thaw(self.params)

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        return jnp.asarray(self.log_density(params, x))

    def sample(self, params: Params, key: Array) -> Any:
        if self.sample_one is None:
            raise ValueError(
                "Custom: sample=None: expected a function (params, key) -> x; give Custom(..., sample=...)"
            )
        return self.sample_one(params, key)

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        """The origin of the free coordinates: nothing is known of the density."""
        return middle(self, weights.dtype)


def _numbers(leaf: Any) -> np.ndarray:
    return checks.finite("Custom", checks.numbers("Custom", leaf))


def _freeze(path: str, tree: Any) -> Any:
    """A dict of constraints as a hashable tuple of pairs."""
    if isinstance(tree, Constraint):
        return tree
    if isinstance(tree, Mapping):
        tree = tuple(tree.items())
    if not isinstance(tree, tuple) or not all(isinstance(pair, tuple) and len(pair) == 2 for pair in tree):
        raise TypeError(f"Custom: {path} = {tree!r}: expected a constraint or a dict of them; use e.g. positive()")
    return tuple((name, _freeze(f"{path}[{name!r}]", value)) for name, value in tree)


def _thaw(tree: Any) -> Any:
    if isinstance(tree, Constraint):
        return tree
    return {name: _thaw(value) for name, value in tree}
