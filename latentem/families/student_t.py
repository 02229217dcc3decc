"""Heavy tails: the multivariate Student t distribution, a normal whose precision varies from row to row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import betainc
from jaxtyping import Array, Float

from latentem.constraints import covariance, positive, real
from latentem.data import door
from latentem.families import checks
from latentem.families.base import Family, Params, floating, occupied, ratio
from latentem.families.degenerate import constant_column, dependent_column
from latentem.families.gaussian import location_scatter, missing, symmetric
from latentem.families.gaussian.context import grain, median_and_quartiles
from latentem.families.restrictions import Restrictions
from latentem.families.special import log_gamma_ratio, log_minus_digamma, solve_log_minus_digamma

NAMES = location_scatter.Pair("location", "scale")
DF_RANGE = (0.01, 1e6)


@dataclass(frozen=True)
class StudentT(Family):
    """Student t distribution of a vector (D,): `location` (D,), `scale` (D, D), and `df` ().

    `scale` is the matrix in place of a covariance (the covariance is scale * df / (df - 2)). Each row has a
    latent precision u ~ Gamma(df / 2, df / 2); the statistics are [1, u, u y, upper triangle of u y y^T, log
    u - u + 1] in expectation, with y = (x - current location) / (scale of the data). `df` stays between 0.01
    and 1e6. Closed form under an inverse Wishart prior of `scale`.

    Args:
        dim: D; None until the family has seen data.
        missing: whether rows of new data have NaN entries; such rows have the marginal density of the others.

    Source: Liu & Rubin, Statistica Sinica 5 (1995), 19-39.

    >>> StudentT(2).constraints()["location"].shape
    (2,)
    """

    vector: ClassVar[bool] = True
    support: ClassVar[tuple[float, float]] = (-np.inf, np.inf)
    dim: int | None = None
    missing: bool = False

    @property
    def _size(self) -> int:
        if self.dim is None:
            raise ValueError("StudentT: dim=None: expected a number; give dim or call declare(x) first")
        return self.dim

    def declare(self, x: Any) -> tuple[StudentT, np.ndarray]:
        x = checks.finite("StudentT", checks.matrix("StudentT", x, self.dim))
        return replace(self, dim=x.shape[1]), x

    def read(self, x: Any) -> tuple[StudentT, np.ndarray]:
        x = checks.finite("StudentT", checks.matrix("StudentT", x, self.dim), missing=True)
        return replace(self, missing=door.has_nan(x)), x

    def constraints(self) -> Params:
        return {"location": real(self._size), "scale": covariance(self._size), "df": positive()}

    @property
    def width(self) -> int:
        return 3 + self._size + symmetric.length(self._size)

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        away = floating(x).reshape(self._size) - params["location"]
        df, scale = floating(params["df"]), params["scale"]
        half = jnp.asarray(0.5 * self._size, df.dtype)
        if self.missing:
            seen = ~jnp.isnan(away)
            away = jnp.where(seen, away, 0)
            scale = jnp.where(seen[:, None] & seen[None, :], scale, jnp.eye(self._size, dtype=scale.dtype))
            half = 0.5 * jnp.sum(seen).astype(df.dtype)
        factor = jnp.linalg.cholesky(scale)
        white = solve_triangular(factor, away, lower=True)
        constant = log_gamma_ratio(0.5 * df, half) - half * jnp.log(df * jnp.pi)
        log_det = jnp.sum(jnp.log(jnp.diagonal(factor)))
        return constant - log_det - (0.5 * df + half) * jnp.log1p((white @ white) / df)

    def expect_missing(self, params: Params, x: Any) -> Float[Array, " D"]:
        y = floating(x).reshape(self._size)
        return missing.conditional(params["location"], params["scale"], y).mean

    def settle(self, expected: Any, x: Any) -> Any:
        return jnp.where(jnp.isnan(x), jnp.reshape(expected, jnp.shape(x)), x)

    def draw_missing(self, params: Params, x: Any, key: Array) -> Any:
        y = floating(x).reshape(self._size)
        normal, gamma = jax.random.split(key)
        given = missing.conditional(params["location"], params["scale"], y)
        half = 0.5 * (params["df"] + jnp.sum(~jnp.isnan(y)))
        precision = jax.random.gamma(gamma, half, dtype=y.dtype) / (0.5 * (params["df"] + given.distance))
        noise = jax.random.normal(normal, y.shape, y.dtype) / jnp.sqrt(jnp.maximum(precision, jnp.finfo(y.dtype).tiny))
        return jnp.reshape(jnp.where(jnp.isnan(y), given.mean + given.root @ noise, y), jnp.shape(x))

    def cdf(self, params: Params, x: Any) -> Float[Array, ""]:
        if self.dim != 1:
            return super().cdf(params, x)
        t = (floating(x).reshape(()) - params["location"][0]) / jnp.sqrt(params["scale"][0, 0])
        half, df = jnp.asarray(0.5, t.dtype), params["df"]
        tail = 0.5 * betainc(0.5 * df, half, df / (df + t**2))
        # near the middle by what lies between, in the tails by what lies beyond
        within = 0.5 * betainc(half, 0.5 * df, t**2 / (df + t**2))
        return jnp.where(t**2 < df, 0.5 + jnp.sign(t) * within, jnp.where(t > 0, 1 - tail, tail))

    def sample(self, params: Params, key: Array) -> Float[Array, " D"]:
        df, location = floating(params["df"]), floating(params["location"])
        normal, gamma = jax.random.split(key)
        noise = jnp.linalg.cholesky(params["scale"]) @ jax.random.normal(normal, location.shape, location.dtype)
        precision = jax.random.gamma(gamma, 0.5 * df, dtype=df.dtype) / (0.5 * df)
        return location + noise / jnp.sqrt(jnp.maximum(precision, jnp.finfo(df.dtype).tiny))

    def context(self, x: Any, weights: Float[Array, " N"]) -> tuple[Array, Array, Array]:
        """Median and normal-consistent interquartile range of each column, and how fine it is, (D,) each."""
        centre, scale = median_and_quartiles(floating(x), weights)
        return centre, scale, grain(floating(x), weights, centre, scale)

    def degenerate(self, x: Any) -> str:
        rows = np.asarray(x, np.float64)
        return constant_column(rows) or dependent_column(rows)

    @property
    def measured(self) -> tuple[str, ...]:
        """Names of the parameters that `collapsed` looks at."""
        return ("scale",)

    def collapsed(self, params: Params, context: Any) -> tuple[str, ...]:
        return ("scale",) if location_scatter.at_floor(params["scale"], context) else ()

    def statistics(self, params: Params, x: Any, context: Any) -> Float[Array, " S"]:
        unit = context[1]
        df = params["df"]
        y = (floating(x).reshape(self._size) - params["location"]) / unit
        factor = jnp.linalg.cholesky(params["scale"] / (unit[:, None] * unit[None, :]))
        white = solve_triangular(factor, y, lower=True)
        # u - 1; what follows is written in it because u is near 1 when df is large
        excess = (self._size - white @ white) / (df + white @ white)
        u = (df + self._size) / (df + white @ white)
        surprise = jnp.log1p(excess) - excess - log_minus_digamma(0.5 * (df + self._size))
        second = symmetric.products(y)
        return jnp.concatenate([jnp.stack([jnp.ones_like(u), u]), u * y, *(u * row for row in second), surprise[None]])

    def statistics_context(self, params: Params, context: Any) -> Any:
        return params["location"], *context[1:]

    def is_closed(self, given: Restrictions) -> bool:
        return NAMES.is_closed(given)

    def m_step(self, expected: Float[Array, "K S"], params: Params, context: Any, given: Restrictions) -> Params:
        dim = self._size
        count, mass, surprise = expected[:, 0], expected[:, 1], expected[:, -1]
        second = symmetric.unpack(expected[:, 2 + dim : -1], dim)
        moments = location_scatter.Moments(count, mass, expected[:, 2 : 2 + dim], second)
        used, level = occupied(count), -ratio(surprise, count)
        if given.common("df"):
            total = jnp.sum(jnp.where(used, count, 0))
            level, used = -ratio(jnp.sum(jnp.where(used, surprise, 0)), total), total > 0
        df = jnp.clip(2 * solve_log_minus_digamma(level), *DF_RANGE)
        new = location_scatter.maximize(moments, params, context, NAMES, given)
        return {**new, "df": jnp.where(used, df, params["df"])}

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        """Median, the covariance of the data with its tails pulled in, and 10 degrees of freedom."""
        centre, unit, fine = context
        y = jnp.where(weights[:, None] > 0, (floating(x) - centre) / unit, 0)
        y = jnp.clip(y, -4, 4)
        matrix = ratio((y * weights[:, None]).T @ y, jnp.sum(weights))
        scale = location_scatter.above_floor(matrix, fine) * (unit[:, None] * unit[None, :])
        return {"location": centre, "scale": scale, "df": jnp.asarray(10.0, y.dtype)}
