"""Starting values: given, drawn by the model from the data, or drawn at random and screened by their likelihood."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from latentem.data import door
from latentem.data.sequences import Sequences
from latentem.forms import Form, Prepared
from latentem.forms.choose import Problem
from latentem.model import Model
from latentem.numerics.compiled import seldom
from latentem.numerics.keys import as_key

#: Random candidates per start; the one with the highest objective on a thinned sample of rows begins the fit.
CANDIDATES = 24
THINNED_ROWS = 2000
#: Spread of further starts around a model's own start, on the free scale.
AROUND = 0.5


def starts_for(problem: Problem, given: Any, key: Any, starts: int, dtype: str) -> Any:
    """Params with a leading axis of `starts`, inside their constraints.

    Args:
        problem: the model and data as the fit runs on them.
        given: params of the first start, or None.
        key: typed PRNG key, or None.
        starts: how many.
        dtype: float dtype of the params.

    Raises:
        ValueError: `given` is outside its constraints, or a random start is needed and there is no key.
    """
    form, prepared = problem.form, problem.prepared
    model = form.model
    space = model.space
    first = None
    if given is not None:
        checked = space.check(given)
        first = jax.tree.map(lambda a: np.asarray(a, dtype=dtype)[None], checked)
        if starts == 1:
            return first
    if key is None and space.size > 0 and not (starts == 1 and _without_chance(form)):
        raise ValueError(
            f"{model.name} starts at random: pass key=0, or any other seed, or initial= with one start and starts=1"
        )
    key = None if key is None else as_key(key)
    if model.initial is not None or model.start is not None:
        observations, weights, known = problem.distinct, problem.distinct_weights, ()
        if isinstance(observations, Sequences):
            if model.factored is not None and model.factored.initial is not None:
                known = tuple(observations.known)
            observations, weights = observations.of_steps(weights)
        elif problem.compression.basis is None:  # the form keeps the rows themselves
            observations, weights = prepared.rows, prepared.weights
        rows, weights = door.cast(observations, dtype), jnp.asarray(weights, dtype=dtype)
        drawn = _drawn_by_model(model, starts, key, rows, weights, known)
    else:
        drawn = _screened(form, starts, key, form.thinned(prepared, THINNED_ROWS))
    if first is None:
        return drawn
    return jax.tree.map(lambda a, b: np.concatenate([a, np.asarray(b)[1:]]), first, drawn)


def _without_chance(form: Form) -> bool:
    """Whether one start needs no key: the model says so, or its one latent value and closed M-step bring EM to the same
    maximum from anywhere."""
    model, nodes = form.model, form.model.latent.nodes()
    one_value = nodes is not None and len(nodes[1]) == 1
    return model.start is not None or (one_value and form.has_closed_form and model.initial is None)


@partial(seldom, static_argnums=(0, 1))
def _drawn_by_model(model: Model, starts: int, key: Any, observations: Any, weights: Any, known: Any) -> Any:
    space, draw, start = model.space, model.initial, model.start
    if known and model.factored is not None:
        draw = model.factored.initial
    if draw is not None:
        keys = _split(key, starts)
        return _as_floats(jax.vmap(lambda k: space.with_fixed(draw(k, observations, weights, *known)))(keys))
    assert start is not None
    centre = space.unconstrain(start(observations, weights))
    if starts == 1:
        return jax.tree.map(lambda a: a[None], _as_floats(space.with_fixed(space.constrain(centre))))
    away = jax.vmap(lambda k: AROUND * jax.random.normal(k, centre.shape, centre.dtype))(_split(key, starts))
    return _as_floats(jax.vmap(lambda d: space.with_fixed(space.constrain(centre + d)))(away.at[0].set(0.0)))


def _split(key: Any, starts: int) -> Any:
    # Without a key nothing is random: no parameter is free.
    return jax.random.split(jax.random.key(0) if key is None else key, starts)


def _as_floats(params: Any) -> Any:
    return jax.tree.map(lambda a: jax.lax.convert_element_type(a, jnp.result_type(float)), params)


@partial(seldom, static_argnums=(0, 1))
def _screened(form: Form, starts: int, key: Any, prepared: Prepared) -> Any:
    space = form.model.space

    def one(key: Any) -> Any:
        spread, position = jax.random.split(key)
        scales = jnp.exp(jax.random.uniform(spread, (CANDIDATES, 1), minval=-1.5, maxval=1.0))
        u = scales * jax.random.normal(position, (CANDIDATES, space.size))

        def value(v: Any) -> Any:
            params = space.constrain(v)
            return form.log_likelihood(params, prepared) + form.model.log_prior(params)

        values = jax.lax.map(value, u)
        best = jnp.argmax(jnp.where(jnp.isfinite(values), values, -jnp.inf))
        return space.with_fixed(space.constrain(u[best]))

    return _as_floats(jax.vmap(one)(_split(key, starts)))
