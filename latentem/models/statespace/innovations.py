"""What a model did not foresee: standardised surprises of the filter, and a test that nothing is left in them."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from latentem import kalman
from latentem.models.statespace.ahead import noise_of


def standardised(fit: Any, data: Any) -> Float[np.ndarray, "T p"]:
    """See `Verbs.residuals`."""
    system, found = kalman.matrices(fit.model, fit.params), kalman.filtered(fit.model, fit.params, data)
    steps = data.observations.steps
    surprise = steps["y"] - found.predicted @ system.observation.T - steps["v"] @ system.offset.T
    around = system.observation @ found.predicted_covariance @ system.observation.T + noise_of(system)
    there = ~np.isnan(surprise)
    both = there[:, :, None] & there[:, None]
    factor = np.linalg.cholesky(np.where(both, around, np.eye(surprise.shape[1])))
    whole = np.linalg.solve(factor, np.where(there, surprise, 0.0)[..., None])[..., 0]
    return np.where(there, whole, np.nan)


def autocorrelations(fit: Any, data: Any, lags: int) -> tuple[np.ndarray, np.ndarray]:
    """((lags, p), of lag 1, 2, ...; (p,), how many residuals there are). Products stay inside each sequence."""
    longest = data.observations.lengths.max()
    if not isinstance(lags, int) or not 1 <= lags < longest:
        raise ValueError(f"lags={lags!r}: expected a whole number from 1 to {longest - 1}")
    residuals = standardised(fit, data)
    there = ~np.isnan(residuals)
    n = there.sum(axis=0)
    centred = np.where(there, residuals - np.nansum(residuals, axis=0) / n, 0.0)
    belongs = np.repeat(np.arange(data.observations.n), data.observations.lengths)
    found = []
    for lag in range(1, lags + 1):
        same = (belongs[lag:] == belongs[:-lag])[:, None]
        found.append((centred[lag:] * centred[:-lag] * same).sum(axis=0) / (centred**2).sum(axis=0))
    return np.stack(found), n


def ljung_box(fit: Any, data: Any, lags: int) -> tuple[np.ndarray, np.ndarray]:
    """See `Verbs.ljung_box`."""
    r, n = autocorrelations(fit, data, lags)
    statistic = n * (n + 2) * (r**2 / (n - np.arange(1, lags + 1)[:, None])).sum(axis=0)
    with jax.enable_x64(True):
        return statistic, np.asarray(jax.scipy.special.gammaincc(lags / 2, statistic / 2))
