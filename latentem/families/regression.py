"""Regressions: the distribution of one column given others (generalised linear models, McCullagh and Nelder 1989)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import log_sigmoid, sigmoid
from jax.scipy.special import gammaln
from jaxtyping import Array, Float

from latentem.constraints import positive, real
from latentem.data.layout import Axis, Layout
from latentem.families import checks
from latentem.families.base import Family, Params, inside_positive, occupied, ratio
from latentem.families.gaussian.location_scatter import smallest
from latentem.families.incomplete import Incomplete
from latentem.families.restrictions import Restrictions
from latentem.numerics.newton import newton_ascent

LOG_TWO_PI = 1.8378770664093453
#: Newton steps of a start: it need not be the maximum.
STEPS = 8


@dataclass(frozen=True)
class Regression(Family):
    """The density of the column `response` given the columns `covariates`; observations are dicts (tables) of columns.

    Args:
        response: name of the column that is modelled.
        covariates: names of the columns it depends on.
        intercept: whether the first coefficient is a constant.
    """

    response: str
    covariates: tuple[str, ...] = ()
    intercept: bool = True

    def __post_init__(self) -> None:
        found = (self.covariates,) if isinstance(self.covariates, str) else tuple(self.covariates)
        name = type(self).__name__
        if not all(isinstance(column, str) for column in (self.response, *found)):
            raise TypeError(f"{name}({self.response!r}, {self.covariates!r}): expected names of columns")
        if not found and not self.intercept:
            raise ValueError(f"{name}: no covariates and no intercept: expected at least one of them")
        object.__setattr__(self, "covariates", found)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads."""
        return (self.response, *self.covariates)

    @property
    def size(self) -> int:
        """Number of coefficients p."""
        return len(self.covariates) + self.intercept

    def declare(self, x: Any) -> tuple[Regression, dict[str, np.ndarray]]:
        name, kept = type(self).__name__, self._kept(x)
        for column in self.columns:
            checks.finite(name, kept[column])
        self.check(kept[self.response])
        design = np.stack([np.ones_like(kept[self.response])] * self.intercept + [kept[c] for c in self.covariates], 1)
        scale = np.sqrt(np.mean(design**2, axis=0))
        if np.linalg.matrix_rank(design / np.where(scale > 0, scale, 1)) < self.size:
            told = "the intercept and " * self.intercept + f"covariates {', '.join(self.covariates)}"
            raise ValueError(f"{name}: {told} are linearly dependent: leave one out")
        return self, kept

    def read(self, x: Any) -> tuple[Family, dict[str, np.ndarray]]:
        """New data: covariates are given, so that what they are like does not matter; a response that is missing
        counts for nothing."""
        name, kept = type(self).__name__, self._kept(x)
        response = kept[self.response]
        gone = np.isnan(response)
        for column in self.covariates:
            lost = np.flatnonzero(np.isnan(kept[column]) & ~gone)
            if len(lost):
                told = f"{name}: column {column!r} is missing in row {lost[0]}, where the response is not"
                raise ValueError(f"{told}: expected a number; fill it in or remove the row")
            checks.finite(name, kept[column], missing=True)
        if gone.all():
            return Incomplete(self), kept
        self.check(np.where(gone, response[int(np.argmin(gone))], response))
        return (Incomplete(self) if gone.any() else self), kept

    def _kept(self, x: Any) -> dict[str, np.ndarray]:
        """Its columns of a table."""
        name = type(self).__name__
        present = list(x.keys()) if hasattr(x, "keys") else []
        for column in self.columns:
            if column not in present:
                found = f"columns {', '.join(map(str, present))}" if present else f"a {type(x).__name__}"
                raise ValueError(f"{name}: no column {column!r} in {found}: expected {', '.join(self.columns)}; add it")
        return {column: checks.column(f"{name}: column {column!r}", x[column]) for column in self.columns}

    @abstractmethod
    def check(self, y: np.ndarray) -> None:
        """Raise, in one line, for responses outside the support."""

    def axes(self, path: tuple[str, ...], layout: Layout) -> tuple[Axis, ...]:
        if path != ("coefficients",):
            return ()
        return (Axis("term", (*("intercept",) * self.intercept, *self.covariates)),)

    def design(self, x: Any) -> Float[Array, "p N"]:
        """What the coefficients multiply: 1 and the covariates."""
        first = [jnp.ones_like(jnp.asarray(x[self.response]), dtype=jnp.result_type(float))] * self.intercept
        return jnp.stack([*first, *(jnp.asarray(x[name], jnp.result_type(float)) for name in self.covariates)])

    conditional = True  # pyright: ignore[reportAssignmentType]

    @abstractmethod
    def draw(self, params: Params, key: Array, x: Any) -> Array:
        """A response given the other columns."""

    def sample_like(self, params: Params, key: Array, x: Any) -> Any:
        drawn = self.draw(params, key, x)
        return {**x, self.response: drawn.astype(jnp.result_type(float))}

    def sample(self, params: Params, key: Array) -> Any:
        raise ValueError(f"{type(self).__name__} says nothing about the covariates, so there is no way to sample them")


@dataclass(frozen=True)
class GaussianRegression(Regression):
    """Normal regression: mean `coefficients` (p,) . (1, covariates), `variance` (). Closed form: least squares.

    >>> family = GaussianRegression("y", ("z",))
    >>> {name: constraint.shape for name, constraint in family.constraints().items()}
    {'coefficients': (2,), 'variance': ()}
    """

    def check(self, y: np.ndarray) -> None:
        pass

    def constraints(self) -> Params:
        return {"coefficients": real(self.size), "variance": positive()}

    def draw(self, params: Params, key: Array, x: Any) -> Array:
        mean = params["coefficients"] @ self.design(x)
        return mean + jnp.sqrt(params["variance"]) * jax.random.normal(key, mean.shape, mean.dtype)

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        error = x[self.response] - params["coefficients"] @ self.design(x)
        return -0.5 * (LOG_TWO_PI + jnp.log(params["variance"]) + error**2 / params["variance"])

    @property
    def width(self) -> int:
        return 2 + self.size + self.size**2

    def context(self, x: Any, weights: Float[Array, " N"]) -> Float[Array, ""]:
        """Variance of the responses: a unit for the least variance."""
        y, total = x[self.response], jnp.sum(weights)
        mean = jnp.sum(jnp.where(weights > 0, weights * y, 0)) / total
        variance = jnp.sum(jnp.where(weights > 0, weights * (y - mean) ** 2, 0)) / total
        return jnp.where(variance > 0, variance, 1.0)

    def statistics(self, params: Params, x: Any, context: Any) -> Float[Array, " S"]:
        # About the current line: the errors, so that nothing cancels.
        z = self.design(x)
        error = x[self.response] - params["coefficients"] @ z
        return jnp.concatenate([jnp.stack([jnp.ones_like(error), error**2]), error * z, jnp.ravel(jnp.outer(z, z))])

    def is_closed(self, given: Restrictions) -> bool:
        return not given.common("coefficients") and not given.prior

    def m_step(self, expected: Float[Array, "K S"], params: Params, context: Any, given: Restrictions) -> Params:
        p = self.size
        count, square, slope = expected[:, 0], expected[:, 1], expected[:, 2 : 2 + p]
        matrix = expected[:, 2 + p :].reshape(-1, p, p)
        used = occupied(count)
        step = jnp.zeros_like(slope)
        if given.free("coefficients"):
            step = jnp.where(used[:, None], least_squares(matrix, slope), 0.0)
        coefficients = params["coefficients"] + step
        rest = square - 2 * jnp.sum(step * slope, axis=1) + jnp.einsum("kp,kpq,kq->k", step, matrix, step)
        if given.common("variance"):
            rest, count = jnp.sum(jnp.where(used, rest, 0)), jnp.sum(jnp.where(used, count, 0))
            used = count > 0
        variance = inside_positive(jnp.maximum(ratio(rest, count), smallest(rest.dtype) * context))
        return {"coefficients": coefficients, "variance": jnp.where(used, variance, params["variance"])}

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        z, y = self.design(x), x[self.response]
        w = jnp.where(weights > 0, weights, 0)
        coefficients = least_squares((z * w) @ z.T, (z * w) @ y)
        error = y - coefficients @ z
        variance = jnp.maximum(ratio(jnp.sum(w * error**2), jnp.sum(w)), smallest(error.dtype) * context)
        return {"coefficients": coefficients, "variance": inside_positive(variance)}


@dataclass(frozen=True)
class LinkedRegression(Regression):
    """A regression with a canonical link: log density y eta - b(eta) + c(y), eta = coefficients . (1, covariates).

    There is no closed form of its M-step: fits use damped Newton, which for these is iterated weighted least squares.
    """

    @abstractmethod
    def cumulant(self, eta: Any) -> tuple[Any, Any, Any]:
        """(b, b', b'') at eta."""

    @abstractmethod
    def base(self, y: Any) -> Any:
        """c(y)."""

    @abstractmethod
    def link(self, mean: Any) -> Any:
        """eta of a mean, kept off the edge."""

    def constraints(self) -> Params:
        return {"coefficients": real(self.size)}

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        eta = params["coefficients"] @ self.design(x)
        return x[self.response] * eta - self.cumulant(eta)[0] + self.base(x[self.response])

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        z, y = self.design(x), x[self.response]
        w = jnp.where(weights > 0, weights, 0)

        def value(b: Float[Array, " p"]) -> Float[Array, ""]:
            return jnp.sum(w * (y * (b @ z) - self.cumulant(b @ z)[0]))

        def slopes(b: Float[Array, " p"]) -> tuple[Array, Array]:
            _, mean, variance = self.cumulant(b @ z)
            return z @ (w * (y - mean)), -(z * (w * variance)) @ z.T

        begin = jnp.zeros(self.size, z.dtype)
        if self.intercept:
            begin = begin.at[0].set(self.link(ratio(jnp.sum(w * y), jnp.sum(w))))
        return {"coefficients": newton_ascent(value, slopes, begin, iterations=STEPS, tolerance=1e-8).u}


@dataclass(frozen=True)
class PoissonRegression(LinkedRegression):
    """Poisson regression of counts: log mean = `coefficients` (p,) . (1, covariates).

    >>> PoissonRegression("visits", ("age", "income")).size
    3
    """

    def check(self, y: np.ndarray) -> None:
        checks.counts("PoissonRegression", y)

    def draw(self, params: Params, key: Array, x: Any) -> Array:
        return jax.random.poisson(key, jnp.exp(params["coefficients"] @ self.design(x)))

    def cumulant(self, eta: Any) -> tuple[Any, Any, Any]:
        mean = jnp.exp(eta)
        return mean, mean, mean

    def base(self, y: Any) -> Any:
        return -gammaln(y + 1.0)

    def link(self, mean: Any) -> Any:
        return jnp.log(mean + 0.01)


@dataclass(frozen=True)
class BernoulliRegression(LinkedRegression):
    """Logistic regression of 0 and 1: logit of the probability of 1 = `coefficients` (p,) . (1, covariates).

    >>> BernoulliRegression("passed", "hours").columns
    ('passed', 'hours')
    """

    def levels_of(self, column: Any) -> tuple[Any, ...] | None:
        return () if column == self.response else None

    def check(self, y: np.ndarray) -> None:
        checks.refuse("BernoulliRegression", y, (y != 0) & (y != 1), "0 or 1", "use another family for other numbers")

    def draw(self, params: Params, key: Array, x: Any) -> Array:
        return jax.random.bernoulli(key, sigmoid(params["coefficients"] @ self.design(x)))

    def cumulant(self, eta: Any) -> tuple[Any, Any, Any]:
        p = sigmoid(eta)
        return -log_sigmoid(-eta), p, p * (1 - p)

    def base(self, y: Any) -> Any:
        return jnp.zeros_like(y)

    def link(self, mean: Any) -> Any:
        inside = jnp.clip(mean, 0.01, 0.99)
        return jnp.log(inside / (1 - inside))


def least_squares(matrix: Float[Array, "*K p p"], right: Float[Array, "*K p"]) -> Float[Array, "*K p"]:
    """The shortest solution of matrix b = right, in units of the covariates: 0 where they do not vary."""
    diagonal = jnp.diagonal(matrix, axis1=-2, axis2=-1)
    unit = 1 / jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1.0))
    values, vectors = jnp.linalg.eigh(unit[..., :, None] * matrix * unit[..., None, :])
    floor = 100 * jnp.finfo(values.dtype).eps * jnp.max(values, axis=-1, keepdims=True)
    rotated = jnp.einsum("...pq,...p->...q", vectors, unit * right)
    return unit * jnp.einsum("...pq,...q->...p", vectors, jnp.where(values > floor, rotated / values, 0.0))
