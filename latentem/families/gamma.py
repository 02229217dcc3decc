"""Positive numbers: the gamma distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammainc, gammaincc, gammaln
from jaxtyping import Array, Float

from latentem import priors
from latentem.constraints import positive
from latentem.families import checks
from latentem.families.base import (
    Family,
    Params,
    floating,
    inside_positive,
    like,
    masked,
    maximize_one,
    occupied,
    ratio,
)
from latentem.families.restrictions import Restrictions
from latentem.families.special import inverse_digamma, solve_log_minus_digamma


@dataclass(frozen=True)
class Gamma(Family):
    """Gamma distribution of a positive number: `shape` () and `rate` (), mean shape / rate.

    The shape solves log(shape) - digamma(shape) = log(mean x) - mean(log x) by Newton to rounding, and stays
    between 1e-8 and 1e8. A gamma prior of the rate has a closed form when the shape is fixed. Source: T.
    Minka, "Estimating a Gamma distribution" (2002).

    >>> sorted(Gamma().constraints())
    ['rate', 'shape']
    """

    def declare(self, x: Any) -> tuple[Gamma, np.ndarray]:
        x = checks.finite("Gamma", checks.column("Gamma", x))
        checks.refuse("Gamma", x, x <= 0, "a positive number", "remove the row or use another family")
        return self, x

    def constraints(self) -> Params:
        return {"shape": positive(), "rate": positive()}

    @property
    def separable(self) -> bool:
        return True

    @property
    def width(self) -> int:
        return 3

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        x = floating(x)
        shape, rate = params["shape"], params["rate"]
        valid = x > 0
        x = jnp.where(valid, x, 1)
        return masked(valid, shape * jnp.log(rate) + (shape - 1) * jnp.log(x) - rate * x - gammaln(shape))

    def cdf(self, params: Params, x: Any) -> Float[Array, ""]:
        return gammainc(params["shape"], params["rate"] * jnp.maximum(floating(x), 0))

    def survival(self, params: Params, x: Any) -> Float[Array, ""]:
        return gammaincc(params["shape"], params["rate"] * jnp.maximum(floating(x), 0))

    def mean(self, params: Params, x: Any = None) -> Float[Array, ""]:
        return params["shape"] / params["rate"]

    def sample(self, params: Params, key: Array) -> Array:
        shape = floating(params["shape"])
        return inside_positive(jax.random.gamma(key, shape, dtype=shape.dtype) / params["rate"])

    def context(self, x: Any, weights: Float[Array, " N"]) -> Float[Array, ""]:
        """The weighted mean: in its units the logarithms are small."""
        used = weights > 0
        total = jnp.sum(jnp.where(used, weights * jnp.where(used, floating(x), 0), 0))
        mean = ratio(total, jnp.sum(weights))
        return jnp.where(mean > 0, mean, 1)

    def features(self, x: Any, context: Any) -> Float[Array, " S"]:
        x = floating(x) / context
        return jnp.stack([jnp.ones_like(x), x, jnp.log(x)])

    def natural(self, params: Params, context: Any) -> Float[Array, " S"]:
        shape, rate = params["shape"], params["rate"] * context
        return jnp.stack([shape * jnp.log(rate) - gammaln(shape) - jnp.log(context), -rate, shape - 1])

    def is_closed(self, given: Restrictions) -> bool:
        if given.prior:
            return given.conjugate(rate=priors.Gamma) and given.held("shape")
        # a common rate ties shapes that differ to one another
        return not given.common("rate") or given.held("rate") or given.alike("shape")

    def m_step(self, expected: Float[Array, "K S"], params: Params, context: Any, given: Restrictions) -> Params:
        used = occupied(expected[:, 0])
        count, total, logs = jnp.where(used[:, None], expected, 0).T
        shape, rate = params["shape"], params["rate"] * context
        belief = given.belief("rate", priors.Gamma)
        common_rate, common_shape = given.common("rate"), given.common("shape")

        if given.free("shape"):
            profile = given.free("rate") and (not common_rate or common_shape) and belief is None
            if profile:
                # the best rate for every shape put in
                if common_rate:
                    count, total, logs = (jnp.sum(value) for value in (count, total, logs))
                level = jnp.log(jnp.where(total > 0, ratio(total, count), 1)) - ratio(logs, count)
            else:
                level = jnp.log(rate) + ratio(logs, count)
            if common_shape and jnp.ndim(level):
                level = ratio(jnp.sum(count * level), jnp.sum(count))
            new = solve_log_minus_digamma(level) if profile else inverse_digamma(level)
            some = jnp.any(used) if common_shape else used
            shape = jnp.where(some, new, shape)

        if given.free("rate"):
            events = count * shape
            if common_rate and jnp.ndim(events):
                events, total = jnp.sum(events), jnp.sum(total)
            if belief is not None:
                events = events + like(belief.shape, events) - 1
                total = total + like(belief.rate, total) / context
            new = inside_positive(ratio(events, total) / context)
            return {
                "shape": shape,
                "rate": jnp.where(jnp.any(used) if common_rate else used, new, params["rate"]),
            }
        return {"shape": shape, "rate": params["rate"]}

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        return maximize_one(self, x, weights, context)
