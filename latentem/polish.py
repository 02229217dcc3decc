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
        u: the free vector reached.
        params: the params there.
        objective: log-likelihood + log prior there.
        curvature: eigenvalues of the information (minus the Hessian of the objective in u), ascending.
        flattest: eigenvector of the smallest one, (P,).
        gradient: largest absolute entry of the gradient in u.
        iterations: Newton steps.
        evaluations: evaluations of the objective.
    """

    u: Float[Array, " P"]
    params: Any
    objective: Float[Array, ""]
    curvature: Float[Array, " P"]
    flattest: Float[Array, " P"]
    gradient: Float[Array, ""]
    iterations: Array
    evaluations: Array

    @property
    def is_saddle(self) -> bool:
        """The information is negative along some direction: EM can stop there, a maximum cannot lie there."""
        return bool(self.curvature[0] < -1e-8 * abs(self.curvature[-1]))


@partial(jax.jit, static_argnames=("form", "iterations"))
def climb(form: Form, u: Float[Array, " P"], prepared: Prepared, *, iterations: int = 30) -> Polished:
    """Damped Newton on the objective from u, to rounding level."""
    space = form.model.space
    gradient = partial(derivatives.score, form, prepared)
    state = newton_ascent(
        partial(derivatives.objective, form, prepared),
        gradient,
        partial(derivatives.hessian, form, prepared),
        u,
        iterations=iterations,
        tolerance=1e-17,
    )
    curvature, vectors = jnp.linalg.eigh(-state.hessian)
    return Polished(
        state.u,
        space.with_fixed(space.constrain(state.u)),
        state.value,
        curvature,
        vectors[:, 0],
        jnp.max(jnp.abs(gradient(state.u)), initial=0.0),
        state.iterations,
        state.evaluations,
    )


def polish(form: Form, params: Any, prepared: Prepared) -> Polished:
    """`climb` from params; a saddle is left along its direction of ascent and climbed from there."""
    reached = climb(form, _unconstrain(form, params), prepared)
    for length in (1.0, -1.0, 0.1, -0.1):
        if not reached.is_saddle:
            break
        other = climb(form, reached.u + length * reached.flattest, prepared)
        if other.objective > reached.objective:
            evaluations, iterations = reached.evaluations, reached.iterations
            reached = other._replace(
                iterations=other.iterations + iterations, evaluations=other.evaluations + evaluations
            )
    return reached


_unconstrain = jax.jit(lambda form, params: form.model.space.unconstrain(params), static_argnums=0)
