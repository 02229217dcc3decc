"""Centre, scale and grain of the data, by their observed entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from latentem.families.base import ratio
from latentem.numerics.chunks import chunked_sum

#: Rows that are summed at a time: no second copy of long data is made.
ROWS = 1 << 16
#: Rows that grain is measured on, levels of their quantiles, and how many of these the windows hold.
GRAINED, LEVELS, WINDOWS = 2048, 256, (4, 16, 64)
#: Grain from which a column counts as one cluster.
COARSE = 0.2
#: Width of a window of a normal sample, in standard deviations, over the part of the sample that it holds; a median.
NORMAL = 3.1467


def grain(
    x: Float[Array, "N D"], weights: Float[Array, " N"], centre: Float[Array, " D"], scale: Float[Array, " D"]
) -> Float[Array, " D"]:
    """How fine each column is, relative to its scale, 1 for one cluster: a spread that rows far away do not lift.

    The median width of windows that hold a 64th of the sample (or a 16th, or a quarter, where equal numbers leave
    nothing of it), in units of the width that a normal sample has: the spread within clusters for clusters far apart.
    """
    stride = max(1, x.shape[0] // GRAINED)
    x, weights = x[::stride], weights[::stride]
    observed = jnp.isfinite(x) & (weights[:, None] > 0)
    y = jnp.where(observed, (x - centre) / scale, jnp.inf)
    order = jnp.argsort(y, axis=0)
    ordered = jnp.take_along_axis(y, order, axis=0)
    mass = jnp.cumsum(jnp.take_along_axis(jnp.where(observed, weights[:, None], 0), order, axis=0), axis=0)
    level = (jnp.arange(LEVELS, dtype=y.dtype)[:, None] + 0.5) / LEVELS * mass[-1]
    row = jax.vmap(jnp.searchsorted, in_axes=1, out_axes=1)(mass, level)
    quantile = jnp.take_along_axis(ordered, jnp.minimum(row, x.shape[0] - 1), axis=0)
    found = jnp.ones_like(scale)
    for window in reversed(WINDOWS):
        width = jnp.median(quantile[window:] - quantile[:-window], axis=0) * LEVELS / (window * NORMAL)
        found = jnp.where((width > 1e-9) & jnp.isfinite(width), width, found)
    return jnp.where(found > COARSE, 1.0, found).astype(y.dtype)


def mean_and_deviation(
    x: Float[Array, "N D"], weights: Float[Array, " N"]
) -> tuple[Float[Array, " D"], Float[Array, " D"]]:
    """Weighted mean and standard deviation of each column; a constant column has scale 1."""

    def total(value: Callable[[Array], Any]) -> Float[Array, " D"]:
        def part(x: Float[Array, "n D"], weights: Float[Array, " n"]) -> Float[Array, " D"]:
            observed = jnp.isfinite(x) & (weights[:, None] > 0)
            return jnp.sum(jnp.where(observed, weights[:, None] * value(x), 0), axis=0)

        return chunked_sum(part, x, weights, ROWS)

    observed = jnp.isfinite(x) & (weights[:, None] > 0)
    mass = total(lambda x: 1.0)
    # a first observed value takes the size of the numbers out of the sums
    start = jnp.take_along_axis(x, jnp.argmax(observed, axis=0)[None], axis=0)[0]
    start = jnp.where(jnp.any(observed, axis=0), start, 0)
    centre = start + ratio(total(lambda x: x - start), mass)
    spread = jnp.sqrt(ratio(total(lambda x: (x - centre) ** 2), mass))
    tiny = 4 * jnp.finfo(x.dtype).eps * jnp.abs(centre)
    return centre, jnp.where(spread > tiny, spread, 1)


def median_and_quartiles(
    x: Float[Array, "N D"], weights: Float[Array, " N"]
) -> tuple[Float[Array, " D"], Float[Array, " D"]]:
    """Weighted median and normal-consistent interquartile range of each column; tails do not move them."""
    order = jnp.argsort(x, axis=0)
    ordered = jnp.take_along_axis(x, order, axis=0)
    mass = jnp.cumsum(weights[order], axis=0)

    def quantile(q: float) -> Float[Array, " D"]:
        # the least value with at least the part q of the weight at or below it
        row = jnp.argmax(mass >= q * mass[-1], axis=0)
        return jnp.take_along_axis(ordered, row[None], axis=0)[0]

    median = quantile(0.5)
    spread = (quantile(0.75) - quantile(0.25)) / 1.3489795003921634
    fallback = mean_and_deviation(x, weights)[1]
    return median, jnp.where(spread > 1e-6 * fallback, spread, fallback)
