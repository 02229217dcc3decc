"""Anderson acceleration: the newest EM steps combined by damped least squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from latentem.ascent.acceleration.base import EMMap, Method, StepInfo, Vector


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
        kept, one = next_state.objective, jnp.ones((), jnp.int32)
        info = StepInfo(kept, kept, step, one, jnp.zeros_like(here), ~good)
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
