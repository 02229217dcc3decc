"""Proportions: the beta distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betainc, betaln, digamma, polygamma
from jaxtyping import Array, Float

from latentem.constraints import positive
from latentem.families import checks
from latentem.families.base import Family, Params, floating, masked, occupied, ratio
from latentem.families.restrictions import Restrictions


@dataclass(frozen=True)
class Beta(Family):
    """Beta distribution of a number between 0 and 1: `a` () and `b` (), mean a / (a + b).

    Its M-step solves digamma(a) - digamma(a + b) = E log x, and the same for b, by Newton (Minka 2000); with parameters
    in common, fixed or with a prior it is that of the declaration.

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

    def is_closed(self, given: Restrictions) -> bool:
        return not given.prior and all(given.free(name) and not given.common(name) for name in ("a", "b"))

    def m_step(self, expected: Float[Array, "K S"], params: Params, context: Any, given: Restrictions) -> Params:
        used = occupied(expected[:, 0])
        count, logs, others = jnp.where(used[:, None], expected, 0).T
        found = _solve(params["a"], params["b"], ratio(logs, count), ratio(others, count))
        return {name: jnp.where(used, new, params[name]) for name, new in zip(("a", "b"), found, strict=True)}

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        """By the method of moments; a + b between 0.1 and 10,000."""
        x = jnp.where(weights > 0, floating(x), 0.5)
        total = jnp.sum(weights)
        mean = jnp.clip(ratio(jnp.sum(weights * x), total), 1e-4, 1 - 1e-4)
        variance = ratio(jnp.sum(weights * (x - mean) ** 2), total)
        size = jnp.clip(mean * (1 - mean) / jnp.maximum(variance, 1e-12) - 1, 0.1, 1e4)
        return {"a": mean * size, "b": (1 - mean) * size}


#: Newton steps of an M-step; each moves a parameter by a factor of FACTOR at most.
STEPS, FACTOR = 30, 4.0


def _solve(
    a: Float[Array, " K"], b: Float[Array, " K"], log_x: Float[Array, " K"], log_rest: Float[Array, " K"]
) -> tuple[Float[Array, " K"], Float[Array, " K"]]:
    """(a, b) of the largest mean log density, given the means of log x and log(1 - x). It is concave in (a, b), and its
    Hessian is a diagonal matrix plus one of rank one."""

    def step(_: int, ab: tuple[Array, Array]) -> tuple[Array, Array]:
        a, b = ab
        total = digamma(a + b)
        g, h = total - digamma(a) + log_x, total - digamma(b) + log_rest
        p, q, r = polygamma(1, a), polygamma(1, b), polygamma(1, a + b)
        shift = r * (g / p + h / q) / (1 - r * (1 / p + 1 / q))
        new_a, new_b = a + (g + shift) / p, b + (h + shift) / q
        return jnp.clip(new_a, a / FACTOR, a * FACTOR), jnp.clip(new_b, b / FACTOR, b * FACTOR)

    return jax.lax.fori_loop(0, STEPS, step, (a, b))
