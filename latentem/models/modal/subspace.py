"""Stochastic subspace identification: poles and shapes of a vibrating structure from covariances of its readings."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

#: Blocks of the Hankel matrix of covariances, in each direction.
BLOCKS = 20


class Poles(NamedTuple):
    """Modes by their eigenvalues.

    Args:
        frequency: (m,), natural frequency in Hz.
        damping: (m,), share of critical damping.
        shape: (p, m), complex, 1 at the reference sensor.
        lagged: (BLOCKS,), autocovariances of the reference sensor at lags 1, 2, ...
    """

    frequency: Float[Array, " m"]
    damping: Float[Array, " m"]
    shape: Array
    lagged: Float[Array, " blocks"]


def covariances(y: Float[Array, "T p"], references: tuple[int, ...], lags: int) -> Float[Array, "lags p r"]:
    """E[y_(t+i) y_t'] for i = 1, ..., lags, of the pairs of readings that are both there; y is centred."""
    there = ~jnp.isnan(y)
    filled, n = jnp.where(there, y, 0.0), len(y)
    columns = np.array(references, np.int32)
    found = []
    for i in range(1, lags + 1):
        both = there[i:].astype(y.dtype).T @ there[: n - i, columns].astype(y.dtype)
        found.append(filled[i:].T @ filled[: n - i, columns] / jnp.maximum(both, 1.0))
    return jnp.stack(found)


def identify(
    y: Float[Array, "T p"], modes: int, rate: float, references: tuple[int, ...], blocks: int = BLOCKS
) -> Poles:
    """The modes of lowest frequency in a stochastic realisation of order 2 `modes`.

    Args:
        y: centred readings, NaN where missing.
        modes: m.
        rate: readings per second.
        references: sensors that are read together with every other one; the first has shape 1.

    Source: Peeters and De Roeck (1999), Mechanical Systems and Signal Processing 13: reference-based SSI-COV.
    """
    r = covariances(y, references, 2 * blocks)
    p = y.shape[1]
    hankel = jnp.concatenate(
        [jnp.concatenate([r[i + j] for j in range(blocks)], axis=1) for i in range(blocks)], axis=0
    )
    left, singular, _ = jnp.linalg.svd(hankel, full_matrices=False)
    observed = left[:, : 2 * modes] * jnp.sqrt(singular[: 2 * modes])
    transition = jnp.linalg.lstsq(observed[:-p], observed[p:])[0]
    values, vectors = jnp.linalg.eig(transition)
    # Vibrations are pairs of eigenvalues; of each pair one is looked at. What is missing is spread over the spectrum.
    logs = jnp.log(jnp.where(jnp.abs(values) > 0, values, 1e-3))
    order = jnp.argsort(jnp.where(jnp.imag(logs) > 1e-9, jnp.abs(logs), jnp.inf))[:modes]
    logs, vectors = logs[order], vectors[:, order]
    real = jnp.imag(logs) > 1e-9
    spare = 2 * np.pi * (np.arange(modes) + 1) / (2 * modes + 2)
    size = jnp.where(real, jnp.abs(logs), spare)
    damping = jnp.where(real, jnp.clip(-jnp.real(logs) / size, 2e-3, 0.2), 0.05)
    shape = observed[:p] @ vectors
    first = shape[references[0]]
    shape = jnp.where(real, shape / jnp.where(jnp.abs(first) > 1e-12, first, 1.0), 1.0)
    return Poles(size * rate / (2 * np.pi), damping, shape, r[:blocks, references[0], 0])


def strengths(poles: Poles, rate: float) -> Float[Array, " m"]:
    """Variance of each mode at the reference sensor, by least squares on its autocovariances."""
    omega = 2 * np.pi * poles.frequency / rate
    decay, angle = jnp.exp(-poles.damping * omega), omega * jnp.sqrt(1 - poles.damping**2)
    lags = jnp.arange(1, len(poles.lagged) + 1)[:, None]
    basis = decay**lags * jnp.cos(angle * lags)
    found = jnp.linalg.lstsq(basis, poles.lagged)[0]
    return jnp.maximum(found, 0.02 * jnp.max(jnp.abs(poles.lagged)))
