"""Equal observations become one observation with the sum of their weights: exact for every model."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

#: Rows looked at before all rows are sorted: where nearly all of these differ, so will the rest.
SAMPLE = 2000
WORTH = 0.8


class Collapsed(NamedTuple):
    """Distinct observations.

    Args:
        observations: pytree with leading axis n <= N, in order of first appearance.
        weights: (n,) sums of the weights of equal rows.
        group: (N,) which distinct row each row became.
    """

    observations: Any
    weights: np.ndarray
    group: np.ndarray


def _row_hash(observations: Any) -> np.ndarray:
    """(N,) uint64: equal rows have equal hashes (NaN equals NaN, -0.0 equals 0.0)."""
    leaves = [np.asarray(a) for a in jax.tree.leaves(observations)]
    hashed = np.zeros(leaves[0].shape[0], dtype=np.uint64)
    with np.errstate(over="ignore"):
        for leaf in leaves:
            columns = leaf.reshape(leaf.shape[0], -1)
            for j in range(columns.shape[1]):
                column = columns[:, j].astype(np.float64) + 0.0
                column = np.where(np.isnan(column), np.nan, column)
                bits = np.ascontiguousarray(column).view(np.uint64)
                mixed = (bits ^ (bits >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
                mixed ^= mixed >> np.uint64(29)
                hashed = (hashed * np.uint64(0x9E3779B97F4A7C15)) ^ mixed
                hashed ^= hashed >> np.uint64(32)
    return hashed


def _rows(observations: Any, index: np.ndarray) -> Any:
    return jax.tree.map(lambda a: np.asarray(a)[index], observations)


def _same(a: Any, b: Any) -> bool:
    return all(
        np.array_equal(x, y, equal_nan=np.issubdtype(np.asarray(x).dtype, np.floating))
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


def collapse(observations: Any, weights: np.ndarray) -> Collapsed | None:
    """Distinct observations with summed weights, or None where that would leave most rows as they are.

    Args:
        observations: pytree of arrays with leading axis N.
        weights: (N,).
    """
    n = len(weights)
    if n > SAMPLE:
        index = np.linspace(0, n - 1, SAMPLE).astype(int)
        if len(np.unique(_row_hash(_rows(observations, index)))) > 0.98 * SAMPLE:
            return None
    hashed = _row_hash(observations)
    _, first, group = np.unique(hashed, return_index=True, return_inverse=True)
    if len(first) > WORTH * n:
        return None
    order = np.argsort(first)
    first, group = first[order], np.argsort(order)[group]
    distinct = _rows(observations, first)
    # A hash is not a proof: every row must equal the one that stands for it.
    if not _same(_rows(distinct, group), observations):
        return None
    return Collapsed(distinct, np.bincount(group, weights=np.asarray(weights, dtype=np.float64)), group)
