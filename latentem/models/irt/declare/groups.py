"""Groups of persons: what they have in common, and which moments of ability are theirs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

INVARIANCES = ("configural", "metric", "scalar")
MOMENTS = (None, "fixed", "free")


def choice(name: str, value: object, known: Collection[object]) -> None:
    """Raise in one line for a value that is none of those known."""
    if value not in known:
        told = ", ".join(repr(one) for one in known if one is not None)
        raise ValueError(f"{name}={value!r}: expected one of {told}")


@dataclass(frozen=True)
class Groups:
    """What `group=`, `invariance=`, `free_items=`, `mean=` and `variance=` of an item response model say together.

    Args:
        column: of the data that says which group a person belongs to; None for one population.
        invariance: "configural", "metric" or "scalar".
        free_items: names of items whose params differ between groups all the same.
        mean, variance: of ability, "fixed" or "free"; None for what the invariance says.
    """

    column: str | None
    invariance: str
    free_items: tuple[str, ...]
    mean: str | None
    variance: str | None

    def refuse(self, anchored: bool) -> None:
        """Raise in one line for what is none of these, or contradicts itself.

        Args:
            anchored: params of some items are known, so that ability has an origin.
        """
        choice("invariance", self.invariance, INVARIANCES)
        choice("mean", self.mean, MOMENTS)
        choice("variance", self.variance, MOMENTS)
        if self.column is not None and not isinstance(self.column, str):
            raise TypeError(f"group={self.column!r:.60}: expected the name of a column of the data")
        if self.mean == "free" and not anchored and self.column is None:
            raise ValueError("mean='free': ability has no origin where all items are free: name known items in fixed=")
        if self.free_items and self.column is None:
            raise ValueError("free_items= is of groups: name the column of the groups in group=, or leave it out")

    def of_their_own(self, params: Collection[str], free: bool) -> frozenset[str]:
        """The params of an item that each group has for itself.

        Args:
            params: names of those of the item that are estimated.
            free: the item is one of `free_items`.
        """
        if not free and self.invariance == "scalar":
            return frozenset()
        common = {"slope"} if self.invariance == "metric" and not free else set[str]()
        return frozenset(params) - common

    def free_means(self, groups: int) -> int:
        """Of how many of `groups` populations the mean of ability is free: of the last ones."""
        return _free(self.mean, groups, self.invariance == "scalar")

    def free_variances(self, groups: int, unit_slope: bool) -> int:
        """Of how many of `groups` populations the variance is free; of all where slopes are fixed."""
        if self.variance is None and unit_slope:
            return groups
        return _free(self.variance, groups, self.invariance != "configural")


def _free(asked: str | None, groups: int, others: bool) -> int:
    if asked is not None:
        return groups if asked == "free" else 0
    return (groups - 1) * others
