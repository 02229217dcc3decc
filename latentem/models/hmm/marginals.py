"""Distribution functions of each column of an observation, state by state, as SciPy knows them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from latentem import families as F


class Marginals(NamedTuple):
    """Of each column, a frozen distribution of `scipy.stats` whose parameters have the shape (K,), or (h, K) where they
    depend on what is given.

    Args:
        of: one for each column.
        names: of the columns, where observations are dicts; None for arrays.
    """

    of: list[Any]
    names: tuple[str, ...] | None = None


def marginals(family: Any, params: Any, given: dict[str, np.ndarray] | None = None) -> Marginals:
    """Those of a family.

    Args:
        family: declared.
        params: with a leading axis K.
        given: columns that it takes as given, {name: (h,)}.

    Raises:
        ValueError: a family whose distribution function is not known here.
    """
    from scipy import stats

    p = params
    if isinstance(family, F.Independent):
        parts = [marginals(part, p[name], given) for name, part in family.parts.items()]
        names = tuple(getattr(part, "response", n) for n, part in family.parts.items())
        return Marginals([d for part in parts for d in part.of], names if family.tabular else None)
    if hasattr(family, "response"):
        return Marginals([_regression(stats, family, p, given or {})], (family.response,))
    if isinstance(family, F.Gaussian):
        mean = p["mean"]
        variance = np.diagonal(p["covariance"], axis1=1, axis2=2) if family.full else p["variance"]
        sd = np.sqrt(np.broadcast_to(variance.reshape(len(mean), -1), mean.shape))
        return Marginals([stats.norm(mean[:, d], sd[:, d]) for d in range(mean.shape[1])])
    if isinstance(family, F.StudentT):
        at, scale = p["location"], np.sqrt(np.diagonal(p["scale"], axis1=1, axis2=2))
        return Marginals([stats.t(p["df"], at[:, d], scale[:, d]) for d in range(at.shape[1])])
    if isinstance(family, F.Poisson):
        return Marginals([stats.poisson(p["rate"])])
    if isinstance(family, F.NegativeBinomial):
        size = p["dispersion"]
        return Marginals([stats.nbinom(size, size / (size + p["mean"]))])
    if isinstance(family, F.Bernoulli):
        return Marginals([stats.bernoulli(p["probability"])])
    if isinstance(family, F.Exponential):
        return Marginals([stats.expon(0.0, 1.0 / p["rate"])])
    if isinstance(family, F.Gamma):
        return Marginals([stats.gamma(p["shape"], 0.0, 1.0 / p["rate"])])
    known = "Gaussian, StudentT, Poisson, NegativeBinomial, Bernoulli, Exponential, Gamma, regressions"
    raise ValueError(
        f"{type(family).__name__} has no distribution function here: expected {known}, or Independent ones"
    )


def _regression(stats: Any, family: Any, p: Any, given: dict[str, np.ndarray]) -> Any:
    columns = [given[name] for name in family.covariates]
    n = len(columns[0]) if columns else 1
    design = np.stack([*[np.ones(n)] * family.intercept, *columns], axis=1)
    eta = design @ p["coefficients"].T
    if isinstance(family, F.GaussianRegression):
        return stats.norm(eta, np.sqrt(p["variance"]))
    return (
        stats.poisson(np.exp(eta))
        if isinstance(family, F.PoissonRegression)
        else stats.bernoulli(1 / (1 + np.exp(-eta)))
    )
