"""Markov chains of latent states: what is asked of a model with `lem.Chain` at given params.

Every function takes (model, params, sequences), NumPy in and out, and answers for all steps end to end;
`sequences.split` parts them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from latentem.data import Data
from latentem.data.sequences import Sequences
from latentem.forms import Prepared
from latentem.forms.chain import logarithmic, paths
from latentem.forms.chain.form import ChainForm
from latentem.forms.chain.lanes import pack
from latentem.forms.chain.potentials import Potentials
from latentem.model import Model
from latentem.numerics.compiled import jit

__all__ = [
    "filtered",
    "first_impossible",
    "log_prob",
    "pairs",
    "predicted",
    "sample_paths",
    "smoothed",
    "viterbi",
]


def log_prob(model: Model, params: Any, sequences: Sequences) -> Float[np.ndarray, " N"]:
    """log p(sequence | params) of every sequence; -inf where it is impossible."""
    return _on_lanes(model, params, sequences, _log_prob, whole=True)


def filtered(model: Model, params: Any, sequences: Sequences) -> Float[np.ndarray, "T K"]:
    """p(state | observations up to this step)."""
    return _on_lanes(model, params, sequences, _filtered)


def smoothed(model: Model, params: Any, sequences: Sequences) -> Float[np.ndarray, "T K"]:
    """p(state | all observations of the sequence)."""
    return _on_lanes(model, params, sequences, _smoothed)


def predicted(model: Model, params: Any, sequences: Sequences) -> Float[np.ndarray, "T K"]:
    """p(state | observations before this step)."""
    return _on_lanes(model, params, sequences, _predicted)


def pairs(model: Model, params: Any, sequences: Sequences) -> Float[np.ndarray, "T K K"]:
    """p(state before, state | all observations of the sequence); 0 at the first step of each."""
    return _on_lanes(model, params, sequences, _pairs)


def viterbi(
    model: Model, params: Any, sequences: Sequences, best: int = 1
) -> tuple[Int[np.ndarray, "T n"], Float[np.ndarray, "N n"]]:
    """(states of the `best` most probable paths, log p(x, path) of each)."""
    states, score = _on_lanes(model, params, sequences, partial(_viterbi, best))
    return states, score[np.cumsum(sequences.lengths) - 1]


def sample_paths(model: Model, params: Any, sequences: Sequences, key: Array, draws: int) -> Int[np.ndarray, "T draws"]:
    """Paths drawn from their posterior."""
    return _on_lanes(model, params, sequences, partial(_sample, draws), key)


def first_impossible(model: Model, params: Any, sequences: Sequences) -> Int[np.ndarray, " N"]:
    """The step at which each sequence becomes impossible; -1 where it does not."""
    scales = _on_lanes(model, params, sequences, _scales)
    found = np.full(sequences.n, -1)
    for n, (begin, length) in enumerate(zip(sequences.starts, sequences.lengths, strict=True)):
        bad = np.flatnonzero(np.isneginf(scales[begin : begin + length]))
        found[n] = bad[0] if len(bad) else -1
    return found


def _on_lanes(model: Model, params: Any, sequences: Sequences, f: Any, *extra: Any, whole: bool = False) -> Any:
    """`f(form, params, prepared)` with its arrays (L, B, ...) back in the order of the steps; in logarithms where
    numbers underflow."""
    if not isinstance(sequences, Sequences):
        raise TypeError(f"sequences of type {type(sequences).__name__}: expected lem.sequences(...)")
    with jax.enable_x64(True):
        form = ChainForm(model)
        prepared = form.of_new(Data(sequences, np.ones(sequences.n)), "float64")
        params = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), model.space.check(params))
        if np.isnan(np.asarray(_log_prob(form, params, prepared))).any():
            form = ChainForm(model, logarithms=True)
        found = jax.tree.map(np.asarray, f(form, params, prepared, *extra))
    if whole:
        return found
    step, lane = pack(sequences.lengths).places(sequences.lengths)
    return jax.tree.map(lambda a: a[step, lane], found)


def _one(form: ChainForm, params: Any, prepared: Prepared) -> tuple[Potentials, Any, Any]:
    """(potentials, forward pass, edges) of all lanes in one stretch."""
    rows = jax.tree.map(form.walk.joined, prepared.rows)
    p = form.walk.potentials(params, prepared.context, rows)
    begin, end = form.walk.edges(params, rows)
    return p, form.walk.arithmetic.forward(p, begin), (begin, end)


def _steps(a: Float[Array, "L K B"]) -> Float[Array, "L B K"]:
    return jnp.moveaxis(a, 1, -1)


@partial(jit, static_argnums=0)
def _log_prob(form: ChainForm, params: Any, prepared: Prepared) -> Array:
    return form.log_prob(params, prepared)


@partial(jit, static_argnums=0)
def _scales(form: ChainForm, params: Any, prepared: Prepared) -> Array:
    return _one(form, params, prepared)[1].log_scale


def _probabilities(form: ChainForm, f: Any) -> Float[Array, "L K B"]:
    return jnp.exp(f.filtered) if form.walk.arithmetic is logarithmic else f.filtered


@partial(jit, static_argnums=0)
def _filtered(form: ChainForm, params: Any, prepared: Prepared) -> Array:
    return _steps(_probabilities(form, _one(form, params, prepared)[1]))


@partial(jit, static_argnums=0)
def _predicted(form: ChainForm, params: Any, prepared: Prepared) -> Array:
    p, f, _ = _one(form, params, prepared)
    alpha = _probabilities(form, f)
    before = jnp.concatenate([jnp.zeros_like(alpha[:1]), alpha[:-1]])
    matrix = jnp.exp(p.transition)
    moved = jnp.einsum("tib,tijb->tjb" if matrix.ndim == 4 else "tib,ij->tjb", before, matrix)
    return _steps(jnp.where(p.start[:, None], jnp.exp(p.first), moved))


@partial(jit, static_argnums=0)
def _smoothed(form: ChainForm, params: Any, prepared: Prepared) -> Array:
    p, f, (begin, end) = _one(form, params, prepared)
    return _steps(form.walk.arithmetic.backward(p, f, begin, end, jnp.ones(p.start.shape, begin.dtype)).smoothed)


@partial(jit, static_argnums=0)
def _pairs(form: ChainForm, params: Any, prepared: Prepared) -> Array:
    p, f, (begin, end) = _one(form, params, prepared)
    moving = (
        p.transition
        if p.transition.ndim == 4
        else jnp.broadcast_to(p.transition[None, ..., None], (p.start.shape[0], *p.transition.shape, p.start.shape[1]))
    )
    s = form.walk.arithmetic.backward(
        p._replace(transition=moving), f, begin, end, jnp.ones(p.start.shape, begin.dtype)
    )
    return jnp.moveaxis(jnp.where(p.start[:, None, None], 0.0, s.pairs), -1, 1)


@partial(jit, static_argnums=(0, 1))
def _viterbi(best: int, form: ChainForm, params: Any, prepared: Prepared) -> Any:
    states, score = paths.viterbi(_one(form, params, prepared)[0], best)
    return jnp.moveaxis(states, 0, -1), jnp.moveaxis(score, 0, -1)


@partial(jit, static_argnums=(0, 1))
def _sample(draws: int, form: ChainForm, params: Any, prepared: Prepared, key: Array) -> Array:
    p, f, _ = _one(ChainForm(form.model, logarithms=True), params, prepared)
    drawn = jax.lax.map(lambda k: paths.sample(p, f.filtered, k), jax.random.split(key, draws))
    return jnp.moveaxis(drawn, 0, -1)
