"""What is known of a field before any observation: which levels it has and how their values hang together.

A structure is what a user writes; met with the levels of the data it becomes a `Bound` one, with a covariance K known
up to its scale, given by its sparse inverse.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp
from jaxtyping import Float, Int

from latentem.forms.field.factor import POTRI, Factor, NotPositiveDefinite
from latentem.forms.field.levels import codes_of, names_of
from latentem.forms.field.ordering import best


@dataclass(frozen=True, eq=False)
class Bound:
    """A structure that knows its levels.

    Args:
        names: of the q levels.
        rows, columns, values: entries of K^-1, the lower triangle with the diagonal, each once.
        log_determinant: log det K.
        variances: (q,) diagonal of K.
        multiply: v of shape (q, k) -> K v.
        index: values seen in data -> level of each, -1 where there is none such.
        independent: K is the identity.
        draw: (generator, k) -> (q, k) draws from N(0, K).
    """

    names: np.ndarray
    rows: Int[np.ndarray, " m"]
    columns: Int[np.ndarray, " m"]
    values: Float[np.ndarray, " m"]
    log_determinant: float
    variances: Float[np.ndarray, " q"]
    multiply: Callable[[np.ndarray], np.ndarray] = field(repr=False)
    index: Callable[[Any], np.ndarray] = field(repr=False)
    draw: Callable[[np.random.Generator, int], np.ndarray] = field(repr=False)
    independent: bool = False

    @property
    def size(self) -> int:
        """Number of levels q."""
        return len(self.names)

    @cached_property
    def precision(self) -> sp.csr_matrix:
        """K^-1, both triangles."""
        q = self.size
        low = sp.csr_matrix((self.values, (self.rows, self.columns)), shape=(q, q))
        return (low + sp.tril(low, -1).T).tocsr()

    def weigh(self, u: Float[np.ndarray, "r q"]) -> Float[np.ndarray, "r q"]:
        """K^-1 times each row."""
        return u if self.independent else (self.precision @ u.T).T


class Structure(ABC):
    """How the values of a field hang together. A structure is a value: nothing is computed before data are seen."""

    @abstractmethod
    def bind(self, seen: Any, name: str) -> Bound:
        """The structure of the levels.

        Args:
            seen: (n,) the level of each record.
            name: of the column, for messages.

        Raises:
            ValueError: a level that the structure does not know.
        """


@dataclass(frozen=True)
class Exchangeable(Structure):
    """Levels that know nothing of one another: K is the identity."""

    def bind(self, seen: Any, name: str) -> Bound:
        names = names_of(seen, name)
        q, diagonal = len(names), np.arange(len(names))
        return Bound(
            names,
            diagonal,
            diagonal,
            np.ones(q),
            0.0,
            np.ones(q),
            lambda v: v,
            lambda new: codes_of(new, names),
            lambda generator, k: generator.normal(size=(q, k)),
            independent=True,
        )


@dataclass(frozen=True)
class Flat(Structure):
    """Effects with a flat prior: integrated out, they make a likelihood restricted. One level unless data name more."""

    def bind(self, seen: Any, name: str) -> Bound:
        bound = Exchangeable().bind(seen, name)
        return replace(bound, values=np.zeros(bound.size), variances=np.full(bound.size, np.inf), independent=False)


@dataclass(frozen=True, eq=False)
class Relationship(Structure):
    """Levels with a known covariance matrix, such as one of genomic relationships."""

    names: np.ndarray | None
    covariance: Any = field(repr=False)
    precision: Any = field(repr=False)

    def bind(self, seen: Any, name: str) -> Bound:
        q = (self.covariance if self.precision is None else self.precision).shape[0]
        if self.names is None:
            names = names_of(seen, name)
            if len(names) != q:
                told = f"{name} has {len(names)} levels and its relationship matrix {q} rows"
                raise ValueError(f"{told}: name the rows, lem.relationship(matrix, names)")
        else:
            names = self.names
        bound = (
            from_covariance(names, self.covariance) if self.precision is None else from_precision(names, self.precision)
        )
        refuse_unknown(bound, seen, name, "its relationship matrix")
        return bound


@dataclass(frozen=True)
class RandomWalk(Structure):
    """Levels in order: independent steps of variance 1 for each unit between them, from 0 one unit before the first."""

    def bind(self, seen: Any, name: str) -> Bound:
        names = names_of(seen, name)
        try:
            at = np.asarray(seen, dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"{name} holds text: a random walk goes along numbers, such as years") from None
        points = np.unique(at)
        steps = np.concatenate([[1.0], np.diff(points)])
        order = codes_of(points, names)
        q = len(points)
        first, later = np.arange(q - 1), np.arange(1, q)
        rows = np.concatenate([np.arange(q), first, later])
        columns = np.concatenate([np.arange(q), first, first])
        values = np.concatenate([1 / steps, 1 / steps[1:], -1 / steps[1:]])
        precision = sp.csr_matrix((values, (order[rows], order[columns])), shape=(q, q))
        return from_precision(names, precision + sp.tril(precision, -1).T + sp.triu(precision, 1).T)


@dataclass(frozen=True, eq=False)
class Neighbours(Structure):
    """Levels on a graph, each expected near the mean of its neighbours."""

    names: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    strength: float

    def bind(self, seen: Any, name: str) -> Bound:
        q = len(self.names)
        edges = sp.csr_matrix((np.ones(len(self.rows)), (self.rows, self.columns)), shape=(q, q))
        degree = np.maximum(np.asarray(edges.sum(axis=1)).ravel(), 1.0)
        bound = from_precision(self.names, sp.diags(degree) - self.strength * edges)
        refuse_unknown(bound, seen, name, "its graph")
        return bound


def from_covariance(names: np.ndarray, covariance: Any) -> Bound:
    """A structure of a covariance matrix (q, q) that is positive definite."""
    k = np.asarray(covariance.todense() if sp.issparse(covariance) else covariance, dtype=np.float64)
    lower = la.cholesky(k, lower=True, check_finite=False)
    inverse, _ = POTRI(lower, lower=1)
    rows, columns = np.tril_indices(len(k))
    logdet = 2 * float(np.log(np.diagonal(lower)).sum())
    return Bound(
        names,
        rows,
        columns,
        inverse[rows, columns],
        logdet,
        np.diagonal(k).copy(),
        lambda v: k @ v,
        lambda new: codes_of(new, names),
        lambda generator, many: lower @ generator.normal(size=(len(k), many)),
    )


def from_precision(names: np.ndarray, precision: Any) -> Bound:
    """A structure of a sparse precision matrix (q, q) that is positive definite.

    Raises:
        ValueError: it is not positive definite.
    """
    low: Any = sp.tril(precision).tocoo()
    low.sum_duplicates()
    low.eliminate_zeros()
    q = int(low.shape[0])
    symbolic = best(q, low.row, low.col)
    values = np.zeros(symbolic.storage)
    values[symbolic.entries(low.row, low.col)] = low.data
    try:
        factor = Factor(symbolic, values)
    except NotPositiveDefinite:
        raise ValueError(f"a precision matrix of {q} levels is not positive definite: expected one that is") from None
    diagonal = np.arange(q)
    return Bound(
        names,
        low.row.astype(np.int64),
        low.col.astype(np.int64),
        low.data,
        -factor.log_determinant,
        factor.inverse[symbolic.entries(diagonal, diagonal)],
        factor.solve,
        lambda new: codes_of(new, names),
        lambda generator, many: factor.draw(generator.normal(size=(q, many))),
    )


def refuse_unknown(bound: Bound, seen: Any, name: str, where: str) -> None:
    """ValueError where a record has a level that the structure does not know."""
    codes = bound.index(seen)
    if np.any(codes < 0):
        first = int(np.argmax(codes < 0))
        told = f"{name}: {np.asarray(seen, dtype=object)[first]!r} (record {first}) is not in {where}"
        raise ValueError(
            f"{told}: {len(np.unique(np.asarray(seen, dtype=str)[codes < 0]))} levels are missing; add them"
        )
