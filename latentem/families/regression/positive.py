"""Gamma regression of positive numbers, negative binomial regression of counts: log links."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jaxtyping import Array, Float

from latentem.constraints import positive
from latentem.families import checks
from latentem.families.base import Params, inside_positive, ratio
from latentem.families.regression.base import Regression
from latentem.families.regression.linked import PoissonRegression, whole
from latentem.families.special import log_gamma_ratio


@dataclass(frozen=True)
class GammaRegression(Regression):
    """Gamma regression of a positive number: log mean = `coefficients` (p,) . (1, covariates) + offset, `shape` ().

    >>> sorted(GammaRegression("cost", "age").constraints())
    ['coefficients', 'shape']
    """

    def check(self, y: np.ndarray, n: np.ndarray) -> None:
        checks.refuse("GammaRegression", y, y <= 0, "a positive number", "remove the row or use another family")

    def constraints(self) -> Params:
        return {**self._coefficient_constraints(), "shape": positive()}

    @property
    def _by_newton(self) -> bool:
        return True

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        eta, y = self.predictor(params, x), x[self.response]
        shape = params["shape"] * self.count(x)
        return shape * (jnp.log(shape) - eta + jnp.log(y) - y * jnp.exp(-eta)) - jnp.log(y) - gammaln(shape)

    def mean(self, params: Params, x: Any = None) -> Float[Array, ""]:
        return jnp.exp(self.predictor(params, x))

    def draw(self, params: Params, key: Array, x: Any) -> Array:
        """A response given the covariates of x."""
        mean, shape = self.mean(params, x), params["shape"] * self.count(x)
        return inside_positive(mean * jax.random.gamma(key, shape, dtype=mean.dtype) / shape)

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        """Coefficients as of Poisson regression, which has the same mean; the shape by the method of moments."""
        begin = self._coefficients(_as_poisson(self, x, weights))
        w, y, mean = jnp.where(weights > 0, weights, 0), x[self.response], self.mean(begin, x)
        spread = ratio(jnp.sum(w * self.count(x) * (y / mean - 1) ** 2), jnp.sum(w))
        return {**begin, "shape": jnp.clip(1 / jnp.maximum(spread, 1e-6), 1e-2, 1e6)}


@dataclass(frozen=True)
class NegativeBinomialRegression(Regression):
    """Negative binomial regression of counts: log mean = `coefficients` (p,) . (1, covariates) + offset, variance
    mean + mean^2 / `dispersion`.

    >>> sorted(NegativeBinomialRegression("visits", "age").constraints())
    ['coefficients', 'dispersion']
    """

    discrete = True

    def check(self, y: np.ndarray, n: np.ndarray) -> None:
        checks.counts("NegativeBinomialRegression", whole(y, n))

    def constraints(self) -> Params:
        return {**self._coefficient_constraints(), "dispersion": positive()}

    @property
    def _by_newton(self) -> bool:
        return True

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        n = self.count(x)
        total, size = n * x[self.response], n * params["dispersion"]
        mean = n * self.mean(params, x)
        successes = total * (jnp.log(mean) - jnp.log(size + mean)) - size * jnp.log1p(mean / size)
        return log_gamma_ratio(size, total) - gammaln(total + 1) + successes

    def mean(self, params: Params, x: Any = None) -> Float[Array, ""]:
        return jnp.exp(self.predictor(params, x))

    def draw(self, params: Params, key: Array, x: Any) -> Array:
        """A response given the covariates of x."""
        rates, counts = jax.random.split(key)
        n, mean = self.count(x), self.mean(params, x)
        size = n * params["dispersion"]
        rate = jax.random.gamma(rates, size, dtype=mean.dtype) / params["dispersion"] * mean
        return jax.random.poisson(counts, rate).astype(mean.dtype) / n

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        """Coefficients of Poisson regression; the dispersion by the method of moments, between 0.01 and 10,000."""
        begin = self._coefficients(_as_poisson(self, x, weights))
        w, y, mean = jnp.where(weights > 0, weights, 0), x[self.response], self.mean(begin, x)
        excess = jnp.sum(w * ((y - mean) ** 2 - mean))
        size = jnp.where(excess > 0, jnp.sum(w * mean**2) / jnp.where(excess > 0, excess, 1), 1e4)
        return {**begin, "dispersion": jnp.clip(size, 0.01, 1e4)}


def _as_poisson(family: Regression, x: Any, weights: Any) -> Any:
    like = PoissonRegression(family.response, family.covariates, bool(family.intercept), family.offset, family.weights)
    return like.newton(x, weights)
