"""What records say of a linear model with effects of many levels, added up once: afterwards no step looks at a record.

The mean of a record is x'beta + sum over effects i, coordinates a of z_ia b_i[a, level]; with b_i = Lambda_i u_i and
u_i of covariance I kron K_i. All that the likelihood needs of the data are weighted sums of products of x, z and y.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from latentem.forms.field.structures import Bound


@dataclass(frozen=True, eq=False)
class Effect:
    """Random effects of one grouping.

    Args:
        name: of the grouping.
        coordinates: names of the r columns that vary over its levels, such as ("Intercept", "Days").
        bound: its levels and how they hang together.
        codes: (n,) level of each record.
        z: (n, r) the columns.
    """

    name: str
    coordinates: tuple[str, ...]
    bound: Bound = field(repr=False)
    codes: Int[np.ndarray, " n"] = field(repr=False)
    z: Float[np.ndarray, "n r"] = field(repr=False)

    @property
    def r(self) -> int:
        """Coordinates of a level."""
        return self.z.shape[1]

    @property
    def size(self) -> int:
        """Entries of u: r times the levels."""
        return self.r * self.bound.size

    def sums(self, v: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "r q k"]:
        """Z'v, level by level."""
        q = self.bound.size
        columns = [
            [np.bincount(self.codes, self.z[:, a] * v[:, k], q) for k in range(v.shape[1])] for a in range(self.r)
        ]
        return np.array(columns).transpose(0, 2, 1)

    def of_records(self, b: Float[np.ndarray, "r q"]) -> Float[np.ndarray, " n"]:
        """Z b: what each record gets."""
        return np.einsum("na,an->n", self.z, b[:, self.codes])


class Gram(NamedTuple):
    """Z_i'W Z_j where it is not zero: m pairs of levels."""

    rows: Int[np.ndarray, " m"]  # levels of effect i
    columns: Int[np.ndarray, " m"]  # levels of effect j
    blocks: Float[np.ndarray, "m ri rj"]


@dataclass(frozen=True, eq=False)
class Moments:
    """Weighted sums over the records.

    Args:
        n: sum of the frequencies.
        log_weights: sum of log precision weights.
        xx, xy, yy: X'WX (p, p), X'Wy (p,), y'Wy.
        zx, zy: of each effect Z'WX (r, q, p) and Z'Wy (r, q).
        grams: (i, j) with i <= j -> Z_i'W Z_j.
    """

    n: float
    log_weights: float
    xx: Float[np.ndarray, "p p"]
    xy: Float[np.ndarray, " p"]
    yy: float
    zx: tuple[Float[np.ndarray, "r q p"], ...]
    zy: tuple[Float[np.ndarray, "r q"], ...]
    grams: dict[tuple[int, int], Gram]


def moments(
    y: Float[np.ndarray, " n"],
    x: Float[np.ndarray, "n p"],
    effects: Sequence[Effect],
    weights: Float[np.ndarray, " n"],
    n: float,
    log_weights: float,
) -> Moments:
    """Add up the records.

    Args:
        y: responses; best with the fixed effects of an ordinary regression taken off, so that nothing cancels.
        x: columns of the fixed effects.
        effects: the random ones.
        weights: precision times frequency of each record.
        n, log_weights: as in `Moments`.
    """
    weighted = weights[:, None] * np.column_stack([x, y])
    p = x.shape[1]
    sums = [effect.sums(weighted) for effect in effects]
    grams = {
        (i, j): _gram(effects[i], effects[j], weights) for i in range(len(effects)) for j in range(i, len(effects))
    }
    return Moments(
        n,
        log_weights,
        x.T @ weighted[:, :p],
        x.T @ weighted[:, p],
        float(y @ weighted[:, p]),
        tuple(s[:, :, :p] for s in sums),
        tuple(s[:, :, p] for s in sums),
        grams,
    )


def _gram(one: Effect, two: Effect, weights: np.ndarray) -> Gram:
    q = two.bound.size
    if one is two:
        rows = columns = np.arange(q)
        place, count = one.codes, q
    else:
        key = one.codes.astype(np.int64) * q + two.codes
        if one.bound.size * q <= 4 * len(key) + 1000:  # few pairs: count them all
            seen = np.bincount(key, minlength=one.bound.size * q) > 0
            pairs = np.flatnonzero(seen)
            place = (np.cumsum(seen) - 1)[key]
        else:
            pairs, place = np.unique(key, return_inverse=True)
        rows, columns, count = pairs // q, pairs % q, len(pairs)
    blocks = np.empty((count, one.r, two.r))
    for a in range(one.r):
        for b in range(two.r):
            blocks[:, a, b] = np.bincount(place, weights * one.z[:, a] * two.z[:, b], count)
    return Gram(rows, columns, blocks)
