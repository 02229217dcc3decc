"""States and missing readings drawn from their posterior, or filled in by its mean."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import numpy as np

from latentem import building, kalman
from latentem.models.statespace.ahead import noise_of


def imputed(fit: Any, data: Any, m: int | None, key: Any) -> Any:
    """See `Verbs.impute`."""
    series, system = data.observations, kalman.matrices(fit.model, fit.params)
    if m is None:
        states = kalman.smoothed(fit.model, fit.params, data).mean
        return series.split(_filled(system, series.steps, states, None))
    draws, rng = paths(fit, key, m, data), generator(key)
    filled = [_filled(system, series.steps, states, rng) for states in draws]
    return np.stack(filled) if series.single else [series.split(a) for a in filled]


def paths(fit: Any, key: Any, draws: int, data: Any) -> np.ndarray:
    """(draws, T, d), by the simulation smoother."""
    if not isinstance(draws, int) or draws < 1:
        raise ValueError(f"draws={draws!r}: expected a number of draws of at least 1")
    system, rng, series = kalman.matrices(fit.model, fit.params), generator(key), data.observations
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
        again = replace(data, observations=replace(series, steps={**steps, "y": readings}))
        found.append(states - kalman.smoothed(fit.model, fit.params, again).mean + mean)
    return np.stack(found)


def _filled(system: kalman.System, steps: Any, states: np.ndarray, rng: Any) -> np.ndarray:
    """Readings with missing ones filled in given the states, by their mean or, with `rng`, by a draw."""
    centre = states @ system.observation.T + steps["v"] @ system.offset.T
    y, noise = steps["y"].copy(), noise_of(system)
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


def generator(key: Any) -> np.random.Generator:
    """A NumPy generator from a JAX key."""
    if key is None:
        raise ValueError("draws need chance: pass key=jax.random.key(0)")
    return np.random.default_rng(np.asarray(jax.random.key_data(building.as_key(key))).ravel().tolist())
