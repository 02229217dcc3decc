"""Levels of a grouping and their names: 7, 7.0, "7" and np.int64(7) are one level."""

from __future__ import annotations

from typing import Any

import numpy as np


def text_of(values: Any) -> np.ndarray:
    """Names of values, (n,) text: whole numbers without a point, others as they are printed; "" where one is
    missing."""
    array = np.asarray(values)
    if array.dtype.kind in "iu":
        return array.astype(np.int64).astype(str)
    if array.dtype.kind == "b":
        return array.astype(str)
    if array.dtype.kind == "f":
        missing = np.isnan(array)
        known = np.where(missing, 0.0, array)
        text = known.astype(np.int64).astype(str) if np.all(known == np.rint(known)) else known.astype(str)
        return np.where(missing, "", text)
    if array.dtype.kind in "US":
        return np.char.strip(array.astype(str))
    return np.array([_text(value) for value in array.tolist()], dtype=str)


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value) or type(value).__name__ in ("NAType", "NaTType"):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def names_of(seen: Any, name: str) -> np.ndarray:
    """Sorted names of the levels, numbers in the order of numbers.

    Raises:
        ValueError: a record has no level.
    """
    names = np.unique(text_of(seen))
    if len(names) and names[0] == "":
        raise ValueError(f"{name} has records without a level: remove them, or name their level")
    try:
        return names[np.argsort(names.astype(np.float64), kind="stable")]
    except ValueError:
        return names


def codes_of(seen: Any, names: np.ndarray) -> np.ndarray:
    """(n,) place of each value in `names`, -1 where it is none of them."""
    text = text_of(seen)
    order = np.argsort(names)
    at = np.searchsorted(names, text, sorter=order)
    found = order[np.minimum(at, len(names) - 1)]
    return np.where(names[found] == text, found, -1)
