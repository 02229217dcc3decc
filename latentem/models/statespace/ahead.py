"""What lies ahead: readings after the end, the filter one step at a time, what a shock does."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from latentem import kalman


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


def forecasts(fit: Any, data: Any, horizon: int, columns: Any, level: float) -> list[Forecast]:
    """Of every sequence."""
    if not isinstance(horizon, int) or horizon < 1:
        raise ValueError(f"forecast({horizon!r}): expected a number of steps of at least 1")
    if not 0 < level < 1:
        raise ValueError(f"level={level!r}: expected a number between 0 and 1")
    system = kalman.matrices(fit.model, fit.params)
    u, v = covariates(fit, columns, horizon)
    found = kalman.filtered(fit.model, fit.params, data)
    last = np.cumsum(data.observations.lengths) - 1
    z = float(jax.scipy.special.ndtri(0.5 + level / 2))
    return [_ahead(system, found.mean[i], found.covariance[i], u, v, z) for i in last]


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
    around = system.observation @ spread @ system.observation.T + noise_of(system)
    half = z * np.sqrt(np.diagonal(around, axis1=1, axis2=2))
    return Forecast(centre, centre - half, centre + half, around, state, spread)


def one_step(fit: Any, state: Any, reading: Any, columns: Any) -> tuple[tuple[Any, Any], float]:
    """See `Verbs.step`."""
    system = kalman.matrices(fit.model, fit.params)
    if state is None:
        found = kalman.filtered(fit.model, fit.params, fit.at()[1])
        state = found.mean[-1], found.covariance[-1]
    u, v = covariates(fit, {name: [value] for name, value in dict(columns or {}).items()}, 1)
    mean = system.transition @ state[0] + system.inputs @ u[0]
    covariance = system.transition @ state[1] @ system.transition.T + system.process
    y = np.asarray(reading, np.float64).reshape(-1)
    if y.shape != (len(system.observation),) or np.isinf(y).any():
        raise ValueError(f"step: reading {y.tolist()}: expected {len(system.observation)} numbers, NaN if missing")
    there = ~np.isnan(y)
    if not there.any():
        return (mean, covariance), 0.0
    c, own = system.observation[there], noise_of(system)[np.ix_(there, there)]
    f = c @ covariance @ c.T + own
    surprise = y[there] - c @ mean - system.offset[there] @ v[0]
    gain = np.linalg.solve(f, c @ covariance).T
    off = surprise @ np.linalg.solve(f, surprise)
    log_prob = -0.5 * (len(f) * np.log(2 * np.pi) + np.linalg.slogdet(f)[1] + off)
    left = np.eye(len(mean)) - gain @ c
    return (mean + gain @ surprise, left @ covariance @ left.T + gain @ own @ gain.T), float(log_prob)


def responses(fit: Any, horizon: int) -> Float[np.ndarray, "h p d"]:
    """See `Verbs.impulse_responses`."""
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


def covariates(fit: Any, columns: Any, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """(u (h, k), v (h, l)) of the steps ahead."""
    own = fit.model.declaration
    columns = dict(columns or {})
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


def noise_of(system: kalman.System) -> Any:
    """(p, p), of the readings."""
    return system.noise if system.noise.ndim == 2 else np.diag(system.noise)
