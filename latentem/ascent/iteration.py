"""EM by hand: `init` and `step` of one iteration, for loops of one's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import flatten_util
from jaxtyping import Array, Float

from latentem.ascent.acceleration import EMMap
from latentem.ascent.mstep import MStep, resolve
from latentem.ascent.mstep.step import em_iteration
from latentem.forms import Form, Prepared
from latentem.forms.choose import as_declared
from latentem.model import Model
from latentem.model.declared import read, refuse
from latentem.numerics.compiled import jit


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class EMState:
    """What an EM loop carries.

    Args:
        params: current params.
        prepared: the data.
        form: how the model is computed on them.
    """

    params: Any
    prepared: Prepared
    form: Form = field(metadata={"static": True})


class EMInfo(NamedTuple):
    """What one EM step reports.

    Args:
        log_likelihood: at the params BEFORE the step.
        objective: log-likelihood + log prior, before the step.
        step: Euclidean length of the change of the raveled params.
    """

    log_likelihood: Float[Array, ""]
    objective: Float[Array, ""]
    step: Float[Array, ""]


@dataclass(frozen=True)
class EM:
    """EM of a model, to be driven by hand: `state = em.init(params, x)`, then `state, info = em.step(state)`.

    `step` is a pure function: jit it, scan it, vmap it. Both run in whatever precision the arrays have.
    """

    model: Any
    m_step: Any

    def init(self, params: Any, observations: Any, weights: Any = None) -> EMState:
        """State before the first iteration.

        Raises:
            ValueError: params outside their constraints, or observations or weights that are not usable.
        """
        declared, data = read(self.model, observations, weights)
        form = as_declared(declared)
        params = declared.space.check(params)
        prepared = form.of_new(data, str(jnp.result_type(float)))
        return EMState(jax.tree.map(lambda a: jnp.asarray(a, dtype=float), params), prepared, form)

    def step(self, state: EMState) -> tuple[EMState, EMInfo]:
        """One EM iteration."""
        form: Any = state.form
        new, objective = em_iteration(form, resolve(self.m_step, form), state.params, state.prepared)
        log_likelihood = objective - form.model.log_prior(state.params)
        change = flatten_util.ravel_pytree(new)[0] - flatten_util.ravel_pytree(state.params)[0]
        return EMState(new, state.prepared, form), EMInfo(log_likelihood, objective, jnp.linalg.norm(change))


def em(model: Any, m_step: Any = "auto") -> EM:
    """The EM of a model as `init` and `step`.

    Args:
        model: the declaration, or a ready model, which `init` declares for its data.
        m_step: as in `lem.fit`.

    >>> def cll(params, x, z):
    ...     rate = params["rate"][z]
    ...     return jnp.log(params["weight"][z]) + x * jnp.log(rate) - rate
    >>> model = lem.Model(cll, lem.Finite(2), {"weight": lem.simplex(2), "rate": lem.positive(2)})
    >>> em = lem.em(model)
    >>> state = em.init({"weight": [0.5, 0.5], "rate": [1.0, 3.0]}, np.array([0.0, 1.0, 5.0, 2.0]))
    >>> state, info = em.step(state)
    """
    refuse(model, None)
    if isinstance(model, Model):
        resolve(m_step, as_declared(model))
    return EM(model, m_step)


def em_map(form: Form, m_step: MStep, prepared: Prepared, example: Any) -> tuple[EMMap, Any]:
    """The EM map on raveled natural params, and the function that unravels them."""
    _, unravel = flatten_util.ravel_pytree(example)

    def update(theta: Float[Array, " D"]) -> tuple[Float[Array, " D"], Float[Array, ""]]:
        new, objective = em_iteration(form, m_step, unravel(theta), prepared)
        return flatten_util.ravel_pytree(new)[0].astype(theta.dtype), objective

    return EMMap(update, lambda theta: form.model.space.contains(unravel(theta))), unravel


evaluate = jit(
    lambda form, params, prepared: (form.log_likelihood(params, prepared), form.model.log_prior(params)),
    static_argnums=0,
)
"""(log-likelihood, log prior) of a form at params, compiled."""

row_log_prob = jit(lambda form, params, prepared: form.log_prob(params, prepared), static_argnums=0)
"""log p(x_n | params) of every row, compiled."""

responsibilities = jit(lambda form, params, prepared: form.responsibilities(params, prepared), static_argnums=0)
"""p(z_k | x_n) of every row, compiled."""

most_probable = jit(lambda form, params, prepared: form.most_probable(params, prepared), static_argnums=0)
"""The most probable latent value of every row, compiled."""

compiled_step = partial(jit, static_argnums=(0, 1))(em_iteration)
