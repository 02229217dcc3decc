"""Observations that repeat are looked up: densities and statistics of the distinct ones, and a code for every step."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

#: A codebook pays where every entry serves at least so many steps.
SHARED_BY = 8
#: Steps that are looked at before a whole data set is sorted.
SAMPLE = 4096
#: Entries of the smallest codebook.
LEAST = 16


class Coded(NamedTuple):
    """The context of a model whose steps are codes.

    Args:
        context: what the model itself needs from the data.
        book: the distinct observations, a pytree with leading axis V.
    """

    context: Any
    book: Any


def codebook(steps: Any) -> tuple[Any, Int[np.ndarray, " T"]] | None:
    """(distinct observations, the code of every step), or None where too few repeat.

    Args:
        steps: pytree of arrays with leading axis T, on the host.
    """
    leaves = [np.asarray(leaf).reshape(len(leaf), -1) for leaf in jax.tree.leaves(steps)]
    total = len(leaves[0])
    for part in (slice(0, SAMPLE), slice(None)):
        codes, first = np.zeros(len(leaves[0][part]), np.int64), np.zeros(1, np.int64)
        for column in (leaf[part, d] for leaf in leaves for d in range(leaf.shape[1])):
            distinct, own = np.unique(column, return_inverse=True)
            # Mixed radix, renumbered: no number grows beyond T squared.
            _, first, codes = np.unique(codes * len(distinct) + own, return_index=True, return_inverse=True)
            if len(first) * SHARED_BY > len(codes):
                return None
        if len(codes) == total:
            break
    # Padded to a power of two with an observation nobody refers to, so that data of one shape share a program.
    size = max(LEAST, 1 << (len(first) - 1).bit_length())
    first = np.concatenate([first, np.full(size - len(first), first[0])])
    return jax.tree.map(lambda a: np.asarray(a)[first], steps), codes.astype(np.int32)


def look_up(table: Float[Array, "V K"], code: Int[Array, "L B"]) -> Float[Array, "L K B"]:
    """The row of each code."""
    return table.T[jnp.arange(table.shape[1])[:, None], code[:, None]]


def tally(occupied: Float[Array, "K n"], code: Int[Array, " n"], size: int) -> Float[Array, "K V"]:
    """Sums over the steps of each code."""
    return jax.ops.segment_sum(occupied.T, code, size).T
