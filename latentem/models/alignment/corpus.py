"""Sentence pairs as numbers, and as links between the words of a pair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Int

from latentem.building import Links

#: Cells of a table of all pairs of words, up to which one is made; beyond, pairs are sorted.
LARGEST_TABLE = 30_000_000


@dataclass(eq=False)
class Corpus:
    """N sentence pairs. Word 0 of the source is NULL, and stands at the head of every source sentence.

    Args:
        source_words, target_words: word -> number.
        source: (sum of l + 1,) numbers of the source sentences end to end, NULL first.
        target: (sum of m,) of the target sentences.
        source_lengths, target_lengths: (N,) l and m, NULL not counted.
    """

    source_words: Mapping[str, int]
    target_words: Mapping[str, int]
    source: Int[np.ndarray, " S"]
    target: Int[np.ndarray, " T"]
    source_lengths: Int[np.ndarray, " N"]
    target_lengths: Int[np.ndarray, " N"]

    def arrays(self) -> tuple[np.ndarray, ...]:
        """The sentences as numbers."""
        return self.source, self.target, self.source_lengths, self.target_lengths

    def kept(self) -> Corpus:
        """The words without the sentences: what a file keeps."""
        nothing = np.zeros(0, np.int64)
        return replace(self, source=nothing, target=nothing, source_lengths=nothing, target_lengths=nothing)

    @property
    def source_starts(self) -> Int[np.ndarray, " N"]:
        """Where in `source` each sentence begins, with its NULL."""
        return np.cumsum(self.source_lengths + 1) - self.source_lengths - 1

    @property
    def target_starts(self) -> Int[np.ndarray, " N"]:
        """Where in `target` each sentence begins."""
        return np.cumsum(self.target_lengths) - self.target_lengths


def read(data: Any, known: Corpus | None = None) -> Corpus:
    """Sentences of both languages as numbers.

    Args:
        data: (sources, targets), two lists of sentences, each a list of words or a text to be split at blanks.
        known: the words of another corpus, for new sentences; words it does not know get the number -1.

    Raises:
        ValueError: in one line: not two lists of one length, an empty sentence.
    """
    try:
        sources, targets = data
        sources, targets = [_words(s) for s in sources], [_words(s) for s in targets]
    except (TypeError, ValueError):
        raise ValueError("data: expected (sources, targets), two lists of sentences, each a list of words") from None
    if len(sources) != len(targets):
        raise ValueError(f"{len(sources)} source and {len(targets)} target sentences: expected as many of each")
    if not sources:
        raise ValueError("no sentences: expected at least one pair")
    for name, sentences in (("source", sources), ("target", targets)):
        for n, sentence in enumerate(sentences):
            if not sentence:
                raise ValueError(f"{name} sentence {n} is empty: leave the pair out")
    ls, ms = (np.fromiter(map(len, part), np.int64, len(part)) for part in (sources, targets))
    index, source = _numbered(sources, known and known.source_words, {None: 0})
    words, target = _numbered(targets, known and known.target_words, {})
    starts = np.cumsum(ls + 1) - ls - 1
    whole = np.zeros(int(ls.sum() + len(ls)), np.int64)
    is_word = np.ones(len(whole), bool)
    is_word[starts] = False
    whole[is_word] = source
    return Corpus(index, words, whole, target, ls, ms)


def _words(sentence: Any) -> Sequence[str]:
    if isinstance(sentence, str):
        return sentence.split()
    return sentence if isinstance(sentence, list | tuple) else list(sentence)


def _numbered(sentences: Iterable[Sequence[str]], known: Any, begin: dict[Any, int]) -> tuple[Any, np.ndarray]:
    """(word -> number, numbers of the words end to end)."""
    words = list(chain.from_iterable(sentences))
    if known is not None:
        return known, np.array([known.get(word, -1) for word in words], np.int64)
    index = dict(begin)
    for word in dict.fromkeys(words):
        index.setdefault(word, len(index))
    return index, np.fromiter(map(index.__getitem__, words), np.int64, len(words))


@dataclass(eq=False)
class Pairs:
    """The pairs of words that occur together in some sentence pair: the cells of the translation table.

    Args:
        source, target: (C,) numbers of the words, sorted by source, then by target.
        start: (source words,) where the cells of a source word begin.
    """

    source: Int[np.ndarray, " C"]
    target: Int[np.ndarray, " C"]
    start: Int[np.ndarray, " S"]
    width: int

    def find(self, source: Any, target: Any) -> np.ndarray:
        """Cells of these pairs of words, -1 where a pair does not occur."""
        key = np.asarray(source) * self.width + np.asarray(target)
        keys = self.source * self.width + self.target
        place = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
        return np.where((keys[place] == key) & (np.asarray(target) >= 0) & (np.asarray(source) >= 0), place, -1)


def links(corpus: Corpus, merged: bool) -> tuple[Links, Pairs]:
    """Every target word with the source words of its sentence as candidates.

    Args:
        corpus: the sentences.
        merged: words that a sentence has several times become one, with a weight: right where order does not matter.
    """
    ls, ms = corpus.source_lengths + 1, corpus.target_lengths
    source, target, weight, times = corpus.source, corpus.target, None, None
    constant = -float(ms @ np.log(ls))
    if merged:
        source, ls, times = _distinct(source, ls)
        target, ms, weight = _distinct(target, ms)
    of_sentence = np.repeat(np.arange(len(ms)), ms)
    sizes = ls[of_sentence]
    start = np.cumsum(sizes) - sizes
    # link = place in `source`: the source words of the sentence, once for every target word of it
    first = (np.cumsum(ls) - ls)[of_sentence]
    link = np.arange(int(sizes.sum())) + np.repeat(first - start, sizes)
    width = len(corpus.target_words)
    key = source[link] * width + np.repeat(target, sizes)
    cells, cell = _occurring(key, len(corpus.source_words) * width)
    of_source = cells // width
    begin = np.searchsorted(of_source, np.arange(len(corpus.source_words)))
    pairs = Pairs(of_source, cells % width, begin, width)
    many = None if times is None or (times == 1).all() else times[link]
    weight = None if weight is None or (weight == 1).all() else weight
    return Links(start, cell, begin, len(cells), weight, many, constant=constant), pairs


def _distinct(words: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(distinct words of every sentence, how many each sentence has, how often each occurs in it)."""
    width = int(words.max()) + 1
    key, times = np.unique(np.repeat(np.arange(len(lengths)), lengths) * width + words, return_counts=True)
    return key % width, np.bincount(key // width, minlength=len(lengths)), times.astype(np.float64)


def _occurring(key: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(the distinct keys in order, the place of each key among them)."""
    if size > LARGEST_TABLE:
        return np.unique(key, return_inverse=True)
    there = np.zeros(size, bool)
    there[key] = True
    distinct = np.flatnonzero(there)
    place = np.empty(size, np.int32)
    place[distinct] = np.arange(len(distinct), dtype=np.int32)
    return distinct, place[key]


def with_places(found: Links, corpus: Corpus) -> tuple[Links, Any]:
    """The links of IBM model 2: each candidate stands at a place (l, m, j, i) that has a probability of its own.

    Returns:
        (links, (G, 3) the l, m, j of every group of places).
    """
    ls, ms = corpus.source_lengths, corpus.target_lengths
    of_sentence = np.repeat(np.arange(len(ms)), ms)
    j = np.arange(int(ms.sum())) - np.repeat(corpus.target_starts, ms) + 1
    seen, group = np.unique(np.stack([ls[of_sentence], ms[of_sentence], j], 1), axis=0, return_inverse=True)
    groups = np.cumsum(seen[:, 0] + 1) - seen[:, 0] - 1
    place = np.arange(len(found.cell)) + np.repeat(groups[group.ravel()] - found.start, found.sizes)
    made = Links(
        found.start,
        found.cell,
        found.sources,
        found.cells,
        place=place,
        places=int(np.sum(seen[:, 0] + 1)),
        groups=groups,
    )
    return made, seen
