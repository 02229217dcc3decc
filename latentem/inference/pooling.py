"""Rubin's rules: estimates of several completed data sets made one (Rubin 1987; Barnard and Rubin 1999)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats


@dataclass(frozen=True)
class Pooled:
    """Estimates of M completed data sets, pooled.

    Args:
        estimate: (p,), their mean.
        covariance: (p, p), total: within + (1 + 1 / M) between.
        within: (p, p), mean covariance of the estimates, as if nothing had been missing.
        between: (p, p), covariance of the estimates over data sets.
        df: (p,), degrees of freedom of each.
        fraction_missing: (p,), fraction of the information about each that is missing.
        sets: M.
        names: of the estimates, () where they have none.
    """

    estimate: Float[np.ndarray, " p"]
    covariance: Float[np.ndarray, "p p"]
    within: Float[np.ndarray, "p p"]
    between: Float[np.ndarray, "p p"]
    df: Float[np.ndarray, " p"]
    fraction_missing: Float[np.ndarray, " p"]
    sets: int
    names: tuple[str, ...] = ()

    @property
    def standard_errors(self) -> Float[np.ndarray, " p"]:
        """Of the pooled estimates."""
        return np.sqrt(np.diagonal(self.covariance))

    def confidence_intervals(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """(lower, upper), by Student's t."""
        if not 0 < level < 1:
            raise ValueError(f"level={level!r}: expected a number between 0 and 1")
        away = stats.t.ppf(0.5 + level / 2, self.df) * self.standard_errors
        return self.estimate - away, self.estimate + away

    def summary(self) -> str:
        """A line for each estimate."""
        names = self.names or tuple(f"[{i}]" for i in range(len(self.estimate)))
        width = max(len(name) for name in names)
        low, high = self.confidence_intervals()
        lines = [f"{'':{width}}  estimate  std. error      df   95 % interval          fraction missing"]
        for i, name in enumerate(names):
            interval = f"[{low[i]:9.4g}, {high[i]:9.4g}]"
            numbers = f"{self.estimate[i]:10.5g}  {self.standard_errors[i]:10.4g}  {self.df[i]:6.1f}"
            lines.append(f"{name:{width}}{numbers}   {interval}   {self.fraction_missing[i]:.3f}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()


def pool(estimates: Any, covariances: Any, *, df: float | None = None) -> Pooled:
    """Pool what was estimated from M completed data sets.

    Args:
        estimates: M estimates, numbers or vectors (p,), or mappings by name; or M completed data sets, such as
            `fit.impute(20, key=0)` returns.
        covariances: of the estimates, (M, p, p), or variances (M, p), (M,); or a function of one completed data set
            that returns (estimate, covariance), or a result with `params` and `cov_params()`, as those of statsmodels.
        df: degrees of freedom that complete data would leave, n - p in a regression; infinite by default, or what the
            results of the function say (`df_resid`).

    Raises:
        ValueError: fewer than 2 data sets, estimates of different lengths, covariances of another shape.

    >>> pooled = pool([1.0, 2.0, 3.0], [0.5, 0.5, 0.5])
    >>> float(pooled.estimate[0]), round(float(pooled.covariance[0, 0]), 4)
    (2.0, 1.8333)
    """
    names: tuple[str, ...] = ()
    if callable(covariances):
        estimates, covariances, names, said = _of_function(estimates, covariances)
        df = said if df is None else df
    elif len(estimates) and isinstance(estimates[0], Mapping):
        names = tuple(map(str, estimates[0]))
        estimates = [[one[name] for name in estimates[0]] for one in estimates]
    sets = len(estimates)
    if sets < 2:
        raise ValueError(f"pool: {sets} completed data set{'s' * (sets != 1)}: expected at least 2; impute more copies")
    each = [np.atleast_1d(np.asarray(one, dtype=np.float64)).ravel() for one in estimates]
    if len({len(one) for one in each}) > 1:
        raise ValueError(f"pool: estimates of lengths {sorted({len(one) for one in each})}: expected one length")
    q = np.stack(each)
    u = _covariances(covariances, sets, q.shape[1])
    if df is not None and not df > 0:
        raise ValueError(f"df={df!r}: expected the degrees of freedom of complete data, above 0")
    within, between = u.mean(axis=0), np.atleast_2d(np.cov(q, rowvar=False, ddof=1))
    total = within + (1 + 1 / sets) * between
    share = np.clip(np.diagonal((1 + 1 / sets) * between) / np.diagonal(total), 1e-300, 1.0)
    freedom = _barnard_rubin(share, sets, df)
    ratio = share / np.maximum(1 - share, 1e-300)
    fraction = (ratio + 2 / (freedom + 3)) / (ratio + 1)
    return Pooled(q.mean(axis=0), total, within, between, freedom, fraction, sets, names)


def _barnard_rubin(share: np.ndarray, sets: int, df: float | None) -> np.ndarray:
    """Degrees of freedom where the missing entries make up this share of the variance."""
    many = (sets - 1) / share**2
    if df is None or not np.isfinite(df):
        return many
    observed = (df + 1) / (df + 3) * df * (1 - share)
    return many * observed / (many + observed)


def _covariances(covariances: Any, sets: int, p: int) -> np.ndarray:
    if len(covariances) != sets:
        raise ValueError(f"pool: {len(covariances)} covariances: expected {sets}, one for each estimate")
    u = np.stack([np.asarray(one, dtype=np.float64) for one in covariances])
    if u.shape in ((sets,), (sets, p)):
        u = np.stack([np.diag(np.atleast_1d(one)) for one in u])
    if u.shape != (sets, p, p):
        raise ValueError(f"pool: covariances of shape {u.shape[1:]}: expected ({p}, {p}), or ({p},) variances")
    return u


def _of_function(data: Sequence[Any], function: Callable[[Any], Any]) -> Any:
    """(estimates, covariances, names, degrees of freedom) of a function of each data set."""
    estimates, covariances, names, df = [], [], (), None
    for one in data:
        found = function(one)
        if hasattr(found, "params") and hasattr(found, "cov_params"):
            df = getattr(found, "df_resid", None)
            found = (found.params, found.cov_params())
        if not isinstance(found, tuple) or len(found) != 2:
            told = f"pool: the function returned a {type(found).__name__}"
            raise ValueError(f"{told}: expected (estimate, covariance), or a result with params and cov_params()")
        estimate, covariance = found
        if isinstance(estimate, Mapping):
            estimate, names = list(estimate.values()), tuple(map(str, estimate))
        elif hasattr(estimate, "index") and not isinstance(estimate, (list, tuple)):
            names = tuple(map(str, estimate.index))
        estimates.append(estimate)
        covariances.append(covariance)
    return estimates, covariances, names, df
