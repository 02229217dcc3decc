"""The general linear Gaussian state space model, every matrix with entries that are given, free or equal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

import latentem as lem
from latentem.constraints import Constraint, Diagonal, Entries
from latentem.kalman import Moments, System, stationary
from latentem.models.statespace.chained import Chained, Params
from latentem.models.statespace.m_step import is_closed, maximize
from latentem.models.statespace.pattern import coefficients, covariance, first_state, frozen, given, noisy
from latentem.models.statespace.rough import rough


@dataclass(frozen=True)
class StateSpace(Chained):
    """States z_t = transition z_(t-1) + input_effect u_t + N(0, process), readings y_t = observation z_t +
    offset_effect v_t + N(0, noise).

    Args:
        state: dimension d of z.
        transition, observation: (d, d) and (p, d): "free", "diagonal", "identity", "equal", "zero", or nested lists in
            which a number is given, NaN is free, and entries of one name are equal; or a constraint from `lem`.
        process, noise: covariance matrices: "free", "diagonal", "equal" (one variance), "identity", or a list for the
            diagonal, or a given matrix. A variance of 0 is a state, or a reading, without noise.
        inputs, offsets: names of columns that are covariates of moves and of readings; "1" is a constant.
        input_effect, offset_effect: (d, k) and (p, l), their coefficients, as `transition`.
        initial: of the first state: "stationary" (that of a chain which has always run), "diffuse" (exact, flat),
            "constant" (an unknown one, estimated), "free" (mean and covariance are params), (mean, covariance) given,
            or {"mean": pattern, "covariance": pattern}.
        before: the first state is z_0, one step before the first reading.
        prior: MAP, {name of a parameter: prior}.

    Params are the matrices by these names, those that nothing is free in too. Readings are columns of an array or
    table; NaN is one that is missing.

    >>> y = lem.datasets.nile().volume
    >>> level = lem.StateSpace(1, transition="identity", observation=[[1.0]], initial="diffuse")
    >>> round(lem.fit(level, y).log_likelihood, 4)
    -632.5456
    """

    state: int
    transition: Any = "free"
    process: Any = "free"
    observation: Any = "free"
    noise: Any = "diagonal"
    inputs: tuple[str, ...] = ()
    offsets: tuple[str, ...] = ()
    input_effect: Any = "free"
    offset_effect: Any = "free"
    initial: Any = "stationary"
    before: bool = False
    prior: Mapping[str, Any] | None = field(default=None, compare=False)
    readings: int = 0
    names: tuple[str, ...] = ()
    _prior: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.state, int) or self.state < 1:
            raise ValueError(f"state={self.state!r}: expected a dimension >= 1")
        for name in ("transition", "process", "observation", "noise", "input_effect", "offset_effect"):
            object.__setattr__(self, name, frozen(getattr(self, name)))
        for name in ("inputs", "offsets"):
            said = getattr(self, name)
            object.__setattr__(self, name, (said,) if isinstance(said, str) else tuple(said))
        object.__setattr__(self, "initial", first_state(self.initial))
        object.__setattr__(self, "_prior", lem.priors.Joint.of(self.prior))
        d = self.state
        coefficients("transition", self.transition, (d, d))
        process = covariance("process", self.process, d)
        if self.initial == "stationary" and not coefficients("transition", self.transition, (d, d)).size:
            largest = np.abs(np.linalg.eigvals(given(coefficients("transition", self.transition, (d, d))))).max()
            if largest >= 1:
                told = f"the given transition does not settle (largest eigenvalue {largest:.4g})"
                raise ValueError(f"initial='stationary': {told}: use initial='diffuse' or 'constant'")
        if process.size == 0 and not noisy(process) and self.initial == "stationary":
            raise ValueError("process is zero and initial='stationary': no state would ever move; use 'diffuse'")

    # --- declaration

    @property
    def dim(self) -> int:
        return self.state

    @property
    def name(self) -> str:
        return f"state space model of {self.state} states"

    @cached_property
    def constraint_of(self) -> dict[str, Constraint]:
        """The constraint of each matrix."""
        d, p = self.state, self.readings
        found: dict[str, Constraint] = {
            "transition": coefficients("transition", self.transition, (d, d)),
            "process": covariance("process", self.process, d),
            "observation": coefficients("observation", self.observation, (p, d)),
            "noise": covariance("noise", self.noise, p),
        }
        if self.inputs:
            found["input_effect"] = coefficients("input_effect", self.input_effect, (d, len(self.inputs)))
        if self.offsets:
            found["offset_effect"] = coefficients("offset_effect", self.offset_effect, (p, len(self.offsets)))
        if isinstance(self.initial, tuple):
            found["initial_mean"] = coefficients("initial mean", self.initial[0], (d,))
            found["initial_covariance"] = covariance("initial covariance", self.initial[1], d)
        return found

    def constraints(self) -> Params:
        return dict(self.constraint_of)

    @property
    def integrated(self) -> bool:
        """Whether an unknown start is integrated out."""
        return self.initial != "constant"

    @property
    def noisy(self) -> tuple[int, ...]:
        return noisy(self.constraint_of["process"])

    @property
    def exact(self) -> tuple[int, ...]:
        return tuple(sorted(set(range(self.readings)) - set(noisy(self.constraint_of["noise"]))))

    @property
    def opening(self) -> tuple[int, ...]:
        if isinstance(self.initial, tuple):
            return noisy(self.constraint_of["initial_covariance"])
        return tuple(range(self.state)) if self.initial == "stationary" else ()

    def check(self, series: lem.Sequences) -> None:
        self._check_free()
        if self.initial in ("diffuse", "constant"):
            there = np.add.reduceat((~np.isnan(series.steps["y"])).sum(axis=1), series.starts)
            short = np.flatnonzero(there < self.state)
            if len(short):
                told = f"sequence {short[0]} has {there[short[0]]} readings"
                raise ValueError(
                    f"{told}, fewer than the {self.state} unknown states it begins with (initial={self.initial!r}): "
                    "leave it out, or use initial='stationary'"
                )

    def _check_free(self) -> None:
        parts = self.constraint_of
        if not sum(c.size for c in parts.values()):
            raise ValueError("every entry of every matrix is given: leave something free, or ask lem.kalman.smoothed")
        silent = {"transition": set(range(self.state)) - set(self.noisy), "observation": set(self.exact)}
        silent |= {"input_effect": silent["transition"], "offset_effect": silent["observation"]}
        for name, rows in silent.items():
            part, still = parts.get(name), sorted(rows)
            if still and part is not None and part.size:
                free = np.argwhere(part.groups >= 0) if isinstance(part, Entries) else np.array(part.free_indices)
                if np.isin(free[:, 0], still).any():
                    what = "a state" if name in ("transition", "input_effect") else "a reading"
                    row = next(int(i) for i in free[:, 0] if i in rows)
                    told = f"{name} is free in row {row}, {what} without noise"
                    raise ValueError(f"{told}: give its entries, or noise to it")

    # --- matrices

    def system(self, params: Params) -> System:
        d, p = self.state, self.readings
        dtype = params["transition"].dtype
        diagonal = isinstance(self.constraint_of["noise"], Diagonal)
        nothing = jnp.zeros((d, 0), dtype)
        mean, spread, directions = jnp.zeros(d, dtype), jnp.zeros((d, d), dtype), nothing
        if isinstance(self.initial, tuple):
            mean, spread = params["initial_mean"], params["initial_covariance"]
        elif self.initial == "stationary":
            spread = stationary(params["transition"], params["process"])
        else:
            directions = jnp.eye(d, dtype=dtype)
        return System(
            params["transition"],
            params.get("input_effect", nothing),
            params["process"],
            params["observation"],
            params.get("offset_effect", jnp.zeros((p, 0), dtype)),
            jnp.diagonal(params["noise"]) if diagonal else params["noise"],
            mean,
            spread,
            directions,
        )

    # --- EM

    @property
    def closed(self) -> bool:
        """Whether the M-step has a closed form."""
        return is_closed(self)

    def maximize(self, found: Moments, params: Params) -> Params:
        return maximize(self, found, params)

    @property
    def initial_params(self) -> Any:
        """A start by chance, where loadings are free; without it there is one start."""
        if not self.readings or self.constraint_of["observation"].size:
            return self._drawn
        raise AttributeError("initial_params")

    def start(self, observations: Any, weights: Any) -> Params:
        return rough(self, observations, weights, None)

    def _drawn(self, key: Array, observations: Any, weights: Any) -> Params:
        return rough(self, observations, weights, jax.random.normal(key, (self.readings, self.state), weights.dtype))
