"""EM of one normal distribution with missing entries by pattern, on the host: what it costs grows with the number of
distinct patterns, not with that of rows.

Rows that miss the same entries enter by their number, sum and sum of products, taken once. Source: Little and Rubin,
Statistical Analysis with Missing Data (2002), chapter 11; Dempster, Laird and Rubin (1977).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

#: Patterns whose matrices are worked on at a time.
BLOCK = 512
#: Rows whose products are held at a time.
ROWS = 1 << 13


class Patterns(NamedTuple):
    """Sums of rows that miss the same entries, in units of the data.

    Args:
        seen: (P, D), what is observed.
        count: (P,), weight of the rows.
        first: (P, D), weighted sums, 0 where an entry is missing.
        second: (P, D, D), weighted sums of products.
    """

    seen: Bool[np.ndarray, "P D"]
    count: Float[np.ndarray, " P"]
    first: Float[np.ndarray, "P D"]
    second: Float[np.ndarray, "P D D"]


def by_patterns(
    x: Float[np.ndarray, "N D"], weights: Float[np.ndarray, " N"], tolerance: float = 1e-9, iterations: int = 300
) -> tuple[Float[np.ndarray, " D"], Float[np.ndarray, "D D"]] | None:
    """(mean, covariance) where EM no longer moves by more than `tolerance` standard deviations, or after `iterations`;
    None where the covariance becomes singular."""
    seen = ~np.isnan(x)
    mass = np.maximum(weights @ seen, np.finfo(float).tiny)
    centre = weights @ np.where(seen, x, 0.0) / mass
    scale = np.sqrt(weights @ np.where(seen, x - centre, 0.0) ** 2 / mass)
    scale = np.where(scale > 0, scale, 1.0)
    sums = gathered(np.where(seen, (x - centre) / scale, 0.0), seen, weights)
    mean, covariance = np.zeros(x.shape[1]), np.eye(x.shape[1])
    for _ in range(iterations):
        try:
            new = step(sums, mean, covariance)
        except np.linalg.LinAlgError:
            return None
        moved = max(np.max(np.abs(new[0] - mean)), np.max(np.abs(new[1] - covariance)))
        mean, covariance = new
        if not np.isfinite(moved) or np.min(np.diagonal(covariance)) <= 0:
            return None
        if moved < tolerance:
            break
    if np.linalg.eigvalsh(covariance)[0] < 1e-9:
        return None
    return centre + scale * mean, covariance * scale[:, None] * scale


def gathered(y: Float[np.ndarray, "N D"], seen: Bool[np.ndarray, "N D"], weights: np.ndarray) -> Patterns:
    """Sums of rows by pattern."""
    packed = np.ascontiguousarray(np.packbits(seen, axis=1))
    keys = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first_row, which = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(which, kind="stable")
    begins = np.searchsorted(which[order], np.arange(len(first_row)))
    y, w = y[order], weights[order]
    weighted = w[:, None] * y
    second = np.empty((len(first_row), y.shape[1], y.shape[1]))
    ends = np.append(begins[1:], len(y))
    at = 0
    while at < len(begins):
        # as many whole patterns as ROWS hold, one at least
        stop = max(at + 1, int(np.searchsorted(ends, begins[at] + ROWS, side="right")))
        if stop == at + 1:
            rows = slice(begins[at], ends[at])
            second[at] = weighted[rows].T @ y[rows]
        else:
            rows = slice(begins[at], ends[stop - 1])
            products = weighted[rows, :, None] * y[rows, None, :]
            second[at:stop] = np.add.reduceat(products, begins[at:stop] - begins[at], axis=0)
        at = stop
    count = np.add.reduceat(w, begins)
    return Patterns(seen[first_row], count, np.add.reduceat(weighted, begins, axis=0), second)


def step(
    sums: Patterns, mean: Float[np.ndarray, " D"], covariance: Float[np.ndarray, "D D"]
) -> tuple[Float[np.ndarray, " D"], Float[np.ndarray, "D D"]]:
    """One EM iteration."""
    d = len(mean)
    first, second = np.zeros(d), np.zeros((d, d))
    for at in range(0, len(sums.count), BLOCK):
        seen, n, total, products = (a[at : at + BLOCK] for a in sums)
        both = seen[:, :, None] & seen[:, None, :]
        # the identity where entries are missing: one shape for all patterns
        inverse = np.where(both, np.linalg.inv(np.where(both, covariance, np.eye(d))), 0.0)
        onto = covariance @ inverse
        about = np.where(seen, total - n[:, None] * mean, 0.0)
        cross = np.where(seen, total, 0.0)[:, :, None] * mean
        moment = products - cross - np.swapaxes(cross, 1, 2) + n[:, None, None] * np.outer(mean, mean)
        moment = np.where(both, moment, 0.0)
        first += np.einsum("pij,pj->i", onto, about)
        rest = np.tensordot(n, covariance - onto @ covariance, axes=1)
        second += np.sum(onto @ moment @ np.swapaxes(onto, 1, 2), axis=0) + rest
    n = sums.count.sum()
    move = first / n
    new = second / n - np.outer(move, move)
    return mean + move, 0.5 * (new + new.T)
