"""Objective, score and information of the observed data in the free vector u, from the complete-data declaration.

The score is Fisher's identity: the gradient of Q(. | u) at u. The Hessian is Oakes' (1999) identity: the total
derivative of that score along both arguments, one forward-mode pass through the E-step, exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from latentem.forms import Form, Prepared
from latentem.numerics.compiled import seldom

#: Columns of the information computed together; bounds its memory whatever the number of parameters.
BLOCK = 32

Vector = Float[Array, " P"]


def objective(form: Form, prepared: Prepared, u: Vector) -> Float[Array, ""]:
    """Observed-data log-likelihood + log prior at the free vector u."""
    params = form.model.space.constrain(u)
    return form.log_likelihood(params, prepared) + form.model.log_prior(params)


def likelihood_score(form: Form, prepared: Prepared, u: Vector) -> Vector:
    """Gradient of the observed-data log-likelihood in u, by Fisher's identity."""
    space = form.model.space
    _, completed = form.expect(space.constrain(u), prepared)
    return jax.grad(lambda v: form.q(space.constrain(v), completed, prepared))(u)


def value_and_score(form: Form, prepared: Prepared, u: Vector) -> tuple[Float[Array, ""], Float[Array, ""], Vector]:
    """(log-likelihood, log prior, gradient of their sum in u), out of one E-step."""
    space = form.model.space
    log_likelihood, completed = form.expect(space.constrain(u), prepared)
    gradient = jax.grad(lambda v: form.q(space.constrain(v), completed, prepared))(u)
    log_prior, of_prior = jax.value_and_grad(lambda v: form.model.log_prior(space.constrain(v)))(u)
    return log_likelihood, log_prior, gradient + of_prior


def score(form: Form, prepared: Prepared, u: Vector) -> Vector:
    """Gradient of the objective (log-likelihood + log prior) in u."""
    return value_and_score(form, prepared, u)[2]


def jacobian_in_blocks(f: Callable[[Vector], Any], u: Vector, block: int = BLOCK) -> Any:
    """Forward-mode Jacobian of f at u, `block` columns at a time: (..., P) in every leaf."""
    if u.shape[0] <= block:
        return jax.jacfwd(f)(u)
    return _columns(lambda v: (f(v), ()), u, block)[0]


def _columns(f: Callable[[Vector], tuple[Any, Any]], u: Vector, block: int) -> tuple[Any, Any]:
    """(Jacobian of the first thing that f returns, the second thing) in blocks of one size: a shorter last block would
    be compiled as a program of its own."""
    size = u.shape[0]
    blocks = -(-size // block)
    width = -(-size // blocks)
    basis = jnp.eye(blocks * width, size, dtype=u.dtype)
    found, beside = jax.lax.map(lambda e: jax.jvp(f, (u,), (e,), has_aux=True)[1:], basis, batch_size=width)
    return jax.tree.map(lambda c: jnp.moveaxis(c[:size], 0, -1), found), jax.tree.map(lambda a: a[0], beside)


def hessian(form: Form, prepared: Prepared, u: Vector) -> Float[Array, "P P"]:
    """Hessian of the objective in u, by Oakes' identity."""
    raw = jacobian_in_blocks(lambda v: score(form, prepared, v), u)
    return 0.5 * (raw + raw.T)


def score_and_hessian(form: Form, prepared: Prepared, u: Vector) -> tuple[Vector, Float[Array, "P P"]]:
    """(gradient, Hessian) of the objective in u; with few parameters both come out of one pass."""
    here = expansion(form, prepared, u)
    return here.gradient, here.hessian


class Expansion(NamedTuple):
    """The objective to second order in u.

    Args:
        params: those at u.
        log_likelihood, log_prior: what the objective is the sum of.
        gradient: (P,).
        hessian: (P, P).
    """

    params: Any
    log_likelihood: Float[Array, ""]
    log_prior: Float[Array, ""]
    gradient: Vector
    hessian: Float[Array, "P P"]

    @property
    def value(self) -> Float[Array, ""]:
        """The objective."""
        return self.log_likelihood + self.log_prior


def expansion(form: Form, prepared: Prepared, u: Vector) -> Expansion:
    """Value, gradient and Hessian of the objective at u; with few parameters all come out of one pass."""
    space = form.model.space

    def at(v: Vector) -> tuple[Vector, tuple[Array, Array, Vector]]:
        found = value_and_score(form, prepared, v)
        return found[-1], found

    params = space.with_fixed(space.constrain(u))
    if u.shape[0] > BLOCK:
        raw, (log_likelihood, log_prior, gradient) = _columns(at, u, BLOCK)
    else:
        raw, (log_likelihood, log_prior, gradient) = jax.jacfwd(at, has_aux=True)(u)
    return Expansion(params, log_likelihood, log_prior, gradient, 0.5 * (raw + raw.T))


compiled_expansion = seldom(expansion)
"""`expansion`, compiled: Newton after EM and standard errors share the program."""


def complete_hessian(form: Form, prepared: Prepared, u: Vector) -> Float[Array, "P P"]:
    """Hessian of Q(. | u) + log prior at u: minus the complete-data information."""
    space = form.model.space
    _, completed = form.expect(space.constrain(u), prepared)

    def gradient(v: Vector) -> Vector:
        return jax.grad(
            lambda t: form.q(space.constrain(t), completed, prepared) + form.model.log_prior(space.constrain(t))
        )(v)

    raw = jacobian_in_blocks(gradient, u)
    return 0.5 * (raw + raw.T)
