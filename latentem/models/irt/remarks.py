"""What the reader of a fit should know of its data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def remarks(irt: Any, params: Mapping[str, Any], rows: Any) -> list[str]:
    """What a reader of the fit should know: persons without answers, items whose key may be reversed."""
    told, names = [], irt.seen.names
    empty = int(np.sum((np.asarray(rows["answers"]) < 0).all(axis=1)))
    if empty:
        told.append(f"{empty} of {len(rows['answers'])} persons answered no item: they say nothing of the items")
    for block in irt.blocks:
        slope = np.asarray(params[block.name].get("slope", 1.0))
        if block.model.linear and slope.ndim == 1 and len(slope) == len(block.items):
            told += [
                f"item {names[j]!r} has slope {value:.3g}, against the others: is its key reversed?"
                for j, value in zip(block.items, slope, strict=True)
                if value < 0 < np.median(slope)
            ]
    return told
