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


class Factor(NamedTuple):
    """Lower Cholesky factor of a matrix, in extended precision, which `numpy.linalg` does not have."""

    lower: np.ndarray

    @classmethod
    def of(cls, matrix: np.ndarray) -> Factor:
        """Column by column."""
        left, found = matrix.copy(), np.zeros_like(matrix)
        for k in range(len(matrix)):
            found[k:, k] = left[k:, k] / np.sqrt(left[k, k])
            left[k + 1 :, k + 1 :] -= np.outer(found[k + 1 :, k], found[k + 1 :, k])
        return cls(found)

    @property
    def log_det(self) -> np.longdouble:
        """Of the matrix."""
        return 2 * np.log(np.diagonal(self.lower)).sum()

    def solve(self, right: np.ndarray) -> np.ndarray:
        """The inverse of the matrix times `right`."""
        x = right.astype(np.longdouble)
        for k in range(len(x)):
            x[k] = (x[k] - self.lower[k, :k] @ x[:k]) / self.lower[k, k]
        for k in reversed(range(len(x))):
            x[k] = (x[k] - self.lower[k + 1 :, k] @ x[k + 1 :]) / self.lower[k, k]
        return x


def dense(system: Any, y: np.ndarray, u: np.ndarray, v: np.ndarray, flat: bool = False) -> Dense:
    """Condition on the readings; with `flat`, the directions of the start have a flat prior.

    `system` may be a list, of the matrices at every step: those of the move are of the move out of it. Numbers have 64
    bits behind the point: where states grow, what is subtracted here is far greater than what is left.
    """
    systems = system if isinstance(system, list) else [system] * len(y)
    steps, (d, _) = len(y), systems[0].transition.shape
    q = systems[0].directions.shape[1]
    # Every state is a matrix times (delta, first, noise_2, ..., noise_T), plus a constant.
    size = q + d * steps
    loading, constant = np.zeros((steps, d, size), np.longdouble), np.zeros((steps, d), np.longdouble)
    spread = np.zeros((size, size), np.longdouble)
    for t in range(steps):
        own = slice(q + d * t, q + d * (t + 1))
        if t == 0:
            loading[0, :, :q], constant[0] = systems[0].directions, systems[0].mean
            spread[own, own] = systems[0].covariance
        else:
            before = systems[t - 1]
            loading[t] = before.transition @ loading[t - 1]
            constant[t] = before.transition @ constant[t - 1] + before.inputs @ u[t]
            spread[own, own] = before.process
        loading[t, :, own] += np.eye(d)
    p = y.shape[1]
    noise = np.zeros((steps, p, steps, p), np.longdouble)
    for t, own in enumerate(systems):
        noise[t, :, t] = own.noise if own.noise.ndim == 2 else np.diag(own.noise)
    there = ~np.isnan(y).ravel()
    read = np.concatenate([own.observation @ loading[t] for t, own in enumerate(systems)])[there]
    centre = np.concatenate([a.observation @ constant[t] + a.offset @ v[t] for t, a in enumerate(systems)])[there]
    around = read @ spread @ read.T + noise.reshape(steps * p, -1)[np.ix_(there, there)]
    off, n = y.ravel()[there] - centre, int(there.sum())
    factor = Factor.of(around)
    log_prob = -0.5 * (n * np.log(2 * np.pi) + factor.log_det + off @ factor.solve(off))
    gain = factor.solve(read @ spread).T
    mean, covariance = gain @ off, spread - gain @ read @ spread
    if q:
        slope = read[:, :q]
        solved = factor.solve(slope)
        information = Factor.of(slope.T @ solved)
        best = information.solve(solved.T @ off)
        log_prob += 0.5 * best @ (solved.T @ off)
        moved = np.vstack([np.eye(q), np.zeros((size - q, q))]) - gain @ slope
        mean = mean + moved @ best
        if flat:
            log_prob += 0.5 * q * np.log(2 * np.pi) - 0.5 * information.log_det
            covariance = covariance + moved @ information.solve(moved.T)
    flatten = loading.reshape(-1, size)
    states = (flatten @ mean).reshape(steps, d) + constant
    around = (flatten @ covariance @ flatten.T).reshape(steps, d, steps, d)
    return Dense(float(log_prob), states.astype(float), around.astype(float))


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
