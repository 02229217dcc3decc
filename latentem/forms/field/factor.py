"""Numeric Cholesky factor of a sparse symmetric matrix, by levels of its elimination tree: log-determinant, solutions,
and the entries of its inverse on the pattern of the factor (the gradient of the log-determinant).

References:
    Takahashi, K., Fagan, J. and Chin, M.-S. (1973). Formation of a sparse bus impedance matrix and its application to
    short circuit study. 8th PICA Conference; Erisman, A. M. and Tinney, W. F. (1975), CACM 18, 177-179.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg as la
from jaxtyping import Float

from latentem.forms.field.symbolic import Symbolic

POTRF, POTRI = (_f for _f in la.get_lapack_funcs(("potrf", "potri"), dtype=np.float64))


class NotPositiveDefinite(ArithmeticError):
    """The matrix has no Cholesky factor."""


class Factor:
    """The factor of C.

    Args:
        symbolic: the analysis of its pattern.
        values: (symbolic.storage,) C at the entries of the factor, zero where C has none (`Symbolic.entries` says where
            they lie); overwritten.

    Raises:
        NotPositiveDefinite: C is not positive definite.
    """

    def __init__(self, symbolic: Symbolic, values: Float[np.ndarray, " S"]) -> None:
        self.symbolic = symbolic
        self._v = v = values
        for level in symbolic.levels:
            pivot = v[level.diagonal]
            if not np.all(pivot > 0):
                raise NotPositiveDefinite("a pivot of the Cholesky factor is not positive")
            v[level.diagonal] = np.sqrt(pivot)
            if len(level.entries):
                v[level.entries] /= v[level.of_entry]
                v[level.targets] -= np.add.reduceat(v[level.first] * v[level.second], level.starts)
        # The lower triangle by rows is the upper triangle by columns, as LAPACK wants it: U'U = tail.
        square = v[len(symbolic.rows) :].reshape(symbolic.tail, symbolic.tail).T
        self._upper = square
        if symbolic.tail:
            self._upper, failed = POTRF(square, lower=0, clean=0, overwrite_a=1)
            if failed:
                raise NotPositiveDefinite("the dense tail of the matrix is not positive definite")

    @cached_property
    def log_determinant(self) -> float:
        """log det C."""
        head = np.log(self._v[self.symbolic.diagonal]).sum()
        return 2 * float(head + np.log(np.diagonal(self._upper)).sum())

    def solve(self, b: Any) -> np.ndarray:
        """C^-1 b, for b of shape (N,) or (N, k)."""
        s, v = self.symbolic, self._v
        x = np.array(b, dtype=np.float64)[s.order]
        wide = (slice(None),) + (None,) * (x.ndim - 1)
        for level in s.levels:
            x[level.columns] /= v[level.diagonal][wide]
            if len(level.entries):
                change = v[level.by_row][wide] * x[s.columns[level.by_row]]
                x[level.row_targets] -= np.add.reduceat(change, level.row_starts, axis=0)
        if s.tail:
            x[s.head :] = la.cho_solve((self._upper, False), x[s.head :], check_finite=False)
        for level in reversed(s.levels):
            if len(level.entries):
                change = v[level.entries][wide] * x[s.rows[level.entries]]
                x[level.columns[level.column_targets]] -= np.add.reduceat(change, level.column_starts, axis=0)
            x[level.columns] /= v[level.diagonal][wide]
        out = np.empty_like(x)
        out[s.order] = x
        return out

    def draw(self, normal: Float[np.ndarray, "N k"]) -> Float[np.ndarray, "N k"]:
        """L'^-1 times independent standard normals: draws from N(0, C^-1)."""
        s, v = self.symbolic, self._v
        x = np.array(normal, dtype=np.float64)
        wide = (slice(None),) + (None,) * (x.ndim - 1)
        if s.tail:
            x[s.head :] = la.solve_triangular(self._upper, x[s.head :], check_finite=False)
        for level in reversed(s.levels):
            if len(level.entries):
                change = v[level.entries][wide] * x[s.rows[level.entries]]
                x[level.columns[level.column_targets]] -= np.add.reduceat(change, level.column_starts, axis=0)
            x[level.columns] /= v[level.diagonal][wide]
        out = np.empty_like(x)
        out[s.order] = x
        return out

    @cached_property
    def inverse(self) -> Float[np.ndarray, " S"]:
        """Entries of C^-1 where the factor has entries, laid out as the values of C."""
        s, v = self.symbolic, self._v
        stored = len(s.rows)
        z = np.empty(s.storage)
        if s.tail:
            whole, failed = POTRI(self._upper, lower=0, overwrite_c=0)
            if failed:
                raise NotPositiveDefinite("the dense tail of the matrix is singular")
            z[stored:] = whole.T.ravel()
        ratio = np.ones(stored)
        for level in s.levels:
            ratio[level.entries] = v[level.entries] / v[level.of_entry]
        for level in reversed(s.levels):
            if len(level.entries):
                wide, begin = level.end - level.begin, level.begin
                at = np.repeat(z[level.targets], np.diff(np.append(level.starts, len(level.first))))
                found = np.bincount(level.first - begin, at * ratio[level.second], wide)
                found += np.bincount(level.second - begin, at * ratio[level.first], wide)
                diagonal = self._diagonal_of_rows(level.entries)
                entry = ratio[level.entries]
                z[level.entries] = z[diagonal] * entry - found[level.entries - begin]
                z[level.diagonal] = 1 / v[level.diagonal] ** 2
                z[level.diagonal[level.column_targets]] -= np.add.reduceat(
                    entry * z[level.entries], level.column_starts
                )
            else:
                z[level.diagonal] = 1 / v[level.diagonal] ** 2
        return z

    def _diagonal_of_rows(self, entries: np.ndarray) -> np.ndarray:
        """Where the diagonal entry of the row of each entry lies."""
        s = self.symbolic
        row = s.rows[entries]
        in_tail = len(s.rows) + (row - s.head) * (s.tail + 1)
        return np.where(row < s.head, np.append(s.diagonal, 0)[np.minimum(row, s.head)], in_tail)
