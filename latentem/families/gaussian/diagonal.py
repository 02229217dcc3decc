"""Gaussians whose entries are independent: one variance per dimension, or one for all (spherical).

The statistics are [1, y, y^2] with y = (x - centre) / scale, or [1, m, m y, m y^2] where entries may be
missing (m is 1 for an observed entry); a spherical Gaussian needs only the sum of the squares and has one
scale for all dimensions.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from latentem import priors
from latentem.families.base import Params, inside_positive, keep_empty, like, occupied, ratio
from latentem.families.gaussian.location_scatter import floor_of, smallest
from latentem.families.restrictions import Restrictions

LOG_TWO_PI = 1.8378770664093453


def width(dim: int, spherical: bool, missing: bool) -> int:
    """Number of statistics."""
    return 1 + dim + (1 if spherical else dim) + (dim if missing else 0)


def log_prob(params: Params, x: Float[Array, " D"]) -> Float[Array, ""]:
    """Log density of the observed entries of x."""
    seen = ~jnp.isnan(x)
    error = jnp.where(seen, x, 0) - jnp.where(seen, params["mean"], 0)
    variance = jnp.broadcast_to(params["variance"], x.shape)
    terms = LOG_TWO_PI + jnp.log(variance) + error**2 / variance
    return -0.5 * jnp.sum(jnp.where(seen, terms, 0))


def features(
    x: Float[Array, " D"], context: tuple[Array, Array, Array], spherical: bool, missing: bool
) -> Float[Array, " S"]:
    """The statistics of one observation."""
    centre, scale, _ = context
    one = jnp.ones(1, x.dtype)
    if not missing:
        y = (x - centre) / scale
        square = y * y
        return jnp.concatenate([one, y, jnp.sum(square, keepdims=True) if spherical else square])
    seen = ~jnp.isnan(x)
    y = jnp.where(seen, (jnp.where(seen, x, 0) - centre) / scale, 0)
    square = y * y
    return jnp.concatenate([one, seen.astype(x.dtype), y, jnp.sum(square, keepdims=True) if spherical else square])


def natural(params: Params, context: tuple[Array, Array, Array], spherical: bool, missing: bool) -> Float[Array, " S"]:
    """The coordinates dual to `features`."""
    centre, scale, _ = context
    mean = (params["mean"] - centre) / scale
    variance = params["variance"] / scale**2
    precision = 1 / variance
    constant = -0.5 * (LOG_TWO_PI + jnp.log(variance) + mean**2 * precision) - jnp.log(scale)
    linear = mean * precision
    quadratic = -0.5 * (precision[:1] if spherical else precision)
    if missing:
        return jnp.concatenate([jnp.zeros(1, linear.dtype), constant, linear, quadratic])
    return jnp.concatenate([jnp.sum(constant, keepdims=True), linear, quadratic])


class Moments(NamedTuple):
    """Weighted sums of K components.

    Args:
        count: observations per component.
        seen: observed entries of each dimension.
        first: sums of y.
        second: sums of y^2; of a spherical Gaussian (K,), over all dimensions.
    """

    count: Float[Array, " K"]
    seen: Float[Array, "K D"]
    first: Float[Array, "K D"]
    second: Float[Array, "K ..."]


def moments(expected: Float[Array, "K S"], dim: int, spherical: bool, missing: bool) -> Moments:
    """Expected statistics, taken apart."""
    count, rest = expected[:, 0], expected[:, 1:]
    seen = rest[:, :dim] if missing else jnp.broadcast_to(count[:, None], (count.size, dim))
    rest = rest[:, dim:] if missing else rest
    return Moments(count, seen, rest[:, :dim], rest[:, dim] if spherical else rest[:, dim:])


def maximize(moments: Moments, params: Params, context: tuple[Array, Array, Array], given: Restrictions) -> Params:
    """Means and variances of K components, the mode under an inverse gamma prior of the variances."""
    centre, scale, grain = context
    count, seen, first, second = moments
    spherical = second.ndim == 1
    average = ratio(first, seen)
    prior = given.belief("variance", priors.InverseGamma)

    if given.held("mean"):
        mean = params["mean"]
    elif given.common("mean"):
        spread = params["variance"] / scale**2 if not spherical else params["variance"][..., None]
        precision = jnp.broadcast_to(1 / spread, seen.shape if not spherical else (*count.shape, 1))
        total = jnp.sum(seen * precision, axis=0)
        pooled = ratio(jnp.sum(first * precision, axis=0), total)
        mean = jnp.where(total > 0, centre + scale * pooled, params["mean"])
    else:
        mean = keep_empty(count, centre + scale * average, params["mean"])
        # a dimension that no observation of the component has
        mean = jnp.where(seen > 0, mean, params["mean"])

    # a free mean IS the average: recomputing the difference would only add its rounding
    moved = given.alike("mean")
    miss = seen * (average - (mean - centre) / scale) ** 2 if moved else jnp.zeros_like(seen)
    if spherical:
        scatter = second - jnp.sum(seen * average**2, axis=-1) + jnp.sum(miss, axis=-1)
        size, unit = jnp.sum(seen, axis=-1), scale[0] ** 2
    else:
        scatter = second - seen * average**2 + miss
        size, unit = seen, scale**2
    used = occupied(count).reshape(count.shape + (1,) * (scatter.ndim - 1))
    if given.common("variance"):
        scatter, size = jnp.sum(jnp.where(used, scatter, 0), 0), jnp.sum(jnp.where(used, size, 0), 0)
        used = size > 0
    divisor = size
    if prior is not None:
        scatter = scatter + 2 * like(prior.scale, scatter) / unit
        divisor = size + 2 * (like(prior.shape, scatter) + 1)
    least = smallest(scatter.dtype) * floor_of(average, grain) ** 2
    if spherical:
        least = jnp.max(least, axis=-1)
    if given.common("variance"):
        least = jnp.max(least, axis=0)
    variance = jnp.maximum(ratio(scatter, divisor), least) * unit
    variance = jnp.where(used & (size > 0), inside_positive(variance), params["variance"])
    return {"mean": mean, "variance": variance}
