"""Differences of gamma functions without cancellation, and the equations that gamma-like shapes solve.

Source: asymptotic series, DLMF 5.11; generalised Newton, T. Minka, "Estimating a Gamma distribution" (2002).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma, gammaln, polygamma
from jaxtyping import Array, Float

# From here on the series below are accurate to the last digits of float64.
LARGE = 16.0
SHAPES = (1e-8, 1e8)


def log_minus_digamma(a: Float[Array, "*K"]) -> Float[Array, "*K"]:
    """log(a) - digamma(a), accurate also where the two agree in most of their digits."""
    big = jnp.maximum(a, LARGE)
    q = 1 / big**2
    series = 0.5 / big + q * (1 / 12 - q * (1 / 120 - q * (1 / 252 - q * (1 / 240 - q / 132))))
    small = jnp.minimum(a, LARGE)
    return jnp.where(a > LARGE, series, jnp.log(small) - digamma(small))


def log_minus_digamma_slope(a: Float[Array, "*K"]) -> Float[Array, "*K"]:
    """Derivative of `log_minus_digamma`; negative."""
    big = jnp.maximum(a, LARGE)
    q = 1 / big**2
    series = -q * (0.5 + (1 / 6 - q * (1 / 30 - q * (1 / 42 - q * (1 / 30 - q * 5 / 66)))) / big)
    small = jnp.minimum(a, LARGE)
    return jnp.where(a > LARGE, series, 1 / small - polygamma(1, small))


def solve_log_minus_digamma(s: Float[Array, "*K"]) -> Float[Array, "*K"]:
    """The a with log(a) - digamma(a) = s, between 1e-8 and 1e8 (the upper end for s <= 0).

    The maximum-likelihood shape of a gamma distribution has s = log(mean x) - mean(log x).
    """
    low, high = SHAPES
    s = jnp.clip(s, 0.5 / high, 1 / low)
    start = (3 - s + jnp.sqrt((s - 3) ** 2 + 24 * s)) / (12 * s)

    def step(_: int, a: Float[Array, "*K"]) -> Float[Array, "*K"]:
        move = (log_minus_digamma(a) - s) / (a**2 * log_minus_digamma_slope(a))
        return jnp.clip(1 / jnp.maximum(1 / a + move, 1 / high), low, high)

    # the start is within 1.5%, and each step squares the error
    return jax.lax.fori_loop(0, 6, step, jnp.clip(start, low, high))


def inverse_digamma(value: Float[Array, "*K"]) -> Float[Array, "*K"]:
    """The a with digamma(a) = value, between 1e-8 and 1e8."""
    low, high = SHAPES
    exponential = jnp.exp(jnp.minimum(value, 20.0)) + 0.5
    start = jnp.where(value > -2.22, exponential, -1 / jnp.minimum(value + 0.5772156649015329, -0.1))

    def step(_: int, a: Float[Array, "*K"]) -> Float[Array, "*K"]:
        return jnp.clip(a - (digamma(a) - value) / polygamma(1, a), low, high)

    return jax.lax.fori_loop(0, 6, step, jnp.clip(start, low, high))


def log_gamma_ratio(z: Float[Array, "*K"], d: Float[Array, "*K"]) -> Float[Array, "*K"]:
    """log Gamma(z + d) - log Gamma(z) for d >= 0, accurate also when z is much larger than d."""
    big = jnp.maximum(z, LARGE)
    series = (big - 0.5) * jnp.log1p(d / big) + d * jnp.log(big + d) - d + _stirling(big + d) - _stirling(big)
    small = jnp.minimum(z, LARGE)
    return jnp.where(z > LARGE, series, gammaln(small + d) - gammaln(small))


def _stirling(z: Float[Array, "*K"]) -> Float[Array, "*K"]:
    """What Stirling's formula leaves out of log Gamma(z)."""
    q = 1 / z**2
    return (1 / 12 - q * (1 / 360 - q * (1 / 1260 - q * (1 / 1680 - q / 1188)))) / z
