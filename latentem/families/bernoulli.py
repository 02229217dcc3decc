"""Yes or no: the Bernoulli distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import xlog1py, xlogy
from jaxtyping import Array, Float

from latentem import priors
from latentem.constraints import unit
from latentem.families import checks
from latentem.families.base import (
    Family,
    Params,
    floating,
    keep_empty,
    like,
    log_or_impossible,
    masked,
    maximize_one,
    ratio,
)
from latentem.families.restrictions import Restrictions


@dataclass(frozen=True)
class Bernoulli(Family):
    """Bernoulli distribution of 0 or 1: `probability` () of a 1. Closed form under a beta prior of the
    probability.

    >>> Bernoulli().constraints()["probability"].describe()
    'a number between 0 and 1'
    """

    inside: ClassVar[float] = 0.0
    discrete: ClassVar[bool] = True
    support: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def levels_of(self, column: Any) -> tuple[Any, ...] | None:
        return ()

    def declare(self, x: Any) -> tuple[Bernoulli, np.ndarray]:
        x = checks.finite("Bernoulli", checks.column("Bernoulli", x))
        checks.refuse("Bernoulli", x, (x != 0) & (x != 1), "0 or 1", "use Categorical for more values")
        return self, x

    def constraints(self) -> Params:
        return {"probability": unit()}

    @property
    def separable(self) -> bool:
        return True

    @property
    def width(self) -> int:
        return 3

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        x = floating(x)
        valid = (x == 0) | (x == 1)
        x = jnp.where(valid, x, 0)
        probability = params["probability"]
        return masked(valid, xlogy(x, probability) + xlog1py(1 - x, -probability))

    def cdf(self, params: Params, x: Any) -> Float[Array, ""]:
        x = floating(x)
        return jnp.where(x < 0, 0, jnp.where(x < 1, 1 - params["probability"], 1))

    def mean(self, params: Params, x: Any = None) -> Float[Array, ""]:
        return params["probability"]

    def shares(self, params: Params) -> Float[Array, " C"]:
        return jnp.stack([1 - params["probability"], params["probability"]])

    def sample(self, params: Params, key: Array) -> Array:
        return jax.random.bernoulli(key, params["probability"]).astype(int)

    def features(self, x: Any, context: Any) -> Float[Array, " S"]:
        # both outcomes: a probability of 0 or 1 then never multiplies what was observed
        x = floating(x)
        return jnp.stack([jnp.ones_like(x), x, 1 - x])

    def natural(self, params: Params, context: Any) -> Float[Array, " S"]:
        probability = params["probability"]
        return jnp.stack(
            [jnp.zeros_like(probability), log_or_impossible(probability), log_or_impossible(1 - probability)]
        )

    def is_closed(self, given: Restrictions) -> bool:
        return given.conjugate(probability=priors.Beta)

    def m_step(self, expected: Float[Array, "K S"], params: Params, context: Any, given: Restrictions) -> Params:
        expected = given.pool(expected, "probability")
        count, ones, zeros = expected[..., 0], expected[..., 1], expected[..., 2]
        belief = given.belief("probability", priors.Beta)
        if belief is not None:
            ones = ones + like(belief.a, ones) - 1
            zeros = zeros + like(belief.b, zeros) - 1
        # a prior below 1 pulls to the edge, not over it
        ones, zeros = jnp.maximum(ones, 0), jnp.maximum(zeros, 0)
        probability = jnp.where(ones + zeros > 0, ratio(ones, ones + zeros), params["probability"])
        return {"probability": keep_empty(count, probability, params["probability"])}

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        return maximize_one(self, x, weights, context)
