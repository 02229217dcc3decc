"""A latent choice among few candidates, of which each unit has its own: two gathers and two sums over links.

Unit n chooses among the links start[n] ... start[n + 1] - 1; link i has the unnormalised probability multiplicity_i *
t[cell_i] (times a[place_i], where places have probabilities too). Cells belong to sources, whose probabilities add up
to one, places to groups, likewise. IBM models 1 and 2 of word alignment are this (Brown et al. 1993, Computational
Linguistics 19), and so are reads that may come from several genes and records that may belong together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from latentem.forms.host import HostForm

Vector = Float[np.ndarray, " D"]


@dataclass(eq=False)
class Links:
    """Units and their candidates, end to end.

    Args:
        start: (U,) where the links of a unit begin, increasing; every unit has at least one.
        cell: (L,) which probability a link takes.
        sources: (S,) where the cells of a source begin; every source has at least one.
        cells: C.
        weight: (U,) how often a unit stands for itself, or None for once.
        multiplicity: (L,) how often a candidate stands for itself, or None.
        place, places, groups: the same of the second factor, or None: (L,), its number P, (G,).
        constant: what the log-likelihood has besides.
    """

    start: Int[np.ndarray, " U"]
    cell: Int[np.ndarray, " L"]
    sources: Int[np.ndarray, " S"]
    cells: int
    weight: Float[np.ndarray, " U"] | None = None
    multiplicity: Float[np.ndarray, " L"] | None = None
    place: Int[np.ndarray, " L"] | None = None
    places: int = 0
    groups: Int[np.ndarray, " G"] | None = None
    constant: float = 0.0
    sizes: Int[np.ndarray, " U"] = field(init=False)
    in_source: Int[np.ndarray, " S"] = field(init=False)
    in_group: Any = field(init=False)

    def __post_init__(self) -> None:
        self.sizes = np.diff(self.start, append=len(self.cell))
        self.in_source = np.diff(self.sources, append=self.cells)
        self.in_group = None if self.groups is None else np.diff(self.groups, append=self.places)

    def probabilities(self, t: Vector, a: Vector | None) -> tuple[Float[np.ndarray, " L"], Float[np.ndarray, " U"]]:
        """(probability of every link given the data, total of every unit before normalising)."""
        p = t[self.cell]
        if a is not None:
            p *= a[self.place]
        if self.multiplicity is not None:
            p *= self.multiplicity
        total = np.add.reduceat(p, self.start)
        with np.errstate(divide="ignore", invalid="ignore"):
            p *= np.repeat(1 / total if self.weight is None else self.weight / total, self.sizes)
        return p, total

    def log_likelihood(self, total: Float[np.ndarray, " U"]) -> float:
        """Of the units, given the totals before normalising."""
        with np.errstate(divide="ignore"):
            logs = np.log(total)
        return float(np.sum(logs) if self.weight is None else self.weight @ logs) + self.constant


def shares(expected: Vector, starts: np.ndarray, sizes: np.ndarray) -> Vector:
    """Expected counts as shares of the sum of their block; even where nothing was expected."""
    total = np.add.reduceat(expected, starts)
    if total.min() > 0:
        return expected * np.repeat(1 / total, sizes)
    even = np.repeat(1.0 / sizes, sizes)
    whole = np.repeat(total, sizes)
    return np.divide(expected, whole, out=even, where=whole > 0)


@dataclass(eq=False)
class CandidatesForm(HostForm):
    """EM over links: t, and a where places have probabilities.

    Args:
        links: units and candidates.
        begin: (t, a) or (t,) of the first start; even shares by default.
        names: of the params t and a.
    """

    links: Links
    begin: tuple[Vector, ...] = ()
    names: tuple[str, ...] = ("translation", "alignment")

    accelerated: ClassVar[bool] = False

    def __post_init__(self) -> None:
        links = self.links
        units = float(len(links.start)) if links.weight is None else float(links.weight.sum())
        self.n_observations = units
        self.n_parameters = links.cells - len(links.sources)
        if links.groups is not None:
            self.n_parameters += links.places - len(links.groups)

    def split(self, theta: Vector) -> tuple[Vector, Vector | None]:
        """(t, a), views; a is None where places have no probabilities."""
        return theta[: self.links.cells], theta[self.links.cells :] if self.links.groups is not None else None

    def start(self, rng: np.random.Generator, first: bool) -> Vector:
        links = self.links
        t = np.ones(links.cells) if first else rng.exponential(size=links.cells)
        t = shares(t, links.sources, links.in_source)
        begin = list(self.begin or (t,)) if first else [t]
        if links.groups is not None and len(begin) < 2:
            begin.append(np.repeat(1.0 / links.in_group, links.in_group))
        return np.concatenate(begin)

    def update(self, theta: Vector) -> tuple[Vector, float]:
        links = self.links
        t, a = self.split(theta)
        p, total = links.probabilities(t, a)
        new = [shares(np.bincount(links.cell, p, links.cells), links.sources, links.in_source)]
        if links.place is not None and links.groups is not None:
            new.append(shares(np.bincount(links.place, p, links.places), links.groups, links.in_group))
        return np.concatenate(new) if len(new) > 1 else new[0], links.log_likelihood(total)

    def values(self, theta: Vector) -> tuple[float, float]:
        return self.links.log_likelihood(self.links.probabilities(*self.split(theta))[1]), 0.0

    def from_coordinates(self, u: Vector) -> Vector:
        t, a = self.split(u * u)
        links = self.links
        parts = [shares(t, links.sources, links.in_source)]
        return np.concatenate(parts if a is None else [*parts, shares(a, links.groups, links.in_group)])  # pyright: ignore

    def params(self, theta: Vector) -> Any:
        return {name: a.copy() for name, a in zip(self.names, self.split(theta), strict=False) if a is not None}

    def theta(self, params: Any) -> Vector:
        return np.concatenate([given(params, n, size) for n, size in zip(self.names, self._sizes(), strict=False)])

    def _sizes(self) -> tuple[int, ...]:
        return (self.links.cells,) if self.links.groups is None else (self.links.cells, self.links.places)


def given(params: Any, name: str, size: int) -> Vector:
    """One array of probabilities of a start that a user gives.

    Raises:
        ValueError: it is missing, or of another size.
    """
    try:
        array = np.asarray(params[name], np.float64)
    except (KeyError, TypeError, ValueError, IndexError):
        raise ValueError(
            f"initial: expected a dict with {name!r}, such as the params of a fit to the same data"
        ) from None
    if array.shape != (size,) or not (array >= 0).all():
        raise ValueError(f"initial {name} has shape {array.shape}: expected ({size},), numbers >= 0, of the same data")
    return array
