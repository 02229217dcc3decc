"""Mixtures of normal distributions, and one normal distribution by its plain name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import latentem as lem
from latentem.families import FactorGaussian, Gaussian, Uniform
from latentem.models.mixture import structures
from latentem.models.mixture.mixture import Mixture

WORDS = ("full", "tied", "diagonal", "spherical")


def GaussianMixture(
    components: int,
    covariance: str = "full",
    *,
    factors: int | None = None,
    noise: bool = False,
    prior: Mapping[str, Any] | None = None,
    start: str = "k-means++",
) -> Mixture:
    """Mixture of normal distributions.

    Args:
        components: number of components K.
        covariance: "full", "tied" (one full covariance for all), "diagonal" or "spherical"; or one of the 14 structures
            of Banfield and Raftery (1993) by three letters, E for equal and V for varying over components, I for none:
            of volume, shape and orientation. EII, VII are spherical; EEI, VEI, EVI, VVI along the axes; EEE, VEE, EVE,
            VVE, EEV, VEV, EVV and VVV ellipsoidal.
        factors: covariances are those of this many factors: mixtures of factor analysers, or of principal components
            with "spherical" as the covariance of what they leave.
        noise: whether one more component, uniform on the box of the data, takes what belongs to no cluster.
        prior: as in `Mixture`.
        start: as in `Mixture`.

    >>> x = np.concatenate([np.linspace(-1, 1, 20), np.linspace(9, 11, 20)])
    >>> fit = lem.fit(lem.GaussianMixture(2), x, key=jax.random.key(0))
    >>> np.round(fit.params["components"]["mean"].ravel(), 6)
    array([ 0., 10.])
    >>> lem.GaussianMixture(3, "VEV").structure
    'VEV'
    """
    clusters = _clusters(components, covariance, factors, None if noise else prior, start)
    if not noise:
        return clusters
    if prior is not None:
        raise ValueError("GaussianMixture: noise=True with a prior: give lem.Mixture([mixture, Uniform()], prior=...)")
    return Mixture([clusters, Uniform()], start=start)


def _clusters(components: int, covariance: str, factors: int | None, prior: Any, start: str) -> Mixture:
    known = (*WORDS, *structures.SIMPLE, *structures.STRUCTURED)
    if covariance not in known:
        raise ValueError(f"covariance={covariance!r}: expected one of {', '.join(known)}")
    if factors is not None:
        if covariance not in ("full", "diagonal", "spherical"):
            told = f"covariance={covariance!r} with factors={factors}"
            raise ValueError(f"{told}: expected 'diagonal' or 'spherical', the covariance of what factors leave")
        left = "spherical" if covariance == "spherical" else "diagonal"
        return Mixture(FactorGaussian(factors, left), components, prior=prior, start=start)
    if covariance in structures.STRUCTURED:
        axes = "diagonal" if covariance.endswith("I") else "full"
        return Mixture(Gaussian(axes), components, structure=covariance, prior=prior, start=start)
    word, common = structures.SIMPLE.get(covariance, (covariance, False))
    if word == "tied":
        word, common = "full", True
    name = "covariance" if word == "full" else "variance"
    return Mixture(Gaussian(word), components, shared=(name,) if common else (), prior=prior, start=start)


def MultivariateNormal(*, prior: Mapping[str, Any] | None = None) -> Mixture:
    """One normal distribution of vectors, with missing entries: mean and covariance by maximum likelihood.

    Params are those of a mixture of one component: `fit.params["components"]["mean"][0]`. Rows that miss the same
    entries are taken together: what an iteration costs grows with the number of such patterns.

    Args:
        prior: as in `Mixture`.

    >>> x = np.array([[1.0, 2.0], [2.0, 4.1], [3.0, 5.9], [4.0, np.nan]])
    >>> fit = lem.fit(lem.MultivariateNormal(), x)
    >>> np.round(fit.params["components"]["mean"][0], 3)
    array([2.5  , 4.975])
    """
    return Mixture(Gaussian(), 1, prior=prior)


def select_mixture(
    x: Any,
    components: Iterable[int] = range(1, 10),
    covariance: str | Iterable[str] = ("EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EEV", "VEV", "VVV"),
    *,
    criterion: str = "bic",
    noise: bool = False,
    key: Any = 0,
    starts: int = 10,
    **options: Any,
) -> Any:
    """Gaussian mixtures of several sizes and structures, compared.

    Args:
        x: observations, (N, D) or a table.
        components: numbers of components.
        covariance: structures, as of `GaussianMixture`.
        criterion: "bic" or "icl".
        noise: as of `GaussianMixture`.
        key, starts, options: as of `lem.fit`.

    Returns:
        A `Selection`: `str()` prints the table, `best` is the best fit; `lem.plot.selection` draws BIC against size.

    >>> x = np.concatenate([np.linspace(-1, 1, 20), np.linspace(9, 11, 20)])
    >>> lem.select_mixture(np.stack([x, -x + np.sin(5 * x)], axis=1), [1, 2], ["EII", "VII"], starts=2).winner
    '2 EII'
    """
    if criterion not in ("bic", "icl"):
        raise ValueError(f"criterion={criterion!r}: expected 'bic' or 'icl'; lem.select has others")
    wanted = [covariance] if isinstance(covariance, str) else list(covariance)
    models = {f"{k} {name}": GaussianMixture(k, name, noise=noise) for name in wanted for k in components}
    return lem.select(models, x, criterion=criterion, key=key, starts=starts, **options)
