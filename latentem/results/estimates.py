"""Estimates as rows: what each entry of the params is called, its standard error, its interval."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from latentem.data import tables
from latentem.data.layout import Axis
from latentem.inference.intervals import Bounds, inside
from latentem.model.labelled import axes_of, is_symmetric, labels_of

#: What a row may be of, where an axis of a param runs over them.
KINDS = ("component", "cluster", "state", "item")


class Row(NamedTuple):
    """One entry of the params.

    Args:
        name: dotted path of the param, such as "components.mean".
        labels: what the entry is called on each axis: a number, a column, a category.
        of: (kind, label) of the component, cluster, state or item it belongs to, or None.
        estimate, error, lower, upper: NaN where there is none.
    """

    name: str
    labels: tuple[Any, ...]
    of: tuple[str, Any] | None
    estimate: float
    error: float
    lower: float
    upper: float


def rows_of(fit: Any, errors: Any, level: float = 0.95) -> list[Row]:
    """A row for each entry of the params, in their order; entries above the diagonal of a symmetric matrix are left
    out.

    Args:
        fit: the Fit.
        errors: standard errors shaped like params, or None.
        level: of the intervals.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(fit.params)
    nothing = jax.tree.map(lambda a: np.full(np.shape(a), np.nan), fit.params)
    ends = (nothing, nothing) if errors is None else intervals(fit, errors, level)
    bounds, errors = [structure.flatten_up_to(end) for end in ends], nothing if errors is None else errors
    axes, symmetric = _shapes(fit, [np.asarray(leaf) for _, leaf in leaves])
    found = []
    for i, ((path, value), error) in enumerate(zip(leaves, structure.flatten_up_to(errors), strict=True)):
        value, error, lower, upper = (np.asarray(a, np.float64) for a in (value, error, *(end[i] for end in bounds)))
        of = next((a for a, axis in enumerate(axes[i]) if axis.kind in KINDS), None)
        for index in np.ndindex(*value.shape):
            if symmetric[i] and index[-2] < index[-1]:
                continue
            labels = labels_of(axes[i], index)
            own = None if of is None else (axes[i][of].kind, labels[of])
            numbers = (float(a[index]) for a in (value, error, lower, upper))
            found.append(Row(_name(path), labels, own, *numbers))
    return found


def intervals(fit: Any, errors: Any, level: float = 0.95) -> Bounds:
    """Wald intervals from standard errors: on the scale of logs and logits where the model says what sets the params
    live in, so that none leaves its set."""
    space = getattr(fit.model, "space", None)
    if space is not None:
        return inside(space, fit.params, errors, level)
    return fit.confidence_intervals(level)


def _shapes(fit: Any, leaves: list[np.ndarray]) -> tuple[Any, list[bool]]:
    """(the axes of each leaf, whether it is a symmetric matrix)."""
    if fit.model is not None:
        return axes_of(fit.model), [is_symmetric(c) for c in fit.model.space.constraints]
    plain = [tuple(Axis("") for _ in leaf.shape) for leaf in leaves]
    square = [a.ndim >= 2 and a.shape[-1] == a.shape[-2] > 1 for a in leaves]
    return plain, [s and np.array_equal(a, np.swapaxes(a, -1, -2)) for a, s in zip(leaves, square, strict=True)]


def _name(path: Any) -> str:
    return ".".join(str(getattr(k, "key", getattr(k, "idx", k))) for k in path) or "params"


def table(fit: Any, level: float = 0.95) -> Any:
    """Estimates as a table: a row for each entry of the params.

    Args:
        level: of the intervals, which stay inside the set of their param: those of a probability lie in [0, 1].

    Returns:
        Columns name, index, component (or cluster, state, item: what the model has), estimate, standard_error, lower,
        upper; in the library that the data came in, a dict of arrays where they were arrays. NaN where there is no
        standard error.

    >>> x = np.array([0, 1, 0, 2, 1, 9, 8, 11, 9, 10])
    >>> fit = lem.fit(lem.Mixture(lem.families.Poisson(), 2), x, key=0)
    >>> list(fit.table())
    ['name', 'index', 'component', 'estimate', 'standard_error', 'lower', 'upper']
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level!r}: expected a confidence between 0 and 1, such as 0.95")
    rows = rows_of(fit, fit._errors[0], level)
    columns: dict[str, Any] = {
        "name": np.array([row.name for row in rows], dtype=object),
        "index": np.array([",".join(map(str, row.labels)) for row in rows], dtype=object),
    }
    for kind in KINDS:
        own = [row.of[1] if row.of is not None and row.of[0] == kind else None for row in rows]
        if any(label is not None for label in own):
            columns[kind] = np.array(own, dtype=object if None in own or isinstance(own[0], str) else int)
    columns["estimate"] = np.array([row.estimate for row in rows])
    columns["standard_error"] = np.array([row.error for row in rows])
    columns["lower"] = np.array([row.lower for row in rows])
    columns["upper"] = np.array([row.upper for row in rows])
    return tables.in_the_library_of(source(fit), columns)


def source(fit: Any, data: Any = None) -> Any:
    """Data as the user had them; those of the fit where none are given. A list of tables for sequences from a list."""
    given: Any = data if data is not None else fit.given if fit.given is not None else getattr(fit, "frame", None)
    if given is None and fit.data is not None and fit.model is not None:  # back from pickle: as arrays
        given = fit.data.observations
        names = () if fit.model.layout is None else fit.model.layout.names
        if isinstance(given, np.ndarray) and names:
            given = dict(zip(names, given.reshape(len(given), -1).T, strict=True))
    found = getattr(given, "source", None)
    return given if found is None else found
