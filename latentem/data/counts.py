"""Sparse tables of counts, such as words of documents: checked, and as rows (CSR)."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp


def sparse_counts(counts: Any, row: str = "document", column: str = "word", empty: bool = False) -> Any:
    """A table of counts (D, V) as sorted rows in float64, without entries that are 0.

    Args:
        counts: a SciPy sparse matrix or array (what scikit-learn's CountVectorizer gives), or a dense array.
        row, column: what they are, for complaints.
        empty: rows without any count are allowed.

    Raises:
        ValueError: in one line: not a table of numbers; counts that are negative or not finite; empty rows.

    >>> sparse_counts(np.array([[2, 0], [1, 3]])).nnz
    3
    """
    try:
        table: Any = sp.csr_array(counts if sp.issparse(counts) else np.asarray(counts, np.float64)).astype(np.float64)
    except (TypeError, ValueError):
        table = None
    if table is None or table.ndim != 2:
        told = f"type {type(counts).__name__}" if table is None else f"shape {table.shape}"
        raise ValueError(f"counts of {told}: expected a matrix, sparse or dense, a row a {row} and a column a {column}")
    table.sum_duplicates()
    table.eliminate_zeros()
    wrong = ~(table.data >= 0) | np.isinf(table.data)
    if wrong.any():
        entry = int(np.argmax(wrong))
        place = int(np.searchsorted(table.indptr, entry, side="right")) - 1
        told = f"counts[{place}, {int(table.indices[entry])}] = {table.data[entry]:g}"
        raise ValueError(f"{told}, one of {int(wrong.sum())}: expected finite numbers >= 0")
    lengths = np.diff(table.indptr)
    if not table.nnz and not empty:
        raise ValueError(f"counts are all 0: expected at least one {column}")
    if not empty and (lengths == 0).any():
        told = f"{row} {int(np.argmax(lengths == 0))} has no {column}, and {int((lengths == 0).sum())} have none"
        raise ValueError(f"{told}: leave empty rows out")
    return table
