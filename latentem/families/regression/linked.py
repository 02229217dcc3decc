"""Regressions with a canonical link: Poisson and logistic regression."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import log_sigmoid, sigmoid
from jax.scipy.special import gammaln
from jaxtyping import Array, Float

from latentem.families import checks
from latentem.families.base import Params, ratio
from latentem.families.regression.base import Regression
from latentem.numerics.newton import newton_ascent

#: Newton steps of a start: it need not be the maximum.
STEPS = 8


@dataclass(frozen=True)
class LinkedRegression(Regression):
    """A regression with a canonical link: log density n (y eta - b(eta)) + c(y, n), y the mean of n observations,
    eta = coefficients . (1, covariates) + offset.

    There is no closed form of its M-step: fits use damped Newton, which for these is iterated weighted least squares.
    """

    @abstractmethod
    def cumulant(self, eta: Any) -> tuple[Any, Any, Any]:
        """(b, b', b'') at eta."""

    @abstractmethod
    def base(self, y: Any, n: Any) -> Any:
        """c(y, n)."""

    @abstractmethod
    def link(self, mean: Any) -> Any:
        """eta of a mean, kept off the edge."""

    def constraints(self) -> Params:
        return self._coefficient_constraints()

    @property
    def _by_newton(self) -> bool:
        return True

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        eta, y, n = self.predictor(params, x), x[self.response], self.count(x)
        return n * (y * eta - self.cumulant(eta)[0]) + self.base(y, n)

    def mean(self, params: Params, x: Any = None) -> Float[Array, ""]:
        return self.cumulant(self.predictor(params, x))[1]

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        return self._coefficients(self.newton(x, weights))

    def newton(self, x: Any, weights: Float[Array, " N"]) -> Float[Array, " p"]:
        """Coefficients of weighted observations."""
        z, y, shift = self.design(x), x[self.response], self.shift(x)
        w = jnp.where(weights > 0, weights, 0) * self.count(x)

        def value(b: Float[Array, " p"]) -> Float[Array, ""]:
            eta = b @ z + shift
            return jnp.sum(w * (y * eta - self.cumulant(eta)[0]))

        def slopes(b: Float[Array, " p"]) -> tuple[Array, Array]:
            _, mean, variance = self.cumulant(b @ z + shift)
            return z @ (w * (y - mean)), -(z * (w * variance)) @ z.T

        begin = jnp.zeros(self.size, z.dtype)
        if self.intercept:
            level = self.link(ratio(jnp.sum(w * y), jnp.sum(w))) - ratio(jnp.sum(w * shift), jnp.sum(w))
            begin = begin.at[0].set(level)
        return newton_ascent(value, slopes, begin, iterations=STEPS, tolerance=1e-8).u


@dataclass(frozen=True)
class PoissonRegression(LinkedRegression):
    """Poisson regression of counts: log mean = `coefficients` (p,) . (1, covariates) + offset.

    >>> PoissonRegression("visits", ("age", "income")).size
    3
    """

    discrete = True

    def check(self, y: np.ndarray, n: np.ndarray) -> None:
        checks.counts("PoissonRegression", whole(y, n))

    def cumulant(self, eta: Any) -> tuple[Any, Any, Any]:
        mean = jnp.exp(eta)
        return mean, mean, mean

    def base(self, y: Any, n: Any) -> Any:
        total = n * y
        return total * jnp.log(n) - gammaln(total + 1.0)

    def link(self, mean: Any) -> Any:
        return jnp.log(mean + 0.01)

    def draw(self, params: Params, key: Array, x: Any) -> Array:
        """A response given the covariates of x."""
        n, mean = self.count(x), self.mean(params, x)
        return jax.random.poisson(key, n * mean).astype(mean.dtype) / n


@dataclass(frozen=True)
class BernoulliRegression(LinkedRegression):
    """Logistic regression of 0 and 1: logit of the probability of 1 = `coefficients` (p,) . (1, covariates) + offset.
    With `weights`, the response is the share of ones among that many trials.

    >>> BernoulliRegression("passed", "hours").columns
    ('passed', 'hours')
    """

    discrete = True

    def levels_of(self, column: Any) -> tuple[Any, ...] | None:
        return () if column == self.response and self.weights is None else None

    def check(self, y: np.ndarray, n: np.ndarray) -> None:
        advice = "use another family for other numbers"
        if self.weights is None:
            checks.refuse("BernoulliRegression", y, (y != 0) & (y != 1), "0 or 1", advice)
        wrong = (y < 0) | (y > 1) | (whole(y, n) != np.round(whole(y, n)))
        checks.refuse("BernoulliRegression", y, wrong, "a share of the trials in `weights`", advice)

    def cumulant(self, eta: Any) -> tuple[Any, Any, Any]:
        p = sigmoid(eta)
        return -log_sigmoid(-eta), p, p * (1 - p)

    def base(self, y: Any, n: Any) -> Any:
        return gammaln(n + 1) - gammaln(n * y + 1) - gammaln(n * (1 - y) + 1)

    def link(self, mean: Any) -> Any:
        inside = jnp.clip(mean, 0.01, 0.99)
        return jnp.log(inside / (1 - inside))

    def draw(self, params: Params, key: Array, x: Any) -> Array:
        """A response given the covariates of x."""
        n, mean = self.count(x), self.mean(params, x)
        return jax.random.binomial(key, n, mean, dtype=mean.dtype) / n


def whole(y: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Totals of means of n, on whole numbers where they miss them by rounding."""
    total = y * n
    return np.where(np.abs(total - np.round(total)) < 1e-9 * (1 + np.abs(total)), np.round(total), total)
