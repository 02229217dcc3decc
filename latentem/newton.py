"""Damped Newton ascent on a smooth function of a free vector, safe where the function is not concave."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

#: Largest change of any free coordinate in one step: a factor of about 50 for a positive parameter.
LONGEST_STEP = 4.0


class NewtonState(NamedTuple):
    """What Newton carries: the point, its value, the Newton decrement (predicted gain of a full step) and the Hessian
    at the point before the last step, counts."""

    u: Float[Array, " P"]
    value: Float[Array, ""]
    decrement: Float[Array, ""]
    hessian: Float[Array, "P P"]
    iterations: Array
    evaluations: Array
    stuck: Array


def ascent_direction(
    gradient: Float[Array, " P"], hessian: Float[Array, "P P"]
) -> tuple[Float[Array, " P"], Float[Array, ""]]:
    """(direction, predicted gain): Newton with the eigenvalues of -hessian replaced
    by their absolute values, so that it ascends also where the function is not concave (Nocedal and Wright 2006, 3.4).

    Eigenvalues at rounding level are raised to a floor: along a direction in which the function is flat (a rotation of
    factors), the gradient is rounding too, and its quotient by another rounding would be a step of any length.
    """
    curvature, vectors = jnp.linalg.eigh(-0.5 * (hessian + hessian.T))
    eps = jnp.finfo(gradient.dtype).eps
    floor = jnp.maximum(jnp.max(jnp.abs(curvature)) * eps ** (2 / 3), jnp.finfo(gradient.dtype).tiny)
    rotated = vectors.T @ gradient
    step = rotated / jnp.maximum(jnp.abs(curvature), floor)
    return vectors @ step, 0.5 * rotated @ step


def newton_ascent(
    value: Callable[[Float[Array, " P"]], Float[Array, ""]],
    slopes: Callable[[Float[Array, " P"]], tuple[Float[Array, " P"], Float[Array, "P P"]]],
    start: Float[Array, " P"],
    *,
    iterations: int,
    tolerance: float,
    halvings: int = 30,
) -> NewtonState:
    """Ascend from `start`; `slopes` gives (gradient, Hessian). Each step is halved until the value does not fall, and
    no step is taken that lowers it.

    Stops when the Newton decrement falls below `tolerance * (1 + |value|)`, when no step length gains, or after
    `iterations`. The last step is still taken when its decrement is below the tolerance: it costs nothing more and
    brings the gradient to rounding level.
    """
    eps = jnp.finfo(start.dtype).eps

    def search(
        u: Float[Array, " P"], old: Float[Array, ""], direction: Float[Array, " P"], slack: Float[Array, ""]
    ) -> tuple[Array, Float[Array, " P"], Float[Array, ""], Array]:
        scale = jnp.minimum(1.0, LONGEST_STEP / jnp.maximum(jnp.max(jnp.abs(direction), initial=0.0), 1e-30))

        def body(c: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
            length, _, _, count = c
            length = jnp.where(count == 0, length, 0.5 * length)
            new = u + length * direction
            return length, new, value(new), count + 1

        def again(c: tuple[Array, Array, Array, Array]) -> Array:
            return (c[3] == 0) | (~(c[2] >= old - slack) & (c[3] <= halvings))

        _, new, at_new, count = lax.while_loop(again, body, (scale, u, old - jnp.inf, jnp.zeros((), jnp.int32)))
        good = at_new >= old - slack
        return good, jnp.where(good, new, u), jnp.where(good, at_new, old), count

    def body(s: NewtonState) -> NewtonState:
        g, h = slopes(s.u)
        direction, gain = ascent_direction(g, h)
        direction = jnp.where(jnp.all(jnp.isfinite(direction)), direction, 0.0)
        # Rounding of the value hides gains below it; there a full step is judged by the decrement alone.
        slack = 4 * eps * (1 + jnp.abs(s.value))
        good, new, at_new, count = search(s.u, s.value, direction, slack)
        return NewtonState(new, at_new, gain, h, s.iterations + 1, s.evaluations + count, ~good | ~jnp.isfinite(gain))

    def proceed(s: NewtonState) -> Array:
        small = s.decrement <= tolerance * (1 + jnp.abs(s.value))
        return (s.iterations < iterations) & ~small & ~s.stuck

    zero = jnp.zeros((), jnp.int32)
    at_start = value(start)
    infinite = jnp.full_like(at_start, jnp.inf)
    unknown = jnp.zeros((start.size, start.size), start.dtype)
    state = NewtonState(start, at_start, infinite, unknown, zero, zero + 1, ~jnp.isfinite(at_start))
    return lax.while_loop(proceed, body, state)
