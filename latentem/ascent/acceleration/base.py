"""What accelerators and the loop say to each other, and the one that leaves EM as it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
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
        accepted: at the last point that was accepted for good: what a trace records, since it does not fall.
        step: Euclidean length of the last plain EM step.
        evaluations: EM maps evaluated.
        fell: the objective of a plain EM step fell by this much (0 where it climbed).
        refused: the point was given up for an earlier one, so that an unchanged objective does not mean convergence.
    """

    objective: Float[Array, ""]
    accepted: Float[Array, ""]
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
        step = jnp.linalg.norm(new - state.theta)
        info = StepInfo(objective, objective, step, jnp.ones((), jnp.int32), fell, jnp.zeros((), bool))
        return PlainState(new, objective), info
