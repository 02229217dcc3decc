"""WordAlignment: IBM models 1 and 2 and the HMM alignment."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from latentem.building import CandidatesForm, Links
from latentem.models.alignment.agreement import Link, symmetrise
from latentem.models.alignment.chain import JumpsForm, bins, emissions, groups
from latentem.models.alignment.corpus import Corpus, Pairs, links, read, with_places
from latentem.models.alignment.paths import most_probable_path

MODELS = ("ibm1", "ibm2", "hmm")
#: Probability of a pair of words that never occurred together, in new sentences.
UNSEEN = 1e-12


@dataclass(frozen=True, eq=False)
class WordAlignment:
    """Each target word comes from a source word of its sentence, or from NULL: t(target | source) by EM.

    Data are (sources, targets), two lists of sentences. EM runs step by step, as is the custom in this field, where few
    iterations are made: `lem.fit(model, data, max_iterations=5)`; `method=lem.SQUAREM()` goes to the maximum.

    Args:
        model: "ibm1", every source position alike; "ibm2", positions with probabilities a(i | j, l, m) (Brown et al.
            1993, Computational Linguistics 19); "hmm", positions that depend on the last one (Vogel, Ney and
            Tillmann 1996).
        warm: iterations of IBM 1 with which the others begin.
        widest: of "hmm": jumps beyond so many words share their probability.
        null: of "hmm": share of words from NULL; None estimates it.

    >>> data = ["the house", "the book", "a book"], ["das Haus", "das Buch", "ein Buch"]
    >>> fit = lem.fit(lem.WordAlignment(), data, max_iterations=5)
    >>> round(fit.probability("Buch", "book"), 4), fit.align()[1]
    (0.8647, [(0, 0), (1, 1)])
    """

    model: str = "ibm1"
    warm: int = 5
    widest: int = 7
    null: float | None = 0.2
    corpus: Corpus | None = field(default=None, repr=False)
    pairs: Pairs | None = field(default=None, repr=False)
    places: Any = field(default=None, repr=False)

    verbs = ("probability", "translations", "align", "link_probability", "symmetrise")

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"model={self.model!r}: expected {', '.join(map(repr, MODELS))}")
        for name, least in (("warm", 0), ("widest", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name}={value!r}: expected an integer >= {least}")
        if self.null is not None and not 0 <= self.null < 1:
            raise ValueError(f"null={self.null!r}: expected a probability below 1, or None to estimate it")

    @property
    def name(self) -> str:
        """What summaries and files call the model."""
        return {"ibm1": "IBM model 1", "ibm2": "IBM model 2", "hmm": "HMM alignment"}[self.model]

    def on_host(self, data: Any, weights: Any) -> tuple[WordAlignment, Corpus, Any]:
        """(the model with the words of the data, the corpus, what the driver climbs on)."""
        if weights is not None:
            raise ValueError("weights= of sentences: WordAlignment takes none; repeat the sentences")
        corpus = read(data)
        # Merging the words that a sentence repeats changes no pair of words, so that tables of all models agree.
        found, pairs = links(corpus, merged=self.model == "ibm1")
        declared = replace(self, corpus=corpus, pairs=pairs)
        if self.model == "ibm1":
            return declared, corpus, CandidatesForm(found, (_even(found, corpus),))
        begin = self._warmed(corpus)
        if self.model == "ibm2":
            placed, seen = with_places(found, corpus)
            return replace(declared, places=seen), corpus, CandidatesForm(placed, (begin,))
        return declared, corpus, JumpsForm(found, groups(corpus, found), self.widest, self.null, begin)

    def _warmed(self, corpus: Corpus) -> np.ndarray:
        found = links(corpus, merged=True)[0]
        form, theta = CandidatesForm(found), _even(found, corpus)
        for _ in range(self.warm):
            theta, _ = form.update(theta)
        return theta

    # --- verbs

    def probability(self, fit: Any, target: str, source: str | None) -> float:
        """t(target | source), source None for NULL; 0 for words that never occurred together."""
        corpus, pairs = self._seen
        for word, words in ((target, corpus.target_words), (source, corpus.source_words)):
            if word not in words:
                raise ValueError(f"the word {word!r} is not in the corpus")
        cell = int(pairs.find(corpus.source_words[source], corpus.target_words[target]))  # pyright: ignore
        return float(fit.params["translation"][cell]) if cell >= 0 else 0.0

    def translations(self, fit: Any, source: str | None, n: int = 5) -> list[tuple[str, float]]:
        """The n most probable target words of a source word, None for NULL."""
        corpus, pairs = self._seen
        if source not in corpus.source_words:
            raise ValueError(f"the word {source!r} is not in the corpus")
        s = corpus.source_words[source]  # pyright: ignore[reportArgumentType]
        stop = pairs.start[s + 1] if s + 1 < len(pairs.start) else len(pairs.target)
        t, target = fit.params["translation"][pairs.start[s] : stop], pairs.target[pairs.start[s] : stop]
        words = list(corpus.target_words)
        return [(words[target[c]], float(t[c])) for c in np.argsort(-t, kind="stable")[:n]]

    def link_probability(self, fit: Any, data: Any = None) -> list[np.ndarray]:
        """p(source position i | target position j) of every pair, (m, l + 1), NULL in column 0; of IBM 1 and 2."""
        if self.model == "hmm":
            raise ValueError("link_probability: of IBM 1 and 2; the HMM's most probable path is align()")
        corpus, found, t = self._of(fit, data)
        a = fit.params["alignment"] if found.groups is not None else None
        p, _ = found.probabilities(t, a)
        ends = np.cumsum(corpus.target_lengths * (corpus.source_lengths + 1))[:-1]
        shapes = zip(corpus.target_lengths, corpus.source_lengths + 1, strict=True)
        return [part.reshape(shape) for part, shape in zip(np.split(p, ends), shapes, strict=True)]

    def align(self, fit: Any, data: Any = None) -> list[list[Link]]:
        """The most probable links (source position, target position), from 0, of every pair; words from NULL have none.

        Args:
            fit: of this model.
            data: (sources, targets), new sentences; those of the fit by default.
        """
        if self.model != "hmm":
            best = [p.argmax(axis=1) - 1 for p in self.link_probability(fit, data)]
            return [[(int(i), j) for j, i in enumerate(path) if i >= 0] for path in best]
        corpus, found, t = self._of(fit, data)
        aligned: list[list[Link]] = [[] for _ in corpus.target_lengths]
        for group in groups(corpus, found):
            jump = fit.params["jumps"][bins(group.length, self.widest)]
            jump = jump / np.maximum(jump.sum(axis=1, keepdims=True), 1e-300)
            paths = most_probable_path(group, *emissions(group, t[found.cell]), jump, float(fit.params["null"]))
            for row, n in enumerate(group.sentence):
                aligned[n] = [(int(i), j) for j, i in enumerate(paths[row, : group.targets[row]]) if i >= 0]
        return aligned

    def symmetrise(
        self, fit: Any, backward: Any, data: Any = None, method: str = "grow-diag-final-and"
    ) -> list[set[Link]]:
        """Alignments that this fit and a fit of the other direction make together.

        Args:
            fit: source -> target.
            backward: a fit of (targets, sources).
            data: (sources, targets); those of the fits by default.
            method: as of `symmetrise`.
        """
        other = backward.align() if data is None else backward.align((data[1], data[0]))
        turned = ([(i, j) for j, i in path] for path in other)
        return [symmetrise(a, b, method) for a, b in zip(self.align(fit, data), turned, strict=True)]

    def _of(self, fit: Any, data: Any) -> tuple[Corpus, Links, np.ndarray]:
        """(corpus, links word by word, translation probabilities of their cells)."""
        corpus, pairs = self._seen
        if data is None:
            if not len(corpus.target):
                raise ValueError("this fit was loaded without its sentences: pass some, or lem.load(path, data=...)")
            found = links(corpus, merged=False)[0]
            return corpus, self._placed(found, corpus), fit.params["translation"]
        new = read(data, corpus)
        shifted = replace(new, source=new.source + 1, target=new.target + 1)  # unknown words are 0
        bare = replace(shifted, source_words=range(len(corpus.source_words) + 1))  # pyright: ignore
        bare = replace(bare, target_words=range(len(corpus.target_words) + 1))  # pyright: ignore
        found, cells = links(bare, merged=False)
        place = pairs.find(cells.source - 1, cells.target - 1)
        t = np.where(place >= 0, fit.params["translation"][place], UNSEEN)
        return new, self._placed(found, new), np.maximum(t, UNSEEN)

    def _placed(self, found: Links, corpus: Corpus) -> Links:
        if self.model != "ibm2":
            return found
        placed, seen = with_places(found, corpus)
        if seen.shape != self.places.shape or (seen != self.places).any():
            raise ValueError("IBM 2 knows the lengths of sentences it has seen only: use IBM 1 or the HMM for new ones")
        return placed

    @property
    def _seen(self) -> tuple[Corpus, Pairs]:
        if self.corpus is None or self.pairs is None:
            raise ValueError("this WordAlignment has seen no data: ask a fit of it")
        return self.corpus, self.pairs


def _even(found: Links, corpus: Corpus) -> np.ndarray:
    """All target words alike, as in the textbooks: probabilities that add up to one with the words never seen."""
    return np.full(found.cells, 1.0 / len(corpus.target_words))
