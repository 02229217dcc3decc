"""Autoregressions seen through noise, and with readings missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np

import latentem as lem
from latentem.kalman import System, stationary
from latentem.models.statespace.chained import ONE, Chained, Params, spread_of


@dataclass(frozen=True)
class AR(Chained):
    """y_t = mean + x_t (+ noise), x_t = sum of coefficients x_(t-k) + N(0, variance), begun where it has always run.

    Args:
        order: p.
        noise: readings have noise of their own.
        prior: MAP, {name of a parameter: prior}.

    Params are {"mean": (), "coefficients": (p,), "variance": (), "noise": ()}. Without noise this is the exact
    likelihood of an autoregression, with any readings missing.
    """

    order: int
    noise: bool = True
    prior: Mapping[str, Any] | None = field(default=None, compare=False)
    readings: int = 0
    names: tuple[str, ...] = ()
    _prior: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.order, int) or self.order < 1:
            raise ValueError(f"order={self.order!r}: expected a whole number of at least 1")
        object.__setattr__(self, "_prior", lem.priors.Joint.of(self.prior))

    @property
    def dim(self) -> int:
        return self.order

    @property
    def name(self) -> str:
        return f"AR({self.order}){' with noise' if self.noise else ''}"

    # The mean is added to readings that have noise; where they have none it moves the states, which are the readings:
    # given the states, a reading without noise says nothing that an M-step could learn from.

    @property
    def offsets(self) -> tuple[str, ...]:
        """The constant of readings with noise, whose coefficient is the mean."""
        return (ONE,) if self.noise else ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """The constant of states that are the readings themselves."""
        return () if self.noise else (ONE,)

    @property
    def noisy(self) -> tuple[int, ...]:
        return (0,)

    @property
    def exact(self) -> tuple[int, ...]:
        return () if self.noise else (0,)

    @property
    def opening(self) -> tuple[int, ...]:
        return tuple(range(self.order))

    def constraints(self) -> Params:
        found: Params = {"mean": lem.real(), "coefficients": lem.real(self.order), "variance": lem.positive()}
        return {**found, "noise": lem.positive()} if self.noise else found

    def check(self, series: lem.Sequences) -> None:
        if self.readings != 1:
            raise ValueError(f"{self.readings} columns of readings: an AR model has one; use lem.StateSpace for more")

    def system(self, params: Params) -> System:
        p, dtype = self.order, params["coefficients"].dtype
        shift = jnp.eye(p, k=-1, dtype=dtype)
        transition = shift.at[0].add(params["coefficients"])
        first = jnp.eye(p, dtype=dtype)[:1]
        process = params["variance"] * first.T @ first
        mean, nothing = params["mean"], jnp.zeros((1, 0), dtype)
        drift = mean * (1 - jnp.sum(params["coefficients"])) * first.T
        return System(
            transition,
            jnp.zeros((p, 0), dtype) if self.noise else drift,
            process,
            first,
            mean.reshape(1, 1) if self.noise else nothing,
            params["noise"][None] if self.noise else jnp.zeros(1, dtype),
            jnp.zeros(p, dtype) if self.noise else mean * jnp.ones(p, dtype),
            stationary(transition, process),
            jnp.zeros((p, 0), dtype),
        )

    def start(self, observations: Any, weights: Any) -> Params:
        mean, variance = spread_of(observations["y"], weights)
        first = jnp.asarray(np.eye(self.order)[0] * 0.5, variance.dtype)
        share = 0.5 if self.noise else 1.0
        found: Params = {"mean": mean[0], "coefficients": first, "variance": 0.75 * share * variance[0]}
        return {**found, "noise": 0.5 * variance[0]} if self.noise else found
