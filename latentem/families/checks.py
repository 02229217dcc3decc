"""The door of the families: observations are read and checked here, on the host, with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from latentem.data import door

WRAP = "wrap the column in Independent to use rows by their observed entries"


def numbers(family: str, x: Any) -> np.ndarray:
    """x as a floating NumPy array with at least one observation, or a one-line ValueError."""
    array = np.asarray(x)
    if array.dtype.kind == "O":
        try:
            array = array.astype(float)
        except (TypeError, ValueError):
            pass
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{family}: observations of type {array.dtype}: expected numbers; convert them first")
    if array.ndim == 0 or array.shape[0] == 0:
        raise ValueError(f"{family}: observations of shape {array.shape}: expected at least one row; give one row each")
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def column(family: str, x: Any) -> np.ndarray:
    """Observations that are one number each, (N,); a matrix of one column is read as such."""
    array = numbers(family, x)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(
            f"{family}: observations of shape {array.shape}: expected (N,); use Independent for several columns"
        )
    return array


def matrix(family: str, x: Any, width: int | None, promote: bool = True) -> np.ndarray:
    """Observations that are vectors, (N, D); with `promote`, (N,) becomes (N, 1)."""
    array = numbers(family, x)
    if array.ndim == 1 and promote:
        array = array[:, None]
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(
            f"{family}: observations of shape {array.shape}: expected (N, D); give one row per observation"
        )
    if width is not None and array.shape[1] != width:
        raise ValueError(f"{family}: observations of shape {array.shape}: expected (N, {width}); give {width} columns")
    return array


def refuse(family: str, x: np.ndarray, bad: np.ndarray, expected: str, advice: str) -> None:
    """ValueError naming the first entry of x that is bad."""
    if not bad.any():
        return
    index = tuple(int(i) for i in np.argwhere(bad)[0])
    where = ", ".join(map(str, index))
    raise ValueError(f"{family}: observations[{where}] = {x[index]:g}: expected {expected}; {advice}")


def finite(family: str, x: np.ndarray, missing: bool = False) -> np.ndarray:
    """x without infinite entries, and without NaN unless missing entries are accepted."""
    if door.all_finite(x):
        return x
    if not missing:
        refuse(family, x, np.isnan(x), "a number", WRAP)
    refuse(family, x, np.isinf(x), "a finite number", "remove the row or correct the entry")
    return x


def counts(family: str, x: np.ndarray) -> np.ndarray:
    """x, all of it 0, 1, 2, ..."""
    finite(family, x)
    refuse(
        family,
        x,
        (x < 0) | (x != np.floor(x)),
        "counts 0, 1, 2, ...",
        "use a continuous family for other numbers",
    )
    return x


def columns(family: str, x: Any, names: Any) -> dict[str, np.ndarray]:
    """The columns of a table that a family names, each (N,)."""
    present = list(x.keys()) if hasattr(x, "keys") else []
    for name in names:
        if name not in present:
            found = f"columns {', '.join(map(str, present))}" if present else f"a {type(x).__name__}"
            raise ValueError(f"{family}: no column {name!r} in {found}: expected {', '.join(names)}; add it")
    return {name: column(f"{family}: column {name!r}", x[name]) for name in names}
