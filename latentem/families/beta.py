"""Proportions: the beta distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betainc, betaln
from jaxtyping import Array, Float

from latentem.constraints import positive
from latentem.families import checks
from latentem.families.base import Family, Params, floating, masked, ratio


@dataclass(frozen=True)
class Beta(Family):
    """Beta distribution of a number between 0 and 1: `a` () and `b` (), mean a / (a + b). Its M-step is Newton.

    >>> sorted(Beta().constraints())
    ['a', 'b']
    """

    inside: ClassVar[float] = 0.5
    support: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def declare(self, x: Any) -> tuple[Beta, np.ndarray]:
        x = checks.finite("Beta", checks.column("Beta", x))
        advice = "move 0 and 1 inside, or use Hurdle for exact zeros"
        checks.refuse("Beta", x, (x <= 0) | (x >= 1), "a number between 0 and 1", advice)
        return self, x

    def constraints(self) -> Params:
        return {"a": positive(), "b": positive()}

    @property
    def separable(self) -> bool:
        return True

    @property
    def width(self) -> int:
        return 3

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        x = floating(x)
        a, b = params["a"], params["b"]
        valid = (x > 0) & (x < 1)
        x = jnp.where(valid, x, 0.5)
        return masked(valid, (a - 1) * jnp.log(x) + (b - 1) * jnp.log1p(-x) - betaln(a, b))

    def cdf(self, params: Params, x: Any) -> Float[Array, ""]:
        return betainc(params["a"], params["b"], jnp.clip(floating(x), 0, 1))

    def mean(self, params: Params, x: Any = None) -> Float[Array, ""]:
        return params["a"] / (params["a"] + params["b"])

    def sample(self, params: Params, key: Array) -> Array:
        a = floating(params["a"])
        drawn = jax.random.beta(key, a, params["b"], dtype=a.dtype)
        limits = jnp.finfo(a.dtype)
        return jnp.clip(drawn, limits.tiny, 1 - limits.epsneg)

    def features(self, x: Any, context: Any) -> Float[Array, " S"]:
        x = floating(x)
        return jnp.stack([jnp.ones_like(x), jnp.log(x), jnp.log1p(-x)])

    def natural(self, params: Params, context: Any) -> Float[Array, " S"]:
        a, b = floating(params["a"]), floating(params["b"])
        return jnp.stack([-betaln(a, b), a - 1, b - 1])

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        """By the method of moments; a + b between 0.1 and 10,000."""
        x = jnp.where(weights > 0, floating(x), 0.5)
        total = jnp.sum(weights)
        mean = jnp.clip(ratio(jnp.sum(weights * x), total), 1e-4, 1 - 1e-4)
        variance = ratio(jnp.sum(weights * (x - mean) ** 2), total)
        size = jnp.clip(mean * (1 - mean) / jnp.maximum(variance, 1e-12) - 1, 0.1, 1e4)
        return {"a": mean * size, "b": (1 - mean) * size}
