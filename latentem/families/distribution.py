"""Distribution functions of families of one number, and their inverses by bisection."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

#: Halvings of a bracket: 2^-100 of it is below the rounding of any number in it.
HALVINGS = 100
#: Doublings of a bracket that does not hold the quantile yet.
DOUBLINGS = 60


def invert(family: Any, params: Any, p: Any) -> Float[Array, ""]:
    """The least x of a family with cdf(x) >= p; the ends of its support at 0 and 1."""
    p = jnp.asarray(p, jnp.result_type(float, *(jnp.asarray(a).dtype for a in jax.tree.leaves(params))))
    low, high = family.support
    inner = jnp.clip(p, jnp.finfo(p.dtype).tiny, 1 - jnp.finfo(p.dtype).epsneg)
    found = _whole(family, params, inner) if family.discrete else _continuous(family, params, inner)
    return jnp.where(p <= 0, low, jnp.where(p >= 1, high, found)).astype(p.dtype)


def _continuous(family: Any, params: Any, p: Array) -> Array:
    low, high = family.support

    def at(t: Array) -> Array:
        if high < jnp.inf and low > -jnp.inf:
            return low + (high - low) * t
        return t if low == -jnp.inf else low + jnp.exp(t)

    def below(t: Array) -> Array:
        return family.cdf(params, at(t)) < p

    if high < jnp.inf and low > -jnp.inf:
        bottom, top = jnp.zeros_like(p), jnp.ones_like(p)
    else:
        one = jnp.ones_like(p)
        limit = 1e30 if low == -jnp.inf else jnp.log(jnp.finfo(p.dtype).max) - 1
        top = jax.lax.while_loop(lambda t: below(t) & (t < limit), lambda t: jnp.minimum(2 * t, limit), one)
        bottom = jax.lax.while_loop(lambda t: ~below(t) & (t > -limit), lambda t: jnp.maximum(2 * t, -limit), -one)

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        bottom, top = ends
        middle = 0.5 * (bottom + top)
        left = below(middle)
        return jnp.where(left, middle, bottom), jnp.where(left, top, middle)

    return at(jax.lax.fori_loop(0, HALVINGS, halve, (bottom, top))[1])


def _whole(family: Any, params: Any, p: Array) -> Array:
    low, high = family.support
    # cdf is a sum: a p that was computed from it may lie a rounding above
    p = p * (1 - 8 * jnp.finfo(p.dtype).eps)

    def enough(x: Array) -> Array:
        return family.cdf(params, x) >= p

    start = jnp.asarray(low, p.dtype)
    top = jnp.asarray(high, p.dtype) if high < jnp.inf else None
    if top is None:
        width = jax.lax.while_loop(lambda w: ~enough(start + w) & (w < 2.0**DOUBLINGS), lambda w: 2 * w, start + 1)
        top = start + width

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        bottom, top = ends
        middle = jnp.floor(0.5 * (bottom + top))
        reached = enough(middle)
        return jnp.where(reached, bottom, middle), jnp.where(reached, middle, top)

    return jax.lax.fori_loop(0, DOUBLINGS + 4, halve, (start - 1, top))[1]


def log_mass(family: Any, params: Any, lower: Any, upper: Any) -> Float[Array, ""]:
    """log P(lower < x <= upper), by whichever tail loses fewer digits; an end may be infinite."""

    def upto(x: Any) -> tuple[Array, Array]:
        """(P(at most x), P(more than x)), with a finite number in place of an infinite one, whose derivative is NaN."""
        x = jnp.asarray(x, jnp.result_type(float))
        finite = jnp.isfinite(x)
        inside = jnp.where(finite, x, jnp.asarray(family.inside, x.dtype))
        at_end = jnp.where(x > 0, 1.0, 0.0)
        below, above = family.cdf(params, inside), family.survival(params, inside)
        return jnp.where(finite, below, at_end), jnp.where(finite, above, 1 - at_end)

    (below, above), (until, beyond) = upto(lower), upto(upper)
    mass = jnp.where(below > 0.5, above - beyond, until - below)
    return jnp.log(jnp.maximum(mass, jnp.finfo(mass.dtype).tiny))
