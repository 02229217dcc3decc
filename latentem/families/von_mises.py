"""Directions: the von Mises distribution on the circle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import i0e, i1e
from jaxtyping import Array, Float

from latentem.constraints import positive, real
from latentem.families import checks
from latentem.families.base import Family, Params, floating, masked, maximize_one, occupied, ratio
from latentem.families.gaussian.diagonal import LOG_TWO_PI
from latentem.families.restrictions import Restrictions

CONCENTRATIONS = (1e-8, 1e8)
NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(96)


def solve_bessel_ratio(length: Float[Array, "*K"]) -> Float[Array, "*K"]:
    """The concentration whose mean resultant length I1 / I0 is `length`, between 1e-8 and 1e8."""
    low, high = CONCENTRATIONS
    length = jnp.clip(length, 0, 1 - 4 * jnp.finfo(jnp.asarray(length).dtype).eps)

    def slope(k: Float[Array, "*K"], value: Float[Array, "*K"]) -> Float[Array, "*K"]:
        # the direct formula is a difference of nearly equal numbers when k is large, and 0 / 0 when it is
        # small
        inverse = 1 / jnp.maximum(k, 1)
        series = inverse**2 * (0.5 + inverse * (0.25 + 0.375 * inverse))
        direct = 1 - value / jnp.maximum(k, 1e-3) - value**2
        return jnp.where(k > 100, series, jnp.where(k < 1e-3, 0.5, direct))

    def step(_: int, k: Float[Array, "*K"]) -> Float[Array, "*K"]:
        value = i1e(k) / i0e(k)
        # the ratio is concave: from below a step may shoot over, never beyond twice
        return jnp.clip(k - (value - length) / slope(k, value), 0.5 * k, 2 * k + low)

    start = length * (2 - length**2) / (1 - length**2)
    return jnp.clip(jax.lax.fori_loop(0, 12, step, start), low, high)


@dataclass(frozen=True)
class VonMises(Family):
    """Von Mises distribution of an angle in radians: `mean` () direction and `concentration` ().

    Angles count modulo 2 pi. The concentration stays between 1e-8 (no direction) and 1e8.
    Source: Mardia & Jupp, Directional Statistics (2000).

    >>> sorted(VonMises().constraints())
    ['concentration', 'mean']
    """

    support: ClassVar[tuple[float, float]] = (-np.pi, np.pi)

    def declare(self, x: Any) -> tuple[VonMises, np.ndarray]:
        return self, checks.finite("VonMises", checks.column("VonMises", x))

    def constraints(self) -> Params:
        return {"mean": real(), "concentration": positive()}

    @property
    def separable(self) -> bool:
        return True

    @property
    def width(self) -> int:
        return 3

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        x = floating(x)
        valid = jnp.isfinite(x)
        angle = jnp.where(valid, x, 0) - params["mean"]
        k = params["concentration"]
        # cos(angle) - 1 without cancellation
        return masked(valid, -2 * k * jnp.sin(angle / 2) ** 2 - LOG_TWO_PI - jnp.log(i0e(k)))

    def cdf(self, params: Params, x: Any) -> Float[Array, ""]:
        """P(angle from -pi to x), angles between -pi and pi."""
        mean = floating(params["mean"])
        mean = mean - 2 * jnp.pi * jnp.round(mean / (2 * jnp.pi))
        x = jnp.clip(floating(x), -jnp.pi, jnp.pi)
        return self._from_mean(params, x - mean) - self._from_mean(params, -jnp.pi - mean)

    def _from_mean(self, params: Params, angle: Array) -> Array:
        """The integral of the density from the mean on, counted beyond pi by full turns."""
        k = floating(params["concentration"])
        turns = jnp.round(angle / (2 * jnp.pi))
        rest = angle - 2 * jnp.pi * turns
        # beyond twelve deviations there is nothing left
        end = jnp.sign(rest) * jnp.minimum(jnp.abs(rest), 12 / jnp.sqrt(k))
        at = 0.5 * end * (1 + jnp.asarray(NODES, k.dtype))
        density = jnp.exp(-2 * k * jnp.sin(at / 2) ** 2 - LOG_TWO_PI - jnp.log(i0e(k)))
        return turns + 0.5 * end * jnp.sum(jnp.asarray(NODE_WEIGHTS, k.dtype) * density)

    def mean(self, params: Params, x: Any = None) -> Float[Array, ""]:
        """The mean direction."""
        return params["mean"]

    def sample(self, params: Params, key: Array) -> Array:
        """One angle between -pi and pi, by the rejection method of Best & Fisher (1979)."""
        mean, k = floating(params["mean"]), floating(params["concentration"])
        # r - 1 without cancellation for a small concentration
        root = jnp.sqrt(1 + 4 * k**2)
        tau = 1 + root
        rho = (tau - jnp.sqrt(2 * tau)) / (2 * jnp.maximum(k, 1e-4))
        r = jnp.where(k > 1e-4, (1 + rho**2) / (2 * rho), 1 / jnp.maximum(k, 1e-8))

        def propose(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            key, _, _ = state
            key, first, second = jax.random.split(key, 3)
            u = jax.random.uniform(first, (), k.dtype, minval=-1.0, maxval=1.0)
            z = jnp.cos(jnp.pi * u)
            cosine = (1 + r * z) / (r + z)
            c = k * (r - cosine)
            level = jax.random.uniform(second, (), k.dtype)
            accepted = (c * (2 - c) > level) | (jnp.log(c / level) + 1 >= c)
            return key, jnp.sign(u) * jnp.arccos(jnp.clip(cosine, -1, 1)), accepted

        start = (key, jnp.zeros((), k.dtype), jnp.asarray(False))
        _, angle, _ = jax.lax.while_loop(lambda state: ~state[2], propose, start)
        angle = mean + angle
        return jnp.arctan2(jnp.sin(angle), jnp.cos(angle))

    def features(self, x: Any, context: Any) -> Float[Array, " S"]:
        x = floating(x)
        return jnp.stack([jnp.ones_like(x), jnp.cos(x), jnp.sin(x)])

    def natural(self, params: Params, context: Any) -> Float[Array, " S"]:
        mean, k = params["mean"], params["concentration"]
        return jnp.stack([-LOG_TWO_PI - jnp.log(i0e(k)) - k, k * jnp.cos(mean), k * jnp.sin(mean)])

    def is_closed(self, given: Restrictions) -> bool:
        # a common direction is weighted by concentrations that must not themselves depend on it
        alike = not given.common("mean") or given.held("mean") or given.alike("concentration")
        return alike and not given.prior

    def m_step(self, expected: Float[Array, "K S"], params: Params, context: Any, given: Restrictions) -> Params:
        used = occupied(expected[:, 0])
        count, cosines, sines = jnp.where(used[:, None], expected, 0).T
        mean, k = params["mean"], params["concentration"]
        if given.free("mean"):
            common = given.common("mean")
            across = jnp.sum(k * cosines) if common else cosines
            along = jnp.sum(k * sines) if common else sines
            directed = (across != 0) | (along != 0)
            new = jnp.arctan2(jnp.where(directed, along, 0), jnp.where(directed, across, 1))
            mean = jnp.where((jnp.any(used) if common else used) & directed, new, mean)
        if given.free("concentration"):
            total = cosines * jnp.cos(mean) + sines * jnp.sin(mean)
            common = given.common("concentration")
            if common:
                total, count = jnp.sum(total), jnp.sum(count)
            k = jnp.where(jnp.any(used) if common else used, solve_bessel_ratio(ratio(total, count)), k)
        return {"mean": mean, "concentration": k}

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        return maximize_one(self, x, weights, context)
