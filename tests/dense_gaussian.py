"""Linear Gaussian chains by conditioning one joint normal distribution of all states and readings: no recursion."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Dense(NamedTuple):
    """Of one sequence of T steps.

    Args:
        log_prob: log density of the readings that are there.
        mean: (T, d), smoothed.
        covariance: (T, d, T, d), smoothed.
    """

    log_prob: float
    mean: np.ndarray
    covariance: np.ndarray


def dense(system: Any, y: np.ndarray, u: np.ndarray, v: np.ndarray, flat: bool = False) -> Dense:
    """Condition on the readings; with `flat`, the directions of the start have a flat prior."""
    steps, (d, _) = len(y), system.transition.shape
    a, q = system.transition, system.directions.shape[1]
    # Every state is a matrix times (delta, first, noise_2, ..., noise_T), plus a constant.
    size = q + d * steps
    loading, constant = np.zeros((steps, d, size)), np.zeros((steps, d))
    for t in range(steps):
        own = slice(q + d * t, q + d * (t + 1))
        if t == 0:
            loading[0, :, :q], constant[0] = system.directions, system.mean
        else:
            loading[t], constant[t] = a @ loading[t - 1], a @ constant[t - 1] + system.inputs @ u[t]
        loading[t, :, own] += np.eye(d)
    spread = np.zeros((size, size))
    spread[q : q + d, q : q + d] = system.covariance
    for t in range(1, steps):
        own = slice(q + d * t, q + d * (t + 1))
        spread[own, own] = system.process
    noise = system.noise if system.noise.ndim == 2 else np.diag(system.noise)
    there = ~np.isnan(y).ravel()
    read = np.einsum("pd,tds->tps", system.observation, loading).reshape(-1, size)[there]
    centre = (constant @ system.observation.T + v @ system.offset.T).ravel()[there]
    around = read @ spread @ read.T + np.kron(np.eye(steps), noise)[np.ix_(there, there)]
    off, n = y.ravel()[there] - centre, int(there.sum())
    inverse = np.linalg.inv(around)
    log_prob = -0.5 * (n * np.log(2 * np.pi) + np.linalg.slogdet(around)[1] + off @ inverse @ off)
    gain = spread @ read.T @ inverse
    mean, covariance = gain @ off, spread - gain @ read @ spread
    if q:
        slope = read[:, :q]
        information = slope.T @ inverse @ slope
        best = np.linalg.solve(information, slope.T @ inverse @ off)
        log_prob += 0.5 * best @ information @ best
        moved = np.vstack([np.eye(q), np.zeros((size - q, q))]) - gain @ slope
        mean = mean + moved @ best
        if flat:
            log_prob += 0.5 * q * np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(information)[1]
            covariance = covariance + moved @ np.linalg.inv(information) @ moved.T
    flatten = loading.reshape(-1, size)
    states = (flatten @ mean).reshape(steps, d) + constant
    return Dense(float(log_prob), states, (flatten @ covariance @ flatten.T).reshape(steps, d, steps, d))


def sums(found: Dense, y: np.ndarray, u: np.ndarray, v: np.ndarray) -> dict[str, np.ndarray]:
    """Expected sums of one sequence: what an E-step leaves, with independent noise."""
    z = found.mean
    square = np.einsum("tdte->tde", found.covariance) + z[:, :, None] * z[:, None]
    pairs = [found.covariance[t + 1, :, t] + np.outer(z[t + 1], z[t]) for t in range(len(y) - 1)]
    pair = np.stack(pairs or [0.0 * square[0]])
    there = ~np.isnan(y)
    seen = np.concatenate([z, v], axis=1)
    both = seen[:, :, None] * seen[:, None]
    d = z.shape[1]
    both[:, :d, :d] = square
    uz = u[1:].T @ z[:-1]
    return {
        "move_xx": np.block([[square[:-1].sum(0), uz.T], [uz, u[1:].T @ u[1:]]]),
        "move_yx": np.concatenate([pair.sum(0), z[1:].T @ u[1:]], axis=1),
        "move_yy": square[1:].sum(0),
        "first": square[0],
        "read_xx": np.einsum("tp,tij->pij", there, both),
        "read_yx": np.nan_to_num(y).T @ seen,
        "read_yy": np.nansum(y**2, axis=0),
        "read_n": there.sum(axis=0),
    }
