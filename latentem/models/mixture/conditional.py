"""Some columns given others: the conditional distribution that a mixture implies (Gaussian mixture regression,
Ghahramani and Jordan 1994)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp, ndtr

from latentem.families import FactorGaussian, Gaussian, Independent

#: Halvings of a bracket of a quantile.
HALVINGS = 80


@dataclass(frozen=True)
class Conditional:
    """The distribution of some columns of N rows given the others: a mixture for each row.

    Args:
        names: of the columns.
        weights: (N, K), of the components given what each row says.
        means: (N, K, d), of the components given that.
        covariances: (N, K, d, d).
        shares: {column: (N, C)}, probabilities of the categories of columns that hold some; others have means.
    """

    names: tuple[Any, ...]
    weights: Float[np.ndarray, "N K"]
    means: Float[np.ndarray, "N K d"]
    covariances: Float[np.ndarray, "N K d d"]
    shares: dict[Any, np.ndarray]
    normal: bool = True

    @property
    def mean(self) -> Float[np.ndarray, "N d"]:
        """E[columns | the others]; shares of categories are in `shares`."""
        return np.einsum("nk,nkd->nd", self.weights, self.means)

    @property
    def covariance(self) -> Float[np.ndarray, "N d d"]:
        """Covariance of the columns given the others."""
        away = self.means - self.mean[:, None]
        return np.einsum("nk,nkde->nde", self.weights, self.covariances + away[..., :, None] * away[..., None, :])

    @property
    def mode(self) -> dict[Any, np.ndarray]:
        """The most probable category of each column that holds some, (N,) codes."""
        return {name: np.argmax(share, axis=1) for name, share in self.shares.items()}

    def log_density(self, values: Any) -> Float[np.ndarray, " N"]:
        """log p(values | the others), values (N, d) or (d,) for all rows."""
        self._must_be_normal("log_density")
        n, _, d = self.means.shape
        values = np.asarray(values, dtype=np.float64)
        values = np.broadcast_to(values.reshape(-1, d) if values.size != d else values.reshape(1, d), (n, d))
        factor = np.linalg.cholesky(self.covariances)
        white = np.linalg.solve(factor, (values[:, None] - self.means)[..., None])[..., 0]
        log_det = np.sum(np.log(np.diagonal(factor, axis1=2, axis2=3)), axis=2)
        each = -0.5 * (d * np.log(2 * np.pi) + np.sum(white**2, axis=2)) - log_det
        with np.errstate(divide="ignore"):
            return np.asarray(logsumexp(np.log(self.weights) + each, axis=1))

    def density(self, values: Any) -> Float[np.ndarray, " N"]:
        """p(values | the others)."""
        return np.exp(self.log_density(values))

    def quantile(self, p: Any) -> np.ndarray:
        """Quantiles of one column given the others, (N,), or (N, len(p)) for several."""
        self._must_be_normal("quantile")
        if len(self.names) != 1:
            raise ValueError(f"quantile: {len(self.names)} columns: expected one, of=[name]; vectors have no quantiles")
        levels = np.atleast_1d(np.asarray(p, dtype=np.float64))
        if not ((levels > 0) & (levels < 1)).all():
            raise ValueError(f"quantile({p!r}): expected numbers between 0 and 1")
        mean, sd = self.means[:, :, 0], np.sqrt(self.covariances[:, :, 0, 0])
        low = np.repeat(np.min(mean - 40 * sd, axis=1)[:, None], len(levels), axis=1)
        high = np.repeat(np.max(mean + 40 * sd, axis=1)[:, None], len(levels), axis=1)
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            upto = np.einsum("nk,nkq->nq", self.weights, ndtr((middle[:, None] - mean[..., None]) / sd[..., None]))
            low, high = np.where(upto < levels, middle, low), np.where(upto < levels, high, middle)
        return high[:, 0] if np.ndim(p) == 0 else high

    def _must_be_normal(self, what: str) -> None:
        if not self.normal:
            raise ValueError(f"{what}: these columns are no normal ones: expected a Gaussian mixture; ask for mean")


def condition(mixture: Any, fit: Any, x: Any, of: Any) -> Conditional:
    """The distribution of some columns given the others, for each row of x.

    Args:
        x: observations as the data of the fit were given; the columns in `of` are not looked at and may be missing, and
            so may any others.
        of: names of columns, or their numbers where the data have no names.

    Returns:
        A `Conditional` with `mean`, `covariance`, `density(values)`, `log_density`, `quantile(p)`; `shares` and `mode`
        of categories.

    Raises:
        ValueError: no such column, all of them, or a family whose columns have no conditional distribution here.

    >>> x = np.array([[1.0, 2.0], [2.0, 4.5], [3.0, 5.5], [4.0, 8.0]])
    >>> fit = lem.fit(lem.MultivariateNormal(), x)
    >>> np.round(fit.condition(np.array([[2.5, np.nan]]), of=[1]).mean, 6)
    array([[5.]])
    """
    if mixture.gate:
        raise ValueError("condition: a mixture with a gate describes its columns given the gate: expected one without")
    layout = fit.model.layout
    asked = [of] if isinstance(of, str | int) else list(of)
    table = _with_columns(layout, x, asked)
    family = mixture.family
    if isinstance(family, Gaussian | FactorGaussian):
        return _of_gaussian(mixture, fit, table, _places(layout, family.dim or 0, asked), tuple(asked))
    if isinstance(family, Independent) and family.tabular:
        return _of_independent(mixture, fit, table, asked)
    raise ValueError(f"condition: {type(family).__name__}: expected a mixture of Gaussian, or of Independent columns")


def _with_columns(layout: Any, x: Any, of: Sequence[Any]) -> Any:
    """x with columns of NaN for those asked for that it lacks, where it is a dict."""
    if not isinstance(x, dict) or not x:
        return x
    n = len(next(iter(x.values())))
    return {**x, **{name: np.full(n, np.nan) for name in layout.names if name in of and name not in x}}


def _places(layout: Any, dim: int, of: Sequence[Any]) -> np.ndarray:
    places = []
    for name in of:
        if layout.names and name in layout.names:
            places.append(layout.names.index(name))
        elif isinstance(name, int | np.integer) and -dim <= name < dim:
            places.append(int(name) % dim)
        else:
            known = ", ".join(map(str, layout.names or range(dim)))
            raise ValueError(f"condition: no column {name!r}: expected some of {known}")
    if not places or len(set(places)) != len(places) or len(places) == dim:
        raise ValueError(f"condition: of={list(of)!r}: expected some columns, each once, and not all {dim} of them")
    return np.array(places)


def _of_gaussian(mixture: Any, fit: Any, x: Any, places: np.ndarray, names: tuple[Any, ...]) -> Conditional:
    rows = np.array(fit.at(x)[1].observations, dtype=np.float64).reshape(-1, mixture.family.dim)
    rows[:, places] = np.nan
    mean = np.broadcast_to(fit.params["components"]["mean"], (mixture.components, rows.shape[1]))
    full = matrices(mixture, fit.params)
    n, k, d = len(rows), mixture.components, len(places)
    joint, means, covariances = np.zeros((n, k)), np.zeros((n, k, d)), np.zeros((n, k, d, d))
    seen = ~np.isnan(rows)
    patterns, which = np.unique(seen, axis=0, return_inverse=True)
    for i, known in enumerate(patterns):
        here = np.flatnonzero(which.ravel() == i)
        for j in range(k):
            means[here, j], covariances[here, j] = mean[j, places], full[j][np.ix_(places, places)]
            if not known.any():
                continue
            factor = np.linalg.cholesky(full[j][np.ix_(known, known)])
            white = np.linalg.solve(factor, (rows[np.ix_(here, known)] - mean[j, known]).T)
            cross = np.linalg.solve(factor, full[j][np.ix_(known, places)])
            means[here, j] += white.T @ cross
            covariances[here, j] -= cross.T @ cross
            log_det = np.sum(np.log(np.diagonal(factor)))
            joint[here, j] = -0.5 * (known.sum() * np.log(2 * np.pi) + np.sum(white**2, axis=0)) - log_det
    with np.errstate(divide="ignore"):
        joint = joint + np.log(fit.params["weights"])
    weights = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    return Conditional(names, weights, means, covariances, {})


def matrices(mixture: Any, params: Any) -> Float[np.ndarray, "K D D"]:
    """Covariance matrices of all components, whatever their structure."""
    family = mixture.family
    with jax.enable_x64(True):
        of = getattr(family, "matrix", None)
        given = jax.tree.map(jnp.asarray, params)
        if of is not None:
            return np.asarray(mixture.over_components(of, given))
    raise ValueError(f"{type(family).__name__} has no covariance matrix")


def _of_independent(mixture: Any, fit: Any, x: Any, of: Sequence[Any]) -> Conditional:
    parts = mixture.family.parts
    for name in of:
        if name not in parts:
            raise ValueError(f"condition: no column {name!r}: expected some of {', '.join(parts)}")
    table = {name: (np.asarray(x[name]) if name not in of else None) for name in parts}
    n = len(next(a for a in table.values() if a is not None)) if len(of) < len(parts) else 0
    if not n:
        raise ValueError(f"condition: of={list(of)!r}: expected some columns and not all of them")
    table = {name: np.full(n, np.nan) if a is None else a for name, a in table.items()}
    weights = fit.responsibilities(table)
    numbers, shares, means, variances = [], {}, [], []
    normal = True
    with jax.enable_x64(True):
        params = jax.tree.map(jnp.asarray, fit.params)
        for name in of:
            part = parts[name]

            def share(p: Any, part: Any = part, name: Any = name) -> Any:
                return part.shares(p[name])

            each = mixture.over_components(share, params) if part.shares(_first(params, name)) is not None else None
            if each is not None:
                shares[name] = weights @ np.asarray(each)
                continue
            gaussian = isinstance(part, Gaussian)
            normal = normal and gaussian

            def centre(p: Any, part: Any = part, name: Any = name, gaussian: bool = gaussian) -> Any:
                return p[name]["mean"][0] if gaussian else part.mean(p[name])

            def spread(p: Any, part: Any = part, name: Any = name, gaussian: bool = gaussian) -> Any:
                return part.matrix(p[name])[0, 0] if gaussian else jnp.nan

            numbers.append(name)
            means.append(np.broadcast_to(np.asarray(mixture.over_components(centre, params)), weights.shape))
            variances.append(np.broadcast_to(np.asarray(mixture.over_components(spread, params)), weights.shape))
    d = len(numbers)
    mean = np.stack(means, axis=2) if d else np.zeros((*weights.shape, 0))
    covariance = np.zeros((*weights.shape, d, d))
    for i in range(d):
        covariance[:, :, i, i] = variances[i]
    return Conditional(tuple(numbers), weights, mean, covariance, shares, normal and d > 0)


def _first(params: Any, name: Any) -> Any:
    """Params of one component of a column."""
    return jax.tree.map(lambda a: a[0] if jnp.ndim(a) else a, params["components"][name])
