"""Anywhere in a box: the uniform distribution, what noise looks like beside clusters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.families import checks
from latentem.families.base import Family, Params, floating


@dataclass(frozen=True)
class Uniform(Family):
    """Uniform distribution of a vector (D,) on a box: no parameters.

    Args:
        low, high: (D,) ends of the box; those of the data where left out.

    Source: as a component for noise, Banfield and Raftery, Biometrics 49 (1993), 803-821.

    >>> Uniform((0.0, 0.0), (2.0, 4.0)).constraints()
    {}
    """

    accepts_missing: ClassVar[bool] = True
    vector: ClassVar[bool] = True
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, tuple(float(a) for a in np.atleast_1d(value)))
        if (self.low is None) != (self.high is None) or not self._ordered:
            raise ValueError(f"Uniform: low={self.low}, high={self.high}: expected both, each low below its high")

    @property
    def _ordered(self) -> bool:
        if self.low is None or self.high is None:
            return True
        return len(self.low) == len(self.high) and all(a < b for a, b in zip(self.low, self.high, strict=True))

    def declare(self, x: Any) -> tuple[Uniform, np.ndarray]:
        x = checks.matrix("Uniform", x, None if self.low is None else len(self.low))
        checks.finite("Uniform", x, missing=True)
        if self.low is not None:
            return self, x
        low, high = np.nanmin(x, axis=0), np.nanmax(x, axis=0)
        flat = np.flatnonzero(~(low < high))
        if len(flat):
            raise ValueError(f"Uniform: column {flat[0]} does not vary: expected a range; leave it out")
        return replace(self, low=tuple(low.tolist()), high=tuple(high.tolist())), x

    def constraints(self) -> Params:
        return {}

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        low, high, x = *self._box(x), floating(x).reshape(-1)
        seen = ~jnp.isnan(x)
        inside = jnp.all(jnp.where(seen, (x >= low) & (x <= high), True))
        return jnp.where(inside, -jnp.sum(jnp.where(seen, jnp.log(high - low), 0)), -jnp.inf)

    def sample(self, params: Params, key: Array) -> Float[Array, " D"]:
        low, high = self._box(jnp.zeros(()))
        return low + (high - low) * jax.random.uniform(key, low.shape, low.dtype)

    def expect_missing(self, params: Params, x: Any) -> Float[Array, " D"]:
        low, high, x = *self._box(x), floating(x).reshape(-1)
        return jnp.where(jnp.isnan(x), 0.5 * (low + high), x)

    def settle(self, expected: Any, x: Any) -> Any:
        return jnp.where(jnp.isnan(x), jnp.reshape(expected, jnp.shape(x)), x)

    def draw_missing(self, params: Params, x: Any, key: Array) -> Any:
        drawn = jnp.reshape(self.sample(params, key), jnp.shape(x))
        return jnp.where(jnp.isnan(x), drawn, x)

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        return {}

    def _box(self, x: Any) -> tuple[Array, Array]:
        if self.low is None or self.high is None:
            raise ValueError("Uniform: low=None: expected the ends of a box; give them or call declare(x) first")
        dtype = floating(x).dtype
        return jnp.asarray(self.low, dtype), jnp.asarray(self.high, dtype)
