"""A frame of three storeys shaken at random, read by velocity sensors: what modal analysis is tested on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import expm


class Frame(NamedTuple):
    """Readings and what they come from.

    Args:
        y: (T, 3), each with noise.
        frequency: (3,) in Hz. damping: (3,). shape: (3, 3), columns.
        rate: readings per second.
    """

    y: np.ndarray
    frequency: np.ndarray
    damping: np.ndarray
    shape: np.ndarray
    rate: float


def frame(seed: int, steps: int = 4000, noise: float = 0.05, damping: float = 0.02, storeys: int = 3) -> Frame:
    """Unit masses, stiffness 900, modal damping; exact discretisation of white noise on every storey."""
    dt, n = 0.02, storeys
    stiffness = 900.0 * (2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1))
    stiffness[-1, -1] = 900.0
    squares, shape = np.linalg.eigh(stiffness)
    omega = np.sqrt(squares)
    damper = shape @ np.diag(2 * damping * omega) @ shape.T
    continuous = np.block([[np.zeros((n, n)), np.eye(n)], [-stiffness, -damper]])
    load = np.zeros((2 * n, 2 * n))
    load[n:, n:] = np.eye(n)
    # Van Loan (1978): transition and process noise out of one exponential.
    both = expm(np.block([[-continuous, load], [np.zeros((2 * n, 2 * n)), continuous.T]]) * dt)
    transition = both[2 * n :, 2 * n :].T
    root = np.linalg.cholesky(transition @ both[: 2 * n, 2 * n :] + 1e-15 * np.eye(2 * n))
    rng = np.random.default_rng(seed)
    state, found = np.zeros(2 * n), np.empty((steps, n))
    for t in range(-2000, steps):
        state = transition @ state + root @ rng.normal(size=2 * n)
        if t >= 0:
            found[t] = state[n:]
    found = found / found.std()
    y = found + noise * rng.normal(size=found.shape)
    return Frame(y, omega / (2 * np.pi), np.full(n, damping), shape, 1 / dt)
