"""Damped Newton ascent on a smooth function of a free vector, safe where the function is not concave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

#: Largest change of any free coordinate in one step: a factor of about 50 for a positive parameter.
LONGEST_STEP = 4.0


class NewtonState(NamedTuple):
    """What Newton carries: the point, its value, the Newton decrement (predicted gain of a full step) and the Hessian
    at the point before the last step, counts; whether no step was found, whether the gradient at the start is not
    finite."""

    u: Float[Array, " P"]
    value: Float[Array, ""]
    decrement: Float[Array, ""]
    hessian: Float[Array, "P P"]
    iterations: Array
    evaluations: Array
    stuck: Array
    lost: Array


def ascent_direction(
    gradient: Float[Array, " P"], hessian: Float[Array, "P P"], xp: Any = jnp
) -> tuple[Float[Array, " P"], Float[Array, ""]]:
    """(direction, predicted gain): Newton with the eigenvalues of -hessian replaced
    by their absolute values, so that it ascends also where the function is not concave (Nocedal and Wright 2006, 3.4).

    Eigenvalues at rounding level are raised to a floor: along a direction in which the function is flat (a rotation of
    factors), the gradient is rounding too, and its quotient by another rounding would be a step of any length.
    `xp` is the array library, jax.numpy or NumPy.
    """
    curvature, vectors = xp.linalg.eigh(-0.5 * (hessian + hessian.T))
    eps = xp.finfo(gradient.dtype).eps
    floor = xp.maximum(xp.max(xp.abs(curvature), initial=0.0) * eps ** (2 / 3), xp.finfo(gradient.dtype).tiny)
    rotated = vectors.T @ gradient
    step = rotated / xp.maximum(xp.abs(curvature), floor)
    return vectors @ step, 0.5 * rotated @ step


def newton_ascent(
    value: Callable[[Float[Array, " P"]], Float[Array, ""]],
    slopes: Callable[[Float[Array, " P"]], tuple[Float[Array, " P"], Float[Array, "P P"]]],
    start: Float[Array, " P"],
    *,
    iterations: int,
    tolerance: float,
    halvings: int = 30,
    reach: Float[Array, " P"] | None = None,
) -> NewtonState:
    """Ascend from `start`; `slopes` gives (gradient, Hessian). Each step is halved until the value does not fall, and
    no step is taken that lowers it.

    Stops when the Newton decrement falls below `tolerance * (1 + |value|)`, when no step length gains, or after
    `iterations`. The last step is still taken when its decrement is below the tolerance: it costs nothing more and
    brings the gradient to rounding level. `reach` lets single coordinates move so many times farther in a step than
    others, relative to 1 + their size.
    """
    eps = jnp.finfo(start.dtype).eps

    def search(
        u: Float[Array, " P"], old: Float[Array, ""], direction: Float[Array, " P"], first: Array
    ) -> tuple[Array, Float[Array, " P"], Float[Array, ""], Float[Array, ""], Array]:
        """(whether a step was found, the point after it, value there, value before it, evaluations)."""
        long = direction if reach is None else direction / (1 + reach * jnp.abs(u))
        scale = jnp.minimum(1.0, LONGEST_STEP / jnp.maximum(jnp.max(jnp.abs(long), initial=0.0), 1e-30))

        def lower(before: Array, now: Array) -> Array:
            # Rounding of the value hides gains below it; there a full step is judged by the decrement alone.
            return ~(now >= before - 4 * eps * (1 + jnp.abs(before)))

        def body(c: tuple[Array, Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array, Array]:
            length, _, _, before, count = c
            length = jnp.where(count < 0, 0.0, jnp.where(count == 0, scale, 0.5 * length))
            new = u + length * direction
            now = value(new).astype(start.dtype)
            return length, new, now, jnp.where(count < 0, now, before), count + 1

        def again(c: tuple[Array, Array, Array, Array, Array]) -> Array:
            _, _, now, before, count = c
            halve = jnp.isfinite(before) & lower(before, now) & (count <= halvings)
            return (count < 0) | ((count == 0) & jnp.isfinite(before)) | halve

        # The value at the start is that of a step of length 0: what is maximised is compiled once, not twice.
        begin = jnp.where(first, -1, 0).astype(jnp.int32)
        _, new, now, before, count = lax.while_loop(again, body, (scale, u, old, old, begin))
        good = jnp.isfinite(before) & ~lower(before, now)
        return good, jnp.where(good, new, u), jnp.where(good, now, before), before, count - begin

    def body(s: NewtonState) -> NewtonState:
        first = s.evaluations == 0
        g, h = slopes(s.u)
        lost = jnp.where(first, ~jnp.all(jnp.isfinite(g)), s.lost)
        direction, gain = ascent_direction(g, h)
        direction = jnp.where(jnp.all(jnp.isfinite(direction)), direction, 0.0)
        good, new, now, before, count = search(s.u, s.value, direction, first)
        return NewtonState(
            new,
            now,
            gain,
            h,
            s.iterations + jnp.isfinite(before),
            s.evaluations + count,
            ~good | ~jnp.isfinite(gain),
            lost,
        )

    def proceed(s: NewtonState) -> Array:
        small = s.decrement <= tolerance * (1 + jnp.abs(s.value))
        return (s.iterations < iterations) & ~small & ~s.stuck

    zero, no = jnp.zeros((), jnp.int32), jnp.zeros((), bool)
    infinite = jnp.full((), jnp.inf, start.dtype)
    unknown = jnp.zeros((start.size, start.size), start.dtype)
    state = NewtonState(start, jnp.zeros((), start.dtype), infinite, unknown, zero, zero, no, no)
    return lax.while_loop(proceed, body, state)
