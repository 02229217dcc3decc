"""What regressions have in common: columns, a design, an offset, numbers of observations behind each response."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.constraints import real
from latentem.data.layout import Axis, Layout
from latentem.families import checks
from latentem.families.base import Family, Params, floating
from latentem.families.incomplete import Incomplete


@dataclass(frozen=True)
class Regression(Family):
    """The density of the column `response` given the columns `covariates`; observations are dicts (tables) of columns.

    Args:
        response: name of the column that is modelled.
        covariates: names of the columns it depends on.
        intercept: whether the first coefficient is a constant; "own" makes it a parameter of its own, `intercept` (),
            so that components can have slopes in common, `shared=("coefficients",)`.
        offset: a column that is added to the linear predictor, with coefficient 1 (the logarithm of an exposure).
        weights: a column that says of how many observations the response is the mean: trials behind a proportion,
            observations behind an average.
    """

    response: str
    covariates: tuple[str, ...] = ()
    intercept: Any = True
    offset: str | None = None
    weights: str | None = None

    def __post_init__(self) -> None:
        found = (self.covariates,) if isinstance(self.covariates, str) else tuple(self.covariates)
        name = type(self).__name__
        named = [column for column in (self.offset, self.weights) if column is not None]
        if not all(isinstance(column, str) for column in (self.response, *found, *named)):
            raise TypeError(f"{name}({self.response!r}, {self.covariates!r}): expected names of columns")
        if self.intercept not in (True, False, "own"):
            raise ValueError(f"{name}: intercept={self.intercept!r}: expected True, False or 'own'")
        if self.intercept == "own" and (not self._by_newton or not found):
            raise ValueError(
                f"{name}: intercept='own': expected covariates, and a regression by Newton such as Poisson"
            )
        if not found and not self.intercept:
            raise ValueError(f"{name}: no covariates and no intercept: expected at least one of them")
        object.__setattr__(self, "covariates", found)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads."""
        return (self.response, *self._given)

    @property
    def _given(self) -> tuple[str, ...]:
        """The columns that the response depends on."""
        named = (self.offset, self.weights)
        return tuple(dict.fromkeys((*self.covariates, *(column for column in named if column is not None))))

    @property
    def size(self) -> int:
        """Number of coefficients p."""
        return len(self.covariates) + bool(self.intercept)

    @property
    def _by_newton(self) -> bool:
        """Whether the constant may be a parameter of its own."""
        return False

    def _coefficient_constraints(self) -> Params:
        if self.intercept == "own":
            return {"intercept": real(), "coefficients": real(self.size - 1)}
        return {"coefficients": real(self.size)}

    def _coefficients(self, b: Float[Array, " p"]) -> Params:
        """The params of a vector of coefficients, the constant first."""
        if self.intercept == "own":
            return {"intercept": b[0], "coefficients": b[1:]}
        return {"coefficients": b}

    def declare(self, x: Any) -> tuple[Regression, dict[str, np.ndarray]]:
        name, kept = type(self).__name__, checks.columns(type(self).__name__, x, self.columns)
        for column in self.columns:
            checks.finite(name, kept[column])
        self._check(kept, kept[self.response])
        design = np.stack(
            [np.ones_like(kept[self.response])] * bool(self.intercept) + [kept[c] for c in self.covariates], 1
        )
        scale = np.sqrt(np.mean(design**2, axis=0))
        if np.linalg.matrix_rank(design / np.where(scale > 0, scale, 1)) < self.size:
            told = "the intercept and " * bool(self.intercept) + f"covariates {', '.join(self.covariates)}"
            raise ValueError(f"{name}: {told} are linearly dependent: leave one out")
        return self, kept

    def read(self, x: Any) -> tuple[Family, dict[str, np.ndarray]]:
        """New data: covariates are given, so that what they are like does not matter; a response that is missing
        counts for nothing."""
        name, kept = type(self).__name__, checks.columns(type(self).__name__, x, self.columns)
        response = kept[self.response]
        gone = np.isnan(response)
        for column in self._given:
            lost = np.flatnonzero(np.isnan(kept[column]) & ~gone)
            if len(lost):
                told = f"{name}: column {column!r} is missing in row {lost[0]}, where the response is not"
                raise ValueError(f"{told}: expected a number; fill it in or remove the row")
            checks.finite(name, kept[column], missing=True)
        if gone.all():
            return Incomplete(self), kept
        self._check(kept, np.where(gone, response[int(np.argmin(gone))], response))
        return (Incomplete(self) if gone.any() else self), kept

    def _check(self, kept: dict[str, np.ndarray], y: np.ndarray) -> None:
        """Raise, in one line, for weights that are none and responses outside the support."""
        n = np.ones_like(y)
        if self.weights is not None:
            n = kept[self.weights]
            n = np.where(np.isnan(n), 1, n)
            name = f"{type(self).__name__}: column {self.weights!r}"
            checks.refuse(name, n, n <= 0, "a positive number", "remove rows that stand for nothing")
        self.check(y, n)

    @abstractmethod
    def check(self, y: np.ndarray, n: np.ndarray) -> None:
        """Raise, in one line, for responses outside the support, each the mean of n."""

    def axes(self, path: tuple[str, ...], layout: Layout) -> tuple[Axis, ...]:
        if path != ("coefficients",):
            return ()
        constant = ("intercept",) * (self.intercept is True)
        return (Axis("term", (*constant, *self.covariates)),)

    def design(self, x: Any) -> Float[Array, "p N"]:
        """What the coefficients multiply: 1 and the covariates."""
        first = [jnp.ones_like(jnp.asarray(x[self.response]), dtype=jnp.result_type(float))] * bool(self.intercept)
        return jnp.stack([*first, *(jnp.asarray(x[name], jnp.result_type(float)) for name in self.covariates)])

    def shift(self, x: Any) -> Array:
        """The offset, 0 where there is none."""
        return jnp.zeros(()) if self.offset is None else floating(x[self.offset])

    def count(self, x: Any) -> Array:
        """Of how many observations each response is the mean."""
        return jnp.ones_like(floating(x[self.response])) if self.weights is None else floating(x[self.weights])

    def predictor(self, params: Params, x: Any) -> Array:
        """coefficients . (1, covariates) + offset."""
        if self.intercept == "own":
            b = jnp.concatenate([jnp.reshape(params["intercept"], 1), params["coefficients"]])
            return b @ self.design(x) + self.shift(x)
        return params["coefficients"] @ self.design(x) + self.shift(x)

    def expect_missing(self, params: Params, x: Any) -> dict[str, Any]:
        """The response where it is missing; covariates are given."""
        y, shares = floating(x[self.response]), self.shares_given(params, x)
        if shares is None:
            return {**x, self.response: jnp.where(jnp.isnan(y), self.mean(params, x), y)}
        known = (y == jnp.arange(shares.shape[0])).astype(shares.dtype)
        return {**x, self.response: jnp.where(jnp.isnan(y), shares, known)}

    def settle(self, expected: dict[str, Any], x: Any) -> dict[str, Any]:
        return {**x, self.response: super().settle(expected[self.response], x[self.response])}

    def draw_missing(self, params: Params, x: Any, key: Array) -> dict[str, Any]:
        y = floating(x[self.response])
        return {**x, self.response: jnp.where(jnp.isnan(y), self.draw(params, key, x), y)}

    def shares_given(self, params: Params, x: Any) -> Float[Array, " C"] | None:
        """Probabilities of categories given the covariates of x, of a regression of categories."""
        return None

    conditional = True  # pyright: ignore[reportAssignmentType]

    @abstractmethod
    def draw(self, params: Params, key: Array, x: Any) -> Array:
        """A response given the other columns."""

    def sample_like(self, params: Params, key: Array, x: Any) -> Any:
        drawn = self.draw(params, key, x)
        return {**x, self.response: drawn.astype(jnp.result_type(float))}

    def sample(self, params: Params, key: Array) -> Any:
        raise ValueError(f"{type(self).__name__} says nothing about the covariates, so there is no way to sample them")


def least_squares(matrix: Float[Array, "*K p p"], right: Float[Array, "*K p"]) -> Float[Array, "*K p"]:
    """The shortest solution of matrix b = right, in units of the covariates: 0 where they do not vary."""
    diagonal = jnp.diagonal(matrix, axis1=-2, axis2=-1)
    unit = 1 / jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1.0))
    values, vectors = jnp.linalg.eigh(unit[..., :, None] * matrix * unit[..., None, :])
    floor = 100 * jnp.finfo(values.dtype).eps * jnp.max(values, axis=-1, keepdims=True)
    rotated = jnp.einsum("...pq,...p->...q", vectors, unit * right)
    return unit * jnp.einsum("...pq,...q->...p", vectors, jnp.where(values > floor, rotated / values, 0.0))
