"""What a fitted state space model is asked: verbs of its Fit. `x` is new data; that of the fit when left out."""

from __future__ import annotations

from typing import Any

import numpy as np

from latentem import kalman
from latentem.models.statespace import ahead, draws, innovations


class Verbs:
    """Verbs of a state space model. With one sequence they answer with arrays, with several with a list of them."""

    verbs = (
        "filter",
        "smooth",
        "forecast",
        "impute",
        "sample",
        "sample_path",
        "step",
        "residuals",
        "autocorrelations",
        "ljung_box",
        "impulse_responses",
        "matrices",
    )

    def matrices(self, fit: Any) -> kalman.System:
        """The matrices at the estimates."""
        return kalman.matrices(fit.model, fit.params)

    def filter(self, fit: Any, x: Any = None) -> Any:
        """States given the readings so far, `lem.kalman.Filtered`."""
        return _split(fit, x, kalman.filtered)

    def smooth(self, fit: Any, x: Any = None) -> Any:
        """States given all readings, with the covariance of neighbours, `lem.kalman.Paths`."""
        return _split(fit, x, kalman.smoothed)

    def forecast(self, fit: Any, horizon: int, x: Any = None, covariates: Any = None, level: float = 0.95) -> Any:
        """Readings and states 1, ..., `horizon` steps after the end, a `Forecast`.

        Args:
            covariates: {name: (horizon,)}, where the model has some.
            level: of the intervals of the readings; they do not count that the params are estimates.
        """
        data = fit.at(x)[1]
        every = ahead.forecasts(fit, data, horizon, covariates, level)
        return every[0] if data.observations.single else every

    def impute(self, fit: Any, m: int | None = None, key: Any = None, x: Any = None) -> Any:
        """The readings with missing ones filled in, (T, p): by their expectation given all others, or `m` times by
        draws at the estimates, (m, T, p)."""
        return draws.imputed(fit, fit.at(x)[1], m, key)

    def sample(self, fit: Any, key: Any, n: int, covariates: Any = None) -> np.ndarray:
        """A simulated sequence of `n` steps, (n, p); states that begin anywhere begin at 0."""
        u, v = ahead.covariates(fit, covariates, n)
        return kalman.simulated(kalman.matrices(fit.model, fit.params), draws.generator(key), n, u, v)[1]

    def sample_path(self, fit: Any, key: Any, draws: int = 1, x: Any = None) -> Any:
        """Paths of states drawn from their posterior given all readings, (draws, T, d).

        Source: Durbin and Koopman (2002), Biometrika 89: the simulation smoother.
        """
        return _paths(fit, key, draws, fit.at(x)[1])

    def step(self, fit: Any, state: Any, reading: Any, covariates: Any = None) -> tuple[tuple[Any, Any], float]:
        """One step of online filtering: ((mean (d,), covariance (d, d)) given the reading too, its log density).

        Args:
            fit: the fitted model.
            state: what the call before returned first; None goes on behind the data of the fit.
            reading: (p,), NaN where one is missing.
            covariates: {name: number}, where the model has some.
        """
        return ahead.one_step(fit, state, reading, covariates)

    def residuals(self, fit: Any, x: Any = None) -> Any:
        """Standardised surprises, (T, p): independent standard normal where the model is true; NaN where a reading is
        missing or an unknown start is still open."""
        data = fit.at(x)[1]
        return data.observations.split(innovations.standardised(fit, data))

    def autocorrelations(self, fit: Any, lags: int = 20, x: Any = None) -> np.ndarray:
        """Of the residuals, (lags, p), from lag 1 on; of several sequences, products stay inside each."""
        return innovations.autocorrelations(fit, fit.at(x)[1], lags)[0]

    def ljung_box(self, fit: Any, lags: int = 10, x: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """(statistic (p,), p-value (p,)) of the test that residuals have no autocorrelation up to `lags`.

        Source: Ljung and Box (1978), Biometrika 65. Of several sequences, products stay inside each.
        """
        return innovations.ljung_box(fit, fit.at(x)[1], lags)

    def impulse_responses(self, fit: Any, horizon: int) -> np.ndarray:
        """Readings 0, ..., `horizon` steps after a shock of one standard deviation, (horizon + 1, p, d): column j is
        the j-th column of the Cholesky factor of the process noise."""
        return ahead.responses(fit, horizon)


def _split(fit: Any, x: Any, verb: Any) -> Any:
    data = fit.at(x)[1]
    found = verb(fit.model, fit.params, data)
    if data.observations.single:
        return found
    return [type(found)(*parts) for parts in zip(*map(data.observations.split, found), strict=True)]


def _paths(fit: Any, key: Any, n: int, data: Any) -> Any:
    found = draws.paths(fit, key, n, data)
    if data.observations.single:
        return found
    return [np.stack(a) for a in zip(*map(data.observations.split, found), strict=True)]
