"""What all state space models have in common: how they read data, the Model they stand for, how they are declared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem.kalman import GaussianChain, LinearGaussian, System
from latentem.models.statespace.verbs import Verbs

Params = dict[str, Any]
#: The name of a covariate that is 1 at every step.
ONE = "1"


class Chained(Verbs, ABC):
    """A linear Gaussian model of readings y (T, p), given by `system(params)`.

    To add one: a frozen dataclass below this with `dim`, `name`, `constraints`, `system`, `start`, what differs from
    the defaults here, and where the M-step has a closed form, `closed` and `maximize(moments, params)`.
    """

    #: Covariates of moves and of readings, by name; "1" is a constant.
    inputs: tuple[str, ...] = ()
    offsets: tuple[str, ...] = ()
    #: Readings p, and their columns where they have names, known once data were declared.
    readings: int = 0
    names: tuple[str, ...] = ()
    prior: Mapping[str, Any] | None = None
    integrated: ClassVar[bool] = True
    before: bool = False
    closed: bool = False

    # --- what a model says of itself

    @property
    @abstractmethod
    def dim(self) -> int:
        """d."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What summaries call it."""

    @abstractmethod
    def constraints(self) -> Params:
        """Constraints of the params."""

    @abstractmethod
    def system(self, params: Params) -> System:
        """The matrices."""

    @abstractmethod
    def start(self, observations: Any, weights: Any) -> Params:
        """Where EM begins."""

    @property
    def noisy(self) -> tuple[int, ...]:
        """States with noise of their own."""
        return tuple(range(self.dim))

    @property
    def exact(self) -> tuple[int, ...]:
        """Readings without noise."""
        return ()

    @property
    def opening(self) -> tuple[int, ...]:
        """States whose first value has a distribution."""
        return ()

    def check(self, series: lem.Sequences) -> None:
        """Raise in one line when these data cannot be fitted."""

    # --- data

    def declare(self, observations: Any) -> tuple[Any, lem.Sequences]:
        """The model with what the data say about it, and the data as sequences of {"y", "u", "v"}."""
        series = lem.sequences(observations)
        steps = series.steps
        if not isinstance(steps, dict):
            steps = {"y": steps}
        names = self.names
        if not (set(steps) <= {"y", "u", "v"} and "y" in steps):
            names, steps = self._by_name(steps, series.total)
        steps = {name: np.asarray(a, np.float64).reshape(series.total, -1) for name, a in steps.items()}
        for name, wanted in (("u", self.inputs), ("v", self.offsets)):
            if name not in steps:
                steps[name] = self._covariates({}, wanted, series.total)
            if steps[name].shape[1] != len(wanted):
                told = f"{steps[name].shape[1]} covariates {name!r}"
                raise ValueError(f"{told}: expected {len(wanted)}, of {', '.join(wanted) or 'none'}")
        p = steps["y"].shape[1]
        if p == 0:
            raise ValueError("no column is left for the readings: expected at least one beside the covariates")
        if self.readings not in (0, p):
            raise ValueError(f"{p} readings at each step: expected {self.readings}, as in the data of the fit")
        series = replace(series, steps=steps)
        declared = replace(self, readings=p, names=names)  # pyright: ignore
        declared.check(series)
        return declared, series

    def read(self, observations: Any) -> tuple[Any, lem.Sequences]:
        """(the model, the data) of new observations, for a fit: see `declare`."""
        return self.declare(observations)

    def _by_name(self, columns: dict[str, Any], total: int) -> tuple[tuple[str, ...], dict[str, Any]]:
        """(columns of the readings, the data by what they are); of new data, the columns that the fit knows."""
        own = self.names or tuple(name for name in columns if name not in (*self.inputs, *self.offsets))
        if not own:
            raise ValueError("no column is left for the readings: expected at least one beside the covariates")
        for name in own:
            if name not in columns:
                raise ValueError(f"no column is called {name!r}: choose from {', '.join(map(str, columns))}")
        read = [np.asarray(columns[name], np.float64).reshape(total, -1) for name in own]
        covariates = {k: self._covariates(columns, of, total) for k, of in (("u", self.inputs), ("v", self.offsets))}
        return own, {"y": np.concatenate(read, axis=1), **covariates}

    @staticmethod
    def _covariates(columns: dict[str, Any], names: tuple[str, ...], total: int) -> np.ndarray:
        found = []
        for name in names:
            if name != ONE and name not in columns:
                raise ValueError(f"no column is called {name!r}: choose from {', '.join(map(str, columns)) or 'none'}")
            found.append(np.ones(total) if name == ONE else np.asarray(columns[name], np.float64).reshape(total))
        return np.stack(found, axis=1) if found else np.zeros((total, 0))

    # --- the Model

    def model(self) -> lem.Model:
        """The Model that a fit runs on."""
        return _model(self)

    def step_log_prob(self, params: Params, x: Any, z: Array, previous: Array) -> Float[Array, ""]:
        """log p(z | previous) + log p(y | z) of one step, on the states that have noise."""
        system = self.system(params)
        rows = np.array(self.noisy, np.int32)
        away = z - system.transition @ previous - system.inputs @ x["u"]
        moved = jax.scipy.stats.multivariate_normal.logpdf(
            away[rows], jnp.zeros(len(rows)), system.process[rows][:, rows]
        )
        variance = system.noise if system.noise.ndim == 1 else jnp.diagonal(system.noise)
        off = x["y"] - system.observation @ z - system.offset @ x["v"]
        read: Any = jnp.where(
            jnp.isnan(off), 0.0, jax.scipy.stats.norm.logpdf(jnp.nan_to_num(off), 0.0, jnp.sqrt(variance))
        )
        return jnp.sum(read) + (moved if len(rows) else 0.0)


@lru_cache(maxsize=128)
def _model(chained: Any) -> lem.Model:
    """One Model per value, so that equal models compile once."""
    factors = LinearGaussian(
        chained.system,
        chained.noisy,
        exact=chained.exact,
        opening=chained.opening,
        integrated=chained.integrated,
        before=chained.before,
        maximize=chained.maximize if chained.closed else None,
    )
    by_chance = hasattr(chained, "initial_params")
    return lem.Model(
        chained.step_log_prob,
        latent=GaussianChain(chained.dim, factors),
        params=chained.constraints(),
        prior=chained.prior,
        start=None if by_chance else chained.start,
        initial=chained.initial_params if by_chance else None,
        name=chained.name,
        declaration=chained,
    )


def spread_of(y: Float[Array, "T p"], weights: Float[Array, " T"]) -> tuple[Array, Array]:
    """(mean (p,), variance (p,)) of the readings that are there."""
    there = ~jnp.isnan(y) * weights[:, None]
    n = jnp.maximum(jnp.sum(there, axis=0), 1e-30)
    mean = jnp.sum(jnp.where(there > 0, y, 0.0) * there, axis=0) / n
    variance = jnp.sum(jnp.where(there > 0, (y - mean) ** 2, 0.0) * there, axis=0) / n
    return mean, jnp.where(variance > 0, variance, 1.0)
