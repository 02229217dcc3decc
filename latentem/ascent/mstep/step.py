"""Which M-step a fit uses, and how it is applied to what the E-step returned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from latentem.ascent.mstep.gradient import Gradient
from latentem.ascent.mstep.newton import Newton
from latentem.forms import Form, Prepared, RowForm

#: Largest number of free parameters for which a derived M-step uses Newton's dense Hessian.
LARGEST_NEWTON = 150


@dataclass(frozen=True)
class Closed:
    """The closed form that the model declares."""


MStep = Closed | Newton | Gradient


def resolve(choice: Any, form: Form) -> MStep:
    """The M-step for `choice`: "auto", "closed", "newton", "gradient", or a `Newton` or `Gradient` value.

    "auto" is the closed form where there is one for the model and its prior; else Newton, with one step per iteration
    where each step must read all rows; else L-BFGS.

    Raises:
        ValueError: an unknown choice, or "closed" for a model without a closed form.
    """
    size = form.model.space.size
    if isinstance(choice, Newton | Gradient):
        return choice
    if choice == "auto":
        if form.has_closed_form:
            return Closed()
        if size > LARGEST_NEWTON:
            return Gradient()
        return Newton(steps=1) if isinstance(form, RowForm) and size > 20 else Newton()
    if choice == "closed":
        if not form.has_closed_form:
            reason = "its prior is not part of it" if form.model.m_step or form.model.separable else "none is declared"
            raise ValueError(
                f"m_step='closed': {form.model.name} has no closed form here ({reason}); use m_step='auto'"
            )
        return Closed()
    if choice == "newton":
        return Newton()
    if choice == "gradient":
        return Gradient()
    raise ValueError(
        f"m_step={choice!r}: expected 'auto', 'closed', 'newton', 'gradient', lem.Newton(...) or lem.Gradient(...)"
    )


def e_step(form: Form, by: MStep, params: Any, prepared: Prepared) -> tuple[Float[Array, ""], Any]:
    """The E-step: (log-likelihood, what the M-step `by` needs: expected statistics of a closed form, else completed
    data)."""
    return form.statistics(params, prepared) if isinstance(by, Closed) else form.expect(params, prepared)


def m_step(form: Form, by: MStep, expected: Any, params: Any, prepared: Prepared) -> Any:
    """The M-step: params that maximise (or climb) given what the E-step returned; fixed params are put back.

    Args:
        by: how.
        expected: what `e_step` returned for it.
        params: the current ones.
    """
    space = form.model.space
    if isinstance(by, Closed):
        return space.with_fixed(form.maximize(expected, params, prepared))

    def q(u: Float[Array, " P"]) -> Float[Array, ""]:
        proposal = space.constrain(u)
        return form.q(proposal, expected, prepared) + form.model.log_prior(proposal)

    u = space.unconstrain(params)
    # A slope that is not finite shows no way up, and standing still for it would pass for convergence.
    if isinstance(by, Newton):
        end = by.ascend(q, u)
        new, lost = end.u, end.lost
    else:
        new, lost = by(q, u), ~jnp.all(jnp.isfinite(jax.grad(q)(u)))
    return space.with_fixed(space.constrain(jnp.where(lost, jnp.nan, new)))


def em_iteration(form: Form, by: MStep, params: Any, prepared: Prepared) -> tuple[Any, Float[Array, ""]]:
    """One EM iteration: (new params, objective at the OLD params). The objective is log-likelihood + log prior."""
    log_likelihood, expected = e_step(form, by, params, prepared)
    new = m_step(form, by, expected, params, prepared)
    return new, log_likelihood + form.model.log_prior(params)
