"""The HMM alignment (Vogel, Ney and Tillmann 1996): the source position of a target word depends on that of the last.

States are the source positions 1 ... l; a target word that comes from NULL remembers the position before it (Och and
Ney 2003). A jump from i' to i has the probability s(i - i') / sum over i of s(i - i'); jumps beyond `widest` share one
s. Sentences whose source has the same length run side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from latentem.building import HostForm, Links, given, shares
from latentem.models.alignment.corpus import Corpus

Vector = Float[np.ndarray, " D"]


class Group(NamedTuple):
    """Sentences whose source has l words, the longest targets first.

    Args:
        length: l.
        links: (B, M) where the links of a target word begin in the list of links, NULL first; 0 beyond its end.
        targets: (B,) lengths m of the target sentences.
        sentence: (B,) their numbers.
    """

    length: int
    links: Int[np.ndarray, "B M"]
    targets: Int[np.ndarray, " B"]
    sentence: Int[np.ndarray, " B"]


def groups(corpus: Corpus, links: Links) -> list[Group]:
    """The corpus by source length."""
    found = []
    for length in np.unique(corpus.source_lengths):
        sentence = np.flatnonzero(corpus.source_lengths == length)
        sentence = sentence[np.argsort(-corpus.target_lengths[sentence], kind="stable")]
        m = corpus.target_lengths[sentence]
        j = np.arange(int(m[0]))
        unit = np.where(j < m[:, None], corpus.target_starts[sentence][:, None] + j, 0)
        found.append(Group(int(length), links.start[unit], m, sentence))
    return found


def bins(length: int, widest: int) -> Int[np.ndarray, "l l"]:
    """Which jump leads from i' (row) to i (column): i - i' + widest, within 0 ... 2 widest."""
    i = np.arange(length)
    return np.clip(i[None, :] - i[:, None], -widest, widest) + widest


def emissions(group: Group, of_links: Vector) -> tuple[Float[np.ndarray, "B M l"], Float[np.ndarray, "B M"]]:
    """Probabilities of the target words from every source position, and from NULL, of those of all links."""
    return of_links[group.links[:, :, None] + 1 + np.arange(group.length)], of_links[group.links]


def alive(group: Group) -> Iterator[tuple[int, int]]:
    """(j, how many sentences have a j-th target word): they come first."""
    for j in range(group.links.shape[1]):
        yield j, int(np.sum(group.targets > j))


@dataclass(eq=False)
class JumpsForm(HostForm):
    """EM of the HMM alignment: translation, jumps, share of NULL.

    The M-step of the jumps, whose normalisers differ from length to length, is a step of Hunter's (2004, Ann. Stat. 32)
    minorisation for choices, so that the likelihood rises.

    Args:
        links: every target word with NULL and the source words of its sentence, in their order.
        groups: the sentences by source length.
        widest: jumps beyond share their probability.
        null: the share of NULL, or None to estimate it.
        begin: translation probabilities of the start.
    """

    links: Links
    groups: list[Group]
    widest: int
    null: float | None
    begin: Vector

    accelerated: ClassVar[bool] = False
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = self.links.cells
        self.n_observations = float(len(self.links.start))
        self.n_parameters = self.size - len(self.links.sources) + 2 * self.widest + (self.null is None)

    def split(self, theta: Vector) -> tuple[Vector, Vector, float]:
        """(translation, jumps, share of NULL)."""
        return theta[: self.size], theta[self.size : -1], float(theta[-1])

    def start(self, rng: np.random.Generator, first: bool) -> Vector:
        jumps = np.full(2 * self.widest + 1, 1.0 / (2 * self.widest + 1))
        t = self.begin if first else shares(rng.exponential(size=self.size), self.links.sources, self.links.in_source)
        return np.concatenate([t, jumps, [0.2 if self.null is None else self.null]])

    def update(self, theta: Vector) -> tuple[Vector, float]:
        t, jumps, null = self.split(theta)
        expected, of_links = np.zeros(len(self.links.cell)), t[self.links.cell]
        moved, exposed, nulls, total = np.zeros_like(jumps), np.zeros_like(jumps), 0.0, 0.0
        for group in self.groups:
            which = bins(group.length, self.widest)
            weight = jumps[which]
            reach = weight.sum(axis=1, keepdims=True)
            posterior, from_null, pairs, value = forward_backward(
                group, *emissions(group, of_links), weight / reach, null
            )
            total += value
            inside = np.arange(group.links.shape[1]) < group.targets[:, None]
            at = group.links[inside]
            expected[at] = from_null[inside]
            expected[at[:, None] + 1 + np.arange(group.length)] = posterior[inside]
            nulls += float(from_null[inside].sum())
            moved += np.bincount(which.ravel(), pairs.ravel(), len(jumps))
            rate = np.repeat(pairs.sum(axis=1, keepdims=True) / reach, group.length, axis=1)
            exposed += np.bincount(which.ravel(), rate.ravel(), len(jumps))
        new = shares(np.bincount(self.links.cell, expected, self.size), self.links.sources, self.links.in_source)
        jumps = np.divide(moved, exposed, out=np.zeros_like(jumps), where=exposed > 0) if moved.any() else jumps
        share = nulls / self.n_observations if self.null is None else self.null
        return np.concatenate([new, jumps / jumps.sum(), [share]]), total

    def values(self, theta: Vector) -> tuple[float, float]:
        return self.update(theta)[1], 0.0

    def from_coordinates(self, u: Vector) -> Vector:
        t, jumps, null = self.split(u * u)
        t = shares(t, self.links.sources, self.links.in_source)
        return np.concatenate([t, jumps / jumps.sum(), [min(null, 1.0) if self.null is None else self.null]])

    def params(self, theta: Vector) -> Any:
        t, jumps, null = self.split(theta)
        return {"translation": t.copy(), "jumps": jumps.copy(), "null": np.float64(null)}

    def theta(self, params: Any) -> Vector:
        t, jumps = given(params, "translation", self.size), given(params, "jumps", 2 * self.widest + 1)
        null = float(given({"null": np.reshape(params.get("null", 0.2), 1)}, "null", 1)[0])
        return np.concatenate([t, jumps, [null if self.null is None else self.null]])


def forward_backward(
    group: Group, emission: np.ndarray, from_null: np.ndarray, jump: np.ndarray, null: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Posteriors of the sentences of a group.

    Args:
        group: B sentences of up to M target words.
        emission: (B, M, l) probabilities of the target words from every position.
        from_null: (B, M) from NULL.
        jump: (l, l) probabilities from row to column.
        null: share of NULL.

    Returns:
        (posterior of each position (B, M, l), of NULL (B, M), expected jumps (l, l), log-likelihood).
    """
    b, m, length = emission.shape
    came, memory, scale = np.zeros((b, m, length)), np.zeros((b, m, length)), np.ones((b, m))
    for j, n in alive(group):
        before = memory[:n, j - 1] if j else None
        ahead = np.full((n, length), 1.0 / length) if before is None else before @ jump
        stay = np.full((n, length), 1.0 / length) if before is None else before
        at = (1 - null) * ahead * emission[:n, j]
        there = at + null * stay * from_null[:n, j, None]
        scale[:n, j] = there.sum(axis=1)
        came[:n, j] = at / scale[:n, j, None]
        memory[:n, j] = there / scale[:n, j, None]
    later = np.ones((b, length))
    pairs, nulls = np.zeros((length, length)), np.zeros((b, m))
    for j, n in reversed(list(alive(group))):
        seen = later[:n]
        stay = memory[:n, j] - came[:n, j]
        nulls[:n, j] = np.sum(stay * seen, axis=1)
        came[:n, j] *= seen
        onward = emission[:n, j] * seen / scale[:n, j, None]
        if j:
            pairs += (1 - null) * (memory[:n, j - 1].T @ onward)
            later[:n] = (1 - null) * (onward @ jump.T) + null * from_null[:n, j, None] * seen / scale[:n, j, None]
    return came, nulls, pairs * jump, float(np.log(scale).sum())
