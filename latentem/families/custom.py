"""A density of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.constraints import Constraint, ParameterSpace
from latentem.families import checks
from latentem.families.base import Family, Params, middle
from latentem.numerics.newton import newton_ascent

#: Rows that a start looks at, and its Newton steps.
ROWS, STEPS = 500, 40


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
        """Near the maximum of one component, by Newton from the origin of the free coordinates; the origin, where the
        density is not finite there."""
        space = ParameterSpace.of(self.constraints())
        stride = max(1, weights.shape[0] // ROWS)
        x, weights = jax.tree.map(lambda a: a[::stride], x), weights[::stride]
        weights = weights / jnp.sum(weights)

        def value(u: Float[Array, " P"]) -> Float[Array, ""]:
            params = space.constrain(u)
            each = jax.vmap(lambda row: self.log_prob(params, row))(x)
            return jnp.sum(jnp.where(weights > 0, weights * jnp.where(weights > 0, each, 0), 0))

        def slopes(u: Float[Array, " P"]) -> tuple[Array, Array]:
            return jax.grad(value)(u), jax.hessian(value)(u)

        origin = jnp.zeros(space.size, weights.dtype)
        reach = jnp.where(space.unbounded, 10.0, 0.0).astype(weights.dtype)
        end = newton_ascent(value, slopes, origin, iterations=STEPS, tolerance=1e-6, reach=reach)
        params = jax.tree.map(lambda a: a.astype(weights.dtype), space.constrain(end.u))
        return jax.tree.map(
            lambda a, b: jnp.where(jnp.all(jnp.isfinite(end.u)), a, b), params, middle(self, weights.dtype)
        )


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
