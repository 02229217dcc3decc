"""Forwards over the lanes: the filter, exact though every lane runs at the same time.

Each lane is gone through once from an unknown state, which says how it depends on that state (`Reach`); then states
at the ends of lanes follow one after the other, forwards and backwards; then all lanes run again from the right state.
Sources: Lainiotis (1976), partitioned filtering; Särkkä and García-Fernández (2021) for the products; de Jong
(1991) for starts along unknown directions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from latentem.forms.kalman.algebra import apply, on_lanes, symmetric, transposed
from latentem.forms.kalman.lanes import Rows
from latentem.forms.kalman.readings import Reach, Readings, State, Told, Whitening, independent, update
from latentem.model.gaussian_chain import LinearGaussian, System


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
        system: its matrices; where they vary, those of some step.
        white: where readings have correlated noise.
        rows: leading axis of stretches; `y` without what covariates explain, unless matrices vary.
        varying: matrices of one step from its covariates.
    """

    system: System
    white: Whitening | None
    rows: Rows
    varying: Callable[[dict[str, Array]], System] | None = None

    @classmethod
    def of(cls, factors: LinearGaussian, params: Any, rows: Rows, sets: Any) -> Walk:
        """The same rows with covariates accounted for; `sets` are those of `lay_out`."""
        if factors.varying:
            vary = partial(factors.system, params)
            some = vary({"u": rows.into[0, 0, :, 0], "v": rows.at[0, 0, :, 0]})
            return cls(some, None, rows, vary)
        system = factors.system(params)
        white = None if system.noise.ndim == 1 else Whitening.of(system.noise, sets)
        if rows.at.shape[2]:
            known = jnp.einsum("pl,smlb->smpb", system.offset, rows.at)
            rows = rows._replace(y=jnp.where(rows.there, rows.y - known, 0.0))
        return cls(system, white, rows)

    def of_step(self, x: Rows) -> System:
        """The matrices at a step; of every lane, on a last axis, where they vary."""
        if self.varying is None:
            return self.system
        return jax.vmap(self.varying, in_axes=-1, out_axes=-1)({"u": x.into, "v": x.at})

    def independent(self, x: Rows) -> tuple[Readings, Any]:
        """(readings of one step made independent, what that adds to their log density)."""
        if self.varying is None:
            return independent(self.system, self.white, x)
        system = self.of_step(x)
        y = x.y - apply(system.offset, x.at) if x.at.shape[0] else x.y
        return Readings(jnp.where(x.there, y, 0.0), x.there, system.observation, system.noise), 0.0

    @property
    def lanes(self) -> int:
        """B."""
        return self.rows.begins.shape[-1]

    def prior(self, x: Rows) -> State:
        """Of the first step of a sequence."""
        system = self.of_step(x)
        mean = jnp.concatenate([system.mean[:, None], system.directions], axis=1)
        return State(on_lanes(mean, 2), on_lanes(system.covariance, 2))

    @property
    def begun(self) -> State:
        """The first step of every lane as if its state were known to be 0."""
        (d, q), b = self.system.directions.shape, self.lanes
        c = 1 + q
        return State(jnp.zeros((d, c, b), self.rows.y.dtype), jnp.zeros((d, d, b), self.rows.y.dtype))

    def enter(self, state: State, x: Rows) -> State:
        """The state before a step is read: that of the model, where a sequence begins."""
        return jax.tree.map(partial(jnp.where, x.begins), self.prior(x), state)

    def predict(self, state: State, x: Rows) -> State:
        """The state of the step after."""
        system = self.of_step(x)
        a = system.transition
        moved = apply(a, transposed(apply(a, state.covariance)))
        mean = apply(a, state.mean)
        if x.into.shape[0]:
            mean = mean.at[:, 0].add(apply(system.inputs, x.into))
        return State(mean, symmetric(moved) + on_lanes(system.process, 2))

    # --- once through every lane

    def reach(self) -> tuple[State, Reach]:
        """(the state behind every lane that began at 0, how it depends on where the lane began)."""
        (d, c, b), dtype = self.begun.mean.shape, self.rows.y.dtype
        eye = jnp.broadcast_to(jnp.eye(d, dtype=dtype)[..., None], (d, d, b))
        reach = Reach(eye, jnp.zeros((d, d, b), dtype), jnp.zeros((d, c, b), dtype))

        def step(carry: tuple[State, Reach], x: Rows) -> Any:
            state, reach = self.enter(carry[0], x), carry[1]
            reach = reach._replace(move=jnp.where(x.begins, 0.0, reach.move))
            state, reach, _, _ = update(state, self.independent(x)[0], reach)
            assert reach is not None
            return (self.predict(state, x), reach._replace(move=apply(self.of_step(x).transition, reach.move))), None

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
            readings, more = self.independent(x)
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
