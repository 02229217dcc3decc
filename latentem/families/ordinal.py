"""One of C ordered categories: a location on a logistic scale that is cut into pieces."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import log_sigmoid
from jaxtyping import Array, Float

from latentem.constraints import positive, real
from latentem.data.layout import Axis, Layout
from latentem.families.base import Family, Params, floating, ratio
from latentem.families.categorical import Categorical


def cumulative_logs(location: Array, gaps: Float[Array, " C-2"]) -> Float[Array, " C"]:
    """log P(x = c) where P(x <= c) = logistic(threshold_c - location); thresholds begin at 0, `gaps` apart."""
    zero = jnp.zeros(1, jnp.result_type(gaps, location))
    at = jnp.concatenate([zero, jnp.cumsum(gaps)]) - location
    # log(sigmoid(b) - sigmoid(a)) = log sigmoid(b) + log sigmoid(-a) + log(1 - exp(a - b))
    middle = log_sigmoid(at[1:]) + log_sigmoid(-at[:-1]) + jnp.log(-jnp.expm1(-gaps))
    return jnp.concatenate([log_sigmoid(at[:1]), middle, log_sigmoid(-at[-1:])])


def from_shares(shares: Float[Array, " C"]) -> tuple[Array, Array]:
    """(location, gaps) of categories with these shares, kept off the edge."""
    shares = (shares + 1e-5) / jnp.sum(shares + 1e-5)
    upto = jnp.clip(jnp.cumsum(shares)[:-1], 1e-6, 1 - 1e-6)
    at = jnp.log(upto) - jnp.log1p(-upto)
    return -at[0], jnp.maximum(jnp.diff(at), 1e-3)


@dataclass(frozen=True)
class Ordinal(Family):
    """Ordered categories 0, ..., C - 1: P(x <= c) = logistic(threshold_c - `location`), the first threshold 0 and the
    others `gaps` (C - 2,) apart. Its M-step is Newton.

    With `shared=("gaps",)`, components of a mixture are shifts along one scale: a parameter each.

    Args:
        categories: C, or the C labels from lowest to highest; None until the family has seen data.

    Source: McCullagh, JRSS B 42 (1980), 109-142.

    >>> Ordinal(["never", "sometimes", "often"]).constraints()["gaps"].shape
    (1,)
    """

    inside: ClassVar[float] = 0.0
    discrete: ClassVar[bool] = True
    smooth_cdf: ClassVar[bool] = True
    categories: Any = None
    levels: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        told = Categorical(self.categories, self.levels)
        if told.categories is not None and told.categories < 3:
            raise ValueError(f"Ordinal: {told.categories} categories: expected at least 3; use Bernoulli for two")
        object.__setattr__(self, "categories", told.categories)
        object.__setattr__(self, "levels", told.levels)

    @property
    def support(self) -> tuple[float, float]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return 0.0, float(self._size - 1)

    @property
    def _size(self) -> int:
        if self.categories is None:
            raise ValueError("Ordinal: categories=None: expected a number; give it or call declare(x) first")
        return self.categories

    def levels_of(self, column: Any) -> tuple[Any, ...] | None:
        return self.levels

    def declare(self, x: Any) -> tuple[Ordinal, np.ndarray]:
        found, x = categories("Ordinal", x, self.categories)
        return replace(self, categories=found), x

    def constraints(self) -> Params:
        return {"location": real(), "gaps": positive(self._size - 2)}

    def axes(self, path: tuple[str, ...], layout: Layout) -> tuple[Axis, ...]:
        return (Axis("gap"),) if path == ("gaps",) else ()

    @property
    def separable(self) -> bool:
        return True

    @property
    def width(self) -> int:
        return 1 + self._size

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        chosen = self._indicators(x)
        logs = jnp.where(chosen, cumulative_logs(params["location"], params["gaps"]), 0)
        return jnp.where(jnp.any(chosen), jnp.sum(logs), -jnp.inf)

    def cdf(self, params: Params, x: Any) -> Float[Array, ""]:
        mass = jnp.exp(cumulative_logs(params["location"], params["gaps"]))
        return jnp.minimum(jnp.sum(jnp.where(jnp.arange(self._size) <= jnp.floor(floating(x)), mass, 0)), 1)

    def shares(self, params: Params) -> Float[Array, " C"]:
        return jnp.exp(cumulative_logs(params["location"], params["gaps"]))

    def sample(self, params: Params, key: Array) -> Array:
        return jax.random.categorical(key, cumulative_logs(params["location"], params["gaps"]))

    def features(self, x: Any, context: Any) -> Float[Array, " S"]:
        x = floating(x)
        return jnp.concatenate([jnp.ones(1, x.dtype), self._indicators(x).astype(x.dtype)])

    def natural(self, params: Params, context: Any) -> Float[Array, " S"]:
        logs = cumulative_logs(params["location"], params["gaps"])
        return jnp.concatenate([jnp.zeros(1, logs.dtype), logs])

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        counts = jnp.sum(jnp.where(weights > 0, weights, 0)[:, None] * jax.vmap(self._indicators)(x), axis=0)
        location, gaps = from_shares(ratio(counts, jnp.sum(counts)))
        return {"location": location, "gaps": gaps}

    def _indicators(self, x: Any) -> Array:
        x = floating(x).reshape(())
        return x == jnp.arange(self._size, dtype=x.dtype)


def categories(name: str, x: Any, known: int | None) -> tuple[int, np.ndarray]:
    """(number of ordered categories, the codes)."""
    declared, x = Categorical(known).declare(x)
    if declared.categories < 3:
        raise ValueError(f"{name}: {declared.categories} categories: expected at least 3; use Bernoulli for two")
    return declared.categories, x
