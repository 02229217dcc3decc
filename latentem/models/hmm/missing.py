"""Missing entries of sequences, filled in from what the states before and after say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem import chain
from latentem.building import filled, jit
from latentem.models.imputation import in_blocks, missing


def rows_of(hmm: Any, series: lem.Sequences) -> Any:
    """What the family sees of all steps, NaN where a step is missing as a whole."""
    rows = jax.tree.map(lambda a: np.array(a, dtype=np.float64), hmm.of_emission(series.steps))
    if series.observed is None:
        return rows
    lost = ~np.asarray(series.observed)
    return jax.tree.map(lambda a: np.where(lost.reshape((-1,) + (1,) * (a.ndim - 1)), np.nan, a), rows)


def holes(hmm: Any, series: lem.Sequences) -> np.ndarray:
    """Which entries are missing, (T, entries)."""
    return missing(rows_of(hmm, series))


def expected(model: Any, params: Any, series: lem.Sequences) -> Any:
    """All steps with what is expected of their missing entries given the whole sequence."""
    hmm = model.declaration
    states = hmm.by_state(chain.smoothed(model, params, series))
    return in_blocks(_expected, hmm, params, rows_of(hmm, series), np.asarray(states))


def drawn(model: Any, params: Any, series: lem.Sequences, key: Array) -> Any:
    """All steps with their missing entries drawn: a path of states given the whole sequence, then the entries."""
    hmm = model.declaration
    path, rest = jax.random.split(key)
    states = np.asarray(hmm.state_of(chain.sample_paths(model, params, series, path, 1)))[:, 0]
    keys = np.asarray(jax.random.key_data(jax.random.split(rest, len(states))))
    return in_blocks(_drawn, hmm, params, rows_of(hmm, series), states, keys)


def as_given(hmm: Any, given: Any, layout: Any, completed: Any) -> Any:
    """Completed steps in the type that the sequences were given in."""
    names = [name for name in layout.names if name not in hmm.covariates]
    if not isinstance(completed, Mapping) and len(names) < len(layout.names):
        completed = {names[0]: completed}
    if isinstance(given, lem.Sequences):
        return replace(given, steps=filled(given.columns() if given.names else given.steps, layout, completed))
    if not isinstance(given, list | tuple):
        return filled(given, layout, completed)
    parts, at = [], 0
    for part in given:
        n = len(next(iter(part.values()))) if isinstance(part, Mapping) else len(part)
        here = jax.tree.map(lambda a, at=at, n=n: np.asarray(a)[at : at + n], completed)
        parts.append(filled(part, layout, here))
        at += n
    return parts


@partial(jit, static_argnums=0)
def _expected(hmm: Any, params: Any, rows: Any, states: Float[Array, "n K"]) -> Any:
    mixture, family = hmm.of_states, hmm.emission

    def one(x: Any, r: Float[Array, " K"]) -> Any:
        return family.settle(mixture.expect_given(r, {"components": params["emission"]}, x), x)

    return jax.vmap(one)(rows, states)


@partial(jit, static_argnums=0)
def _drawn(hmm: Any, params: Any, rows: Any, states: Array, keys: Array) -> Any:
    mixture, family = hmm.of_states, hmm.emission

    def one(x: Any, state: Array, key: Array) -> Any:
        own = mixture.component({"components": params["emission"]}, state)
        return family.draw_missing(own, x, jax.random.wrap_key_data(key))

    return jax.vmap(one)(rows, states.astype(int), keys)
