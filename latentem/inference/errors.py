"""Standard errors: the covariance of the free vector, carried to the params by the delta method."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from latentem.data.sequences import Sequences
from latentem.inference.estimate import Estimate, Matrix
from latentem.inference.information import information

#: Eigenvalues of the information, scaled to a unit diagonal, at or below this count as zero.
SINGULAR = 1e-9
#: Part of a parameter's derivative that may lie along directions the data do not identify.
LEAKED = 1e-5
#: Information about one direction beside that about the others, that counts as none.
NOTHING = 1e-14
TINY = float(np.finfo(float).tiny)


class Errors(NamedTuple):
    """Covariance of the estimates.

    Args:
        free: (P, P), of the free vector; NaN for what has none.
        natural: (D, D), of the raveled params; NaN for what has none.
        notes: why entries are NaN, one sentence each.
    """

    free: Matrix
    natural: Float[np.ndarray, "D D"]
    notes: tuple[str, ...]


def errors(estimate: Estimate, kind: str = "observed") -> Errors:
    """Covariance matrices of the estimates.

    Args:
        estimate: the maximum and the data.
        kind: "observed", the inverse of the observed information; "score", of the outer products of scores;
            "sandwich", observed^-1 score observed^-1, valid also where the model is not (Huber 1967, White 1982).

    Params on the edge of their set are held there and have NaN. So have fixed params, and params that move along a
    direction in which the information is zero: the data do not identify them. Where a model has a prior, these are
    the curvature and the spread of the penalised objective.

    Raises:
        ValueError: unknown kind; or the information cannot be computed.
    """
    if kind not in ("observed", "score", "sandwich"):
        raise ValueError(f"kind={kind!r}: expected 'observed', 'score' or 'sandwich'")
    return estimate.kept(("errors", kind), lambda: _errors(estimate, kind))


def tangent(estimate: Estimate) -> Float[np.ndarray, "P Q"]:
    """Orthonormal basis of the directions in u along which no param leaves or enters an edge."""
    normals = estimate.jacobian[estimate.on_edge]
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = normals[lengths[:, 0] > 0] / lengths[lengths[:, 0] > 0]
    if len(normals) == 0:
        return np.eye(len(estimate.u))
    _, singular, directions = np.linalg.svd(normals, full_matrices=True)
    return directions[int(np.sum(singular > 1e-8 * singular[0])) :].T


def _errors(estimate: Estimate, kind: str) -> Errors:
    basis = tangent(estimate)
    bread = information(estimate, "score" if kind == "score" else "observed")
    inner = basis.T @ bread @ basis
    diagonal = np.abs(np.diagonal(inner))
    # Zero information about one direction comes out as rounding: small beside the others for a direction of its size.
    size = diagonal * np.maximum(1.0, (basis.T @ estimate.u) ** 2)
    scale = np.where(size > NOTHING * np.max(size, initial=0.0), 1.0 / np.sqrt(np.maximum(diagonal, TINY)), 0.0)
    eigenvalues, vectors = np.linalg.eigh(scale[:, None] * (0.5 * (inner + inner.T)) * scale)
    known = eigenvalues > SINGULAR
    moves = (basis * scale) @ vectors[:, known] / np.sqrt(eigenvalues[known])
    free = moves @ moves.T
    if kind == "sandwich":
        free = free @ information(estimate, "score") @ free
    directions = basis * np.where(scale > 0, scale, 1.0)
    hidden = _hidden(estimate, directions, vectors[:, ~known])
    return Errors(
        _masked(free, ~_moved_by(np.eye(len(estimate.u)), directions, vectors[:, ~known])),
        _masked(estimate.jacobian @ free @ estimate.jacobian.T, hidden | estimate.on_edge | estimate.is_fixed),
        _notes(estimate, hidden, eigenvalues),
    )


def _moved_by(rows: np.ndarray, directions: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    """For each linear function of u: whether it moves along `directions` and, up to rounding, not along `unknown`."""
    inside = rows @ directions
    length = np.linalg.norm(inside, axis=1)
    leaked = np.linalg.norm(inside @ unknown, axis=1)
    return (length > 0) & (leaked <= LEAKED * length)


def _hidden(estimate: Estimate, directions: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    return ~_moved_by(estimate.jacobian, directions, unknown) & ~estimate.on_edge & ~estimate.is_fixed


def _masked(covariance: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    return np.where(hidden[:, None] | hidden[None, :], np.nan, covariance)


def _notes(estimate: Estimate, hidden: np.ndarray, eigenvalues: np.ndarray) -> tuple[str, ...]:
    notes = []
    names = np.array(estimate.space.natural_names, dtype=object)
    if estimate.on_edge.any():
        notes.append(f"no standard error at the edge of a constraint: {_listed(names[estimate.on_edge])}")
    if hidden.any():
        found = estimate.data.observations
        one_by_one = int(np.sum(np.asarray(estimate.data.weights) > 0))
        rows = found.total if isinstance(found, Sequences) else one_by_one
        if len(eigenvalues) and eigenvalues[0] < -SINGULAR:
            why = "the information is negative there, so this is not a maximum"
        elif rows <= len(estimate.u):
            why = f"{rows} observations are too few for {len(estimate.u)} parameters"
        else:
            why = "the data do not identify them (singular information)"
        notes.append(f"no standard error for {_listed(names[hidden])}: {why}")
    return tuple(notes)


def _listed(names: Any) -> str:
    shown = ", ".join(names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"


def standard_errors(estimate: Estimate, kind: str = "observed") -> Any:
    """Standard errors as a pytree shaped like params; see `errors` for the kinds and for what is NaN."""
    variance = np.diagonal(errors(estimate, kind).natural)
    return estimate.as_tree(np.sqrt(np.where(variance >= 0, variance, np.nan)))
