"""What a reader of a hidden Markov model looks at first: how its states follow one another."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from latentem.building import aligned


def overview(matrix: Float[np.ndarray, "K K"], dwell: Float[np.ndarray, " K"] | None, where: str = "") -> list[str]:
    """Lines: a transition matrix, its stationary distribution, how long states last.

    Args:
        matrix: transition probabilities, row -> column.
        dwell: mean number of steps in a row spent in each state; that of the matrix if None.
        where: what the matrix is of, such as values of covariates.
    """
    states = [str(k) for k in range(len(matrix))]
    rows = [("from \\ to", *states), *((k, *map(_number, row)) for k, row in zip(states, matrix, strict=True))]
    lasting = lasts(matrix) if dwell is None else dwell
    share = stationary(matrix)
    if dwell is not None and share is not None:  # of segments -> of steps
        share = share * dwell / np.sum(share * dwell)
    below = [] if share is None else [("stationary", *map(_number, share))]
    below.append(("mean dwell", *map(_number, lasting)))
    return [f"transition probabilities{where}", *aligned([*rows, *below], "<>")]


def lasts(matrix: Float[np.ndarray, "K K"]) -> Float[np.ndarray, " K"]:
    """Mean number of steps until a state is left, 1 / (1 - its probability of staying)."""
    with np.errstate(divide="ignore"):
        return 1.0 / np.maximum(1.0 - np.diagonal(matrix), 0.0)


def stationary(matrix: Float[np.ndarray, "K K"]) -> Float[np.ndarray, " K"] | None:
    """The stationary distribution; None where there is more than one."""
    k = len(matrix)
    values, vectors = np.linalg.eig(matrix.T)
    if np.sum(np.abs(values - 1.0) < 1e-9) != 1:
        return None
    found = np.real(vectors[:, np.argmin(np.abs(values - 1.0))])
    found = found / found.sum()
    return np.where(np.abs(found) < 1e-12, 0.0, found).reshape(k)


def expected_durations(durations: Any, params: Any) -> Float[np.ndarray, " K"]:
    """Mean duration of the segments of each state."""
    with jax.enable_x64(True):
        logs = np.asarray(durations.log_prob(jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), params)))
    return np.exp(logs) @ np.arange(1.0, logs.shape[1] + 1)


def _number(value: float) -> str:
    return f"{value:.4g}" if value else "0"
