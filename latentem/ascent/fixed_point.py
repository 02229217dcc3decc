"""Acceleration of a bare fixed point: any step from params to params, no model needed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from latentem.ascent.acceleration import SQUAREM, EMMap, Method
from latentem.ascent.loop import NON_FINITE, STATUS, LoopState, Stopping, at, iterate
from latentem.ascent.status import Status
from latentem.numerics.compiled import jit


class Accelerated(NamedTuple):
    """Where an accelerated fixed-point iteration ended.

    Args:
        params: pytree of NumPy arrays.
        objective: there; None without an objective.
        evaluations: how often `step` was evaluated.
        iterations: accelerated iterations.
        status: converged, max_iterations, decreased or non_finite.
    """

    params: Any
    objective: float | None
    evaluations: int
    iterations: int
    status: Status


def accelerate(
    step: Callable[[Any], Any],
    params: Any,
    objective: Callable[[Any], Any] | None = None,
    *,
    contains: Callable[[Any], Any] | None = None,
    method: Method | None = None,
    tolerance: float = 1e-8,
    max_iterations: int = 10_000,
    dtype: str = "float64",
) -> Accelerated:
    """The fixed point of `step`, sooner than by iterating it.

    Args:
        step: params -> params, one EM iteration or any other contraction, written with jax.numpy. It compiles once for
            each function, so define it once.
        params: pytree of numbers to start from.
        objective: params -> scalar that every plain step raises; an extrapolation that lowers it is taken back, and a
            plain step that does ends it. Without one, only what is not finite or outside `contains` is taken back.
        contains: params -> bool, which params `step` is defined for.
        method: `SQUAREM()` (default), `Anderson(window)` or `Plain()`.
        tolerance: converged when a plain step of the raveled params is shorter than this (Euclidean length).
        max_iterations: accelerated iterations.
        dtype: "float64" or "float32", of this computation only.

    Raises:
        ValueError: options out of range; a step that changes the shape of the params or is not finite at the start.

    >>> found = lem.accelerate(jnp.cos, 1.0)
    >>> round(float(found.params), 8), found.status.name
    (0.73908514, 'converged')
    """
    if dtype not in ("float64", "float32"):
        raise ValueError(f"dtype={dtype!r}: expected 'float64' or 'float32'")
    if not tolerance > 0 or max_iterations < 1:
        raise ValueError(
            f"tolerance={tolerance!r}, max_iterations={max_iterations!r}: expected a positive number and at least 1"
        )
    with jax.enable_x64(dtype == "float64"):
        start = jax.tree.map(lambda a: jnp.asarray(a, dtype=dtype), params)
        shapes = [a.shape for a in jax.tree.leaves(start)]
        after = jax.eval_shape(step, start)
        if jax.tree.structure(after) != jax.tree.structure(start) or shapes != [
            a.shape for a in jax.tree.leaves(after)
        ]:
            raise ValueError("step(params) does not have the structure and shapes of params: expected a fixed point")
        setup = (step, objective, contains, SQUAREM() if method is None else method)
        end, theta, value = _iterate(setup, start, jnp.asarray(tolerance, dtype), jnp.asarray(max_iterations))
        if int(end.iterations) == 1 and int(end.outcome) == NON_FINITE:
            raise ValueError("step or objective is not finite at the initial params: start where both are")
        return Accelerated(
            jax.tree.map(np.asarray, theta),
            None if objective is None else float(value),
            int(end.evaluations),
            int(end.iterations),
            STATUS[int(end.outcome)],
        )


@partial(jit, static_argnums=0)
def _iterate(setup: tuple[Any, ...], start: Any, tolerance: Array, limit: Array) -> tuple[LoopState, Any, Array]:
    step, objective, contains, method = setup
    theta, unravel = ravel_pytree(start)

    def value(params: Any) -> Float[Array, ""]:
        return jnp.zeros((), theta.dtype) if objective is None else jnp.asarray(objective(params), theta.dtype)

    def update(t: Float[Array, " D"]) -> tuple[Float[Array, " D"], Float[Array, ""]]:
        params = unravel(t)
        return ravel_pytree(step(params))[0].astype(t.dtype), value(params)

    def inside(t: Float[Array, " D"]) -> Array:
        return jnp.ones((), bool) if contains is None else jnp.asarray(contains(unravel(t)), bool)

    end = iterate(method, EMMap(update, inside), at(method, theta), Stopping(0.0, tolerance, limit), 1.0)
    params = unravel(end.safe)
    return end, params, value(params)
