"""Anchors: a few observations that stand for all of them.

Where log p(x, z | params) = U(x) . eta(params, z) with R coordinates, R observations x_a suffice: for EVERY params
log p(x_n, z | params) = U_n . [log p(x_a, z | params)]_a with coordinates U_n that do not depend on params or z. The
rank is found numerically, and believed only after it has predicted log p at fresh params on all data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from latentem.forms.anchors.tabulate import table
from latentem.model import Model

#: A numerical rank must stand out: its last singular value over the next one.
REQUIRED_GAP = 1e6
#: Relative error at fresh params above which a compression is refused.
REQUIRED_ERROR = 1e-9
#: Up to this error anchors may carry a fit to params around which better ones are then chosen.
PROVISIONAL_ERROR = 1e-5
#: Scales of the random free vectors around the centre.
SCALES = (0.1, 0.4, 1.0, 2.0)
FRESH_DRAWS = 6
FRESH_NODES = 8
#: Draws, those of the smallest scales, at which a latent value must be impossible to count as structurally so.
MODERATE = 3


class Refused(Exception):
    """A density that does not compress, with the reason in one line."""


class NoGap(Refused):
    """No numerical rank stands out of the sample; a larger sample may show one."""


@dataclass(frozen=True)
class Basis:
    """Anchors and how coordinates in them are computed.

    Args:
        rank: R.
        gap: ratio of the last kept singular value to the first dropped one.
        anchors: (R,) indices of anchor observations.
        u: (M, P) free vectors of the M probe functions.
        node: (M,) latent values of the probe functions, as indices.
        solve: (M, R): coordinates of x are `probe values (M,) @ solve`.
        moderate: (m, P) free vectors near the centre, at which impossible latent values are told from underflow.
    """

    rank: int
    gap: float
    anchors: np.ndarray
    u: np.ndarray
    node: np.ndarray
    solve: np.ndarray
    moderate: np.ndarray


def draws(rng: np.random.Generator, centre: np.ndarray, count: int) -> np.ndarray:
    """(count, P) free vectors around the centre and around the origin, at several scales."""
    scale = np.resize(SCALES, count)[:, None]
    around = np.where((np.arange(count) % 8 < 6)[:, None], centre, 0.0)
    return around + scale * rng.standard_normal((count, len(centre)))


def numerical_rank(values: np.ndarray, rng: np.random.Generator) -> tuple[int, float]:
    """(rank, gap) of a (M, B) table of function values, rows and columns scaled to unit length first."""
    scaled = _unit(values)
    columns = np.linalg.norm(scaled, axis=0)
    scaled = scaled / np.where(columns > 0, columns, 1.0)
    m, b = scaled.shape
    if m > b + 32:
        # Random mixtures of the rows keep the rank and the gap (Halko, Martinsson and Tropp 2011).
        scaled = rng.standard_normal((b + 32, m)) @ scaled / np.sqrt(m)
    s = np.linalg.svd(scaled, compute_uv=False)
    if s[0] == 0:
        return 0, np.inf
    floor = s[0] * np.finfo(float).eps * 0.1
    s = np.maximum(s, floor)
    if len(s) == 1:
        return 1, np.inf
    ratios = s[:-1] / s[1:]
    # What is dropped must look like rounding; a gap between large singular values says nothing.
    eligible = np.flatnonzero(s[1:] < 1e-9 * s[0])
    if len(eligible) == 0:
        return len(s), 1.0
    best = eligible[np.argmax(ratios[eligible])]
    return int(best) + 1, float(ratios[best])


def _unit(values: np.ndarray) -> np.ndarray:
    lengths = _lengths(values)[:, None]
    return values / np.where(lengths > 0, lengths, 1.0)


def _lengths(values: np.ndarray) -> np.ndarray:
    """Euclidean length of each row; a log p of 1e200 does not overflow."""
    largest = np.max(np.abs(values), axis=1)
    return largest * np.linalg.norm(values / np.where(largest > 0, largest, 1.0)[:, None], axis=1)


def find_basis(
    model: Model,
    nodes: np.ndarray,
    rows: Any,
    possible: np.ndarray | None,
    u: np.ndarray,
    rng: np.random.Generator,
) -> Basis:
    """Rank, anchors and probe functions from a sample of distinct observations.

    Args:
        nodes: (K, ...) latent values.
        rows: pytree with leading axis B, the sample.
        possible: (B, K) bool, False where log p is structurally -inf; None where it never is.
        u: (m, P) free vectors.

    Raises:
        Refused: NaN at the drawn params, no gap, or a rank too close to the sample size.
    """
    k = len(nodes)
    pairs_u = np.repeat(u, k, axis=0)
    pairs_node = np.tile(np.arange(k), len(u))
    values = table(model, pairs_u, nodes[pairs_node], rows)
    if possible is not None:
        values = np.where(possible.T[pairs_node], values, 0.0)
    keep = np.all(np.isfinite(values), axis=1)
    if not np.any(keep):
        bad = values[0][~np.isfinite(values[0])][0]
        rows_bad = np.sum(~np.isfinite(values).any(axis=0))
        if 0 < rows_bad < values.shape[1]:
            raise Refused(
                f"log p(x, z) is {bad} for {rows_bad} of {values.shape[1]} rows at all drawn params: check them"
            )
        raise Refused(f"log p(x, z) is {bad} at every drawn value of the params: check its domain")
    if np.mean(keep) < 0.5:
        bad = "NaN" if np.isnan(values).any() else "infinite"
        raise Refused(f"log p(x, z) is {bad} at {1 - np.mean(keep):.0%} of the drawn params: check its domain")
    values, pairs_u, pairs_node = values[keep], pairs_u[keep], pairs_node[keep]
    rank, gap = numerical_rank(values, rng)
    m, b = values.shape
    if possible is not None and not possible.any():
        raise Refused("log p(x, z) is -inf for every row and every z: check the density")
    if rank == 0:
        raise Refused("log p(x, z) is zero for all drawn params: nothing to estimate")
    if gap < REQUIRED_GAP or rank > 0.6 * m:
        nearly = f", or needs a statistic for nearly each of {b} distinct rows" if b <= m else ""
        raise NoGap(f"log p(x, z) does not separate{nearly}: its table has no spectral gap up to rank {min(m, b)}")
    if rank > 0.5 * b:
        raise NoGap(f"rank {rank} of {b} distinct rows: anchors would save nothing")
    # Anchors: the observations that span the columns; probes: the (params, z) pairs that tell anchors apart best.
    scaled = _unit(values)
    anchors = np.sort(_pivots(scaled[_spread(m, 40 * rank, rng)])[:rank])
    row_order = _pivots(scaled[:, anchors].T)
    probes = np.concatenate([row_order[:rank], _spread(m, 2 * rank, rng)])
    weight = 1.0 / np.maximum(_lengths(values[probes]), 1e-300)
    solve = np.linalg.pinv(values[np.ix_(probes, anchors)] * weight[:, None]) * weight
    return Basis(rank, gap, anchors, pairs_u[probes], pairs_node[probes], solve.T, u[:MODERATE])


def _pivots(matrix: np.ndarray) -> np.ndarray:
    """Columns in the order in which QR with column pivoting takes them."""
    from scipy.linalg import qr  # only here: importing scipy.linalg takes half as long as importing jax

    result: Any = qr(matrix, mode="r", pivoting=True)
    return result[1]


def _spread(m: int, count: int, rng: np.random.Generator) -> np.ndarray:
    return np.arange(m) if m <= count else np.sort(rng.choice(m, count, replace=False))


def structural(model: Model, nodes: np.ndarray, rows: Any, u: np.ndarray) -> np.ndarray | None:
    """(B, K) bool, False where z is impossible for x whatever the params; None where every z is possible.

    Raises:
        Refused: a z is impossible at some params and not at others.
    """
    k = len(nodes)
    count = min(MODERATE, len(u))
    values = table(model, np.repeat(u[:count], k, axis=0), nodes[np.tile(np.arange(k), count)], rows)
    impossible = (values == -np.inf).reshape(count, k, -1)
    if not impossible.any():
        return None
    if not np.array_equal(impossible.all(axis=0), impossible.any(axis=0)):
        raise Refused(
            "log p(x, z) is -inf at some params and finite at others: its support depends on the params, "
            "or it underflows"
        )
    return ~impossible[0].T


def coordinates(basis: Basis, model: Model, nodes: np.ndarray, rows: Any, possible: np.ndarray | None) -> np.ndarray:
    """U (B, R) of observations, NaN for one at which a probe function is not finite."""
    probes = table(model, basis.u, nodes[basis.node], rows)
    if possible is not None:
        probes = np.where(possible.T[basis.node], probes, 0.0)
    with np.errstate(invalid="ignore"):
        return probes.T @ basis.solve


def prediction_error(
    model: Model,
    nodes: np.ndarray,
    rows: Any,
    possible: np.ndarray | None,
    u: np.ndarray,
    coordinate: np.ndarray,
    anchor_rows: Any,
    anchor_possible: np.ndarray | None,
    rng: np.random.Generator,
    strict: bool = False,
) -> np.ndarray:
    """(B,) largest error of U . log p(anchors) of each observation, relative to the largest |log p| of the same params
    and z.

    Params and z at which log p is not finite for some observation (underflow far away) are left out. `strict`: at the
    first params they are not, and an observation that is not finite where its prediction is has an infinite error.
    """
    k = len(nodes)
    pairs = [(row, node) for row in range(len(u)) for node in rng.choice(k, min(k, FRESH_NODES), replace=False)]
    index, node = (np.array(c) for c in zip(*pairs, strict=True))
    truth = table(model, u[index], nodes[node], rows)
    at_anchors = table(model, u[index], nodes[node], anchor_rows)
    if possible is not None and anchor_possible is not None:
        truth = np.where(possible.T[node], truth, 0.0)
        at_anchors = np.where(anchor_possible.T[node], at_anchors, 0.0)
    usable = np.all(np.isfinite(truth), axis=1) & np.all(np.isfinite(at_anchors), axis=1)
    if not usable.any():
        return np.full(len(coordinate), np.inf)
    scale = np.maximum(np.max(np.abs(truth[usable]), axis=1), 1e-300)[:, None]
    error = np.max(np.abs(truth[usable] - at_anchors[usable] @ coordinate.T) / scale, axis=0)
    if not strict:
        return error
    predicted = np.all(np.isfinite(at_anchors), axis=1) & (index == 0)
    return np.where(np.any(~np.isfinite(truth[predicted]), axis=0), np.inf, error)


def take(rows: Any, index: np.ndarray) -> Any:
    """Rows of a pytree."""
    return jax.tree.map(lambda a: np.asarray(a)[index], rows)
