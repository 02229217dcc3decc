"""The normal distribution of vectors: full, diagonal or spherical covariance, with missing entries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from jaxtyping import Array, Float

from latentem import priors
from latentem.constraints import covariance, positive, real
from latentem.data import door
from latentem.families import checks
from latentem.families.base import Family, Params, floating, ratio
from latentem.families.degenerate import constant_column, dependent_column
from latentem.families.gaussian import diagonal, full, location_scatter, missing, symmetric
from latentem.families.gaussian.context import grain, mean_and_deviation
from latentem.families.gaussian.patterns import by_patterns
from latentem.families.restrictions import Restrictions

STRUCTURES = ("full", "diagonal", "spherical")


@dataclass(frozen=True)
class Gaussian(Family):
    """Normal distribution of a vector (D,): `mean` (D,) and `covariance` (D, D), or `variance` (D,) or ().

    Args:
        covariance: "full", "diagonal" (a variance per dimension) or "spherical" (one for all).
        dim: D; None until the family has seen data.
        missing: whether rows may have NaN entries; set by `declare` when the data have some. Such rows are
            scored by their observed entries, and used by them: exactly, not by imputation.
        about_means: whether statistics are taken about the current mean of each component, so that nothing cancels,
            however far apart they lie; no E-step of matrix products then.

    Raises:
        ValueError: for another structure.

    Closed forms under an inverse Wishart prior of the covariance or an inverse gamma prior of the variance.
    The variance of a component never falls below 1e-9 of the variance of the data, or of clusters within them.

    >>> Gaussian("diagonal", dim=2).constraints()["variance"].describe()
    'positive numbers of shape (2,)'
    """

    accepts_missing: ClassVar[bool] = True
    smooth_cdf: ClassVar[bool] = True
    support: ClassVar[tuple[float, float]] = (-np.inf, np.inf)
    vector: ClassVar[bool] = True
    covariance: str = "full"
    dim: int | None = None
    missing: bool = False
    about_means: bool = False

    def __post_init__(self) -> None:
        if self.covariance not in STRUCTURES:
            raise ValueError(
                f"Gaussian: covariance={self.covariance!r}: expected one of {', '.join(STRUCTURES)}; give one"
            )

    @property
    def full(self) -> bool:
        """Whether the parameter is a covariance matrix, not variances."""
        return self.covariance == "full"

    @property
    def _spherical(self) -> bool:
        return self.covariance == "spherical"

    @property
    def _size(self) -> int:
        if self.dim is None:
            raise ValueError("Gaussian: dim=None: expected a number; give dim or call declare(x) first")
        return self.dim

    def declare(self, x: Any) -> tuple[Gaussian, np.ndarray]:
        x = checks.matrix("Gaussian", x, self.dim)
        checks.finite("Gaussian", x, missing=True)
        missing = door.has_nan(x)
        empty = np.isnan(x).all(axis=0) if missing else np.zeros(1, bool)
        if empty.any():
            column = int(np.argmax(empty))
            raise ValueError(f"Gaussian: column {column} has no observed entry: expected at least one; drop the column")
        return replace(self, dim=x.shape[1], missing=self.missing or missing), x

    def read(self, x: Any) -> tuple[Gaussian, np.ndarray]:
        x = checks.finite("Gaussian", checks.matrix("Gaussian", x, self.dim), missing=True)
        return replace(self, missing=self.missing or door.has_nan(x)), x

    def constraints(self) -> Params:
        mean = real(self._size)
        if self.full:
            return {"mean": mean, "covariance": covariance(self._size)}
        return {"mean": mean, "variance": positive(() if self._spherical else self._size)}

    @property
    def separable(self) -> bool:
        return not (self.full and self.missing) and not self.about_means

    @property
    def width(self) -> int:
        if self.full:
            return 1 + self._size + symmetric.length(self._size)
        return diagonal.width(self._size, self._spherical, self.missing)

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        x = self._vector(x)
        if not self.full:
            return diagonal.log_prob(params, x)
        return missing.log_prob(params, x) if self.missing else full.log_prob(params, x)

    def begin(self, x: Any, weights: Float[np.ndarray, " N"]) -> Params | None:
        """With missing entries, where EM by pattern ends."""
        if not (self.full and self.missing):
            return None
        found = by_patterns(np.asarray(x, dtype=np.float64), np.asarray(weights, dtype=np.float64))
        return None if found is None else {"mean": found[0], "covariance": found[1]}

    def matrix(self, params: Params) -> Float[Array, "D D"]:
        """The covariance matrix, whatever the structure."""
        if self.full:
            return params["covariance"]
        variance = jnp.broadcast_to(params["variance"], params["mean"].shape)
        return variance[:, None] * jnp.eye(variance.shape[0], dtype=variance.dtype)

    def expect_missing(self, params: Params, x: Any) -> Float[Array, " D"]:
        x = self._vector(x)
        if self.full:
            return missing.conditional(params["mean"], params["covariance"], x).mean
        return jnp.where(jnp.isnan(x), params["mean"], x)

    def settle(self, expected: Any, x: Any) -> Any:
        return jnp.where(jnp.isnan(x), jnp.reshape(expected, jnp.shape(x)), x)

    def draw_missing(self, params: Params, x: Any, key: Array) -> Any:
        y = self._vector(x)
        noise = jax.random.normal(key, y.shape, y.dtype)
        if self.full:
            given = missing.conditional(params["mean"], params["covariance"], y)
            drawn = given.mean + given.root @ noise
        else:
            drawn = params["mean"] + jnp.sqrt(params["variance"]) * noise
        return jnp.reshape(jnp.where(jnp.isnan(y), drawn, y), jnp.shape(x))

    def cdf(self, params: Params, x: Any) -> Float[Array, ""]:
        return norm.cdf(self._standard(params, x))

    def survival(self, params: Params, x: Any) -> Float[Array, ""]:
        return norm.cdf(-self._standard(params, x))

    def quantile(self, params: Params, p: Any) -> Float[Array, ""]:
        self._standard(params, 0.0)
        return params["mean"][0] + self._deviation(params) * norm.ppf(p)

    def _deviation(self, params: Params) -> Float[Array, ""]:
        return jnp.sqrt(jnp.reshape(params["covariance" if self.full else "variance"], ()))

    def _standard(self, params: Params, x: Any) -> Float[Array, ""]:
        """Of one dimension: how many deviations from the mean."""
        if self.dim not in (None, 1):
            raise ValueError("Gaussian: vectors have no distribution function here: expected numbers, D = 1")
        return (floating(x).reshape(()) - params["mean"][0]) / self._deviation(params)

    def sample(self, params: Params, key: Array) -> Float[Array, " D"]:
        mean = floating(params["mean"])
        noise = jax.random.normal(key, mean.shape, mean.dtype)
        if self.full:
            return mean + jnp.linalg.cholesky(params["covariance"]) @ noise
        return mean + jnp.sqrt(params["variance"]) * noise

    def context(self, x: Any, weights: Float[Array, " N"]) -> tuple[Array, Array, Array]:
        """The mean and the standard deviation of each column, and how fine it is, (D,) each."""
        centre, scale = mean_and_deviation(floating(x), weights)
        fine = grain(floating(x), weights, centre, scale)
        if self._spherical:
            # squares of all dimensions are added up: they need one unit
            one = jnp.broadcast_to(jnp.sqrt(jnp.mean(scale**2)), scale.shape)
            scale, fine = one, jnp.broadcast_to(jnp.sqrt(jnp.mean((fine * scale) ** 2)), scale.shape) / one
        return centre, scale, fine

    def careful(self) -> Gaussian | None:
        return replace(self, about_means=True) if self.separable else None

    def degenerate(self, x: Any) -> str:
        rows = np.asarray(x, np.float64)
        return constant_column(rows) or (dependent_column(rows) if self.full else "")

    @property
    def measured(self) -> tuple[str, ...]:
        """Names of the parameters that `collapsed` looks at."""
        return ("covariance" if self.full else "variance",)

    def collapsed(self, params: Params, context: Any) -> tuple[str, ...]:
        name = "covariance" if self.full else "variance"
        value = np.asarray(params[name])
        if self.full:
            return (name,) if location_scatter.at_floor(value, context) else ()
        least = 2 * location_scatter.smallest(value.dtype) * (np.asarray(context[1]) * np.asarray(context[2])) ** 2
        return (name,) if np.any(value <= (least[0] if self._spherical else least)) else ()

    def features(self, x: Any, context: Any) -> Float[Array, " S"]:
        x = self._vector(x)
        if not self.full:
            return diagonal.features(x, context, self._spherical, self.missing)
        return full.features(x, context)

    def natural(self, params: Params, context: Any) -> Float[Array, " S"]:
        if not self.full:
            return diagonal.natural(params, context, self._spherical, self.missing)
        return full.natural(params, context)

    def statistics(self, params: Params, x: Any, context: Any) -> Float[Array, " S"]:
        if self.separable:
            return self.features(x, context)
        if self.full:
            return missing.statistics(params, self._vector(x), context)
        return self.features(x, (params["mean"], *context[1:]))

    def statistics_context(self, params: Params, context: Any) -> Any:
        return context if self.separable else (params["mean"], *context[1:])

    def is_closed(self, given: Restrictions) -> bool:
        return self._names.is_closed(given)

    def m_step(self, expected: Float[Array, "K S"], params: Params, context: Any, given: Restrictions) -> Params:
        dim, count = self._size, expected[:, 0]
        if not self.full:
            moments = diagonal.moments(expected, dim, self._spherical, self.missing)
            return diagonal.maximize(moments, params, context, given)
        second = symmetric.unpack(expected[:, 1 + dim :], dim)
        moments = location_scatter.Moments(count, count, expected[:, 1 : 1 + dim], second)
        return location_scatter.maximize(moments, params, context, self._names, given)

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        centre, scale, fine = context
        x = floating(x)
        observed = ~jnp.isnan(x) & (weights[:, None] > 0)
        y = jnp.where(observed, (jnp.where(observed, x, centre) - centre) / scale, 0)
        total = jnp.sum(jnp.where(observed, weights[:, None], 0), axis=0)
        variance = ratio(weights @ (y * y), total)
        least = location_scatter.smallest(y.dtype) * fine**2
        if self._spherical:
            pooled = ratio(jnp.sum(variance * total), jnp.sum(total))
            return {"mean": centre, "variance": jnp.maximum(pooled, least[0]) * scale[0] ** 2}
        if not self.full:
            return {"mean": centre, "variance": jnp.maximum(variance, least) * scale**2}
        matrix = ratio((y * weights[:, None]).T @ y, jnp.sum(weights))
        # missing entries count as 0 off the diagonal; raising the diagonal alone keeps the matrix definite
        matrix = jnp.where(jnp.eye(self._size, dtype=bool), variance, matrix)
        return {
            "mean": centre,
            "covariance": location_scatter.above_floor(matrix, fine) * (scale[:, None] * scale[None, :]),
        }

    @property
    def _names(self) -> location_scatter.Pair:
        if self.full:
            return location_scatter.Pair("mean", "covariance", priors.InverseWishart)
        return location_scatter.Pair("mean", "variance", priors.InverseGamma)

    def _vector(self, x: Any) -> Float[Array, " D"]:
        return floating(x).reshape(self._size)
