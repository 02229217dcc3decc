"""Structural time series: level, trend, season, cycle and regression, each a part of what is observed (Harvey 1989)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np

import latentem as lem
from latentem.kalman import Moments, System, regress
from latentem.models.statespace.blocks import loading, system
from latentem.models.statespace.chained import Chained, Params, spread_of
from latentem.models.statespace.components import components

KINDS = (False, True, "fixed")


@dataclass(frozen=True)
class Structural(Chained):
    """y_t = level + season + cycle + coefficients . regressors + noise, of one column.

    Args:
        level: True, a random walk; "fixed", a constant, or a straight line where there is a trend.
        trend: False; True, a slope that is a random walk itself; "fixed", a slope that stays the same.
        seasonal: period of a season whose effects add up to noise over a period; 0 for none.
        seasonal_fixed: effects of the season stay the same.
        cycle: a damped stochastic cycle; it begins in its stationary distribution.
        regressors: names of columns with coefficients that stay the same.
        noise: whether readings have noise of their own.
        prior: MAP, {name of a parameter: prior}.

    Params are variances {"level", "trend", "seasonal", "noise"} of what is random, "cycle": {"variance", "damping",
    "frequency"} (radians per step) and "coefficients". All states but the cycle begin diffuse (exact).

    >>> fit = lem.fit(lem.LocalLevel(), lem.datasets.nile().volume)
    >>> round(fit.log_likelihood, 4), round(float(fit.params["level"]), 1)
    (-632.5456, 1469.2)
    """

    level: Any = True
    trend: Any = False
    seasonal: int = 0
    seasonal_fixed: bool = False
    cycle: bool = False
    regressors: tuple[str, ...] = ()
    noise: bool = True
    prior: Mapping[str, Any] | None = field(default=None, compare=False)
    readings: int = 0
    names: tuple[str, ...] = ()
    _prior: Any = field(init=False, repr=False)

    verbs = (*Chained.verbs, "decompose")

    def __post_init__(self) -> None:
        for name in ("level", "trend"):
            if getattr(self, name) not in KINDS:
                raise ValueError(f"{name}={getattr(self, name)!r}: expected False, True or 'fixed'")
        if not isinstance(self.seasonal, int) or self.seasonal < 0 or self.seasonal == 1:
            raise ValueError(f"seasonal={self.seasonal!r}: expected a period of at least 2 steps, or 0 for none")
        given = self.regressors
        object.__setattr__(self, "regressors", (given,) if isinstance(given, str) else tuple(given))
        object.__setattr__(self, "_prior", lem.priors.Joint.of(self.prior))
        if not self.level and self.trend:
            raise ValueError("trend without a level: expected level=True or level='fixed'")
        if not (self.level or self.seasonal or self.cycle):
            raise ValueError("a structural model of nothing: expected a level, a season or a cycle")
        if self.regressors and not self.noise:
            raise ValueError("regressors of readings without noise: expected noise=True, from which they are learnt")
        if not self.constraints():
            raise ValueError("nothing is free: expected a part that is random, noise, or regressors")

    # --- what is where

    @property
    def parts(self) -> dict[str, slice]:
        """The states of each part."""
        sizes = {
            "level": bool(self.level) + bool(self.trend),
            "seasonal": self.seasonal - 1 if self.seasonal else 0,
            "cycle": 2 * self.cycle,
        }
        found, begin = {}, 0
        for name, size in sizes.items():
            if size:
                found[name] = slice(begin, begin + size)
                begin += size
        return found

    @property
    def random(self) -> dict[str, int]:
        """The state that each variance drives."""
        own, found = self.parts, {}
        if self.level is True:
            found["level"] = own["level"].start
        if self.trend is True:
            found["trend"] = own["level"].start + 1
        if self.seasonal and not self.seasonal_fixed:
            found["seasonal"] = own["seasonal"].start
        return found

    @property
    def dim(self) -> int:
        return max(part.stop for part in self.parts.values())

    @property
    def name(self) -> str:
        words = [
            {"fixed": "fixed level", True: "level"}.get(self.level, ""),
            {"fixed": "fixed slope", True: "trend"}.get(self.trend, ""),
            f"season of {self.seasonal}" if self.seasonal else "",
            "cycle" if self.cycle else "",
        ]
        return f"structural model ({', '.join(filter(None, words))})"

    @property
    def offsets(self) -> tuple[str, ...]:
        """Covariates of readings."""
        return self.regressors

    @property
    def noisy(self) -> tuple[int, ...]:
        cycle = self.parts.get("cycle", slice(0, 0))
        return (*self.random.values(), *range(cycle.start, cycle.stop))

    @property
    def exact(self) -> tuple[int, ...]:
        return () if self.noise else (0,)

    @property
    def opening(self) -> tuple[int, ...]:
        cycle = self.parts.get("cycle", slice(0, 0))
        return tuple(range(cycle.start, cycle.stop))

    def constraints(self) -> Params:
        found: Params = {name: lem.positive() for name in self.random}
        if self.noise:
            found["noise"] = lem.positive()
        if self.cycle:
            found["cycle"] = {"variance": lem.positive(), "damping": lem.unit(), "frequency": lem.interval(0.0, np.pi)}
        if self.regressors:
            found["coefficients"] = lem.real(len(self.regressors))
        return found

    def check(self, series: lem.Sequences) -> None:
        if self.readings != 1:
            raise ValueError(f"{self.readings} columns of readings: a structural model has one; fit each by itself")
        unknown = self.dim - 2 * self.cycle
        there = np.add.reduceat((~np.isnan(series.steps["y"])).sum(axis=1), series.starts)
        short = np.flatnonzero(there <= unknown)
        if len(short):
            told = f"sequence {short[0]} has {there[short[0]]} readings"
            raise ValueError(f"{told}: expected more than the {unknown} unknown states it begins with")

    def system(self, params: Params) -> System:
        return system(self, params)

    # --- M-step

    @property
    def closed(self) -> bool:
        """Whether the M-step has a closed form."""
        return not self.cycle

    def maximize(self, found: Moments, params: Params) -> Params:
        new, system = dict(params), self.system(params)
        spread = found.move.spread(jnp.concatenate([system.transition, system.inputs], axis=1))
        for name, i in self.random.items():
            new[name] = spread[i, i] / found.move.n
        if not self.noise:
            return new
        coefficients = jnp.concatenate([system.observation, system.offset], axis=1)
        if self.regressors:
            held = lem.constraints.entries(np.append(loading(self), np.full(len(self.regressors), np.nan))[None])
            coefficients = regress(found.reading, held, jnp.ones(1, coefficients.dtype), coefficients)
            new["coefficients"] = coefficients[0, self.dim :]
        left = found.reading.yy[0] - 2 * found.reading.yx[0] @ coefficients.T
        left = left + coefficients @ found.reading.xx[0] @ coefficients.T
        new["noise"] = left[0, 0] / found.reading.n[0]
        return new

    def start(self, observations: Any, weights: Any) -> Params:
        variance = spread_of(observations["y"], weights)[1][0]
        share = {"level": 0.1, "trend": 0.001, "seasonal": 0.01}
        found: Params = {name: share[name] * variance for name in self.random}
        if self.noise:
            found["noise"] = 0.5 * variance
        if self.cycle:
            found["cycle"] = {"variance": 0.1 * variance, "damping": jnp.asarray(0.9), "frequency": jnp.asarray(0.5)}
        if self.regressors:
            found["coefficients"] = jnp.zeros(len(self.regressors))
        return found

    # --- verb

    def decompose(self, fit: Any, x: Any = None) -> dict[str, tuple[Any, Any]]:
        """{part: (smoothed value (T,), its standard deviation (T,))}: "level", "trend" (the slope), "seasonal",
        "cycle", "regression" and "noise", which add up to the readings where one is there (the slope aside)."""
        return components(self, fit, fit.at(x)[1])


def LocalLevel(prior: Mapping[str, Any] | None = None) -> Structural:
    """A random walk seen through noise: `lem.Structural()`. Params are the variances {"level", "noise"}."""
    return Structural(prior=prior)


def LocalTrend(level: Any = True, trend: Any = True, prior: Mapping[str, Any] | None = None) -> Structural:
    """A random walk with a slope that is one too: `lem.Structural(trend=True)`; level="fixed" makes it smooth."""
    return Structural(level=level, trend=trend, prior=prior)
