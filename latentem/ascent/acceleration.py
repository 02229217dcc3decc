"""Acceleration of an EM map: strategy objects with init and step.

An EM map takes params to (params, objective at the OLD params). Extrapolation works on the raveled natural params;
what it proposes is used only if it is finite, inside the constraints and does not lower the objective; otherwise
the plain EM point is kept, so that an accelerated fit climbs as surely as EM.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Vector = Float[Array, " D"]


class EMMap(NamedTuple):
    """What an accelerator sees.

    Args:
        update: theta (D,) -> (theta (D,), objective at the old theta).
        contains: theta (D,) -> bool, whether theta satisfies the constraints.
    """

    update: Callable[[Vector], tuple[Vector, Float[Array, ""]]]
    contains: Callable[[Vector], Array]


class StepInfo(NamedTuple):
    """What one step reports.

    Args:
        objective: at the best point whose objective is known after the step.
        step: Euclidean length of the last plain EM step.
        evaluations: EM maps evaluated.
        fell: the objective of a plain EM step fell by this much (0 where it climbed).
        refused: the point was given up for an earlier one, so that an unchanged objective does not mean convergence.
    """

    objective: Float[Array, ""]
    step: Float[Array, ""]
    evaluations: Array
    fell: Float[Array, ""]
    refused: Array


class Method(ABC):
    """An accelerator: frozen, hashable; `init(theta)` makes what it carries, `step` advances it."""

    @abstractmethod
    def init(self, theta: Vector) -> Any:
        """State before the first step; its field `theta` is the current point."""

    @abstractmethod
    def step(self, em: EMMap, state: Any, tolerance: float | Array) -> tuple[Any, StepInfo]:
        """Advance by one accelerated iteration; a plain step shorter than `tolerance` ends it early."""


class PlainState(NamedTuple):
    theta: Vector
    objective: Float[Array, ""]


@dataclass(frozen=True)
class Plain(Method):
    """EM as it is."""

    def init(self, theta: Vector) -> PlainState:
        return PlainState(theta, jnp.full((), -jnp.inf, theta.dtype))

    def step(self, em: EMMap, state: PlainState, tolerance: float | Array) -> tuple[PlainState, StepInfo]:
        new, objective = em.update(state.theta)
        fell = jnp.maximum(state.objective - objective, 0.0)
        info = StepInfo(
            objective, jnp.linalg.norm(new - state.theta), jnp.ones((), jnp.int32), fell, jnp.zeros((), bool)
        )
        return PlainState(new, objective), info


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
    longest: Float[Array, ""]
    shorter: Float[Array, ""]
    floor: Float[Array, ""]


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
        eps = jnp.finfo(state.theta.dtype).eps
        slack = self.slack + 8 * eps * jnp.abs(state.floor)

        def judge(images: Vector, objectives: Vector) -> tuple[Array, Array]:
            """(the first point is worth going on from, its plain step is short)."""
            finite = jnp.isfinite(objectives[0]) & jnp.all(jnp.isfinite(images[0]))
            # A first point that is not finite has nothing to fall back to.
            good = (finite & ~(objectives[0] < state.floor - slack)) | (state.floor == -jnp.inf)
            return good, jnp.linalg.norm(images[0] - state.theta) < tolerance

        def extrapolate(once: Vector, twice: Vector) -> tuple[Vector, Array, Array, Array]:
            """(the point to stabilise, whether it is an extrapolation, its step length, whether EM has ended)."""
            r, q = once - state.theta, twice - once
            v = q - r
            flat = jnp.linalg.norm(v) <= eps * jnp.linalg.norm(r)
            ratio = jnp.linalg.norm(r) / jnp.where(flat, 1.0, jnp.linalg.norm(v))
            length = jnp.clip(jnp.where(flat, 1.0, ratio), 1.0, state.longest)
            ended = jnp.linalg.norm(q) < tolerance
            proposal = state.theta + 2 * length * r + length**2 * v
            usable = jnp.all(jnp.isfinite(proposal)) & em.contains(proposal) & (length > 1.0) & ~ended
            return jnp.where(usable, proposal, twice), usable, length, ended

        def proceed(walk: tuple[Array, Array, Vector, Vector, Vector, Any]) -> Array:
            return walk[1]

        def evaluate(
            walk: tuple[Array, Array, Vector, Vector, Vector, Any],
        ) -> tuple[Array, Array, Vector, Vector, Vector, Any]:
            stage, _, point, images, objectives, _ = walk
            image, objective = em.update(point)
            images, objectives = images.at[stage].set(image), objectives.at[stage].set(objective)
            good, short = judge(images, objectives)
            tried, usable, length, ended = extrapolate(images[0], images[1])
            more = jnp.where(stage == 0, good & ~short, (stage == 1) & ~ended)
            seen = (good, short, tried, usable, length, ended)
            return stage + 1, more, jnp.where(stage == 0, image, tried), images, objectives, seen

        # One loop of up to three steps, and not three calls: the EM map, which is most of a fit, compiles once. What
        # was seen last holds of the whole walk: the first two images do not change after the steps that made them.
        zero, no = jnp.zeros((), jnp.int32), jnp.zeros((), bool)
        empty = jnp.zeros((3, *state.theta.shape), state.theta.dtype)
        unseen = (no, no, state.theta, no, state.longest, no)
        walk = (zero, ~no, state.theta, empty, jnp.full((3,), -jnp.inf, state.theta.dtype), unseen)
        count, _, _, images, objectives, seen = lax.while_loop(proceed, evaluate, walk)
        once, twice, new = images
        at_start, at_once, at_tried = objectives
        good, short, tried, usable, length, ended = seen
        new, at_tried = jnp.where(ended, twice, new), jnp.where(ended, at_once, at_tried)
        sound = jnp.isfinite(at_tried) & jnp.all(jnp.isfinite(new))
        kept = sound | ~usable
        at_bound = (length >= state.longest) & ~ended
        shorter = jnp.where(at_bound, jnp.maximum(self.longest, state.longest / self.growth), state.longest)
        longer = jnp.where(at_bound, self.growth * state.longest, state.longest)
        nothing = jnp.zeros_like(at_start)
        # Whatever the objective at a plain EM point is, the loop goes on from there.
        lowest = jnp.full_like(at_start, -jnp.inf)
        refused = (
            SQUAREMState(state.fallback, state.fallback, state.shorter, state.shorter, lowest),
            StepInfo(state.floor, jnp.full_like(at_start, jnp.inf), count, nothing, ~good),
        )
        finished = (
            SQUAREMState(once, once, state.longest, state.longest, at_start),
            StepInfo(at_start, jnp.linalg.norm(once - state.theta), count, nothing, ~good),
        )
        went_on = (
            SQUAREMState(jnp.where(kept, new, twice), twice, jnp.where(kept, longer, shorter), shorter, at_start),
            StepInfo(
                jnp.where(sound, jnp.maximum(at_once, at_tried), at_once),
                jnp.linalg.norm(jnp.where(sound, new - tried, twice - once)),
                count,
                # Only plain steps tell whether an M-step climbs: far out, rounding of a simplex is blown up with
                # the step.
                jnp.maximum(at_start - at_once, 0.0),
                ~good,
            ),
        )
        ahead = jax.tree.map(lambda a, b: jnp.where(short, a, b), finished, went_on)
        return jax.tree.map(lambda a, b: jnp.where(good, a, b), ahead, refused)


class AndersonState(NamedTuple):
    """What Anderson acceleration carries.

    Args:
        theta: the current point.
        residuals, images: (window, D), EM steps and EM images of past points, the newest last.
        stored: how many of those rows are filled.
        damping: the ridge.
        objective: at the last point that was kept.
        safe: its EM image, to go back to.
    """

    theta: Vector
    residuals: Float[Array, "window D"]
    images: Float[Array, "window D"]
    stored: Array
    damping: Float[Array, ""]
    objective: Float[Array, ""]
    safe: Vector


@dataclass(frozen=True)
class Anderson(Method):
    """Anderson acceleration with damping, restarts and monotonicity control, in the manner of DAAREM
    (Henderson and Varadhan 2019, JCGS 28).

    Args:
        window: how many past steps are combined with the newest; a refused point clears them.
        damping: initial ridge on the least-squares problem, relative to its largest singular value squared.
        slack: how much the objective may fall at an extrapolated point, in nats.
    """

    window: int = 5
    damping: float = 1e-2
    slack: float = 0.01

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ValueError(f"Anderson(window={self.window}): expected at least 1 past step")

    def init(self, theta: Vector) -> AndersonState:
        zeros = jnp.zeros((self.window, theta.size), theta.dtype)
        lowest = jnp.full((), -jnp.inf, theta.dtype)
        return AndersonState(
            theta, zeros, zeros, jnp.zeros((), jnp.int32), jnp.asarray(self.damping, theta.dtype), lowest, theta
        )

    def step(self, em: EMMap, state: AndersonState, tolerance: float | Array) -> tuple[AndersonState, StepInfo]:
        image, here = em.update(state.theta)
        eps = jnp.finfo(image.dtype).eps
        usable = jnp.isfinite(here) & jnp.all(jnp.isfinite(image))
        good = usable & (here >= state.objective - self.slack - 8 * eps * jnp.abs(state.objective))
        residual = jnp.where(good, image - state.theta, 0.0)
        image = jnp.where(good, image, state.safe)
        proposal = self._combine(state, residual, image)
        fine = good & (state.stored > 0) & jnp.all(jnp.isfinite(proposal)) & em.contains(proposal)
        next_state = AndersonState(
            # A refused extrapolation goes back to the last plain EM image, whose objective cannot be lower.
            jnp.where(fine, proposal, image),
            jnp.where(good, jnp.concatenate([state.residuals[1:], residual[None]]), 0.0),
            jnp.where(good, jnp.concatenate([state.images[1:], image[None]]), 0.0),
            jnp.where(good, jnp.minimum(state.stored + 1, self.window), 0),
            jnp.where(good, state.damping * 0.5, jnp.minimum(state.damping * 8.0, 1.0)),
            jnp.where(good, here, state.objective),
            image,
        )
        step = jnp.where(good, jnp.linalg.norm(residual), jnp.inf)
        info = StepInfo(next_state.objective, step, jnp.ones((), jnp.int32), jnp.zeros_like(here), ~good)
        return next_state, info

    def _combine(self, state: AndersonState, residual: Vector, image: Vector) -> Vector:
        """The damped least-squares combination of the stored images with the newest."""
        live = (jnp.arange(self.window) >= self.window - state.stored)[:, None]
        df = jnp.where(live, state.residuals - residual, 0.0)
        dg = jnp.where(live, state.images - image, 0.0)
        gram = df @ df.T
        ridge = state.damping * jnp.maximum(jnp.trace(gram), 1e-300) + 1e-300
        weights = jnp.linalg.solve(gram + ridge * jnp.eye(self.window, dtype=gram.dtype), df @ residual)
        return image - weights @ dg
