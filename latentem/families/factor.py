"""Normal vectors that a few factors explain: factor analysis, probabilistic principal components."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.constraints import pattern, positive, real
from latentem.data.layout import Axis, Layout
from latentem.families.base import Family, Params
from latentem.families.gaussian import Gaussian
from latentem.families.restrictions import Restrictions

#: Least variance of noise, relative to that of the column: a Heywood case ends there.
LEAST = 1e-6
#: Alternations of loadings and noise within one M-step; each goes up.
ROUNDS = 20


@dataclass(frozen=True)
class FactorGaussian(Family):
    """Normal distribution of a vector (D,) with covariance loadings loadings' + noise: `mean` (D,), `loadings` (D, q)
    and `noise` (D,), or () where it is the same for all columns.

    Loadings are lower triangular, which fixes the rotation. The M-step goes up by alternating the best loadings for a
    noise with a noise for these loadings (ECME, Liu and Rubin 1998); with one noise for all it is closed (Tipping and
    Bishop 1999). The noise of a column is at least a millionth of its variance.

    Args:
        factors: q.
        noise: "diagonal", a variance for each column (factor analysis), or "spherical" (principal components).
        dim, missing: as of `Gaussian`; set by `declare`.

    >>> FactorGaussian(1, dim=3).constraints()["loadings"].shape
    (3, 1)
    """

    accepts_missing: ClassVar[bool] = True
    vector: ClassVar[bool] = True
    factors: int
    noise: str = "diagonal"
    dim: int | None = None
    missing: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.factors, int) or self.factors < 1:
            raise ValueError(f"factors={self.factors!r}: expected how many, at least 1")
        if self.noise not in ("diagonal", "spherical"):
            raise ValueError(f"FactorGaussian: noise={self.noise!r}: expected 'diagonal' or 'spherical'")
        if self.dim is not None:
            self._check(self.dim)

    def _check(self, d: int) -> None:
        q = self.factors
        least = (d - q) ** 2 - d - q if self.noise == "diagonal" else d - q - 1
        if q >= d or least < 0:
            most = max((k for k in range(1, d) if (d - k) ** 2 >= d + k), default=0)
            most = most if self.noise == "diagonal" else d - 1
            told = f"{q} factors of {d} columns are more than their covariances identify"
            advice = f"expected at most {most}" if most else "expected more columns, at least 3"
            raise ValueError(f"{told}: {advice}")

    @property
    def normal(self) -> Gaussian:
        """The normal distribution without factors."""
        return Gaussian("full", self.dim, self.missing)

    def as_normal(self, params: Params) -> Params:
        """Mean and covariance."""
        return {"mean": params["mean"], "covariance": self.matrix(params)}

    def matrix(self, params: Params) -> Float[Array, "D D"]:
        """The covariance matrix."""
        loadings = params["loadings"]
        noise = jnp.broadcast_to(params["noise"], loadings.shape[:1])
        return loadings @ loadings.T + noise[:, None] * jnp.eye(loadings.shape[0], dtype=noise.dtype)

    def declare(self, x: Any) -> tuple[FactorGaussian, np.ndarray]:
        normal, x = self.normal.declare(x)
        self._check(normal.dim or 0)
        return replace(self, dim=normal.dim, missing=normal.missing), x

    def read(self, x: Any) -> tuple[FactorGaussian, np.ndarray]:
        normal, x = self.normal.read(x)
        return replace(self, missing=getattr(normal, "missing", True)), x

    def constraints(self) -> Params:
        d = self.normal._size
        noise = positive(d) if self.noise == "diagonal" else positive()
        return {"mean": real(d), "loadings": pattern(np.tri(d, self.factors, dtype=bool)), "noise": noise}

    def axes(self, path: tuple[str, ...], layout: Layout) -> tuple[Axis, ...]:
        if path == ("loadings",):
            return layout.columns(self.normal._size), Axis("factor")
        return super().axes(path, layout)

    @property
    def separable(self) -> bool:
        return self.normal.separable

    @property
    def width(self) -> int:
        return self.normal.width

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        return self.normal.log_prob(self.as_normal(params), x)

    def sample(self, params: Params, key: Array) -> Float[Array, " D"]:
        return self.normal.sample(self.as_normal(params), key)

    def expect_missing(self, params: Params, x: Any) -> Any:
        return self.normal.expect_missing(self.as_normal(params), x)

    def settle(self, expected: Any, x: Any) -> Any:
        return self.normal.settle(expected, x)

    def draw_missing(self, params: Params, x: Any, key: Array) -> Any:
        return self.normal.draw_missing(self.as_normal(params), x, key)

    def context(self, x: Any, weights: Float[Array, " N"]) -> tuple[Array, Array, Array]:
        return self.normal.context(x, weights)

    def features(self, x: Any, context: Any) -> Float[Array, " S"]:
        return self.normal.features(x, context)

    def features_batch(self, x: Any, context: Any) -> Float[Array, "n S"]:
        return self.normal.features_batch(x, context)

    def natural(self, params: Params, context: Any) -> Float[Array, " S"]:
        return self.normal.natural(self.as_normal(params), context)

    def statistics(self, params: Params, x: Any, context: Any) -> Float[Array, " S"]:
        return self.normal.statistics(self.as_normal(params), x, context)

    def statistics_context(self, params: Params, context: Any) -> Any:
        return context if self.separable else (params["mean"], *context[1:])

    def is_closed(self, given: Restrictions) -> bool:
        return given == Restrictions()

    def m_step(self, expected: Float[Array, "K S"], params: Params, context: Any, given: Restrictions) -> Params:
        new = self.normal.m_step(expected, jax.vmap(self.as_normal)(params), context, given)
        count = expected[:, 0]
        loadings, noise = jax.vmap(self._factored)(new["covariance"], params["noise"])
        used = count > 1e-10 * jnp.sum(count)
        loadings = jnp.where(used[:, None, None], loadings, params["loadings"])
        noise = jnp.where(used.reshape((-1,) + (1,) * (noise.ndim - 1)), noise, params["noise"])
        return {"mean": new["mean"], "loadings": loadings, "noise": noise}

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        """Half of what the other columns do not explain of each column is noise."""
        normal = self.normal.default(x, weights, context)
        matrix = normal["covariance"]
        unexplained = 1 / jnp.diagonal(jnp.linalg.inv(matrix))
        start = 0.5 * unexplained if self.noise == "diagonal" else jnp.mean(unexplained)
        loadings, noise = self._factored(matrix, start)
        return {"mean": normal["mean"], "loadings": loadings, "noise": noise}

    def _factored(self, matrix: Float[Array, "D D"], noise: Array) -> tuple[Float[Array, "D q"], Array]:
        """Loadings and noise that describe a covariance matrix."""
        q = self.factors
        if self.noise == "spherical":
            values, axes = jnp.linalg.eigh(matrix)
            noise = jnp.maximum(jnp.mean(values[:-q]), LEAST * jnp.mean(values))
            loadings = axes[:, -q:] * jnp.sqrt(jnp.maximum(values[-q:] - noise, 0))
            return triangular(loadings), noise
        scale = jnp.sqrt(jnp.diagonal(matrix))
        unit = matrix / (scale[:, None] * scale)

        def loadings_of(psi: Float[Array, " D"]) -> Float[Array, "D q"]:
            root = jnp.sqrt(psi)
            values, axes = jnp.linalg.eigh(unit / (root[:, None] * root))
            return root[:, None] * axes[:, -q:] * jnp.sqrt(jnp.maximum(values[-q:] - 1, 0))

        def alternate(_: int, psi: Float[Array, " D"]) -> Float[Array, " D"]:
            return jnp.maximum(1 - jnp.sum(loadings_of(psi) ** 2, axis=1), LEAST)

        psi = jax.lax.fori_loop(0, ROUNDS, alternate, jnp.clip(noise / scale**2, LEAST, 1.0))
        return triangular(scale[:, None] * loadings_of(psi)), psi * scale**2


def triangular(loadings: Float[Array, "D q"]) -> Float[Array, "D q"]:
    """The same loadings turned so that none lies above the diagonal, which is positive."""
    q = loadings.shape[1]
    turn, upper = jnp.linalg.qr(loadings[:q].T)
    turned = loadings @ (turn * jnp.where(jnp.diagonal(upper) < 0, -1.0, 1.0))
    return turned * np.tri(loadings.shape[0], q)
