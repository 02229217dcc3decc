"""What a user may say of a matrix, and the constraint it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import latentem as lem
from latentem.constraints import Constraint, Diagonal, diagonal, entries

STARTS = ("stationary", "diffuse", "constant", "free")
EXPECTED = "'free', 'diagonal', 'equal', 'identity', 'zero', or numbers with NaN (free) and names (equal) among them"


@dataclass(frozen=True)
class Cells:
    """Entries of a matrix as a hashable value: numbers, names, None where one is free."""

    shape: tuple[int, ...]
    flat: tuple[Any, ...]


def frozen(pattern: Any) -> Any:
    """The same as a hashable value.

    Raises:
        TypeError: what is neither a word nor numbers and names.
    """
    if isinstance(pattern, str | Constraint | Cells) or pattern is None:
        return pattern
    try:
        cells = np.array(pattern, dtype=object)
    except ValueError:
        raise ValueError(f"{pattern!r}: expected rows of one length, of {EXPECTED}") from None
    flat = (c if isinstance(c, str) else None if c is None or np.isnan(c) else float(c) for c in cells.ravel())
    return Cells(cells.shape, tuple(flat))


def _cells(name: str, pattern: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Cells of a matrix, NaN where one is free."""
    if isinstance(pattern, str):
        square = len(shape) == 2 and shape[0] == shape[1]
        if pattern == "free":
            return np.full(shape, np.nan, object)
        if pattern == "zero":
            return np.zeros(shape, object)
        if pattern in ("identity", "diagonal", "equal") and square:
            fill = {"identity": 1.0, "diagonal": np.nan, "equal": name}[pattern]
            return np.where(np.eye(shape[0], dtype=bool), np.array(fill, object), 0.0)
        raise ValueError(f"{name}={pattern!r}: expected {EXPECTED}")
    cells = np.array([np.nan if c is None else c for c in pattern.flat], object).reshape(pattern.shape)
    if pattern.shape != shape:
        raise ValueError(f"{name} has shape {pattern.shape}: expected {shape}")
    return cells


def coefficients(name: str, pattern: Any, shape: tuple[int, ...]) -> Constraint:
    """Of a matrix of coefficients."""
    if isinstance(pattern, Constraint):
        return _checked(name, pattern, shape)
    return entries(_cells(name, pattern, shape))


def covariance(name: str, pattern: Any, d: int) -> Constraint:
    """Of a covariance matrix: free, diagonal with given, free and equal variances, or given.

    Raises:
        ValueError: covariances of which some are free and others given.
    """
    if isinstance(pattern, Constraint):
        return _checked(name, pattern, (d, d))
    if pattern == "free":
        return lem.covariance(d)
    if isinstance(pattern, Cells) and len(pattern.shape) == 1:
        if pattern.shape != (d,):
            raise ValueError(f"{name} has a diagonal of {pattern.shape[0]}: expected {d}")
        pattern = Cells((d, d), tuple(np.where(np.eye(d, dtype=bool), np.array(pattern.flat, object), 0.0).ravel()))
    cells = _cells(name, pattern, (d, d))
    off = cells[~np.eye(d, dtype=bool)]
    if all(not isinstance(c, str) and c == 0 for c in off):
        own = np.diagonal(cells)
        if any(not isinstance(c, str) and c < 0 for c in own):
            raise ValueError(f"{name}: a fixed variance is negative: expected numbers >= 0")
        return diagonal(own)
    if any(isinstance(c, str) or np.isnan(c) for c in cells.ravel()):
        raise ValueError(f"{name}: covariances beside 0: expected all of them free ('free'), or all given")
    given = cells.astype(np.float64)
    if not np.allclose(given, given.T) or np.linalg.eigvalsh(given)[0] < -1e-12 * np.abs(given).max():
        raise ValueError(f"{name}: the fixed matrix is no covariance matrix: expected symmetric, positive semidefinite")
    return lem.fixed(given)


def _checked(name: str, constraint: Constraint, shape: tuple[int, ...]) -> Constraint:
    if constraint.shape != shape:
        raise ValueError(f"{name} has shape {constraint.shape}: expected {shape}")
    return constraint


def noisy(constraint: Constraint) -> tuple[int, ...]:
    """Variables with noise: rows of a covariance matrix that are not given as 0."""
    d = constraint.shape[0]
    if isinstance(constraint, Diagonal):
        return tuple(i for i in range(d) if constraint.group[i] >= 0 or constraint.given[i] > 0)
    if constraint.size == 0:
        value = given(constraint)
        return tuple(i for i in range(d) if value[i, i] > 0)
    return tuple(range(d))


def given(constraint: Constraint) -> np.ndarray:
    """The value of a constraint in which nothing is free."""
    return np.asarray(constraint.constrain(np.zeros(0)))


def first_state(said: Any) -> Any:
    """What a user says of the first state, as a hashable value: a word, or patterns of its mean and covariance."""
    if isinstance(said, str):
        if said not in STARTS:
            words = ", ".join(map(repr, STARTS))
            raise ValueError(f"initial={said!r}: expected one of {words}, or (mean, covariance)")
        return ("free", "free") if said == "free" else said
    if isinstance(said, Mapping):
        if set(said) != {"mean", "covariance"}:
            raise ValueError(f"initial={said!r}: expected the entries 'mean' and 'covariance'")
        return (frozen(said["mean"]), frozen(said["covariance"]))
    if isinstance(said, tuple) and len(said) == 2:
        return tuple(frozen(part) for part in said)
    raise ValueError(f"initial={said!r}: expected a word, (mean, covariance) or {{'mean': ..., 'covariance': ...}}")
