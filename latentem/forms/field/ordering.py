"""Orders of elimination that keep the factor of a sparse matrix sparse, and the choice between them by counting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import spilu

from latentem.forms.field.symbolic import Symbolic, analyse


def best(size: int, rows: np.ndarray, columns: np.ndarray, blocks: Sequence[tuple[int, int]] = ()) -> Symbolic:
    """The cheapest analysis of a pattern among several orders.

    Args:
        size: N.
        rows, columns: (nnz,) entries of the pattern, at least one triangle.
        blocks: (begin, end) of groups of rows whose own block is diagonal: the largest first, all others after it, is
            one of the orders.

    Returns:
        The analysis of the order that needs the fewest multiplications.
    """
    found = None
    if blocks:
        begin, end = max(blocks, key=lambda block: block[1] - block[0])
        if 2 * (end - begin) >= size:
            rest = np.concatenate([np.arange(begin), np.arange(end, size)])
            order = np.concatenate([np.arange(begin, end), rest])
            found = analyse(rows, columns, order)
            if found is not None and found.tail <= 64:
                return found
    limit = np.inf if found is None else found.cost
    if found is not None and len(rows) > 10 * size:
        return found  # filled anyway
    other = analyse(rows, columns, minimum_degree(size, rows, columns), limit)
    if other is not None:
        return other
    assert found is not None
    return found


def minimum_degree(size: int, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Multiple minimum degree order: (N,) old index of each new one.

    SciPy gives it away with an incomplete factor only; everything is dropped from that, so it costs next to nothing.
    """
    if size <= 2:
        return np.arange(size)
    ones = np.full(len(rows), 1e-3)
    pattern = sp.csc_matrix((ones, (rows, columns)), shape=(size, size))
    pattern = pattern + pattern.T
    pattern.data[:] = 1e-6
    matrix = (pattern + sp.identity(size, format="csc") * 2.0).tocsc()
    options = {"SymmetricMode": True}
    lu = spilu(matrix, drop_tol=0.5, fill_factor=1, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
    place = np.asarray(lu.perm_c, dtype=np.int64)
    order = np.empty(size, dtype=np.int64)
    order[place] = np.arange(size)
    return order
