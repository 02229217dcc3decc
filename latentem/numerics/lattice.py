"""Neighbours on a rectangular lattice of one, two or three dimensions: pairs as slices, nothing indexed."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

#: dimensions -> numbers of neighbours -> the largest number of coordinates in which neighbours differ.
NEIGHBOURS = {1: {2: 1}, 2: {4: 1, 8: 2}, 3: {6: 1, 18: 2, 26: 3}}


class Pairs(NamedTuple):
    """All pairs of neighbours in one direction: `x[first]` and `x[second]` lie side by side.

    Args:
        first, second: slices.
        distance: of the two.
        offset: of the second from the first.
    """

    first: tuple[slice, ...]
    second: tuple[slice, ...]
    distance: float
    offset: tuple[int, ...]


@lru_cache(maxsize=32)
def pairs(dimensions: int, neighbours: int) -> tuple[Pairs, ...]:
    """Half of the directions, so that every pair of neighbours comes once.

    Args:
        dimensions: of the lattice.
        neighbours: 2; 4 or 8; 6, 18 or 26.

    Raises:
        ValueError: another number of neighbours or dimensions.

    >>> [p.distance for p in pairs(2, 4)]
    [1.0, 1.0]
    """
    known = NEIGHBOURS.get(dimensions)
    if known is None:
        raise ValueError(f"a lattice of {dimensions} dimensions: expected 1, 2 or 3")
    if neighbours not in known:
        told = " or ".join(map(str, known))
        raise ValueError(f"neighbours={neighbours!r} on a lattice of {dimensions} dimensions: expected {told}")
    found = []
    for offset in product((-1, 0, 1), repeat=dimensions):
        steps = sum(map(abs, offset))
        if 0 < steps <= known[neighbours] and offset > (0,) * dimensions:
            first = tuple(slice(max(0, -o), -o if o > 0 else None) for o in offset)
            second = tuple(slice(max(0, o), o if o < 0 else None) for o in offset)
            found.append(Pairs(first, second, float(np.sqrt(steps)), offset))
    return tuple(found)


def count_pairs(shape: tuple[int, ...], neighbours: int) -> int:
    """How many pairs of neighbours a lattice of this shape has."""
    return sum(int(np.empty(shape, np.bool_)[p.first].size) for p in pairs(len(shape), neighbours))


def neighbour_sum(x: Float[np.ndarray, "*lattice"], neighbours: int) -> Float[np.ndarray, "*lattice"]:
    """At each site the sum of x over its neighbours."""
    total = np.zeros_like(x)
    for p in pairs(x.ndim, neighbours):
        total[p.first] += x[p.second]
        total[p.second] += x[p.first]
    return total


def colours(shape: tuple[int, ...]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The lattice in 2^d parts, each every second site in every direction: no two sites of a part are neighbours.

    Returns:
        (first site, number of sites in each direction) of every part that has sites.
    """
    found = []
    for corner in product((0, 1), repeat=len(shape)):
        sites = tuple((n - c + 1) // 2 for n, c in zip(shape, corner, strict=True))
        if all(sites):
            found.append((corner, sites))
    return found


def every_second(corner: tuple[int, ...], sites: tuple[int, ...], offset: tuple[int, ...]) -> tuple[slice, ...]:
    """Of a lattice with a margin of 1: the sites of a part, moved by an offset of at most 1 in every direction."""
    return tuple(slice(1 + c + o, 1 + c + o + 2 * n - 1, 2) for c, n, o in zip(corner, sites, offset, strict=True))
