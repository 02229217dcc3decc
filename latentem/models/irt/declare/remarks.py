"""What the reader of a fit should know of its data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from latentem.models.irt.declared import Declared


def remarks(irt: Declared, params: Mapping[str, Any], rows: Any) -> list[str]:
    """What a reader of the fit should know: persons without answers, items whose key may be reversed."""
    told, names = [], irt.seen.names
    empty = int(np.sum(np.asarray(rows["answers"]).max(axis=1) < 0))
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
        told += [f"item {names[j]!r} {_RUN_OFF}" for j in _run_off(irt, block, slope)]
    return told


_RUN_OFF = (
    "has a slope that has run off, a step between two nodes of the grid: give slope a prior, or leave the item out"
)


def _run_off(irt: Declared, block: Any, slope: np.ndarray) -> list[int]:
    """Items whose logit changes by more than 8 from node to node: steeper curves have the same likelihood."""
    if irt.quadrature != "grid" or slope.ndim == 0 or len(slope) != len(block.items):
        return []
    found = irt.latent.nodes()
    assert found is not None  # those of a grid are the same for all persons
    nodes = np.unique(found[0].reshape(len(found[0]), -1)[:, 0])
    apart = nodes[1] - nodes[0]
    steepest = np.abs(slope).reshape(len(slope), -1).max(axis=1)
    return [j for j, value in zip(block.items, steepest, strict=True) if value * apart > 8]
