"""Factor analysis by maximum likelihood (Lawley 1940; Joereskog 1967; Rubin and Thayer 1982), with missing entries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

import latentem as lem
from latentem.families import FactorGaussian
from latentem.models.mixture.mixture import Mixture

#: A uniqueness at or below this is a Heywood case.
HEYWOOD = 2e-6
ROTATIONS = {"varimax": ("varimax",), "quartimax": ("quartimax",), "oblimin": ("oblimin", 0.0, "oblique")}


class Loadings(NamedTuple):
    """Loadings of the columns on the factors.

    Args:
        loadings: (D, q); of standardised columns unless asked otherwise.
        correlation: (q, q), of the factors.
        uniquenesses: (D,), share of the variance of each column that is noise.
    """

    loadings: Float[np.ndarray, "D q"]
    correlation: Float[np.ndarray, "q q"]
    uniquenesses: Float[np.ndarray, " D"]


@dataclass(frozen=True)
class FactorModel(Mixture):
    """One `FactorGaussian`, with what is asked of a factor analysis."""

    verbs = ("impute", "condition", "loadings", "scores")

    @property
    def name(self) -> str:
        told = "factor analysis" if self.family.noise == "diagonal" else "probabilistic principal components"
        return f"{told} with {self.family.factors} factor{'s' * (self.family.factors > 1)}"

    def loadings(self, fit: Any, rotation: str | None = None, *, standardised: bool = True) -> Loadings:
        """Loadings, correlation of the factors and uniquenesses.

        Args:
            rotation: "varimax" or "quartimax" (factors do not correlate), "oblimin" (they do); None for loadings with
                factors in order of what they explain, unrelated given the noise, as most programs print them first.
            standardised: of columns with variance 1.

        Raises:
            ImportError: rotations need statsmodels (extra `irt`).
        """
        raw, noise, variance = _parts(fit)
        scale = np.sqrt(variance)
        turned = raw @ _axes(raw, noise)
        turn = np.eye(raw.shape[1])
        if rotation is not None:
            if rotation not in ROTATIONS:
                raise ValueError(f"loadings: rotation={rotation!r}: expected one of {', '.join(ROTATIONS)}")
            try:
                from statsmodels.multivariate.factor_rotation import rotate_factors
            except ImportError:
                raise ImportError('rotations need statsmodels: python -m pip install "latentem[irt]"') from None
            if raw.shape[1] > 1:
                turned, turn = rotate_factors(turned / scale[:, None], *ROTATIONS[rotation])
                turned = turned * scale[:, None]
        sign = np.where(turned.sum(axis=0) < 0, -1.0, 1.0)
        turned, turn = turned * sign, turn * sign
        return Loadings(turned / scale[:, None] if standardised else turned, turn.T @ turn, noise / variance)

    def scores(self, fit: Any, x: Any = None, method: str = "regression") -> Float[np.ndarray, "N q"]:
        """Scores of the rows on the factors of `loadings()`.

        Args:
            x: new observations; the data of the fit when left out. Entries may be missing.
            method: "regression", E[factor | row] (Thomson), or "bartlett", by weighted least squares, unbiased.
        """
        if method not in ("regression", "bartlett"):
            raise ValueError(f"scores: method={method!r}: expected 'regression' or 'bartlett'")
        raw, noise, _ = _parts(fit)
        turned = raw @ _axes(raw, noise)
        turned = turned * np.where(turned.sum(axis=0) < 0, -1.0, 1.0)
        rows = np.asarray(fit.at(x)[1].observations, dtype=np.float64).reshape(-1, len(noise))
        away = rows - fit.params["components"]["mean"][0]
        prior = np.eye(raw.shape[1]) * (method == "regression")

        def one(row: Any) -> Any:
            precision = jnp.where(jnp.isnan(row), 0.0, 1 / noise)
            weighted = turned * precision[:, None]
            return jnp.linalg.pinv(prior + turned.T @ weighted) @ (weighted.T @ jnp.where(jnp.isnan(row), 0.0, row))

        with jax.enable_x64(True):
            return np.asarray(lem.building.jit(jax.vmap(one))(jnp.asarray(away)))

    def remarks(self, params: Any, data: Any, weights: Any) -> tuple[str, ...]:
        """Which columns the factors explain wholly."""
        family = self.family
        with jax.enable_x64(True):
            own = jax.tree.map(lambda a: jnp.asarray(np.asarray(a)[0], jnp.float64), params["components"])
            variance = np.diagonal(np.asarray(family.matrix(own)))
        share = np.broadcast_to(np.asarray(params["components"]["noise"])[0], variance.shape) / variance
        at = np.flatnonzero(share <= HEYWOOD)
        if not len(at):
            return ()
        columns = ", ".join(str(i) for i in at)
        told = f"Heywood case: the factors explain column {columns} wholly, its uniqueness is at its bound"
        return (f"{told}; ask for fewer factors or leave the column out",)


def FactorAnalysis(factors: int, *, noise: str = "diagonal") -> Mixture:
    """Factor analysis by maximum likelihood, or probabilistic principal components; entries may be missing.

    Params are those of a mixture of one component. `fit.loadings(rotation)` has loadings, correlation of the factors
    and uniquenesses, `fit.scores()` the scores, `fit.impute()` the missing entries. A uniqueness that falls to its
    bound, a millionth (a Heywood case), is told in the notes of the fit.

    Args:
        factors: how many.
        noise: "diagonal", a variance for each column, or "spherical", one for all (Tipping and Bishop 1999).

    >>> x = np.random.default_rng(0).normal(size=(50, 1)) * [1.0, 0.8, 0.6, 0.9]
    >>> x = x + 0.5 * np.random.default_rng(1).normal(size=(50, 4))
    >>> fit = lem.fit(lem.FactorAnalysis(1), x)
    >>> fit.loadings().loadings.shape, fit.scores().shape
    ((4, 1), (50, 1))
    """
    return FactorModel(FactorGaussian(factors, noise), 1)


def _parts(fit: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(loadings, noise, variance of the columns) as estimated."""
    own = {name: np.asarray(value)[0] for name, value in fit.params["components"].items()}
    noise = np.broadcast_to(own["noise"], own["mean"].shape)
    return own["loadings"], noise, np.sum(own["loadings"] ** 2, axis=1) + noise


def _axes(loadings: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """The turn after which loadings' noise^-1 loadings is diagonal, largest first."""
    values, axes = np.linalg.eigh(loadings.T @ (loadings / noise[:, None]))
    return axes[:, np.argsort(-values)]
