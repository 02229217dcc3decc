"""Waiting times: the exponential distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem import priors
from latentem.constraints import positive
from latentem.families import checks
from latentem.families.base import Family, Params, floating, inside_positive, keep_empty, like, masked, maximize_one
from latentem.families.restrictions import Restrictions


@dataclass(frozen=True)
class Exponential(Family):
    """Exponential distribution of a number >= 0: `rate` (), one over the mean. Closed form under a gamma
    prior of the rate.

    >>> Exponential().constraints()["rate"].describe()
    'a positive number'
    """

    smooth_cdf: ClassVar[bool] = True

    def declare(self, x: Any) -> tuple[Exponential, np.ndarray]:
        x = checks.finite("Exponential", checks.column("Exponential", x))
        checks.refuse("Exponential", x, x < 0, "a number of at least 0", "remove the row or use another family")
        return self, x

    def constraints(self) -> Params:
        return {"rate": positive()}

    @property
    def separable(self) -> bool:
        return True

    @property
    def width(self) -> int:
        return 2

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        x = floating(x)
        valid = x >= 0
        return masked(valid, jnp.log(params["rate"]) - params["rate"] * jnp.where(valid, x, 0))

    def cdf(self, params: Params, x: Any) -> Float[Array, ""]:
        return -jnp.expm1(-params["rate"] * jnp.maximum(floating(x), 0))

    def survival(self, params: Params, x: Any) -> Float[Array, ""]:
        return jnp.exp(-params["rate"] * jnp.maximum(floating(x), 0))

    def quantile(self, params: Params, p: Any) -> Float[Array, ""]:
        return -jnp.log1p(-jnp.asarray(p)) / params["rate"]

    def mean(self, params: Params, x: Any = None) -> Float[Array, ""]:
        return 1 / params["rate"]

    def sample(self, params: Params, key: Array) -> Array:
        rate = floating(params["rate"])
        return jax.random.exponential(key, dtype=rate.dtype) / rate

    def features(self, x: Any, context: Any) -> Float[Array, " S"]:
        x = floating(x)
        return jnp.stack([jnp.ones_like(x), x])

    def natural(self, params: Params, context: Any) -> Float[Array, " S"]:
        return jnp.stack([jnp.log(params["rate"]), -params["rate"]])

    def is_closed(self, given: Restrictions) -> bool:
        return given.conjugate(rate=priors.Gamma)

    def m_step(self, expected: Float[Array, "K S"], params: Params, context: Any, given: Restrictions) -> Params:
        expected = given.pool(expected, "rate")
        count, total = expected[..., 0], expected[..., 1]
        belief = given.belief("rate", priors.Gamma)
        numerator, denominator = count, total
        if belief is not None:
            numerator = count + like(belief.shape, total) - 1
            denominator = total + like(belief.rate, total)
        # all waiting times 0: the likelihood grows with the rate without end, the clip ends it
        rate = inside_positive(jnp.maximum(numerator, 0) / denominator)
        return {"rate": keep_empty(count, rate, params["rate"])}

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        return maximize_one(self, x, weights, context)
