"""Many fits of one model in one compiled program: to data that differ in their weights (folds) or their rows
(replicates)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import flatten_util
from jaxtyping import Array, Bool, Float

from latentem.ascent.acceleration import SQUAREM
from latentem.ascent.loop import CONVERGED, Setup, Stopping, advance_one, begin_one
from latentem.ascent.mstep import resolve
from latentem.forms import Form, Prepared
from latentem.numerics.compiled import jit

#: Iterations of each refit, and the gain (relative, per observation) below which it has converged.
ITERATIONS = 2000
GAIN = 1e-10


class Refits(NamedTuple):
    """Fits with a leading axis B.

    Args:
        params: pytree with leading axis B.
        objective: log-likelihood + log prior of each, (B,).
        log_likelihood: of each, (B,).
        converged: which did, (B,).
    """

    params: Any
    objective: Float[Array, " B"]
    log_likelihood: Float[Array, " B"]
    converged: Bool[Array, " B"]


def refit(form: Form, params: Any, prepared: Prepared, varies: str, own_starts: bool = False) -> Refits:
    """Fit the model to each of B data sets, from the same or from its own start.

    Args:
        form: how the model is computed; its M-step is the automatic one.
        params: the start of all, or starts with a leading axis B.
        prepared: data whose `rows` (`varies="rows"`) or `weights` (`varies="weights"`) have a leading axis B.
        varies: which.
        own_starts: whether each data set has a start of its own.
    """
    setup = Setup(form, resolve("auto", form), SQUAREM())
    return _refit(setup, varies, own_starts, params, prepared)


@partial(jit, static_argnums=(0, 1, 2))
def _refit(setup: Setup, varies: str, own_starts: bool, params: Any, prepared: Prepared) -> Refits:
    form = setup.form
    stop = Stopping(jnp.asarray(GAIN), jnp.asarray(0.0), jnp.asarray(ITERATIONS))
    over_weights: Any = 0 if varies == "weights" else None
    axes = replace(prepared, context=None, rows=0 if varies == "rows" else None, weights=over_weights)

    def fit_one(start: Any, data: Prepared) -> Refits:
        state = advance_one(setup, begin_one(setup, start), start, data, stop)
        reached = flatten_util.ravel_pytree(start)[1](state.safe)
        log_likelihood = form.log_likelihood(reached, data)
        value = log_likelihood + form.model.log_prior(reached)
        return Refits(reached, value, log_likelihood, state.outcome == CONVERGED)

    return jax.vmap(fit_one, in_axes=(0 if own_starts else None, axes))(params, prepared)
