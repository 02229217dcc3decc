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
        levels: labels of every item in the order of its categories, () where its answers are numbers; () for all.
    """

    names: tuple[str, ...]
    categories: tuple[tuple[int, ...], ...]
    groups: tuple[Any, ...] = ()
    complete: bool = True
    levels: tuple[tuple[Any, ...], ...] = ()

    def labels(self, j: int) -> tuple[Any, ...]:
        """The categories of item j as the user calls them."""
        return (self.levels[j] if self.levels else ()) or self.categories[j]

    def known(self) -> dict[str, tuple[Any, ...]]:
        """{item: categories as the user calls them}."""
        return {name: self.labels(j) for j, name in enumerate(self.names)}
