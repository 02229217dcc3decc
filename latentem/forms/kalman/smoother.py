"""Backwards over the lanes: the smoother, from what later readings say of each state (de Jong 1989)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from latentem.forms.kalman.algebra import apply, on_lanes, product, symmetric, transposed
from latentem.forms.kalman.lanes import Rows
from latentem.forms.kalman.readings import State, downdate, update
from latentem.forms.kalman.walk import Begun, Walk


class Later(NamedTuple):
    """What later readings say of the state at a place, and the smoothed mean there: see `readings.downdate`."""

    r: Float[Array, "d c B"]
    n: Float[Array, "d d B"]
    mean: Float[Array, "d c B"]


class Smoothed(NamedTuple):
    """Of every step of a stretch; several columns of a mean add up, mean mean' is a sum over them.

    Args:
        mean: (L, d, c, B).
        covariance: (L, d, d, B).
        pair: (L, d, d, B), E[z_(t+1) z_t'] with the step after; 0 at the end of a sequence.
    """

    mean: Float[Array, "L d c B"]
    covariance: Float[Array, "L d d B"]
    pair: Float[Array, "L d d B"]


def smooth(
    walk: Walk,
    begun: Begun,
    states: State,
    before: State | None,
    columns: Callable[[Float[Array, "d c B"], Any], Float[Array, "d m B"]],
    summarise: Callable[[Rows, Smoothed], Any],
) -> Any:
    """What `summarise` makes of the smoothed states of every stretch, with a leading axis of stretches.

    Args:
        begun: as `joined` found it.
        states: before every stretch, as `filter` found them.
        before: before every step is read, where that was kept.
        columns: `(mean, sequence)`, the columns of a mean with what the start left unknown filled in.
        summarise: of a stretch.
    """

    def forth(state: State, x: Rows) -> Any:
        before = walk.enter(state, x)
        after, _, _, _ = update(before, walk.independent(x)[0])
        return walk.predict(after, x), before

    def stretch(later: Later, x: tuple[State, State | None, Rows]) -> Any:
        state, before, rows = x
        if before is None:
            _, before = jax.lax.scan(forth, state, rows)
        later, smoothed = jax.lax.scan(partial(_back, walk, columns), later, (before, rows), reverse=True)
        return later, summarise(rows, smoothed)

    every = (states, before, walk.rows)
    return jax.lax.scan(stretch, _behind(walk, begun, columns), every, reverse=True)[1]


def _behind(walk: Walk, begun: Begun, columns: Any) -> Later:
    """What is known at the end of every lane from the lanes behind it."""
    covariance = jnp.moveaxis(begun.state.covariance, -1, 0)
    mean = jnp.moveaxis(begun.state.mean, -1, 0)
    eye = jnp.eye(covariance.shape[1], dtype=covariance.dtype)
    both = jnp.concatenate([begun.information, begun.pull - begun.information @ mean], axis=2)
    told = jnp.linalg.solve(eye + begun.information @ covariance, both)
    n, r = told[..., : len(eye)], told[..., len(eye) :]
    first = walk.rows.sequence[0, 0]

    def shifted(a: Array) -> Array:
        return jnp.concatenate([a[..., 1:], jnp.zeros_like(a[..., :1])], axis=-1)

    smoothed = columns(jnp.moveaxis(mean + covariance @ r, 0, -1), first)
    r = columns(jnp.moveaxis(r, 0, -1), first)
    return Later(shifted(r), shifted(jnp.moveaxis(n, 0, -1)), shifted(smoothed))


def _back(walk: Walk, columns: Any, later: Later, x: tuple[State, Rows]) -> Any:
    before, rows = x
    before = before._replace(mean=columns(before.mean, rows.sequence))
    readings, _ = walk.independent(rows)
    after, _, _, gains = update(before, readings)
    r, n = (jnp.where(rows.ends, 0.0, a) for a in (later.r, later.n))
    system, covariance = walk.of_step(rows), after.covariance
    a = system.transition
    moved = apply(a, covariance)
    felt = product(n, moved)
    r = apply(transposed(a), r)
    mean = after.mean + product(covariance, r)
    ahead = apply(a, transposed(moved)) + on_lanes(system.process, 2)
    pair = moved - product(ahead, felt) + product(later.mean, transposed(mean))
    smoothed = Smoothed(
        mean,
        symmetric(covariance - product(transposed(moved), felt)),
        jnp.where(rows.ends, 0.0, pair),
    )
    n = symmetric(apply(transposed(a), transposed(apply(transposed(a), n))))
    r, n = downdate(r, n, readings, gains)
    return Later(r, n, mean), smoothed
