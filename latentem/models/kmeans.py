"""k-means: the hard EM of a spherical mixture with equal weights (Lloyd 1982; Celeux and Govaert 1992)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem.building import Axis, Layout
from latentem.families import Gaussian
from latentem.models.mixture.seeding import plus_plus, thin


@dataclass(frozen=True)
class KMeans:
    """k centres that minimise the sum of squared distances to the nearest one.

    The objective of the fit is minus that sum (the inertia), so `fit.log_likelihood == -fit.inertia()`; it is not a
    log-likelihood to compare with other models.

    Args:
        clusters: number of centres K.
        dim: number of columns; filled in from the data.

    >>> x = np.array([[0.0, 0.0], [0.0, 1.0], [9.0, 0.0], [9.0, 1.0]])
    >>> fit = lem.fit(lem.KMeans(2), x, key=jax.random.key(0))
    >>> fit.inertia()
    1.0
    """

    clusters: int
    dim: int | None = None

    verbs = ("inertia",)
    latent_name = "cluster"

    def __post_init__(self) -> None:
        if not isinstance(self.clusters, int) or self.clusters < 1:
            raise ValueError(f"clusters={self.clusters!r}: expected an integer >= 1")

    def declare(self, x: Any) -> tuple[KMeans, np.ndarray]:
        """The model for these observations (N, D), which must be complete."""
        family, x = Gaussian("spherical").declare(x)
        if family.missing:
            raise ValueError(
                "KMeans: the observations have missing entries (NaN): use GaussianMixture, which accepts them"
            )
        if self.clusters > len(x):
            raise ValueError(f"clusters={self.clusters} > {len(x)} observations: ask for fewer clusters")
        return replace(self, dim=x.shape[1]), x

    columns = None

    def axes(self, path: tuple[str, ...], layout: Layout) -> tuple[Axis, ...]:
        """What the axes of a parameter run over."""
        return Axis("cluster"), layout.columns(self.dim or 0)

    def levels_of(self, column: Any) -> None:
        """No labels."""
        return None

    def relabelled(self, order: Any) -> KMeans:
        """The model with its clusters in another order: the same."""
        return self

    def read(self, x: Any) -> tuple[KMeans, np.ndarray]:
        """The model and its observations, for new data: any number of complete rows."""
        _, x = Gaussian("spherical", self.dim).read(x)
        gone = np.argwhere(np.isnan(x))
        if len(gone):
            row, column = gone[0]
            told = f"KMeans: observations[{row}, {column}] is missing"
            raise ValueError(f"{told}: expected complete rows; remove the row")
        return self, x

    def model(self) -> lem.Model:
        """k-means as a `Model`."""
        return _model(self)

    def complete_log_likelihood(self, params: Any, x: Float[Array, " D"], z: Array) -> Float[Array, ""]:
        """Minus the squared distance to centre z."""
        return -jnp.sum((x - params["centers"][z]) ** 2)

    def context(self, x: Float[Array, "N D"], weights: Float[Array, " N"]) -> Float[Array, " D"]:
        """The mean of the data: distances are computed from centred coordinates."""
        return weights @ x / jnp.sum(weights)

    def features(self, x: Float[Array, "n D"], centre: Float[Array, " D"]) -> Float[Array, "n S"]:
        """[1, y, y . y] with y the centred coordinates."""
        y = x - centre
        return jnp.concatenate([jnp.ones_like(y[:, :1]), y, jnp.sum(y * y, axis=1, keepdims=True)], axis=1)

    def natural(self, params: Any, centre: Float[Array, " D"]) -> Float[Array, "K S"]:
        """Coefficients of -|y - c|^2."""
        c = params["centers"] - centre
        ones = jnp.ones_like(c[:, :1])
        return jnp.concatenate([-jnp.sum(c * c, axis=1, keepdims=True), 2 * c, -ones], axis=1)

    def maximize(self, expected: Float[Array, "K S"], params: Any, centre: Float[Array, " D"]) -> Any:
        """The mean of each cluster; an empty cluster keeps its centre."""
        count = expected[:, :1]
        mean = centre + expected[:, 1:-1] / jnp.where(count > 0, count, 1)
        return {"centers": jnp.where(count > 0, mean, params["centers"])}

    def initial(self, key: Array, x: Float[Array, "N D"], weights: Float[Array, " N"]) -> Any:
        """k-means++ seeds."""
        rows, mass = thin(x, weights)
        return {"centers": plus_plus(key, rows, mass, self.clusters)}

    def inertia(self, fit: Any) -> float:
        """Sum over observations of the squared distance to the nearest centre."""
        return -fit.log_likelihood


@lru_cache(maxsize=128)
def _model(kmeans: KMeans) -> lem.Model:
    return lem.Model(
        kmeans.complete_log_likelihood,
        latent=lem.Finite(kmeans.clusters, hard=True),
        params={"centers": lem.real((kmeans.clusters, kmeans.dim or 1))},
        separable=lem.Separable(kmeans.features, kmeans.natural, kmeans.maximize, kmeans.context),
        initial=kmeans.initial,
        name=f"k-means, {kmeans.clusters} clusters",
    )
