"""What a user writes to say how the levels of a field hang together."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg as la
import scipy.sparse as sp

from latentem.forms.field.levels import text_of
from latentem.forms.field.pedigree import Pedigree, read_pedigree
from latentem.forms.field.structures import Exchangeable, Flat, Neighbours, RandomWalk, Relationship


def exchangeable() -> Exchangeable:
    """Levels that know nothing of one another: independent N(0, 1) before they are scaled.

    >>> lem.exchangeable()
    Exchangeable()
    """
    return Exchangeable()


def flat() -> Flat:
    """Effects with a flat prior, as fixed effects under REML; a record needs no column for them if they have one level.

    >>> lem.flat()
    Flat()
    """
    return Flat()


def pedigree(identity: Any, sire: Any, dam: Any, birth: Any = None) -> Pedigree:
    """Levels related by descent: covariance A, the numerator relationship matrix, inbreeding included.

    Args:
        identity, sire, dam: (q,) names, text or whole numbers, in any order; a parent that is not known is None, NaN,
            "", "NA", 0 or ".". Parents without a line of their own are founders.
        birth: (q,) when each was born, checked against the parents' where it is given.

    Raises:
        ValueError: lengths differ; an individual is listed twice, descends from itself, or is not younger than a
            parent.

    References:
        Henderson, C. R. (1976). Biometrics 32, 69-83; Quaas, R. L. (1976). Biometrics 32, 949-953.

    >>> family = lem.pedigree(["a", "b", "c", "d"], [None, None, "a", "a"], [None, None, "b", "c"])
    >>> family.inbreeding.tolist()
    [0.0, 0.0, 0.0, 0.25]
    """
    return read_pedigree(identity, sire, dam, birth)


def relationship(matrix: Any, names: Any = None, *, inverse: bool = False) -> Relationship:
    """Levels with a known covariance matrix, such as genomic relationships.

    Args:
        matrix: (q, q), dense or a SciPy sparse matrix, positive definite.
        names: (q,) of its rows; without them the rows are the sorted levels of the data.
        inverse: the matrix is the inverse of the covariance (best sparse).

    Raises:
        ValueError: it is not square, not symmetric or not positive definite.

    >>> lem.relationship(np.array([[1.0, 0.5], [0.5, 1.0]]), ["a", "b"]).names.tolist()
    ['a', 'b']
    """
    if names is None and hasattr(matrix, "index") and hasattr(matrix, "to_numpy"):  # a pandas frame names its rows
        names, matrix = matrix.index.to_numpy(), matrix.to_numpy()
    matrix = matrix if sp.issparse(matrix) else np.asarray(matrix, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"relationship: shape {matrix.shape}: expected a square matrix")
    if names is not None and len(names) != matrix.shape[0]:
        raise ValueError(f"relationship: {len(names)} names for {matrix.shape[0]} rows: expected one for each")
    worst = float(abs(matrix - matrix.T).max()) if matrix.shape[0] else 0.0
    if not worst <= 1e-8 * float(abs(matrix).max()):
        raise ValueError(f"relationship: not symmetric, entries differ by {worst:.3g}: expected a covariance matrix")
    names = None if names is None else text_of(names)
    if inverse:
        return Relationship(names, None, sp.csr_matrix(matrix))
    dense = np.asarray(matrix.todense() if sp.issparse(matrix) else matrix)
    try:
        la.cholesky(dense, lower=True, check_finite=True)
    except (la.LinAlgError, ValueError):
        smallest = float(la.eigvalsh(dense)[0]) if np.isfinite(dense).all() else np.nan
        told = f"relationship: not positive definite, its smallest eigenvalue is {smallest:.3g}"
        raise ValueError(f"{told}: add a little to its diagonal, or leave out duplicates") from None
    return Relationship(names, dense, None)


def random_walk() -> RandomWalk:
    """Levels along numbers, such as years: a random walk with variance 1 for each unit, from 0 one unit before the
    first.

    >>> lem.random_walk()
    RandomWalk()
    """
    return RandomWalk()


def neighbours(graph: Any, strength: float = 0.95) -> Neighbours:
    """Levels on a graph, such as districts on a map: precision D - strength W, W the adjacency, D the number of
    neighbours (a proper conditional autoregression).

    Args:
        graph: a mapping from each level to its neighbours, or pairs of levels.
        strength: from 0 (independent) to below 1 (each expected at the mean of its neighbours).

    Raises:
        ValueError: no levels, or a strength outside [0, 1).

    >>> lem.neighbours({"a": ["b"], "b": ["a", "c"], "c": ["b"]}).names.tolist()
    ['a', 'b', 'c']
    """
    if not 0 <= strength < 1:
        raise ValueError(f"neighbours: strength={strength!r}: expected a number from 0 to below 1")
    items = graph.items() if hasattr(graph, "items") else [(a, [b]) for a, b in graph]
    pairs = [(str(text_of([a])[0]), str(text_of([b])[0])) for a, near in items for b in near]
    alone = [str(text_of([a])[0]) for a, _ in items] if hasattr(graph, "items") else []
    names = np.unique(np.array(alone + [name for pair in pairs for name in pair], dtype=str))
    if not len(names):
        raise ValueError("neighbours: no levels: expected a mapping from each level to its neighbours")
    place = {name: k for k, name in enumerate(names.tolist())}
    both = {(place[a], place[b]) for a, b in pairs if a != b}
    both |= {(b, a) for a, b in both}
    edges = np.array(sorted(both), dtype=np.int64).reshape(-1, 2)
    return Neighbours(names, edges[:, 0], edges[:, 1], float(strength))
