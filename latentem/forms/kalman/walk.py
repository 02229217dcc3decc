"""Forwards and backwards over the lanes: filter and smoother, exact though every lane runs at the same time.

Each lane is gone through once from an unknown state, which says how it depends on that state (`Reach`); then states
at the ends of lanes follow one after the other, forwards and backwards; then all lanes run again from the right state.
Sources: Lainiotis (1976), partitioned filtering; Särkkä and García-Fernández (2021) for the products; de Jong (1989)
and (1991) for the smoother and for starts along unknown directions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from latentem.forms.kalman.algebra import apply, product, symmetric, transposed
from latentem.forms.kalman.lanes import Rows
from latentem.forms.kalman.readings import Reach, State, Told, Whitening, downdate, independent, update
from latentem.model.gaussian_chain import System


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


class Begun(NamedTuple):
    """At the first step of every lane.

    Args:
        state: before it is read.
        information, pull: what the readings from there on say of it, leading axis B.
    """

    state: State
    information: Float[Array, "B d d"]
    pull: Float[Array, "B d c"]


@dataclass(frozen=True)
class Walk:
    """Recursions of one system over rows on lanes.

    Args:
        system: its matrices.
        white: where readings have correlated noise.
        rows: leading axis of stretches; `y` without what covariates explain.
    """

    system: System
    white: Whitening | None
    rows: Rows

    @classmethod
    def of(cls, system: System, rows: Rows, sets: Any) -> Walk:
        """The same rows with covariates accounted for; `sets` are those of `lay_out`."""
        white = None if system.noise.ndim == 1 else Whitening.of(system.noise, sets)
        if rows.at.shape[2]:
            known = jnp.einsum("pl,smlb->smpb", system.offset, rows.at)
            rows = rows._replace(y=jnp.where(rows.there, rows.y - known, 0.0))
        return cls(system, white, rows)

    @property
    def lanes(self) -> int:
        """B."""
        return self.rows.begins.shape[-1]

    @property
    def prior(self) -> State:
        """Of the first step of a sequence."""
        mean = jnp.concatenate([self.system.mean[:, None], self.system.directions], axis=1)
        return State(mean[..., None], self.system.covariance[..., None])

    @property
    def begun(self) -> State:
        """The first step of every lane as if its state were known to be 0."""
        (d, c, _), b = self.prior.mean.shape, self.lanes
        return State(jnp.zeros((d, c, b), self.rows.y.dtype), jnp.zeros((d, d, b), self.rows.y.dtype))

    def enter(self, state: State, x: Rows) -> State:
        """The state before a step is read: that of the model, where a sequence begins."""
        return jax.tree.map(partial(jnp.where, x.begins), self.prior, state)

    def predict(self, state: State, x: Rows) -> State:
        """The state of the step after."""
        a = self.system.transition
        moved = apply(a, transposed(apply(a, state.covariance)))
        mean = apply(a, state.mean)
        if x.into.shape[0]:
            mean = mean.at[:, 0].add(self.system.inputs @ x.into)
        return State(mean, symmetric(moved) + self.system.process[..., None])

    # --- once through every lane

    def reach(self) -> tuple[State, Reach]:
        """(the state behind every lane that began at 0, how it depends on where the lane began)."""
        (d, c, b), dtype = self.begun.mean.shape, self.rows.y.dtype
        eye = jnp.broadcast_to(jnp.eye(d, dtype=dtype)[..., None], (d, d, b))
        reach = Reach(eye, jnp.zeros((d, d, b), dtype), jnp.zeros((d, c, b), dtype))

        def step(carry: tuple[State, Reach], x: Rows) -> Any:
            state, reach = self.enter(carry[0], x), carry[1]
            reach = reach._replace(move=jnp.where(x.begins, 0.0, reach.move))
            state, reach, _, _ = update(state, independent(self.system, self.white, x)[0], reach)
            assert reach is not None
            return (self.predict(state, x), reach._replace(move=apply(self.system.transition, reach.move))), None

        return jax.lax.scan(step, (self.begun, reach), self._end_to_end())[0]

    def _end_to_end(self) -> Rows:
        return jax.tree.map(lambda a: a.reshape(a.shape[0] * a.shape[1], *a.shape[2:]), self.rows)

    def joined(self) -> Begun:
        """At the first step of every lane, from one lane to the next, forwards and backwards."""
        if self.lanes == 1:
            d, c, _ = self.begun.mean.shape
            nothing = jnp.zeros((1, d, d), self.rows.y.dtype)
            return Begun(self.begun, nothing, nothing[:, :, :1] * jnp.ones(c))
        behind, reach = jax.tree.map(lambda a: jnp.moveaxis(a, -1, 0), self.reach())
        eye = jnp.eye(behind.covariance.shape[1], dtype=behind.covariance.dtype)

        def onward(state: State, lane: tuple[State, Reach]) -> Any:
            mean, covariance = state
            behind, (move, information, pull) = lane
            left = jnp.linalg.solve(eye + covariance @ information, covariance)
            mean = mean + left @ (pull - information @ mean)
            return State(behind.mean + move @ mean, behind.covariance + move @ left @ move.T), state

        first = jax.tree.map(lambda a: jnp.zeros_like(a[0]), behind)
        _, states = jax.lax.scan(onward, first, (behind, reach))

        def back(later: tuple[Array, Array], lane: tuple[State, Reach]) -> Any:
            (information, pull), (behind, own) = later, lane
            both = jnp.concatenate([information @ own.move, pull - information @ behind.mean], axis=1)
            told = own.move.T @ jnp.linalg.solve(eye + information @ behind.covariance, both)
            d = len(eye)
            here = (own.information + told[:, :d], own.pull + told[:, d:])
            return here, here

        last = (jnp.zeros_like(reach.information[0]), jnp.zeros_like(reach.pull[0]))
        _, (information, pull) = jax.lax.scan(back, last, (behind, reach), reverse=True)
        return Begun(jax.tree.map(lambda a: jnp.moveaxis(a, 0, -1), State(*states)), information, pull)

    # --- filter

    def filter(self, begun: Begun, keep: Callable[[State, State, Told, Rows], Any]) -> tuple[Told, Any, State]:
        """(sums over every lane, what `keep(predicted, filtered, told, x)` keeps of steps, states before stretches)."""
        (_, c, b), dtype = self.begun.mean.shape, self.rows.y.dtype

        def step(carry: tuple[State, Told], x: Rows) -> Any:
            before = self.enter(carry[0], x)
            readings, more = independent(self.system, self.white, x)
            after, _, told, _ = update(before, readings)
            told = told._replace(logs=told.logs + more)
            total = jax.tree.map(jnp.add, carry[1], told)
            return (self.predict(after, x), total), keep(before, after, told, x)

        def stretch(carry: tuple[State, Told], rows: Rows) -> Any:
            after, kept = jax.lax.scan(step, carry, rows)
            return after, (kept, carry[0])

        nothing = Told(jnp.zeros(b, dtype), jnp.zeros((c, c, b), dtype))
        (_, total), (kept, states) = jax.lax.scan(stretch, (begun.state, nothing), self.rows)
        return total, kept, states

    # --- smoother

    def smooth(
        self,
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
            before = self.enter(state, x)
            after, _, _, _ = update(before, independent(self.system, self.white, x)[0])
            return self.predict(after, x), before

        def stretch(later: Later, x: tuple[State, State | None, Rows]) -> Any:
            state, before, rows = x
            if before is None:
                _, before = jax.lax.scan(forth, state, rows)
            later, smoothed = jax.lax.scan(partial(self._back, columns), later, (before, rows), reverse=True)
            return later, summarise(rows, smoothed)

        every = (states, before, self.rows)
        return jax.lax.scan(stretch, self._behind(begun, columns), every, reverse=True)[1]

    def _behind(self, begun: Begun, columns: Any) -> Later:
        """What is known at the end of every lane from the lanes behind it."""
        covariance = jnp.moveaxis(begun.state.covariance, -1, 0)
        mean = jnp.moveaxis(begun.state.mean, -1, 0)
        eye = jnp.eye(covariance.shape[1], dtype=covariance.dtype)
        both = jnp.concatenate([begun.information, begun.pull - begun.information @ mean], axis=2)
        told = jnp.linalg.solve(eye + begun.information @ covariance, both)
        n, r = told[..., : len(eye)], told[..., len(eye) :]
        first = self.rows.sequence[0, 0]

        def shifted(a: Array) -> Array:
            return jnp.concatenate([a[..., 1:], jnp.zeros_like(a[..., :1])], axis=-1)

        smoothed = columns(jnp.moveaxis(mean + covariance @ r, 0, -1), first)
        r = columns(jnp.moveaxis(r, 0, -1), first)
        return Later(shifted(r), shifted(jnp.moveaxis(n, 0, -1)), shifted(smoothed))

    def _back(self, columns: Any, later: Later, x: tuple[State, Rows]) -> Any:
        before, rows = x
        before = before._replace(mean=columns(before.mean, rows.sequence))
        readings, _ = independent(self.system, self.white, rows)
        after, _, _, gains = update(before, readings)
        r, n = (jnp.where(rows.ends, 0.0, a) for a in (later.r, later.n))
        a, covariance = self.system.transition, after.covariance
        moved = apply(a, covariance)
        felt = product(n, moved)
        r = apply(a.T, r)
        mean = after.mean + product(covariance, r)
        ahead = apply(a, transposed(moved)) + self.system.process[..., None]
        pair = moved - product(ahead, felt) + product(later.mean, transposed(mean))
        smoothed = Smoothed(
            mean,
            symmetric(covariance - product(transposed(moved), felt)),
            jnp.where(rows.ends, 0.0, pair),
        )
        n = symmetric(apply(a.T, transposed(apply(a.T, n))))
        r, n = downdate(r, n, readings, gains)
        return Later(r, n, mean), smoothed
