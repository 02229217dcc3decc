"""Symbolic Cholesky analysis of a sparse symmetric matrix, once for all its values: the elimination tree, the structure
of every column, what can be computed side by side (levels of the tree), and a dense tail that goes to LAPACK.

References:
    Davis, T. A. (2006). Direct Methods for Sparse Linear Systems. SIAM, chapter 4 (elimination tree, column structure).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

#: The tail becomes dense where the next column has at least this share of all rows below it...
DENSE_SHARE = 0.5
#: ... and no more than so many columns are left.
LARGEST_TAIL = 12_000
#: Columns with fewer entries are merged as Python sets, which are faster there than sorted arrays.
SMALL_COLUMN = 64


class Level(NamedTuple):
    """Columns that depend on earlier levels only, and what eliminating them does.

    Entries of L are numbered level by level, column by column, the diagonal of a column first.
    """

    columns: np.ndarray  # (c,) of the permuted matrix
    diagonal: np.ndarray  # (c,) entries
    entries: np.ndarray  # (m,) off the diagonal
    begin: int  # of all the entries of this level
    end: int
    of_entry: np.ndarray  # (m,) the diagonal entry of the column of each
    by_row: np.ndarray  # (m,) the same entries sorted by row
    row_starts: np.ndarray
    row_targets: np.ndarray
    column_starts: np.ndarray
    column_targets: np.ndarray  # places in `columns` of those that have entries off the diagonal
    first: np.ndarray  # pairs of entries of one column, sorted by the entry that their product changes
    second: np.ndarray
    starts: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True, eq=False)
class Symbolic:
    """What is known of the factor L of P C P' before any value is.

    Args:
        size: rows N of C.
        order: (N,) old index of each new one.
        place: (N,) new index of each old one.
        head: columns that are eliminated level by level; the N - head others are the dense tail.
        rows, columns: of the entries of the head, in the permuted matrix.
        diagonal: (head,) the entry on the diagonal of each column.
        levels: the plan.
        key: (entries,) column * N + row of the entries, sorted; `sorted_to` says which entry each is.
    """

    size: int
    order: Int[np.ndarray, " N"]
    place: Int[np.ndarray, " N"]
    head: int
    rows: np.ndarray
    columns: np.ndarray
    diagonal: np.ndarray
    levels: tuple[Level, ...]
    key: np.ndarray
    sorted_to: np.ndarray
    pairs: int

    @property
    def tail(self) -> int:
        """Columns of the dense tail."""
        return self.size - self.head

    @property
    def storage(self) -> int:
        """Numbers that a factor holds: the entries of the head, then the tail as a square."""
        return len(self.rows) + self.tail**2

    @property
    def cost(self) -> float:
        """About how many multiplications a factor takes; those of the tail are fast ones."""
        return cost_of(self.pairs, self.tail)

    def entries(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Where entries (row, column) of C lie in the storage, either triangle.

        Raises:
            KeyError: an entry that is not in the pattern.
        """
        i, j = self.place[np.ravel(rows)], self.place[np.ravel(columns)]
        return self._entries(np.maximum(i, j), np.minimum(i, j)).reshape(np.shape(rows))

    def _entries(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        found = len(self.rows) + (i - self.head) * self.tail + (j - self.head)  # of those in the tail
        inside = np.flatnonzero(j < self.head)
        wanted = j[inside].astype(np.int64) * self.size + i[inside]
        at = np.searchsorted(self.key, wanted)
        if np.any(at >= len(self.key)) or np.any(self.key[np.minimum(at, len(self.key) - 1)] != wanted):
            raise KeyError("an entry outside the pattern that was analysed")
        found[inside] = self.sorted_to[at]
        return found


def cost_of(pairs: float, tail: int) -> float:
    """Multiplications of a factor and its selected inverse; those in the tail run about 30 times faster."""
    return pairs + tail**3 / 30


def analyse(rows: np.ndarray, columns: np.ndarray, order: np.ndarray, limit: float = np.inf) -> Symbolic | None:
    """Analyse a symmetric pattern.

    Args:
        rows, columns: (nnz,) entries of the pattern, of one triangle or of both, in any order, duplicates allowed; the
            diagonal is always part of it.
        order: (N,) old index of each new one.
        limit: give up where `Symbolic.cost` would be larger.

    Returns:
        The analysis, or None beyond `limit`.
    """
    n = len(order)
    place = np.empty(n, dtype=np.int64)
    place[order] = np.arange(n)
    structure = _structure(n, place[rows], place[columns], limit)
    if structure is None:
        return None
    return _plan(n, np.asarray(order), place, *structure)


def _structure(n: int, i: np.ndarray, j: np.ndarray, limit: float) -> tuple[list[np.ndarray], np.ndarray, int] | None:
    """(rows below the diagonal of each column of the head, sorted; the level of each; pairs of entries)."""
    low, high = np.minimum(i, j), np.maximum(i, j)
    off = low < high
    key = np.unique(low[off].astype(np.int64) * n + high[off])
    low, high = key // n, key % n
    begin = np.searchsorted(low, np.arange(n + 1)).tolist()
    own, children = high.tolist(), [[] for _ in range(n)]
    structure: list[np.ndarray] = []
    level, pairs = [0] * n, 0
    for column in range(n):
        kids = children[column]
        merged = own[begin[column] : begin[column + 1]]
        if kids:
            total = len(merged) + sum(len(structure[k]) for k in kids)
            if total < SMALL_COLUMN:
                together = set(merged)
                for k in kids:
                    together.update(structure[k][1:])
                merged = sorted(together)
            else:
                merged = (
                    np.unique(np.concatenate([merged, *(structure[k][1:] for k in kids)])).astype(np.int64).tolist()
                )
            level[column] = 1 + max(level[k] for k in kids)
        count, left = len(merged), n - column
        if left <= LARGEST_TAIL and count >= 1 and count + 1 >= DENSE_SHARE * left and _pays(count, left):
            break
        pairs += count * (count + 1) // 2
        if pairs > limit:
            return None
        structure.append(merged)  # pyright: ignore[reportArgumentType]
        if count:
            children[merged[0]].append(column)
    if cost_of(pairs, n - len(structure)) > limit:
        return None
    return structure, np.array(level[: len(structure)], dtype=np.int64), pairs


def _pays(count: int, left: int) -> bool:
    """Whether the rest as one dense matrix is cheaper than column by column, whose last columns fill anyway."""
    return left <= 8 or count >= 4


def _runs(key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(where each run of equal keys starts, its key)."""
    if not len(key):
        return np.zeros(0, dtype=np.int64), key
    starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    return starts, key[starts]


def _plan(
    n: int, order: np.ndarray, place: np.ndarray, structure: list[np.ndarray], level: np.ndarray, pairs: int
) -> Symbolic:
    head = len(structure)
    count = np.array([len(s) for s in structure], dtype=np.int64)
    by_level = np.argsort(level, kind="stable")
    begin = np.zeros(head, dtype=np.int64)  # first entry of each column, on the diagonal
    begin[by_level] = np.concatenate([[0], np.cumsum(count[by_level] + 1)[:-1]]) if head else 0
    total = int(np.sum(count + 1)) if head else 0
    columns = np.repeat(by_level, count[by_level] + 1)
    rows = np.empty(total, dtype=np.int64)
    if head:
        flat = np.array([r for c in by_level.tolist() for r in (c, *structure[c])], dtype=np.int64)
        rows[:] = flat
    key = columns * n + rows
    sorted_to = np.argsort(key)
    found = Symbolic(n, order, place, head, rows, columns, begin, (), key[sorted_to], sorted_to, pairs)
    first, second, of_level = _pairs(count, begin, level)
    product = found._entries(rows[second], rows[first])
    arrangement = np.lexsort((product, of_level))
    small = np.int32 if found.storage < 2**31 else np.int64
    first, second, product = (a[arrangement].astype(small) for a in (first, second, product))
    of_level = of_level[arrangement]
    levels = []
    depth = int(level.max()) + 1 if head else 0
    pair_ends = np.searchsorted(of_level, np.arange(depth + 1))
    column_ends = np.searchsorted(level[by_level], np.arange(depth + 1))
    for k in range(depth):
        own = by_level[column_ends[k] : column_ends[k + 1]]
        low, high = int(begin[own[0]]), int(begin[own[-1]] + count[own[-1]] + 1)
        entries = np.arange(low, high)
        entries = entries[rows[low:high] != columns[low:high]]
        by_row = entries[np.argsort(rows[entries], kind="stable")]
        row_starts, row_targets = _runs(rows[by_row])
        column_starts, with_entries = _runs(columns[entries])
        places = np.searchsorted(begin[own], begin[with_entries])
        mine = slice(pair_ends[k], pair_ends[k + 1])
        starts, targets = _runs(product[mine])
        levels.append(
            Level(
                own,
                begin[own],
                entries,
                low,
                high,
                begin[columns[entries]],
                by_row,
                row_starts,
                row_targets,
                column_starts,
                places,
                first[mine],
                second[mine],
                starts,
                targets,
            )
        )
    return Symbolic(n, order, place, head, rows, columns, begin, tuple(levels), found.key, sorted_to, pairs)


def _pairs(count: np.ndarray, begin: np.ndarray, level: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of entries (first <= second) below the diagonal of one column: (first, second, level), by columns of
    equal length together."""
    firsts, seconds, levels = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for length in np.unique(count[count > 0]):
        of = np.flatnonzero(count == length)
        a, b = np.tril_indices(int(length))
        firsts.append((begin[of][:, None] + 1 + b).ravel())
        seconds.append((begin[of][:, None] + 1 + a).ravel())
        levels.append(np.repeat(level[of], len(a)))
    return np.concatenate(firsts), np.concatenate(seconds), np.concatenate(levels)
