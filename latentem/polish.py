"""Newton on the observed-data objective after EM: from a few digits to all of them in a few steps."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from latentem import derivatives
from latentem.forms import Form, Prepared
from latentem.newton import newton_ascent


class Polished(NamedTuple):
    """What a polish returns.

    Args:
        params: the params reached.
        objective: log-likelihood + log prior there.
        decrement: predicted gain of one more Newton step.
        curvature: smallest eigenvalue of the information at the last step.
        gradient: largest absolute entry of the gradient in u there.
        iterations: Newton steps.
        evaluations: evaluations of the objective.
    """

    params: Any
    objective: Float[Array, ""]
    decrement: Float[Array, ""]
    curvature: Float[Array, ""]
    largest_curvature: Float[Array, ""]
    gradient: Float[Array, ""]
    iterations: Array
    evaluations: Array


@partial(jax.jit, static_argnames=("form", "iterations"))
def polish(form: Form, params: Any, prepared: Prepared, *, iterations: int = 30) -> Polished:
    """Damped Newton on the objective, to rounding level; a saddle is left along its direction of ascent."""
    space = form.model.space
    value = partial(derivatives.objective, form, prepared)
    gradient = partial(derivatives.score, form, prepared)
    hessian = partial(derivatives.hessian, form, prepared)

    def climb(u: Float[Array, " P"]) -> Any:
        return newton_ascent(value, gradient, hessian, u, iterations=iterations, tolerance=1e-17)

    start = space.unconstrain(params)
    state = climb(start)
    information, vectors = jnp.linalg.eigh(-hessian(state.u))
    u = state.u
    largest = jnp.max(jnp.abs(information))

    # Where the information is negative along a direction the point is a saddle: EM can stop there, a maximum cannot.
    is_saddle = information[0] < -1e-8 * largest
    lengths = jnp.asarray([1.0, -1.0, 0.3, -0.3, 0.1, -0.1, 0.01, -0.01], dtype=u.dtype)

    def leave(u: Float[Array, " P"]) -> Any:
        values = jax.lax.map(lambda t: value(u + t * vectors[:, 0]), lengths)
        best = jnp.argmax(jnp.where(jnp.isfinite(values), values, -jnp.inf))
        again = climb(u + lengths[best] * vectors[:, 0])
        better = again.value > state.value
        return jax.tree.map(lambda a, b: jnp.where(better, a, b), again, state)

    state = jax.lax.cond(is_saddle, leave, lambda _: state, u)
    information = jax.lax.cond(
        is_saddle, lambda v: jnp.linalg.eigvalsh(-hessian(v)), lambda _: information, state.u
    )
    return Polished(
        space.with_fixed(space.constrain(state.u)),
        state.value,
        state.decrement,
        information[0],
        information[-1],
        jnp.max(jnp.abs(gradient(state.u)), initial=0.0),
        state.iterations,
        state.evaluations,
    )
