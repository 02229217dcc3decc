"""Detect, validate, compress: from a declaration and data to a separable form on anchors, or to the reason why not."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np

from latentem.forms.anchors import basis as finding
from latentem.forms.anchors.basis import Basis, NoGap, Refused
from latentem.forms.anchors.compression import Compression, count_rows, latent_nodes
from latentem.forms.anchors.coordinates import HARD, Coordinates, UnseenMask, coordinates_of_all
from latentem.model import Model

#: Rows of the first sample; it grows when the rank comes close to it.
SAMPLE = 384
LARGEST_SAMPLE = 1536
#: Tries, each with more draws, more rows, or the rows that the one before failed to predict.
ROUNDS = 6


@dataclass(frozen=True)
class Density:
    """What is searched: log p(x, z | params) of these rows over these latent values.

    Args:
        rows: N distinct observations, host arrays.
        observations: how many they stand for.
        memory: bytes that the coordinates may take; None for four times the data, and at least 256 MB.
        began: when the search began, seconds.
    """

    model: Model
    nodes: np.ndarray
    rows: Any
    observations: int
    memory: float | None
    began: float

    @property
    def n(self) -> int:
        """N."""
        return count_rows(self.rows)

    @property
    def size(self) -> int:
        """P."""
        return self.model.space.size

    @property
    def budget(self) -> float:
        """Bytes that the coordinates may take."""
        data = sum(a.nbytes for a in jax.tree.leaves(self.rows))
        return max(256e6, 4.0 * data) if self.memory is None else self.memory

    def done(self, verdict: bool, reason: str, **found: Any) -> Compression:
        """The end of a search."""
        spent = time.perf_counter() - self.began
        return Compression(verdict, reason, rows=self.n, observations=self.observations, seconds=spent, **found)


@dataclass(frozen=True)
class Search:
    """How the next round looks for anchors, and what the rounds before found.

    Args:
        density: what is searched.
        rng: drawn from, round by round.
        centre: (P,) free vector around which params are drawn.
        draws: of params.
        sample: rows of the sample.
        hard: indices of rows that the sample has to contain.
        masked: whether some rows have impossible latent values.
        reason: why the last round failed.
        found: rank, gap and error so far.
    """

    density: Density
    rng: np.random.Generator
    centre: np.ndarray
    draws: int
    sample: int
    hard: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))
    masked: bool = False
    reason: str = ""
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def at_largest(self) -> bool:
        """Whether the sample cannot grow."""
        return self.sample >= min(self.density.n, LARGEST_SAMPLE)

    def ended(self, verdict: bool, reason: str, **more: Any) -> Compression:
        """The end, with what was found."""
        return self.density.done(verdict, reason, **{**self.found, **more})

    def given_up(self) -> Compression:
        """The end, for the reason of the last round."""
        n, size = self.density.n, self.density.size
        few = f" ({n} distinct rows are too few for {size} free parameters)" if n <= 4 * (size + 1) else ""
        return self.ended(False, self.reason + few)


def compress(
    model: Model,
    rows: Any,
    observations: int,
    *,
    centre: np.ndarray | None = None,
    draws: int | None = None,
    memory: float | None = None,
    seed: int = 0,
) -> Compression:
    """`sufficiency` of checked float64 rows, under x64."""
    began = time.perf_counter()
    nodes = latent_nodes(model, rows)
    density = Density(model, np.zeros(0) if nodes is None else nodes, rows, observations, memory, began)
    if nodes is None:
        return density.done(False, "the latent does not sum over nodes that all observations share")
    size = density.size
    if size == 0:
        return density.done(False, "no parameter is free")
    state: Compression | Search = Search(
        density,
        np.random.default_rng(seed),
        np.zeros(size) if centre is None else centre,
        max(2, draws if draws is not None else 2 * size + 16),
        min(density.n, SAMPLE),
    )
    for _ in range(ROUNDS):
        state = one_round(state)
        if isinstance(state, Compression):
            return state
    return state.given_up()


def one_round(search: Search) -> Compression | Search:
    """Look for anchors in a sample and prove them on all rows: the end, or how to look next."""
    density, rng = search.density, search.rng
    index = np.union1d(rng.choice(density.n, search.sample, replace=False), search.hard)
    sample = finding.take(density.rows, index)
    u = finding.draws(rng, search.centre, search.draws)
    try:
        possible = finding.structural(density.model, density.nodes, sample, u)
        if search.masked and possible is None:
            possible = np.ones((len(index), len(density.nodes)), dtype=bool)
        basis = finding.find_basis(density.model, density.nodes, sample, possible, u, rng)
    except NoGap as refusal:
        return enlarged(replace(search, reason=str(refusal)))
    except Refused as refusal:
        return tamed(search, str(refusal))
    search = replace(search, found={"rank": basis.rank, "gap": basis.gap})
    if basis.rank > density.n / 2:
        return search.ended(False, f"rank {basis.rank} of {density.n} distinct rows: anchors would save nothing")
    if basis.rank * density.n * 8 > density.budget:
        return search.ended(False, f"{basis.rank} coordinates of {density.n} rows exceed the memory budget")
    try:
        whole = coordinates_of_all(
            density.model, density.nodes, density.rows, sample, basis, possible, search.centre, rng
        )
    except UnseenMask as unseen:
        return replace(search, masked=True, hard=np.union1d(search.hard, unseen.rows))
    except Refused as refusal:
        return tamed(search, str(refusal))
    search = replace(search, found={**search.found, "error": whole.error})
    if whole.error <= finding.REQUIRED_ERROR:
        if not _depends_on_params(density, sample, u):
            return search.ended(False, "log p(x, z) depends on x and z only: there is nothing to estimate")
        return search.ended(True, "log p(x, z) separates", basis=basis, **whole.kept)
    return failed(search, basis, whole, len(index))


def failed(search: Search, basis: Basis, whole: Coordinates, rows: int) -> Compression | Search:
    """What follows where anchors from this many rows do not predict all: anchors for the way to better params, or
    another round with the rows that were not predicted."""
    if whole.error <= finding.PROVISIONAL_ERROR and search.draws > search.density.size + 8:
        reason = (
            f"rank {basis.rank} holds to {whole.error:.0e} only: the params drawn are far from the data; "
            "pass params (or initial=) near them"
        )
        return search.ended(False, reason, provisional=True, basis=basis, **whole.kept)
    reason = (
        f"rank {basis.rank} found from {search.draws} draws and {rows} rows fails on fresh params: "
        f"relative error {whole.error:.1e}"
    )
    search = replace(search, reason=reason, hard=np.union1d(search.hard, whole.failing))
    # A few rare rows: with them in the sample the same effort may do.
    rare = len(whole.failing) < HARD and search.at_largest
    return search if rare else enlarged(search)


def enlarged(search: Search) -> Compression | Search:
    """The search with more draws of params and more rows, or its end where both are many."""
    nodes = len(search.density.nodes)
    if search.at_largest and search.draws * nodes > 2 * search.sample and search.draws > search.density.size + 8:
        return search.given_up()
    draws = max(2 * search.draws, 2 * search.sample // nodes + 1)
    return replace(search, draws=draws, sample=min(search.density.n, 4 * search.sample, LARGEST_SAMPLE))


def tamed(search: Search, reason: str) -> Compression | Search:
    """The search around a centre at which log p cannot overflow, or its end where the centre was such a one."""
    # A param at the edge of its set has a free coordinate of hundreds, around which log p may overflow; so may
    # a mean be, around which it does not.
    tame = np.clip(search.centre, -30, 30)
    return search.ended(False, reason) if np.array_equal(search.centre, tame) else replace(search, centre=tame)


def _depends_on_params(density: Density, sample: Any, u: np.ndarray) -> bool:
    k, few = len(density.nodes), u[: finding.MODERATE]
    z = density.nodes[np.tile(np.arange(k), len(few))]
    values = finding.table(density.model, np.repeat(few, k, axis=0), z, sample)
    values = np.where(np.isfinite(values), values, 0.0).reshape(len(few), k, -1)
    return bool(np.ptp(values, axis=0).any())
