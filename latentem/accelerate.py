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
    """

    objective: Float[Array, ""]
    step: Float[Array, ""]
    evaluations: Array
    fell: Float[Array, ""]


class Method(ABC):
    """An accelerator: frozen, hashable; `init(theta)` makes what it carries, `step` advances it."""

    @abstractmethod
    def init(self, theta: Vector) -> Any:
        """State before the first step; its field `theta` is the current point."""

    @abstractmethod
    def step(self, em: EMMap, state: Any, tolerance: float) -> tuple[Any, StepInfo]:
        """Advance by one accelerated iteration; a plain step shorter than `tolerance` ends it early."""


class PlainState(NamedTuple):
    theta: Vector
    objective: Float[Array, ""]


@dataclass(frozen=True)
class Plain(Method):
    """EM as it is."""

    def init(self, theta: Vector) -> PlainState:
        return PlainState(theta, jnp.full((), -jnp.inf, theta.dtype))

    def step(self, em: EMMap, state: PlainState, tolerance: float) -> tuple[PlainState, StepInfo]:
        new, objective = em.update(state.theta)
        fell = jnp.maximum(state.objective - objective, 0.0)
        info = StepInfo(objective, jnp.linalg.norm(new - state.theta), jnp.ones((), jnp.int32), fell)
        return PlainState(new, objective), info


class SQUAREMState(NamedTuple):
    theta: Vector
    longest: Float[Array, ""]
    objective: Float[Array, ""]


@dataclass(frozen=True)
class SQUAREM(Method):
    """Squared extrapolation, scheme S3 (Varadhan and Roland 2008, Scand. J. Statist. 35).

    Args:
        growth: factor by which the bound on the step length grows when it was reached and kept, and shrinks when
            the extrapolation was refused.
        longest: the bound to begin with.
        slack: how much the objective may fall at an extrapolated point, in nats. An extrapolated point that is lower
            but then climbs faster saves evaluations; 0 makes every iteration monotone.
    """

    growth: float = 4.0
    longest: float = 1.0
    slack: float = 0.0

    def init(self, theta: Vector) -> SQUAREMState:
        return SQUAREMState(theta, jnp.asarray(self.longest, theta.dtype), jnp.full((), -jnp.inf, theta.dtype))

    def step(self, em: EMMap, state: SQUAREMState, tolerance: float) -> tuple[SQUAREMState, StepInfo]:
        eps = jnp.finfo(state.theta.dtype).eps
        once, at_start = em.update(state.theta)
        r = once - state.theta
        fell = jnp.maximum(state.objective - at_start, 0.0)

        def finish(_: None) -> tuple[SQUAREMState, StepInfo]:
            info = StepInfo(at_start, jnp.linalg.norm(r), jnp.ones((), jnp.int32), fell)
            return SQUAREMState(once, state.longest, at_start), info

        def extrapolate(_: None) -> tuple[SQUAREMState, StepInfo]:
            twice, at_once = em.update(once)
            q = twice - once
            v = q - r
            shortest = jnp.linalg.norm(v) <= eps * jnp.linalg.norm(r)
            ratio = jnp.linalg.norm(r) / jnp.where(shortest, 1.0, jnp.linalg.norm(v))
            length = jnp.clip(jnp.where(shortest, 1.0, ratio), 1.0, state.longest)
            ended = jnp.linalg.norm(q) < tolerance
            proposal = state.theta + 2 * length * r + length**2 * v
            usable = jnp.all(jnp.isfinite(proposal)) & em.contains(proposal) & (length > 1.0) & ~ended
            tried = jnp.where(usable, proposal, twice)

            def stabilise(_: None) -> tuple[Vector, Float[Array, ""]]:
                return em.update(tried)

            def stay(_: None) -> tuple[Vector, Float[Array, ""]]:
                return twice, at_once

            new, at_tried = lax.cond(ended, stay, stabilise, None)
            slack = self.slack + 8 * eps * jnp.abs(at_once)
            good = jnp.isfinite(at_tried) & jnp.all(jnp.isfinite(new)) & (at_tried >= at_once - slack)
            kept = good | ~usable
            theta = jnp.where(kept, new, twice)
            objective = jnp.where(good, at_tried, at_once)
            reached = length >= state.longest
            longest = jnp.where(reached & kept, self.growth * state.longest, state.longest)
            longest = jnp.where(usable & ~good, jnp.maximum(self.longest, state.longest / self.growth), longest)
            info = StepInfo(
                objective,
                jnp.linalg.norm(jnp.where(good, new - tried, q)),
                jnp.where(ended, 2, 3).astype(jnp.int32),
                jnp.maximum(fell, at_start - at_once),
            )
            return SQUAREMState(theta, longest, objective), info

        return lax.cond(jnp.linalg.norm(r) < tolerance, finish, extrapolate, None)


class AndersonState(NamedTuple):
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
        window: how many past steps are combined.
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

    def step(self, em: EMMap, state: AndersonState, tolerance: float) -> tuple[AndersonState, StepInfo]:
        image, here = em.update(state.theta)
        eps = jnp.finfo(image.dtype).eps
        usable = jnp.isfinite(here) & jnp.all(jnp.isfinite(image))
        good = usable & (here >= state.objective - self.slack - 8 * eps * jnp.abs(state.objective))
        # A refused extrapolation goes back to the last plain EM image, whose objective cannot be lower.
        theta = jnp.where(good, state.theta, state.safe)
        residual = jnp.where(good, image - state.theta, 0.0)
        keep = good & (state.stored < self.window)
        row = jnp.arange(self.window)[:, None] == state.stored % self.window
        residuals = jnp.where(good & row, residual, jnp.where(good, state.residuals, 0.0))
        images = jnp.where(good & row, image, jnp.where(good, state.images, 0.0))
        stored = jnp.where(good, state.stored + 1, 0)
        damping = jnp.where(good, state.damping * 0.5, jnp.minimum(state.damping * 8.0, 1.0))
        proposal = self._combine(residuals, images, residual, image, stored, damping)
        fine = good & (stored > 1) & jnp.all(jnp.isfinite(proposal)) & em.contains(proposal)
        # A full window restarts from the newest pair, so that stale differences do not linger.
        full = stored >= self.window
        del keep
        new = jnp.where(fine, proposal, jnp.where(good, image, theta))
        next_state = AndersonState(
            new,
            jnp.where(full, 0.0, residuals),
            jnp.where(full, 0.0, images),
            jnp.where(full, 0, stored),
            damping,
            jnp.where(good, here, state.objective),
            jnp.where(good, image, state.safe),
        )
        step = jnp.where(good, jnp.linalg.norm(residual), jnp.inf)
        info = StepInfo(next_state.objective, step, jnp.ones((), jnp.int32), jnp.zeros_like(here))
        return next_state, info

    def _combine(
        self, residuals: Array, images: Array, residual: Vector, image: Vector, stored: Array, damping: Array
    ) -> Vector:
        """The damped least-squares combination of the stored images."""
        live = (jnp.arange(self.window) < jnp.minimum(stored, self.window))[:, None]
        df = jnp.where(live, residuals - residual, 0.0)
        dg = jnp.where(live, images - image, 0.0)
        gram = df @ df.T
        ridge = damping * jnp.maximum(jnp.trace(gram), 1e-300) + 1e-300
        weights = jnp.linalg.solve(gram + ridge * jnp.eye(self.window, dtype=gram.dtype), df @ residual)
        return image - weights @ dg
