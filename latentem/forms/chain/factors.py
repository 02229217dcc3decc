"""From a chain model at given params to log potentials: by its factors where it has them, or by its declaration."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from latentem.forms.chain.codebook import Coded, look_up
from latentem.forms.chain.layout import begins
from latentem.forms.chain.potentials import Potentials, shifted
from latentem.model import Factored, Model
from latentem.model.latents import Chain


def potentials(model: Model, params: Any, context: Any, rows: Any) -> Potentials:
    """Log potentials of one stretch of the lanes."""
    start = begins(rows["sequence"])
    length, width = start.shape
    assert isinstance(model.latent, Chain)
    k = model.latent.size
    factored, numbers = model.factored, None
    if factored is not None and isinstance(context, Coded):
        first, transition = factored.first(params)[:, None], factored.transition(params)
        table = _emission(factored, params, context.book, context.context)
        emission = look_up(table, rows["x"])
        if "observed" not in rows and "label" not in rows:
            of_table, shift = shifted(table, 1)
            numbers = look_up(of_table, rows["x"]), shift[rows["x"]]
    else:
        flat = jax.tree.map(lambda a: a.reshape(length * width, *a.shape[2:]), rows["x"])
        if factored is None:
            first, transition, emission = _declared(model, params, flat, start.reshape(-1))
        else:
            first = factored.first(params)[:, None]
            transition = factored.transition(params, flat) if factored.varying else factored.transition(params)
            emission = _emission(factored, params, flat, context)
        if transition.ndim == 3:
            transition = jnp.moveaxis(transition.reshape(length, width, k, k), 1, -1)
        emission = jnp.moveaxis(emission.reshape(length, width, k), 1, -1)
    if "observed" in rows:
        emission = jnp.where(rows["observed"][:, None], emission, 0.0)
    if "label" in rows:
        label, known_as = rows["label"][:, None], jnp.asarray(model.latent.known_as)[:, None]
        emission = jnp.where((label >= 0) & (label != known_as), -jnp.inf, emission)
    return Potentials(first, transition, emission, start, numbers)


def _emission(factored: Factored, params: Any, rows: Any, context: Any) -> Float[Array, "n K"]:
    if factored.features is None or factored.natural is None:
        return factored.emission(params, rows, context)
    emission = factored.features(rows, context) @ factored.natural(params, context).T
    # A matrix product cannot hold -inf: families put a huge finite number in its place.
    return jnp.where(emission < jnp.finfo(emission.dtype).min / 64, -jnp.inf, emission)


def _declared(model: Model, params: Any, rows: Any, start: Array) -> tuple[Array, Array, Array]:
    """From the declaration of a step: the largest log p over states before becomes the emission."""
    latent, step = model.latent, model.complete_log_likelihood
    assert isinstance(latent, Chain)
    states = jnp.arange(latent.size)
    of_first = jax.vmap(lambda x: jax.vmap(lambda z: latent.first(params, x, z))(states))(rows)
    of_step = jax.vmap(
        lambda x: jax.vmap(lambda i: jax.vmap(lambda j: step(params, x, j, i))(states))(states)  # pyright: ignore
    )(rows)
    best = lax.stop_gradient(jnp.max(of_step, axis=1))
    best = jnp.where(jnp.isfinite(best), best, 0.0)
    emission = jnp.where(start[:, None], of_first, best)
    return jnp.zeros((latent.size, 1), emission.dtype), of_step - best[:, None], emission
