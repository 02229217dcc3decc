"""What the reader of a fit should know of its data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from latentem.models.irt.declare.levels import of_items
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


#: Codes that many data sets have for missing answers.
MISSING_CODES = (-999, -99, -98, -9, -8, -7, -1, 8, 9, 88, 97, 98, 99, 888, 998, 999)


def of_answers(irt: Declared, rows: Any, weights: Any) -> list[str]:
    """Answers that may not be what they look like: codes of missing ones, gaps between categories, columns that are no
    items, categories that hang on one person."""
    told, answers = [], np.asarray(rows["answers"])
    named = of_items(irt.categories, irt.seen.names)
    for j, name in enumerate(irt.seen.names):
        if name in named:  # as declared
            continue
        categories, labels = irt.seen.categories[j], irt.seen.labels(j)
        used = answers[:, j] >= 0
        counts = np.bincount(answers[used, j].astype(int), weights[used], len(categories))
        if labels is not categories:
            if len(labels) == 2 and list(labels) == sorted(labels):
                order = f"{labels[0]!r} = 0, {labels[1]!r} = 1"
                told.append(f"item {name!r} has answers {order}: pass categories= for another order")
        elif len(answers) > 10 and len(categories) == len(answers):
            told.append(f"item {name!r} has another value for every person: is it an item? name those in items=")
            continue
        else:
            told += _odd(name, categories, counts)
        for label, count in zip(labels, counts, strict=True):
            if count == 1 and len(categories) > 2:
                told.append(f"item {name!r}: one person chose {label!r}, so that its params hang on that answer")
    return told


def _odd(name: str, categories: tuple[int, ...], counts: np.ndarray) -> list[str]:
    """Numbers that may stand for missing answers, or leave out some between."""
    apart = {
        value
        for value, others in ((v, [c for c in categories if c != v]) for v in categories)
        if value in MISSING_CODES and min(abs(value - c) for c in others) > 1 and (value < 0 or value > max(others))
    }
    told = [
        f"item {name!r} holds {value} ({counts[categories.index(value)]:g} times), which counts as a category: write "
        "nan if it stands for a missing answer"
        for value in sorted(apart)
    ]
    rest = [c for c in categories if c not in apart]
    gaps = sorted(set(range(rest[0], rest[-1] + 1)) - set(rest)) if rest[-1] - rest[0] < 100 else []
    if gaps:
        missing = ", ".join(map(str, gaps[:5]))
        told.append(
            f"item {name!r} has categories {', '.join(map(str, rest))}: nobody chose {missing}, and the others count "
            "as consecutive; pass categories= to keep its place"
        )
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
