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

#: A Newton decrement below this, relative to 1 + |objective|, is that of a stationary point.
SETTLED = 1e-9
#: Times Newton is taken up again, 30 steps each: far from a maximum it may need more.
ROUNDS = 5


class Polished(NamedTuple):
    """What a polish returns.

    Args:
        u: the free vector reached.
        params: the params there.
        objective: log-likelihood + log prior there.
        curvature: eigenvalues of the information (minus the Hessian of the objective in u), ascending.
        flattest: eigenvector of the smallest one, (P,).
        gradient: largest absolute entry of the gradient in u.
        decrement: gain that the last Newton step was predicted to bring.
        iterations: Newton steps.
        evaluations: evaluations of the objective.
    """

    u: Float[Array, " P"]
    params: Any
    objective: Float[Array, ""]
    curvature: Float[Array, " P"]
    flattest: Float[Array, " P"]
    gradient: Float[Array, ""]
    decrement: Float[Array, ""]
    iterations: Array
    evaluations: Array

    @property
    def is_stationary(self) -> bool:
        """No step is left that would gain more than rounding."""
        # At the edge of a constraint the Hessian can overflow to NaN; then Newton has nothing to say against EM.
        return not self.decrement > SETTLED * (1 + abs(self.objective))

    @property
    def is_saddle(self) -> bool:
        """Stationary, yet the information is negative along some direction: EM can stop there, a maximum cannot lie
        there."""
        return self.is_stationary and bool(self.curvature[0] < -1e-8 * abs(self.curvature[-1]))


@partial(jax.jit, static_argnames=("form", "iterations"))
def climb(form: Form, u: Float[Array, " P"], prepared: Prepared, *, iterations: int = 30) -> Polished:
    """Damped Newton on the objective from u, to rounding level."""
    space = form.model.space
    state = newton_ascent(
        partial(derivatives.objective, form, prepared),
        partial(derivatives.score_and_hessian, form, prepared),
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
        jnp.max(jnp.abs(derivatives.score(form, prepared, state.u)), initial=0.0),
        state.decrement,
        state.iterations,
        state.evaluations,
    )


def polish(form: Form, params: Any, prepared: Prepared) -> Polished:
    """`climb` from params until nothing is left to gain; a saddle is left along its direction of ascent, and climbed
    from there."""
    reached = climb(form, _unconstrain(form, params), prepared)
    for _ in range(ROUNDS):
        if reached.is_stationary or not reached.objective > -jnp.inf:
            break
        reached = _after(reached, climb(form, reached.u, prepared))
    for length in (1.0, -1.0, 0.1, -0.1):
        if not reached.is_saddle:
            break
        other = climb(form, reached.u + length * reached.flattest, prepared)
        if other.objective > reached.objective:
            reached = _after(reached, other)
    return reached


def _after(first: Polished, then: Polished) -> Polished:
    return then._replace(
        iterations=first.iterations + then.iterations, evaluations=first.evaluations + then.evaluations
    )


_unconstrain = jax.jit(lambda form, params: form.model.space.unconstrain(params), static_argnums=0)
