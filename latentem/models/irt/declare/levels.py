"""Categories of items: those that are declared, and answers that are labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from latentem.building import tables

Levels = tuple[Any, ...]


def declared(categories: Any) -> Any:
    """What `categories=` says, hashable: None, the categories of all items, or (item, categories) pairs.

    Raises:
        TypeError, ValueError: something else, fewer than two, two that are equal, numbers that do not ascend.
    """
    if categories is None:
        return None
    if isinstance(categories, Mapping):
        return tuple((name, _checked(f"categories[{name!r}]", value)) for name, value in categories.items())
    if isinstance(categories, tuple) and categories and all(_is_pair(part) for part in categories):
        return categories  # as declared before
    return _checked("categories", categories)


def _is_pair(part: Any) -> bool:
    return isinstance(part, tuple) and len(part) == 2 and isinstance(part[1], tuple)


def _checked(name: str, value: Any) -> Levels:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence | np.ndarray | range):
        raise TypeError(f"{name}={value!r:.60}: expected a list, such as [0, 1, 2] or ['no', 'yes'], or one by item")
    found: tuple[Any, ...] = tuple(v.item() if isinstance(v, np.generic) else v for v in value)
    if len(found) < 2 or len(set(found)) < len(found):
        raise ValueError(f"{name}={list(found)!r:.60}: expected different categories, at least two")
    if all(isinstance(v, str) for v in found):
        return found
    if not all(isinstance(v, int | float) and v == int(v) for v in found):
        raise ValueError(f"{name}={list(found)!r:.60}: expected whole numbers, or text")
    if list(found) != sorted(found):
        raise ValueError(
            f"{name}={list(found)!r:.60}: expected numbers in ascending order; a key is reversed in the data"
        )
    return tuple(int(v) for v in found)


def of_items(categories: Any, names: Sequence[str]) -> dict[str, Levels]:
    """The categories that are declared, by item.

    Raises:
        ValueError: an item that the data do not have.
    """
    if categories is None:
        return {}
    if not all(_is_pair(part) for part in categories):
        return {name: categories for name in names}
    found: dict[str, Levels] = dict(categories)
    unknown = [name for name in found if name not in names]
    if unknown:
        raise ValueError(f"categories of {unknown[0]!r}, which is no item: expected some of {', '.join(names)}")
    return found


def coded(
    name: str, answers: tables.Labels, known: Levels | None, nominal: bool
) -> tuple[Float[np.ndarray, " N"], Levels | None]:
    """(numbers in place of labels, the labels in their order; None where the labels are numbers).

    Args:
        name: of the item.
        answers: to it.
        known: its categories, where they are declared, or known from the data of a fit.
        nominal: whether their order means nothing.

    Raises:
        ValueError: a label that is no known category; more than two without an order.
    """
    used = np.unique(answers.codes[~np.isnan(answers.codes)]).astype(int)
    there = [answers.levels[i] for i in used]
    numbers = _as_numbers(there)
    if known is not None and not all(isinstance(level, str) for level in known):
        if numbers is None:
            row, label = _first(answers, set())
            raise ValueError(f"item {name!r} holds {label!r} for person {row}: expected one of {list(known)}")
        return _placed(answers, used, numbers), None
    if known is not None:
        unknown = set(there) - set(known)
        if unknown:
            row, label = _first(answers, set(known))
            raise ValueError(f"item {name!r} holds {label!r} for person {row}: expected one of {list(known)}")
        return _placed(answers, used, [known.index(label) for label in there]), known
    if numbers is not None:
        return _placed(answers, used, numbers), None
    if len(there) < 2:
        told = f"one category (all answers are {there[0]!r}): it says nothing of ability" if there else "no answers"
        raise ValueError(f"item {name!r} has {told}{';' if there else ':'} remove it")
    if len(there) > 2 and not answers.ordered and not nominal:
        told = f"item {name!r} holds labels without an order ({', '.join(map(str, there[:3]))}, ...)"
        raise ValueError(f"{told}: pass categories=[...] from low to high, or an ordered categorical")
    return _placed(answers, used, range(len(there))), tuple(map(str, there))


def _as_numbers(labels: Sequence[Any]) -> list[int] | None:
    """Whole numbers, where labels are that, or text of that."""
    try:
        found = [float(label) for label in labels]
    except (TypeError, ValueError):
        return None
    return [int(v) for v in found] if all(np.isfinite(v) and v == int(v) for v in found) else None


def _placed(answers: tables.Labels, used: np.ndarray, values: Sequence[int]) -> Float[np.ndarray, " N"]:
    table = np.full(len(answers.levels) + 1, np.nan)
    table[used] = list(values)
    return table[np.where(np.isnan(answers.codes), len(answers.levels), answers.codes).astype(int)]


def _first(answers: tables.Labels, known: set[Any]) -> tuple[int, Any]:
    """(row, label) of the first answer that is none of these."""
    values = answers.values
    row = next(i for i, value in enumerate(values) if value is not None and value not in known)
    return row, values[row]
