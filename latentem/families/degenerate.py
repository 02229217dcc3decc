"""Data under which a density of vectors has no bound: columns that are constant, or linear functions of others.

They are looked for on the host before a fit, so that they are named and not taken for a maximum.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

#: Rows that are looked at first; only where these are degenerate, all are.
FIRST = 2000
#: Part of the variance of a column that others must leave of it: what a component may not fall below.
LEAST = 1e-9


def constant_column(x: Float[np.ndarray, "N D"]) -> str:
    """What is wrong where a column holds one number; empty where none does."""

    def spread(rows: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            low, high = np.nanmin(rows, axis=0), np.nanmax(rows, axis=0)
        return np.nan_to_num(high - low)

    if len(x) < 2 or np.isnan(x).all(axis=0).any():
        return ""
    some = x[:FIRST]
    if not np.isnan(some).all(axis=0).any() and np.all(spread(some) > 0):
        return ""
    same = spread(x) == 0
    if not same.any():
        return ""
    column = int(np.argmax(same))
    value = x[~np.isnan(x[:, column]), column][0]
    return f"column {column} is {value:g} in all rows: a normal density has no bound there; leave the column out"


def dependent_column(x: Float[np.ndarray, "N D"]) -> str:
    """What is wrong where a column is a linear function of those before it, or there are no more rows than columns;
    empty where nothing is, or entries are missing."""
    n, d = x.shape
    if d < 2 or np.isnan(x).any():
        return ""
    for rows in (x[:: max(1, n // FIRST)], x):
        centred = rows - rows.mean(axis=0)
        deviation = centred.std(axis=0)
        if len(rows) <= d:
            return (
                f"{n} rows of {d} columns lie on a plane: a full covariance matrix has no bound there; use 'diagonal'"
            )
        own = np.abs(np.diagonal(np.linalg.qr(centred / deviation, mode="r"))) / np.sqrt(len(rows))
        # A difference of numbers far from zero is known to their rounding only.
        least = np.maximum(np.sqrt(LEAST), 8 * np.finfo(np.float64).eps * np.abs(rows).max(axis=0) / deviation)
        lost = own < least
        if not lost.any():
            return ""
    column = int(np.argmax(lost))
    return (
        f"column {column} is a linear function of those before it: a full covariance matrix has no bound there; leave "
        "the column out, or use 'diagonal'"
    )


def fewer_than(components: int, columns: Sequence[np.ndarray]) -> str:
    """What is wrong where there are fewer distinct rows than components; empty where there are not.

    Args:
        components: K.
        columns: arrays with a leading axis N.
    """

    def distinct(rows: int | None) -> int:
        parts = [np.asarray(a)[:rows] for a in columns]
        return len(np.unique(np.concatenate([a.reshape(len(a), -1) for a in parts], axis=1), axis=0))

    if components < 2 or distinct(FIRST) >= components or (found := distinct(None)) >= components:
        return ""
    rows = "all rows are equal" if found == 1 else f"there are {found} distinct rows"
    return f"{rows}: they say nothing of {components} components; ask for {found}"
