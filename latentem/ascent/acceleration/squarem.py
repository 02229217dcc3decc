"""SQUAREM: squared extrapolation of EM steps (Varadhan and Roland 2008)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from latentem.ascent.acceleration.base import EMMap, Method, StepInfo, Vector

Scalar = Float[Array, ""]


class SQUAREMState(NamedTuple):
    """What SQUAREM carries.

    Args:
        theta: the current point, the EM image of the last extrapolation.
        fallback: the plain EM point to go back to if the objective at `theta` turns out lower than `floor`.
        longest: bound on the step length.
        shorter: the bound to take instead if `theta` is refused.
        floor: the objective that `theta` must reach.
    """

    theta: Vector
    fallback: Vector
    longest: Scalar
    shorter: Scalar
    floor: Scalar


class Seen(NamedTuple):
    """What an iteration has found out.

    Args:
        good: its first point is worth going on from.
        short: the plain step from there is short.
        tried: the point whose EM image is to be the next one.
        usable: `tried` is an extrapolation, and not the second plain EM point.
        length: of the step to it.
        ended: the second plain step is short.
    """

    good: Array
    short: Array
    tried: Vector
    usable: Array
    length: Scalar
    ended: Array


class Walk(NamedTuple):
    """An iteration on its way: up to three EM steps, from theta, from its image, and from what these two propose.

    Args:
        steps: EM steps taken.
        more: whether to take another.
        point: where from.
        images, objectives: (3, D) and (3,), the EM image of each point and the objective at it.
        seen: what follows from them.
    """

    steps: Array
    more: Array
    point: Vector
    images: Float[Array, "points D"]
    objectives: Float[Array, " points"]
    seen: Seen


@dataclass(frozen=True)
class SQUAREM(Method):
    """Squared extrapolation, scheme S3 (Varadhan and Roland 2008, Scand. J. Statist. 35).

    An iteration makes two EM steps, extrapolates, and takes a third EM step from there. Whether that was worth it
    shows at the next iteration, whose first EM step evaluates the objective: where it is lower than before the
    extrapolation, the iteration goes on from the plain EM point instead.

    Args:
        growth: factor by which the bound on the step length grows when it was reached and kept, and shrinks when
            the extrapolation was refused.
        longest: the bound to begin with.
        slack: how much the objective may fall over an iteration, in nats; 0 makes iterations monotone.
    """

    growth: float = 4.0
    longest: float = 1.0
    slack: float = 0.0

    def init(self, theta: Vector) -> SQUAREMState:
        lowest = jnp.full((), -jnp.inf, theta.dtype)
        longest = jnp.asarray(self.longest, theta.dtype)
        return SQUAREMState(theta, theta, longest, longest, lowest)

    def step(self, em: EMMap, state: SQUAREMState, tolerance: float | Array) -> tuple[SQUAREMState, StepInfo]:
        def onward(walk: Walk) -> Walk:
            image, objective = em.update(walk.point)
            images = walk.images.at[walk.steps].set(image)
            objectives = walk.objectives.at[walk.steps].set(objective)
            good, short = judge(state, images[0], objectives[0], self.slack, tolerance)
            proposed = extrapolate(state.theta, images[0], images[1], state.longest, em.contains, tolerance)
            seen = Seen(good, short, *proposed)
            more = jnp.where(walk.steps == 0, good & ~short, (walk.steps == 1) & ~seen.ended)
            return Walk(walk.steps + 1, more, jnp.where(walk.steps == 0, image, seen.tried), images, objectives, seen)

        # One loop of up to three steps, and not three calls: the EM map, which is most of a fit, compiles once. What
        # was seen last holds of the whole walk: the first two images do not change after the steps that made them.
        no = jnp.zeros((), bool)
        walk = Walk(
            jnp.zeros((), jnp.int32),
            ~no,
            state.theta,
            jnp.zeros((3, *state.theta.shape), state.theta.dtype),
            jnp.full((3,), -jnp.inf, state.theta.dtype),
            Seen(no, no, state.theta, no, state.longest, no),
        )
        return settle(state, lax.while_loop(lambda walk: walk.more, onward, walk), self.growth, self.longest)


def judge(
    state: SQUAREMState, once: Vector, at_start: Scalar, slack: float, tolerance: float | Array
) -> tuple[Array, Array]:
    """Whether the first point of an iteration is worth going on from, and whether the plain step from it is short.

    Args:
        state: the point, and the floor that its objective must reach.
        once: its EM image.
        at_start: its objective.
        slack: how far below the floor it may lie.
        tolerance: how short a step ends EM.
    """
    rounding = 8 * jnp.finfo(once.dtype).eps * jnp.abs(state.floor)
    finite = jnp.isfinite(at_start) & jnp.all(jnp.isfinite(once))
    # A first point that is not finite has nothing to fall back to.
    good = (finite & ~(at_start < state.floor - (slack + rounding))) | (state.floor == -jnp.inf)
    return good, jnp.linalg.norm(once - state.theta) < tolerance


def extrapolate(
    theta: Vector,
    once: Vector,
    twice: Vector,
    longest: Scalar,
    contains: Callable[[Vector], Array],
    tolerance: float | Array,
) -> tuple[Vector, Array, Scalar, Array]:
    """The last four fields of `Seen`: theta + 2 length r + length^2 v, where r is the first EM step and v the change to
    the second; `twice` where that cannot be used."""
    r, q = once - theta, twice - once
    v = q - r
    flat = jnp.linalg.norm(v) <= jnp.finfo(theta.dtype).eps * jnp.linalg.norm(r)
    ratio = jnp.linalg.norm(r) / jnp.where(flat, 1.0, jnp.linalg.norm(v))
    length = jnp.clip(jnp.where(flat, 1.0, ratio), 1.0, longest)
    ended = jnp.linalg.norm(q) < tolerance
    proposal = theta + 2 * length * r + length**2 * v
    usable = jnp.all(jnp.isfinite(proposal)) & contains(proposal) & (length > 1.0) & ~ended
    return jnp.where(usable, proposal, twice), usable, length, ended


def settle(state: SQUAREMState, walk: Walk, growth: float, first: float) -> tuple[SQUAREMState, StepInfo]:
    """What an iteration leaves: back at the fallback where its first point was refused, at the EM image where the first
    plain step was short, at the image of what was tried otherwise.

    Args:
        state: before the iteration.
        walk: the iteration, walked to its end.
        growth: factor of the bound on the step length.
        first: below which the bound does not shrink.
    """
    once, twice, new = walk.images
    at_start, at_once, at_tried = walk.objectives
    good, short, tried, usable, length, ended = walk.seen
    new, at_tried = jnp.where(ended, twice, new), jnp.where(ended, at_once, at_tried)
    sound = jnp.isfinite(at_tried) & jnp.all(jnp.isfinite(new))
    kept = sound | ~usable
    at_bound = (length >= state.longest) & ~ended
    shorter = jnp.where(at_bound, jnp.maximum(first, state.longest / growth), state.longest)
    longer = jnp.where(at_bound, growth * state.longest, state.longest)
    nothing = jnp.zeros_like(at_start)
    # Whatever the objective at a plain EM point is, the loop goes on from there.
    lowest = jnp.full_like(at_start, -jnp.inf)
    refused = (
        SQUAREMState(state.fallback, state.fallback, state.shorter, state.shorter, lowest),
        StepInfo(state.floor, state.floor, jnp.full_like(at_start, jnp.inf), walk.steps, nothing, ~good),
    )
    finished = (
        SQUAREMState(once, once, state.longest, state.longest, at_start),
        StepInfo(at_start, at_start, jnp.linalg.norm(once - state.theta), walk.steps, nothing, ~good),
    )
    went_on = (
        SQUAREMState(jnp.where(kept, new, twice), twice, jnp.where(kept, longer, shorter), shorter, at_start),
        StepInfo(
            jnp.where(sound, jnp.maximum(at_once, at_tried), at_once),
            # The image of what was tried may yet be refused, unless what was tried lies as high as the start.
            jnp.where(sound, jnp.maximum(at_start, at_tried), at_once),
            jnp.linalg.norm(jnp.where(sound, new - tried, twice - once)),
            walk.steps,
            # Only plain steps tell whether an M-step climbs: far out, rounding of a simplex is blown up with the step.
            jnp.maximum(at_start - at_once, 0.0),
            ~good,
        ),
    )
    ahead = jax.tree.map(lambda a, b: jnp.where(short, a, b), finished, went_on)
    return jax.tree.map(lambda a, b: jnp.where(good, a, b), ahead, refused)
