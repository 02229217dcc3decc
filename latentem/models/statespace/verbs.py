"""What a fitted state space model is asked: verbs of its Fit. `x` is new data; that of the fit when left out."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from latentem import building, kalman


class Forecast(NamedTuple):
    """Readings and states ahead.

    Args:
        mean, lower, upper: (h, p), of the readings, with the interval asked for.
        covariance: (h, p, p), of the readings.
        state, state_covariance: (h, d) and (h, d, d).
    """

    mean: Float[np.ndarray, "h p"]
    lower: Float[np.ndarray, "h p"]
    upper: Float[np.ndarray, "h p"]
    covariance: Float[np.ndarray, "h p p"]
    state: Float[np.ndarray, "h d"]
    state_covariance: Float[np.ndarray, "h d d"]


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
        if not isinstance(horizon, int) or horizon < 1:
            raise ValueError(f"forecast({horizon!r}): expected a number of steps of at least 1")
        if not 0 < level < 1:
            raise ValueError(f"level={level!r}: expected a number between 0 and 1")
        system, data = kalman.matrices(fit.model, fit.params), fit.at(x)[1]
        u, v = _covariates(fit, covariates, horizon)
        found = kalman.filtered(fit.model, fit.params, data)
        last = np.cumsum(data.observations.lengths) - 1
        z = float(jax.scipy.special.ndtri(0.5 + level / 2))
        every = [_ahead(system, found.mean[i], found.covariance[i], u, v, z) for i in last]
        return every[0] if data.observations.single else every

    def impute(self, fit: Any, m: int | None = None, key: Any = None, x: Any = None) -> Any:
        """The readings with missing ones filled in, (T, p): by their expectation given all others, or `m` times by
        draws at the estimates, (m, T, p)."""
        data, system = fit.at(x)[1], kalman.matrices(fit.model, fit.params)
        steps = data.observations.steps
        if m is None:
            states = kalman.smoothed(fit.model, fit.params, data).mean
            return data.observations.split(_filled(system, steps, states, None))
        draws, rng = self._paths(fit, key, m, data), _generator(key)
        filled = [_filled(system, steps, states, rng) for states in draws]
        return np.stack(filled) if data.observations.single else [data.observations.split(a) for a in filled]

    def sample(self, fit: Any, key: Any, n: int, covariates: Any = None) -> np.ndarray:
        """A simulated sequence of `n` steps, (n, p); states that begin anywhere begin at 0."""
        u, v = _covariates(fit, covariates, n)
        return kalman.simulated(kalman.matrices(fit.model, fit.params), _generator(key), n, u, v)[1]

    def sample_path(self, fit: Any, key: Any, draws: int = 1, x: Any = None) -> Any:
        """Paths of states drawn from their posterior given all readings, (draws, T, d).

        Source: Durbin and Koopman (2002), Biometrika 89: the simulation smoother.
        """
        data = fit.at(x)[1]
        found = self._paths(fit, key, draws, data)
        if data.observations.single:
            return found
        return [np.stack(a) for a in zip(*map(data.observations.split, found), strict=True)]

    def _paths(self, fit: Any, key: Any, draws: int, data: Any) -> np.ndarray:
        if not isinstance(draws, int) or draws < 1:
            raise ValueError(f"draws={draws!r}: expected a number of draws of at least 1")
        system, rng, series = kalman.matrices(fit.model, fit.params), _generator(key), data.observations
        steps = series.steps
        mean = kalman.smoothed(fit.model, fit.params, data).mean
        before = int(fit.model.declaration.before)
        found = []
        for _ in range(draws):
            parts = []
            for begin, length in zip(series.starts, series.lengths, strict=True):
                own = slice(begin, begin + length)
                u, v = (np.pad(steps[name][own], ((before, 0), (0, 0))) for name in "uv")
                parts.append([a[before:] for a in kalman.simulated(system, rng, length + before, u, v)])
            states, readings = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
            readings = np.where(np.isnan(steps["y"]), np.nan, readings)
            again = _with(data, {**steps, "y": readings})
            found.append(states - kalman.smoothed(fit.model, fit.params, again).mean + mean)
        return np.stack(found)

    def step(self, fit: Any, state: Any, reading: Any, covariates: Any = None) -> tuple[tuple[Any, Any], float]:
        """One step of online filtering: ((mean (d,), covariance (d, d)) given the reading too, its log density).

        Args:
            fit: the fitted model.
            state: what the call before returned first; None goes on behind the data of the fit.
            reading: (p,), NaN where one is missing.
            covariates: {name: number}, where the model has some.
        """
        system = kalman.matrices(fit.model, fit.params)
        if state is None:
            found = kalman.filtered(fit.model, fit.params, fit.at()[1])
            state = found.mean[-1], found.covariance[-1]
        u, v = _covariates(fit, {name: [value] for name, value in dict(covariates or {}).items()}, 1)
        mean = system.transition @ state[0] + system.inputs @ u[0]
        covariance = system.transition @ state[1] @ system.transition.T + system.process
        y = np.asarray(reading, np.float64).reshape(-1)
        if y.shape != (len(system.observation),) or np.isinf(y).any():
            raise ValueError(f"step: reading {y.tolist()}: expected {len(system.observation)} numbers, NaN if missing")
        there = ~np.isnan(y)
        if not there.any():
            return (mean, covariance), 0.0
        c = system.observation[there]
        f = c @ covariance @ c.T + _noise(system)[np.ix_(there, there)]
        surprise = y[there] - c @ mean - system.offset[there] @ v[0]
        gain = np.linalg.solve(f, c @ covariance).T
        off = surprise @ np.linalg.solve(f, surprise)
        log_prob = -0.5 * (len(f) * np.log(2 * np.pi) + np.linalg.slogdet(f)[1] + off)
        left = np.eye(len(mean)) - gain @ c
        noise = gain @ _noise(system)[np.ix_(there, there)] @ gain.T
        return (mean + gain @ surprise, left @ covariance @ left.T + noise), float(log_prob)

    def residuals(self, fit: Any, x: Any = None) -> Any:
        """Standardised surprises, (T, p): independent standard normal where the model is true; NaN where a reading is
        missing or an unknown start is still open."""
        data = fit.at(x)[1]
        return data.observations.split(_residuals(fit, data))

    def ljung_box(self, fit: Any, lags: int = 10, x: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """(statistic (p,), p-value (p,)) of the test that residuals have no autocorrelation up to `lags`.

        Source: Ljung and Box (1978), Biometrika 65. Of several sequences, products stay inside each.
        """
        data = fit.at(x)[1]
        if not isinstance(lags, int) or not 1 <= lags < data.observations.lengths.max():
            raise ValueError(f"lags={lags!r}: expected a whole number from 1 to {data.observations.lengths.max() - 1}")
        residuals = _residuals(fit, data)
        there = ~np.isnan(residuals)
        n = there.sum(axis=0)
        centred = np.where(there, residuals - np.nansum(residuals, axis=0) / n, 0.0)
        belongs = np.repeat(np.arange(data.observations.n), data.observations.lengths)
        total = np.zeros(residuals.shape[1])
        for lag in range(1, lags + 1):
            same = (belongs[lag:] == belongs[:-lag])[:, None]
            r = (centred[lag:] * centred[:-lag] * same).sum(axis=0) / (centred**2).sum(axis=0)
            total += r**2 / (n - lag)
        statistic = n * (n + 2) * total
        with jax.enable_x64(True):
            return statistic, np.asarray(jax.scipy.special.gammaincc(lags / 2, statistic / 2))

    def impulse_responses(self, fit: Any, horizon: int) -> np.ndarray:
        """Readings 0, ..., `horizon` steps after a shock of one standard deviation, (horizon + 1, p, d): column j is
        the j-th column of the Cholesky factor of the process noise."""
        if not isinstance(horizon, int) or horizon < 0:
            raise ValueError(f"impulse_responses({horizon!r}): expected a number of steps of at least 0")
        system = kalman.matrices(fit.model, fit.params)
        moved = np.diag(system.process) > 0
        shock = np.zeros_like(system.process)
        shock[np.ix_(moved, moved)] = np.linalg.cholesky(system.process[np.ix_(moved, moved)])
        found = []
        for _ in range(horizon + 1):
            found.append(system.observation @ shock)
            shock = system.transition @ shock
        return np.stack(found)


def _split(fit: Any, x: Any, verb: Any) -> Any:
    data = fit.at(x)[1]
    found = verb(fit.model, fit.params, data)
    if data.observations.single:
        return found
    return [type(found)(*parts) for parts in zip(*map(data.observations.split, found), strict=True)]


def _covariates(fit: Any, covariates: Any, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """(u (h, k), v (h, l)) of the steps ahead."""
    own = fit.model.declaration
    columns = dict(covariates or {})
    unknown = set(columns) - {*own.inputs, *own.offsets}
    if unknown:
        raise ValueError(f"covariates {sorted(unknown)[0]!r}: the model has none of this name; leave it out")
    for name, column in columns.items():
        if np.shape(column) != (horizon,):
            raise ValueError(f"covariate {name!r} has shape {np.shape(column)}: expected ({horizon},)")
    for name in (*own.inputs, *own.offsets):
        if name != "1" and name not in columns:
            raise ValueError(f"covariates: expected {name!r} for the {horizon} steps ahead")
    return own._covariates(columns, own.inputs, horizon), own._covariates(columns, own.offsets, horizon)


def _noise(system: kalman.System) -> Any:
    return system.noise if system.noise.ndim == 2 else np.diag(system.noise)


def _ahead(system: kalman.System, mean: Any, covariance: Any, u: Any, v: Any, z: float) -> Forecast:
    states, spreads = [], []
    for t in range(len(u)):
        mean = system.transition @ mean + system.inputs @ u[t]
        covariance = system.transition @ covariance @ system.transition.T + system.process
        states.append(mean)
        spreads.append(covariance)
    state: Any = np.stack(states)
    spread: Any = np.stack(spreads)
    centre = state @ system.observation.T + v @ system.offset.T
    around = system.observation @ spread @ system.observation.T + _noise(system)
    half = z * np.sqrt(np.diagonal(around, axis1=1, axis2=2))
    return Forecast(centre, centre - half, centre + half, around, state, spread)


def _residuals(fit: Any, data: Any) -> np.ndarray:
    system, found = kalman.matrices(fit.model, fit.params), kalman.filtered(fit.model, fit.params, data)
    steps = data.observations.steps
    surprise = steps["y"] - found.predicted @ system.observation.T - steps["v"] @ system.offset.T
    around = system.observation @ found.predicted_covariance @ system.observation.T + _noise(system)
    there = ~np.isnan(surprise)
    both = there[:, :, None] & there[:, None]
    factor = np.linalg.cholesky(np.where(both, around, np.eye(surprise.shape[1])))
    whole = np.linalg.solve(factor, np.where(there, surprise, 0.0)[..., None])[..., 0]
    return np.where(there, whole, np.nan)


def _filled(system: kalman.System, steps: Any, states: np.ndarray, rng: Any) -> np.ndarray:
    """Readings with missing ones filled in given the states, by their mean or, with `rng`, by a draw."""
    centre = states @ system.observation.T + steps["v"] @ system.offset.T
    y, noise = steps["y"].copy(), _noise(system)
    there = ~np.isnan(y)
    for pattern in np.unique(there, axis=0):
        rows = np.flatnonzero((there == pattern).all(axis=1))
        gone = ~pattern
        if not gone.any():
            continue
        slope = noise[np.ix_(gone, pattern)] @ np.linalg.pinv(noise[np.ix_(pattern, pattern)])
        filled = centre[np.ix_(rows, gone)] + (y - centre)[np.ix_(rows, pattern)] @ slope.T
        if rng is not None:
            left = noise[np.ix_(gone, gone)] - slope @ noise[np.ix_(pattern, gone)]
            values, vectors = np.linalg.eigh(left)
            filled = filled + rng.standard_normal(filled.shape) @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
        y[np.ix_(rows, gone)] = filled
    return y


def _with(data: Any, steps: Any) -> Any:
    from dataclasses import replace

    return replace(data, observations=replace(data.observations, steps=steps))


def _generator(key: Any) -> np.random.Generator:
    """A NumPy generator from a JAX key."""
    if key is None:
        raise ValueError("draws need chance: pass key=jax.random.key(0)")
    return np.random.default_rng(np.asarray(jax.random.key_data(building.as_key(key))).ravel().tolist())
