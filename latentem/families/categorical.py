"""One of C categories."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem import priors
from latentem.constraints import simplex
from latentem.data.layout import Axis, Layout
from latentem.families import checks
from latentem.families.base import (
    Family,
    Params,
    floating,
    keep_empty,
    like,
    log_or_impossible,
    masked,
    maximize_one,
    ratio,
)
from latentem.families.restrictions import Restrictions


def mode(counts: Float[Array, "*K C"], old: Float[Array, "*K C"], belief: Any) -> Float[Array, "*K C"]:
    """Probabilities that maximise counts . log(probabilities), plus the log of a Dirichlet density."""
    if belief is not None:
        # a concentration below 1 pulls to the edge, not over it
        counts = jnp.maximum(counts + like(belief.concentration, counts) - 1, 0)
    total = jnp.sum(counts, axis=-1, keepdims=True)
    return jnp.where(total > 0, ratio(counts, total), old)


@dataclass(frozen=True)
class Categorical(Family):
    """Categorical distribution of an integer 0, ..., C - 1: `probabilities` (C,). Closed form under a
    Dirichlet prior.

    Args:
        categories: C, or the C labels in their order, among them those that the data may lack; None until the family
            has seen data, then one more than the largest observation.
        levels: the labels, where there are any.

    >>> Categorical(3).constraints()["probabilities"].shape
    (3,)
    >>> Categorical(["low", "middle", "high"]).categories
    3
    """

    categories: Any = None
    levels: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        categories = self.categories
        if isinstance(categories, str) or not isinstance(categories, int | np.integer | Iterable | None):
            raise ValueError(f"Categorical: categories={categories!r}: expected a number or a list of labels")
        if isinstance(categories, Iterable):
            levels = tuple(categories)
            if len(set(levels)) < max(1, len(levels)) or not levels:
                raise ValueError(f"Categorical: categories={categories!r}: expected different labels, at least one")
            object.__setattr__(self, "levels", levels)
            object.__setattr__(self, "categories", len(levels))
        elif categories is not None and categories < 1:
            raise ValueError(f"Categorical: categories={categories!r}: expected at least 1")

    def levels_of(self, column: Any) -> tuple[Any, ...] | None:
        return self.levels

    @property
    def _size(self) -> int:
        if self.categories is None:
            raise ValueError("Categorical: categories=None: expected a number; give it or call declare(x) first")
        return self.categories

    def declare(self, x: Any) -> tuple[Categorical, np.ndarray]:
        x = checks.finite("Categorical", checks.column("Categorical", x))
        wrong = (x < 0) | (x != np.floor(x))
        checks.refuse("Categorical", x, wrong, "integers 0, 1, 2, ...", "number the categories from 0")
        if self.categories is None:
            return replace(self, categories=int(x.max()) + 1), x
        expected = f"integers 0, ..., {self.categories - 1}"
        checks.refuse("Categorical", x, x >= self.categories, expected, "raise categories or recode")
        return self, x

    def constraints(self) -> Params:
        return {"probabilities": simplex(self._size)}

    def axes(self, path: tuple[str, ...], layout: Layout) -> tuple[Axis, ...]:
        return (Axis("category", self.levels) if self.levels else layout.categories(),)

    @property
    def separable(self) -> bool:
        return True

    @property
    def width(self) -> int:
        return 1 + self._size

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        chosen = jnp.sum(jnp.where(self._indicators(x), params["probabilities"], 0))
        # also impossible: a number that is no category
        return masked(chosen > 0, jnp.log(jnp.where(chosen > 0, chosen, 1)))

    def sample(self, params: Params, key: Array) -> Array:
        return jax.random.categorical(key, log_or_impossible(params["probabilities"]))

    def features(self, x: Any, context: Any) -> Float[Array, " S"]:
        x = floating(x)
        return jnp.concatenate([jnp.ones(1, x.dtype), self._indicators(x).astype(x.dtype)])

    def natural(self, params: Params, context: Any) -> Float[Array, " S"]:
        logs = log_or_impossible(params["probabilities"])
        return jnp.concatenate([jnp.zeros(1, logs.dtype), logs])

    def is_closed(self, given: Restrictions) -> bool:
        return given.conjugate(probabilities=priors.Dirichlet)

    def m_step(self, expected: Float[Array, "K S"], params: Params, context: Any, given: Restrictions) -> Params:
        expected = given.pool(expected, "probabilities")
        old = params["probabilities"]
        new = mode(expected[..., 1:], old, given.belief("probabilities", priors.Dirichlet))
        return {"probabilities": keep_empty(expected[..., 0], new, old)}

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        return maximize_one(self, x, weights, context)

    def _indicators(self, x: Any) -> Array:
        x = floating(x).reshape(())
        return x == jnp.arange(self._size, dtype=x.dtype)
