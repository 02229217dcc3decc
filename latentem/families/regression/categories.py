"""Regressions of categories: multinomial logit and proportional odds."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.constraints import positive, real
from latentem.data.layout import Axis, Layout
from latentem.families.base import Params, floating, ratio
from latentem.families.categorical import Categorical
from latentem.families.ordinal import categories as ordered_categories
from latentem.families.ordinal import cumulative_logs, from_shares
from latentem.families.regression.base import Regression


@dataclass(frozen=True)
class OfCategories(Regression):
    """A regression of a category 0, ..., C - 1: what follows from the log probabilities of the categories, `logs`.

    Args:
        categories: C; None until the family has seen data.
    """

    discrete = True
    categories: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _without_numbers(self)

    @property
    def _size(self) -> int:
        if self.categories is None:
            raise ValueError(f"{type(self).__name__}: categories=None: expected a number; give it or call declare(x)")
        return self.categories

    def levels_of(self, column: Any) -> tuple[Any, ...] | None:
        return () if column == self.response else None

    def check(self, y: np.ndarray, n: np.ndarray) -> None:
        Categorical(self.categories).declare(y)

    @abstractmethod
    def logs(self, params: Params, x: Any) -> Float[Array, " C"]:
        """Log probabilities of the categories given the covariates of x."""

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        return jnp.sum(jnp.where(self.indicators(x), self.logs(params, x), 0))

    def shares_given(self, params: Params, x: Any) -> Float[Array, " C"]:
        """Probabilities of the categories given the covariates of x."""
        return jnp.exp(self.logs(params, x))

    def draw(self, params: Params, key: Array, x: Any) -> Array:
        """A response given the covariates of x."""
        logs = self.logs(params, x)
        return jax.random.categorical(key, logs).astype(logs.dtype)

    def indicators(self, x: Any) -> Array:
        """Which category the response is, (C,) booleans."""
        y = floating(x[self.response])
        return y == jnp.arange(self._size, dtype=y.dtype)

    def observed_shares(self, x: Any, weights: Float[Array, " N"]) -> Float[Array, " C"]:
        """The share of each category among the rows."""
        counts = jnp.sum(jnp.where(weights > 0, weights, 0) * jax.vmap(self.indicators)(x).T, axis=1)
        return ratio(counts, jnp.sum(counts))


@dataclass(frozen=True)
class CategoricalRegression(OfCategories):
    """Multinomial logit of a category 0, ..., C - 1: log odds against category 0 = `coefficients` (C - 1, p) . (1,
    covariates).

    Args:
        categories: C; None until the family has seen data.

    >>> CategoricalRegression("vote", "age", categories=3).constraints()["coefficients"].shape
    (2, 2)
    """

    def declare(self, x: Any) -> tuple[CategoricalRegression, dict[str, np.ndarray]]:
        _, kept = super().declare(x)
        found = Categorical(self.categories).declare(kept[self.response])[0].categories
        if found < 2:
            told = f"CategoricalRegression: column {self.response!r} has one category"
            raise ValueError(f"{told}: expected at least 2; there is nothing to estimate")
        return replace(self, categories=found), kept

    def constraints(self) -> Params:
        return {"coefficients": real((self._size - 1, self.size))}

    def axes(self, path: tuple[str, ...], layout: Layout) -> tuple[Axis, ...]:
        return (Axis("category against 0"), *super().axes(path, layout))

    def logs(self, params: Params, x: Any) -> Float[Array, " C"]:
        odds = params["coefficients"] @ self.design(x)
        return jax.nn.log_softmax(jnp.concatenate([jnp.zeros_like(odds[:1]), odds]), axis=0)

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        """The shares of the categories, and no slopes."""
        logs = jnp.log(self.observed_shares(x, weights) + 1e-3)
        start = jnp.zeros((self._size - 1, self.size), logs.dtype)
        return {"coefficients": start.at[:, 0].set(logs[1:] - logs[0]) if self.intercept else start}


@dataclass(frozen=True)
class OrdinalRegression(OfCategories):
    """Proportional odds of an ordered category: P(y <= c) = logistic(threshold_c - eta), the first threshold 0 and the
    others `gaps` (C - 2,) apart; eta = `coefficients` (p,) . (1, covariates) + offset.

    Args:
        categories: C; None until the family has seen data.

    Source: McCullagh, JRSS B 42 (1980), 109-142.

    >>> sorted(OrdinalRegression("pain", "dose", categories=4).constraints())
    ['coefficients', 'gaps']
    """

    def declare(self, x: Any) -> tuple[OrdinalRegression, dict[str, np.ndarray]]:
        _, kept = super().declare(x)
        found, _ = ordered_categories("OrdinalRegression", kept[self.response], self.categories)
        return replace(self, categories=found), kept

    def constraints(self) -> Params:
        return {"coefficients": real(self.size), "gaps": positive(self._size - 2)}

    def axes(self, path: tuple[str, ...], layout: Layout) -> tuple[Axis, ...]:
        return (Axis("gap"),) if path == ("gaps",) else super().axes(path, layout)

    def logs(self, params: Params, x: Any) -> Float[Array, " C"]:
        return cumulative_logs(self.predictor(params, x), params["gaps"])

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        """The shares of the categories, and no slopes."""
        location, gaps = from_shares(self.observed_shares(x, weights))
        start = jnp.zeros(self.size, gaps.dtype)
        return {"coefficients": start.at[0].set(location) if self.intercept else start, "gaps": gaps}


def _without_numbers(family: Regression) -> None:
    if family.weights is not None:
        told = f"{type(family).__name__}: weights={family.weights!r}: a category is no mean"
        raise ValueError(f"{told}; pass lem.fit(..., weights=...) for rows that count several times")
    if family.offset is not None and isinstance(family, CategoricalRegression):
        raise ValueError(f"CategoricalRegression: offset={family.offset!r}: there is one predictor for each category")
