"""Counts: the Poisson distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammainc, gammaincc, gammaln, xlogy
from jaxtyping import Array, Float

from latentem import priors
from latentem.constraints import positive
from latentem.families import checks
from latentem.families.base import (
    Family,
    Params,
    floating,
    inside_positive,
    keep_empty,
    like,
    masked,
    maximize_one,
    ratio,
)
from latentem.families.restrictions import Restrictions


@dataclass(frozen=True)
class Poisson(Family):
    """Poisson distribution of a count 0, 1, 2, ...: `rate` (). Closed form under a gamma prior of the rate.

    >>> Poisson().constraints()["rate"].describe()
    'a positive number'
    """

    discrete: ClassVar[bool] = True
    smooth_cdf: ClassVar[bool] = True

    def declare(self, x: Any) -> tuple[Poisson, np.ndarray]:
        return self, checks.counts("Poisson", checks.column("Poisson", x))

    def constraints(self) -> Params:
        return {"rate": positive()}

    @property
    def separable(self) -> bool:
        return True

    @property
    def width(self) -> int:
        return 3

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        x = floating(x)
        valid = (x >= 0) & (x == jnp.floor(x))
        count = jnp.where(valid, x, 0)
        return masked(valid, xlogy(count, params["rate"]) - params["rate"] - gammaln(count + 1))

    def cdf(self, params: Params, x: Any) -> Float[Array, ""]:
        x = jnp.floor(floating(x))
        inside = jnp.where(x >= 0, x, 0)
        return jnp.where(x >= 0, gammaincc(inside + 1, params["rate"]), 0)

    def survival(self, params: Params, x: Any) -> Float[Array, ""]:
        x = jnp.floor(floating(x))
        inside = jnp.where(x >= 0, x, 0)
        return jnp.where(x >= 0, gammainc(inside + 1, params["rate"]), 1)

    def mean(self, params: Params, x: Any = None) -> Float[Array, ""]:
        return params["rate"]

    def sample(self, params: Params, key: Array) -> Array:
        return jax.random.poisson(key, params["rate"])

    def features(self, x: Any, context: Any) -> Float[Array, " S"]:
        x = floating(x)
        return jnp.stack([jnp.ones_like(x), x, gammaln(x + 1)])

    def natural(self, params: Params, context: Any) -> Float[Array, " S"]:
        rate = params["rate"]
        return jnp.stack([-rate, jnp.log(rate), -jnp.ones_like(rate)])

    def is_closed(self, given: Restrictions) -> bool:
        return given.conjugate(rate=priors.Gamma)

    def m_step(self, expected: Float[Array, "K S"], params: Params, context: Any, given: Restrictions) -> Params:
        expected = given.pool(expected, "rate")
        count, total = expected[..., 0], expected[..., 1]
        belief = given.belief("rate", priors.Gamma)
        numerator, denominator = total, count
        if belief is not None:
            numerator = total + like(belief.shape, total) - 1
            denominator = count + like(belief.rate, total)
        rate = inside_positive(ratio(numerator, denominator))
        return {"rate": keep_empty(count, rate, params["rate"])}

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        return maximize_one(self, x, weights, context)
