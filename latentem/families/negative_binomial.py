"""Counts that vary more than a Poisson: the negative binomial distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betainc, gammaln
from jaxtyping import Array, Float

from latentem.constraints import positive
from latentem.families import checks
from latentem.families.base import Family, Params, floating, inside_positive, keep_empty, masked, ratio
from latentem.families.restrictions import Restrictions
from latentem.families.special import log_gamma_ratio


@dataclass(frozen=True)
class NegativeBinomial(Family):
    """Negative binomial distribution of a count: `mean` () and `dispersion` (), variance mean + mean^2 /
    dispersion.

    A large dispersion is a Poisson distribution. The mean has a closed form where the dispersion is fixed; a
    free dispersion has none.

    >>> sorted(NegativeBinomial().constraints())
    ['dispersion', 'mean']
    """

    discrete: ClassVar[bool] = True

    def declare(self, x: Any) -> tuple[NegativeBinomial, np.ndarray]:
        return self, checks.counts("NegativeBinomial", checks.column("NegativeBinomial", x))

    def constraints(self) -> Params:
        return {"mean": positive(), "dispersion": positive()}

    @property
    def width(self) -> int:
        return 2

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        x = floating(x)
        mean, size = floating(params["mean"]), floating(params["dispersion"])
        valid = (x >= 0) & (x == jnp.floor(x))
        x = jnp.where(valid, x, 0)
        successes = x * (jnp.log(mean) - jnp.log(size + mean)) - size * jnp.log1p(mean / size)
        return masked(valid, log_gamma_ratio(size, x) - gammaln(x + 1) + successes)

    def cdf(self, params: Params, x: Any) -> Float[Array, ""]:
        x = jnp.floor(floating(x))
        mean, size = floating(params["mean"]), floating(params["dispersion"])
        inside = jnp.where(x >= 0, x, 0)
        return jnp.where(x >= 0, betainc(size, inside + 1, size / (size + mean)), 0)

    def mean(self, params: Params, x: Any = None) -> Float[Array, ""]:
        return params["mean"]

    def sample(self, params: Params, key: Array) -> Array:
        mean, size = floating(params["mean"]), floating(params["dispersion"])
        rates, counts = jax.random.split(key)
        rate = jax.random.gamma(rates, size, dtype=size.dtype) * mean / size
        return jax.random.poisson(counts, rate)

    def features(self, x: Any, context: Any) -> Float[Array, " S"]:
        x = floating(x)
        return jnp.stack([jnp.ones_like(x), x])

    def is_closed(self, given: Restrictions) -> bool:
        # means in common are weighted by dispersions, which are only then alike when they are shared
        alike = not given.common("mean") or given.common("dispersion")
        return given.held("dispersion") and alike and not given.prior

    def m_step(self, expected: Float[Array, "K S"], params: Params, context: Any, given: Restrictions) -> Params:
        expected = given.pool(expected, "mean")
        count, total = expected[..., 0], expected[..., 1]
        mean = keep_empty(count, inside_positive(ratio(total, count)), params["mean"])
        return {"mean": mean, "dispersion": params["dispersion"]}

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        """Mean and dispersion by the method of moments; the dispersion between 0.01 and 10,000."""
        x = jnp.where(weights > 0, floating(x), 0)
        total = jnp.sum(weights)
        mean = ratio(jnp.sum(weights * x), total)
        excess = ratio(jnp.sum(weights * (x - mean) ** 2), total) - mean
        size = jnp.where(excess > 0, mean**2 / jnp.where(excess > 0, excess, 1), 1e4)
        return {"mean": jnp.maximum(mean, 1e-3), "dispersion": jnp.clip(size, 0.01, 1e4)}
