"""Missing entries of a user's own table, written where they were missing."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from latentem.data.layout import Layout, is_tabular
from latentem.data.tables import Labels, column, frame_of, is_structured, named_columns


def filled(given: Any, layout: Layout, completed: Any) -> Any:
    """The observations as the user gave them, of the same type, with the missing entries filled in.

    Args:
        given: an array, table, structured array or dict of columns; what is not missing in it stays as it is.
        layout: how its columns lie.
        completed: the observations as the model has them, without holes: (N, ...) or a dict of columns.

    >>> filled({"x": [1.0, np.nan]}, Layout("columns", ("x",)), {"x": np.array([1.0, 3.0])})["x"]
    array([1., 3.])
    """
    if not is_tabular(given):
        return _written("observations", column("observations", given), np.asarray(completed), layout.levels_of(None))
    found = named_columns(given, only=layout.names or None)
    names = tuple(name for name in layout.names or found if name in found)
    values = _by_name(found, names, completed)
    levels = {name: layout.levels_of(name if layout.names else None) for name in names}
    holes = [name for name in names if _holes(found[name]).any()]
    new = {name: _written(name, found[name], values[name], levels[name]) for name in holes}
    if is_structured(given):
        copy = given.copy()
        for name in holes:
            copy[name] = new[name]
        return copy
    if isinstance(given, Mapping):
        return {**given, **new}
    frame = frame_of(given)
    for name in holes:
        rows = np.flatnonzero(_holes(found[name]))
        frame = frame.with_columns(_series(frame[name], rows, new[name][rows]))
    return frame.to_native()


def _by_name(found: Mapping[Any, Any], names: tuple[Any, ...], completed: Any) -> dict[Any, np.ndarray]:
    """Completed columns by name; those of a matrix lie side by side."""
    if isinstance(completed, Mapping):
        return {name: np.asarray(completed[name]) for name in names}
    matrix = np.asarray(completed)
    matrix = matrix.reshape(len(matrix), -1)
    values, at = {}, 0
    for name in names:
        shape = (len(matrix),) if isinstance(found[name], Labels) else np.shape(found[name])
        width = int(np.prod(shape[1:], dtype=int))
        values[name] = matrix[:, at : at + width].reshape(shape)
        at += width
    return values


def _holes(found: Any) -> np.ndarray:
    array = found.codes if isinstance(found, Labels) else np.asarray(found)
    return np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, bool)


def _written(name: Any, found: Any, completed: np.ndarray, levels: tuple[Any, ...] | None) -> np.ndarray:
    """A column with its holes filled, categories by their labels."""
    if isinstance(found, Labels) or levels:
        known = levels or found.levels
        whole = np.array(known, dtype=object)[np.nan_to_num(completed).astype(int)]
        if not isinstance(found, Labels):
            array = np.array(found, dtype=np.float64)
            array[np.isnan(array)] = np.asarray(whole, dtype=np.float64)[np.isnan(array)]
            return array
        return np.where(np.isnan(found.codes) & ~np.isnan(completed), whole, found.values)
    array = np.asarray(found)
    holes = _holes(found)
    return np.where(holes, completed.reshape(array.shape), array) if holes.any() else array.copy()


def _series(series: Any, rows: np.ndarray, values: np.ndarray) -> Any:
    """A column of a table with these entries, of its own type where that can hold them."""
    import narwhals

    kind = series.dtype
    if values.dtype.kind == "O":
        return series.scatter(rows.tolist(), values.tolist())
    whole = bool(np.all(values == np.round(values)))
    new = series.cast(narwhals.Float64).scatter(rows.tolist(), values.tolist())
    own = kind.is_integer() or kind == narwhals.Boolean
    return new.cast(kind) if kind != narwhals.Float64 and (not own or whole) else new
