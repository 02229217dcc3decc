"""What the data of an item response model say beside the answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Seen:
    """What the data say.

    Args:
        names: of the items.
        categories: of every item, as they stand in the data.
        groups: labels, the reference first.
        complete: no answer is missing.
    """

    names: tuple[str, ...]
    categories: tuple[tuple[int, ...], ...]
    groups: tuple[Any, ...] = ()
    complete: bool = True
