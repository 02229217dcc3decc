"""Starting values: given, drawn by the model from the data, or drawn at random and screened by their likelihood."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from latentem.ascent.mstep.step import LARGEST_NEWTON
from latentem.data import door
from latentem.data.sequences import Sequences
from latentem.forms import Form, Prepared
from latentem.forms.choose import Problem
from latentem.model import Model
from latentem.model.latents import Finite
from latentem.numerics.compiled import seldom
from latentem.numerics.keys import as_key
from latentem.numerics.newton import newton_ascent
from latentem.numerics.seeding import assigned, coordinates, plus_plus, standardised

#: Random candidates per start; the one with the highest objective on a thinned sample of rows begins the fit.
CANDIDATES = 24
THINNED_ROWS = 2000
#: Rows that seeds are drawn from, most parts they are drawn for, and Newton steps to what fits the parts.
SEEDING_ROWS, MOST_PARTS, SEEDING_STEPS = 500, 20, 30
#: Part of every row that belongs to all parts; how far numbers of any size may move in a step, relative to their size.
SOFTNESS, FAR = 0.05, 10.0
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
        if _has_parts(model):
            drawn = _seeded(model, starts, key, drawn, *_few(problem, dtype))
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


def _has_parts(model: Model) -> bool:
    """Whether seeds say something of where to begin: few latent values, and params that rows of a kind determine."""
    latent = model.latent
    few = isinstance(latent, Finite) and not latent.hard and 1 < latent.size <= MOST_PARTS
    return few and 0 < model.space.size <= LARGEST_NEWTON


def _few(problem: Problem, dtype: str) -> tuple[Any, Any]:
    """(rows, weights) that seeds are drawn from."""
    n = len(problem.distinct_weights)
    chosen = np.linspace(0, n - 1, min(n, SEEDING_ROWS)).astype(int)
    rows = jax.tree.map(lambda a: np.asarray(a)[chosen], problem.distinct)
    return door.cast(rows, dtype), jnp.asarray(np.asarray(problem.distinct_weights)[chosen], dtype=dtype)


@partial(seldom, static_argnums=(0, 1))
def _seeded(model: Model, starts: int, key: Any, drawn: Any, rows: Any, weights: Any) -> Any:
    """The same starts, or where the likelihood is higher there, the params that fit each part of the rows by itself:
    parts around k-means++ seeds, weighted, climbed to by Newton from the start."""
    space, latent = model.space, model.latent
    found = latent.nodes()
    assert found is not None  # those of a finite latent
    values, k = jnp.asarray(found[0]), len(found[1])
    columns = standardised(coordinates(rows), weights)
    reach = jnp.where(space.unbounded, FAR, 0.0).astype(weights.dtype)

    def one(key: Any, params: Any) -> Any:
        parts = assigned(columns, plus_plus(key, columns, weights, k))
        parts = weights[:, None] * ((1 - SOFTNESS) * parts + SOFTNESS / k)

        def q(u: Any) -> Any:
            tried = space.constrain(u)
            each = jax.vmap(lambda x: jax.vmap(lambda z: model.complete_log_likelihood(tried, x, z))(values))(rows)
            return jnp.sum(jnp.where(parts > 0, parts * jnp.where(parts > 0, each, 0), 0)) + model.log_prior(tried)

        def objective(tried: Any) -> Any:
            return model.log_likelihood(tried, rows, weights) + model.log_prior(tried)

        def slopes(u: Any) -> Any:
            return jax.grad(q)(u), jax.hessian(q)(u)

        start = space.unconstrain(params)
        end = newton_ascent(q, slopes, start, iterations=SEEDING_STEPS, tolerance=1e-6, reach=reach)
        other = space.with_fixed(space.constrain(end.u))
        better = objective(other) > objective(params)
        return jax.tree.map(lambda a, b: jnp.where(better, a, b), other, params)

    keys = jax.vmap(lambda k: jax.random.fold_in(k, 1))(_split(key, starts))
    return _as_floats(jax.vmap(one)(keys, drawn))


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
