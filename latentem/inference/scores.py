"""Score of each observation: the gradient of log p(x_n | params) in the free vector u."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.forms import Form, Prepared
from latentem.inference.estimate import Estimate
from latentem.model.latents import Chain
from latentem.numerics.chunks import chunk_rows, chunked_map, chunked_sum
from latentem.numerics.compiled import jit


def _of_rows(form: Form, u: Float[Array, " P"], context: object, rows: object) -> Float[Array, "n P"]:
    def log_prob(v: Array, row: object) -> Array:
        one = jax.tree.map(lambda a: a[None], row)
        return form.row_log_prob(form.model.space.constrain(v), context, one)[0]

    scores = jax.vmap(jax.grad(log_prob), in_axes=(None, 0))(u, rows)
    return jnp.where(jnp.isfinite(scores), scores, jnp.nan)


def _of_sequences(form: Form, u: Float[Array, " P"], prepared: Prepared) -> Float[Array, "N P"]:
    """Scores of sequences: forward derivatives, since one pass gives log p of all of them."""
    careful = form.careful() or form  # nothing underflows in logarithms
    return jax.jacfwd(lambda v: careful.log_prob(form.model.space.constrain(v), prepared))(u)


def _chunk(form: Form, u: Float[Array, " P"], prepared: Prepared) -> int:
    return min(form.chunk(prepared), chunk_rows(8 * 4 * max(1, u.shape[0])))


@partial(jit, static_argnums=0)
def scores_of_rows(form: Form, u: Float[Array, " P"], prepared: Prepared) -> Float[Array, "N P"]:
    """Scores of all rows, computed in chunks; of all sequences of a chain."""
    if isinstance(form.model.latent, Chain):
        return _of_sequences(form, u, prepared)
    n = prepared.weights.shape[0]
    return chunked_map(
        lambda rows: _of_rows(form, u, prepared.context, rows), prepared.rows, n, _chunk(form, u, prepared)
    )


@partial(jit, static_argnums=0)
def score_products(form: Form, u: Float[Array, " P"], prepared: Prepared) -> Float[Array, "P P"]:
    """sum_n w_n s_n s_n', without the (N, P) scores of rows ever being stored."""
    if isinstance(form.model.latent, Chain):
        scores = jnp.where((prepared.weights != 0)[:, None], _of_sequences(form, u, prepared), 0)
        return scores.T @ (prepared.weights[:, None] * scores)

    def of_chunk(rows: object, w: Float[Array, " n"]) -> Float[Array, "P P"]:
        scores = jnp.where((w != 0)[:, None], _of_rows(form, u, prepared.context, rows), 0)
        return scores.T @ (w[:, None] * scores)

    return chunked_sum(of_chunk, prepared.rows, prepared.weights, _chunk(form, u, prepared))


def scores_per_observation(estimate: Estimate) -> Float[np.ndarray, "N P"]:
    """Gradient of log p(x_n | params) in the free vector, one row for each observation, weights not applied.

    At a maximum of the likelihood `weights @ scores` is zero.
    """
    return estimate.kept("scores", lambda: estimate.at_data(scores_of_rows, every_row=True))
