"""Weights that depend on covariates: a multinomial logit (concomitant variables, Dayton and Macready 1988; mixtures of
experts, Jacobs, Jordan, Nowlan and Hinton 1991)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Gated(NamedTuple):
    """Observations with what their weights depend on.

    Args:
        x: as the family of the components takes them.
        z: 1 and the covariates, (N, q).
    """

    x: Any
    z: Any


def names(gate: Any) -> tuple[str, ...]:
    """Names of covariates, one of them perhaps not in a tuple."""
    found = (gate,) if isinstance(gate, str) else tuple(gate)
    if not all(isinstance(name, str) for name in found):
        raise TypeError(f"Mixture: gate={gate!r}: expected names of columns")
    return found


def design(table: Any, gate: Sequence[str], new: bool = False) -> Float[np.ndarray, "N q"]:
    """1 and the covariates.

    Raises:
        ValueError: a column that is not there, an entry that is missing, columns that are linearly dependent.
    """
    present = list(table.keys()) if hasattr(table, "keys") else []
    for name in gate:
        if name not in present:
            found = f"columns {', '.join(map(str, present))}" if present else f"a {type(table).__name__}"
            raise ValueError(f"Mixture: no gate column {name!r} in {found}: expected {', '.join(gate)}; add it")
    columns = [np.asarray(table[name], dtype=np.float64).reshape(-1) for name in gate]
    for name, column in zip(gate, columns, strict=True):
        lost = np.flatnonzero(~np.isfinite(column))
        if len(lost):
            told = f"Mixture: gate column {name!r} is {column[lost[0]]:g} in row {lost[0]}"
            raise ValueError(f"{told}: expected a number, weights depend on it; fill it in or remove the row")
    z = np.stack([np.ones_like(columns[0]), *columns], axis=1)
    scale = np.sqrt(np.mean(z**2, axis=0))
    if not new and np.linalg.matrix_rank(z / np.where(scale > 0, scale, 1)) < z.shape[1]:
        told = f"Mixture: the constant and the gate columns {', '.join(gate)} are linearly dependent"
        raise ValueError(f"{told}: expected columns that vary on their own; leave one out")
    return z


def log_weights(coefficients: Float[Array, "K-1 q"], z: Float[Array, " q"]) -> Float[Array, " K"]:
    """Log weights of the components at these covariates; the log odds of the first against itself are 0."""
    odds = coefficients @ z
    return jax.nn.log_softmax(jnp.concatenate([jnp.zeros_like(odds[:1]), odds]))


def width(components: int, q: int) -> int:
    """Number of statistics of the gate."""
    return (components - 1) * q + q * q


def statistics(coefficients: Float[Array, "K-1 q"], z: Float[Array, " q"], component: Any) -> Float[Array, " S"]:
    """Gradient of the log weight of `component` in the coefficients, and z z^T."""
    share = jnp.exp(log_weights(coefficients, z))
    error = (jnp.arange(share.shape[0]) == component).astype(share.dtype) - share
    return jnp.concatenate([jnp.ravel(error[1:, None] * z), jnp.ravel(jnp.outer(z, z))])


def maximize(expected: Float[Array, " S"], coefficients: Float[Array, "K-1 q"]) -> Float[Array, "K-1 q"]:
    """One step up, never down: the gradient in the metric of a bound of the curvature, half of (I - 11'/K) x z z^T.
    Source: Boehning, Annals of the Institute of Statistical Mathematics 44 (1992), 197-200."""
    others, q = coefficients.shape
    slope = expected[: others * q].reshape(others, q)
    matrix = expected[others * q :].reshape(q, q)
    unit = 1 / jnp.sqrt(jnp.maximum(jnp.diagonal(matrix), jnp.finfo(matrix.dtype).tiny))
    scaled = unit[:, None] * matrix * unit
    ridge = 1e-12 * jnp.eye(q, dtype=matrix.dtype)
    solved = unit * jnp.linalg.solve(scaled + ridge, (slope * unit).T).T
    return coefficients + 2 * (solved + jnp.sum(solved, axis=0))
