"""Lifetimes, seen to their end or not: the Weibull distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gamma
from jaxtyping import Array, Float

from latentem.constraints import positive
from latentem.families import checks
from latentem.families.base import Family, Params, floating, inside_positive, masked, ratio

EULER = 0.5772156649015329


@dataclass(frozen=True)
class Weibull(Family):
    """Weibull distribution of a positive number: `shape` () and `scale` (), P(x > t) = exp(-(t / scale)^shape).

    Its M-step is Newton. With the names of two columns, observations are tables, and times of which no end was seen
    (right-censored) count by P(x > t).

    Args:
        time: the column of times; None for observations that are plain numbers.
        event: the column that is 1 where the end was seen and 0 where the time is a lower bound.

    >>> Weibull("time", "event").columns
    ('time', 'event')
    """

    smooth_cdf: ClassVar[bool] = True
    time: str | None = None
    event: str | None = None

    def __post_init__(self) -> None:
        if (self.time is None) != (self.event is None):
            raise ValueError(
                f"Weibull({self.time!r}, {self.event!r}): expected the names of both columns, of times and of events"
            )

    @property
    def columns(self) -> tuple[str, ...] | None:
        return None if self.time is None or self.event is None else (self.time, self.event)

    def declare(self, x: Any) -> tuple[Weibull, Any]:
        if self.time is None or self.event is None:
            return self, self._times(checks.column("Weibull", x))
        kept = checks.columns("Weibull", x, self.columns)
        times, seen = self._times(kept[self.time]), kept[self.event]
        checks.finite("Weibull", seen)
        checks.refuse("Weibull", seen, (seen != 0) & (seen != 1), "1 (the end was seen) or 0", "recode the column")
        if not seen.any():
            raise ValueError(f"Weibull: no end was seen, {self.event!r} is 0 everywhere: expected at least one event")
        return self, {self.time: times, self.event: seen}

    def constraints(self) -> Params:
        return {"shape": positive(), "scale": positive()}

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        time, event = self._parts(x)
        shape, scale = params["shape"], params["scale"]
        valid = time > 0
        log = jnp.log(jnp.where(valid, time, 1)) - jnp.log(scale)
        hazard = jnp.log(shape) - jnp.log(scale) + (shape - 1) * log
        return masked(valid, event * hazard - jnp.exp(shape * log))

    def cdf(self, params: Params, x: Any) -> Float[Array, ""]:
        return -jnp.expm1(-self._risk(params, x))

    def survival(self, params: Params, x: Any) -> Float[Array, ""]:
        return jnp.exp(-self._risk(params, x))

    def quantile(self, params: Params, p: Any) -> Float[Array, ""]:
        return params["scale"] * (-jnp.log1p(-jnp.asarray(p))) ** (1 / params["shape"])

    def mean(self, params: Params, x: Any = None) -> Float[Array, ""]:
        return params["scale"] * gamma(1 + 1 / params["shape"])

    def sample(self, params: Params, key: Array) -> Any:
        shape = floating(params["shape"])
        drawn = jax.random.exponential(key, dtype=shape.dtype) ** (1 / shape)
        time = inside_positive(params["scale"] * drawn)
        return time if self.time is None else {self.time: time, self.event: jnp.ones_like(time)}

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        """The shape by the spread of the logarithms of the times whose end was seen; the scale that is best with it."""
        time, event = self._parts(x)
        time = jnp.where(weights > 0, time, 1)
        ended = weights * event
        ended = jnp.where(jnp.sum(ended) > 0, ended, weights)
        log = jnp.log(time)
        middle = ratio(jnp.sum(ended * log), jnp.sum(ended))
        deviation = jnp.sqrt(ratio(jnp.sum(ended * (log - middle) ** 2), jnp.sum(ended)))
        shape = jnp.clip(jnp.pi / jnp.sqrt(6.0) / jnp.maximum(deviation, 1e-6), 1e-2, 1e3)
        shape = shape.astype(log.dtype)
        risk = ratio(jnp.sum(weights * jnp.exp(shape * (log - middle))), jnp.sum(ended))
        return {"shape": shape, "scale": inside_positive(jnp.exp(middle + jnp.log(risk) / shape))}

    def _times(self, times: np.ndarray) -> np.ndarray:
        checks.finite("Weibull", times)
        checks.refuse("Weibull", times, times <= 0, "a positive number", "remove the row or use another family")
        return times

    def _parts(self, x: Any) -> tuple[Array, Any]:
        """Times, and 1 where the end was seen."""
        if self.time is None:
            return floating(x), jnp.ones_like(floating(x))
        return floating(x[self.time]), floating(x[self.event])

    def _risk(self, params: Params, x: Any) -> Array:
        x = floating(x)
        inside = jnp.where(x > 0, x, 1)
        return jnp.where(x > 0, (inside / params["scale"]) ** params["shape"], 0)
