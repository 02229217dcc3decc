"""Positive numbers whose logarithm is normal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from jaxtyping import Array, Float

from latentem import priors
from latentem.constraints import positive, real
from latentem.families import checks
from latentem.families.base import Family, Params, floating, inside_positive, masked, maximize_one
from latentem.families.gaussian import diagonal
from latentem.families.gaussian.context import mean_and_deviation
from latentem.families.restrictions import Restrictions


@dataclass(frozen=True)
class LogNormal(Family):
    """Log-normal distribution of a positive number: `mean` () and `variance` () of its logarithm. Closed form under an
    inverse gamma prior of the variance.

    >>> sorted(LogNormal().constraints())
    ['mean', 'variance']
    """

    smooth_cdf: ClassVar[bool] = True

    def declare(self, x: Any) -> tuple[LogNormal, np.ndarray]:
        x = checks.finite("LogNormal", checks.column("LogNormal", x))
        checks.refuse("LogNormal", x, x <= 0, "a positive number", "use Hurdle for exact zeros")
        return self, x

    def constraints(self) -> Params:
        return {"mean": real(), "variance": positive()}

    @property
    def separable(self) -> bool:
        return True

    @property
    def width(self) -> int:
        return 4

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        x = floating(x)
        valid = x > 0
        log = jnp.log(jnp.where(valid, x, 1))
        error = log - params["mean"]
        terms = diagonal.LOG_TWO_PI + jnp.log(params["variance"]) + error**2 / params["variance"]
        return masked(valid, -0.5 * terms - log)

    def cdf(self, params: Params, x: Any) -> Float[Array, ""]:
        return jnp.where(floating(x) > 0, norm.cdf(self._standard(params, x)), 0)

    def survival(self, params: Params, x: Any) -> Float[Array, ""]:
        return jnp.where(floating(x) > 0, norm.cdf(-self._standard(params, x)), 1)

    def quantile(self, params: Params, p: Any) -> Float[Array, ""]:
        return jnp.exp(params["mean"] + jnp.sqrt(params["variance"]) * norm.ppf(p))

    def mean(self, params: Params, x: Any = None) -> Float[Array, ""]:
        return jnp.exp(params["mean"] + 0.5 * params["variance"])

    def sample(self, params: Params, key: Array) -> Array:
        mean = floating(params["mean"])
        noise = jax.random.normal(key, (), mean.dtype)
        return inside_positive(jnp.exp(mean + jnp.sqrt(params["variance"]) * noise))

    def context(self, x: Any, weights: Float[Array, " N"]) -> tuple[Array, Array]:
        """Mean and standard deviation of the logarithms."""
        logs = jnp.log(jnp.where(weights > 0, floating(x), 1))[:, None]
        centre, scale = mean_and_deviation(logs, weights)
        return centre[0], scale[0]

    def features(self, x: Any, context: Any) -> Float[Array, " S"]:
        log = jnp.log(floating(x))
        y = (log - context[0]) / context[1]
        return jnp.stack([jnp.ones_like(y), y, y * y, log])

    def natural(self, params: Params, context: Any) -> Float[Array, " S"]:
        one = {"mean": floating(params["mean"])[None], "variance": floating(params["variance"])[None]}
        units = jnp.reshape(context[0], 1), jnp.reshape(context[1], 1), jnp.ones(1, jnp.asarray(context[1]).dtype)
        normal = diagonal.natural(one, units, spherical=False, missing=False)
        return jnp.concatenate([normal, -jnp.ones(1, normal.dtype)])

    def is_closed(self, given: Restrictions) -> bool:
        alike = not given.common("mean") or given.held("mean") or given.alike("variance")
        return alike and given.conjugate(variance=priors.InverseGamma)

    def m_step(self, expected: Float[Array, "K S"], params: Params, context: Any, given: Restrictions) -> Params:
        count = expected[:, 0]
        moments = diagonal.Moments(count, count[:, None], expected[:, 1:2], expected[:, 2:3])
        old = {name: value[..., None] for name, value in params.items()}
        units = jnp.reshape(context[0], 1), jnp.reshape(context[1], 1), jnp.ones(1, jnp.asarray(context[1]).dtype)
        new = diagonal.maximize(moments, old, units, given)
        return {name: value[..., 0] for name, value in new.items()}

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        return maximize_one(self, x, weights, context)

    def _standard(self, params: Params, x: Any) -> Array:
        x = floating(x)
        return (jnp.log(jnp.where(x > 0, x, 1)) - params["mean"]) / jnp.sqrt(params["variance"])
