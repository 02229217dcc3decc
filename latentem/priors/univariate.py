"""Densities of single numbers, entry by entry of a parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax.scipy.special import gammaln
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from latentem.priors.base import Prior, log_normal_density, log_power, total


@dataclass(frozen=True)
class Beta(Prior):
    """Beta density, proportional to x^(a - 1) (1 - x)^(b - 1) on [0, 1]; a and b positive.

    >>> round(float(Beta(2, 2).log_prob(0.5)), 4)  # log 1.5
    0.4055
    """

    a: Any
    b: Any

    def __post_init__(self) -> None:
        self._store(a="positive", b="positive")

    def log_prob(self, value: ArrayLike) -> Float[Array, ""]:
        x, a, b = self._spread(value)
        terms = log_power(x, a - 1) + log_power(1 - x, b - 1)
        return total(terms, (x >= 0) & (x <= 1), jnp.sum(gammaln(a + b) - gammaln(a) - gammaln(b)))


@dataclass(frozen=True)
class Gamma(Prior):
    """Gamma density, proportional to x^(shape - 1) exp(-rate x); shape and rate positive, mean shape / rate.

    >>> round(float(Gamma(1, 1).log_prob(3.0)), 4)
    -3.0
    """

    shape: Any
    rate: Any

    def __post_init__(self) -> None:
        self._store(shape="positive", rate="positive")

    def log_prob(self, value: ArrayLike) -> Float[Array, ""]:
        x, a, b = self._spread(value)
        return total(log_power(x, a - 1) - b * x, x >= 0, jnp.sum(a * jnp.log(b) - gammaln(a)))


@dataclass(frozen=True)
class InverseGamma(Prior):
    """Inverse gamma density, proportional to x^(-shape - 1) exp(-scale / x); shape and scale positive.

    >>> round(float(InverseGamma(1, 1).log_prob(1.0)), 4)
    -1.0
    """

    shape: Any
    scale: Any

    def __post_init__(self) -> None:
        self._store(shape="positive", scale="positive")

    def log_prob(self, value: ArrayLike) -> Float[Array, ""]:
        x, a, b = self._spread(value)
        inside = x > 0
        safe = jnp.where(inside, x, 1.0)
        return total(-(a + 1) * jnp.log(safe) - b / safe, inside, jnp.sum(a * jnp.log(b) - gammaln(a)))


@dataclass(frozen=True)
class Normal(Prior):
    """Normal density with the given mean and standard deviation; sd positive.

    >>> round(float(Normal(0, 1).log_prob(0.0)), 4)
    -0.9189
    """

    mean: Any
    sd: Any

    def __post_init__(self) -> None:
        self._store(mean="finite", sd="positive")

    def log_prob(self, value: ArrayLike) -> Float[Array, ""]:
        x, mean, sd = self._spread(value)
        inside = jnp.isfinite(x)
        return total(log_normal_density(jnp.where(inside, x, mean), mean, sd), inside, 0.0)


@dataclass(frozen=True)
class LogNormal(Prior):
    """Density of a positive number whose log is normal with that mean and standard deviation; sd positive.

    >>> round(float(LogNormal(0, 1).log_prob(1.0)), 4)
    -0.9189
    """

    mean: Any
    sd: Any

    def __post_init__(self) -> None:
        self._store(mean="finite", sd="positive")

    def log_prob(self, value: ArrayLike) -> Float[Array, ""]:
        x, mean, sd = self._spread(value)
        inside = (x > 0) & jnp.isfinite(x)
        logs = jnp.log(jnp.where(inside, x, 1.0))
        return total(log_normal_density(logs, mean, sd) - logs, inside, 0.0)
