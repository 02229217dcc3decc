"""Word alignment: NLTK's tables, enumeration of all alignments on short sentences, refusals.

IBM 1 figures: NLTK's docstring corpus (nltk.translate.ibm1, NLTK 3.10), five iterations, seven digits of its tables.
"""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import latentem as lem
from latentem.models.alignment import alignment_error_rate, symmetrise
from latentem.models.alignment.chain import bins
from latentem.models.alignment.corpus import links, read

GERMAN = [
    "klein ist das haus",
    "das haus ist ja groß",
    "das buch ist ja klein",
    "das haus",
    "das buch",
    "ein buch",
]
ENGLISH = ["the house is small", "the house is big", "the book is small", "the house", "the book", "a book"]
DATA = (ENGLISH, GERMAN)


def nltk_corpus() -> Any:
    from nltk import translate

    return [translate.AlignedSent(g.split(), e.split()) for g, e in zip(GERMAN, ENGLISH, strict=True)]


def test_ibm1_figures() -> None:
    fit = lem.fit(lem.WordAlignment(), DATA, max_iterations=5)
    found = [fit.probability(*pair) for pair in (("buch", "book"), ("das", "book"), ("buch", None), ("ja", None))]
    np.testing.assert_allclose(found, [0.8890388, 0.0616682, 0.1131869, 0.0727853], atol=5e-8)
    assert fit.iterations == 5
    assert np.diff(fit.trace).min() > 0


@pytest.mark.parametrize("iterations", [1, 2, 20])
def test_ibm1_tables_are_those_of_nltk(iterations: int) -> None:
    from nltk.translate.ibm1 import IBMModel1

    theirs = IBMModel1(nltk_corpus(), iterations).translation_table
    fit = lem.fit(lem.WordAlignment(), DATA, max_iterations=iterations, tolerance=0.0)
    corpus, pairs = fit.declaration.corpus, fit.declaration.pairs
    sources, targets = list(corpus.source_words), list(corpus.target_words)
    table = [theirs[targets[t]][sources[s]] for s, t in zip(pairs.source, pairs.target, strict=True)]
    # NLTK keeps probabilities at 1e-12 at least.
    np.testing.assert_allclose(fit.params["translation"], table, atol=2e-12, rtol=1e-9)


def test_ibm2_tables_are_those_of_nltk() -> None:
    from nltk.translate.ibm2 import IBMModel2

    theirs = IBMModel2(nltk_corpus(), 5)
    fit = lem.fit(lem.WordAlignment("ibm2", warm=10), DATA, max_iterations=5)
    for target, source in (("buch", "book"), ("das", "book"), ("ja", None), ("klein", "small")):
        assert fit.probability(target, source) == pytest.approx(theirs.translation_table[target][source], abs=1e-9)
    start = 0
    for length, m, j in fit.declaration.places:
        for i in range(length + 1):
            want = theirs.alignment_table[i][j][length][m]
            assert fit.params["alignment"][start + i] == pytest.approx(want, abs=1e-9)
        start += length + 1
    # What NLTK prints: alignment_table[1][1][2][2] .939, translation of buch by book 1.
    assert fit.probability("buch", "book") == pytest.approx(1.0, abs=5e-4)


def test_words_that_repeat_are_merged_without_a_trace() -> None:
    data = (["a b a a", "c a"], ["x y x z x", "z z"])
    fit = lem.fit(lem.WordAlignment(), data, max_iterations=7)
    from latentem.forms.candidates import CandidatesForm

    corpus = read(data)
    plain = CandidatesForm(links(corpus, merged=False)[0])
    assert len(plain.links.cell) > len(CandidatesForm(links(corpus, merged=True)[0]).links.cell)
    theta = np.full(plain.links.cells, 1 / 3)
    for n in range(7):
        theta, value = plain.update(theta)
        assert n == 0 or value == pytest.approx(fit.trace[n - 1], abs=1e-10)
    np.testing.assert_allclose(theta, fit.params["translation"], atol=1e-12)


def enumerated(data: Any, fit: Any) -> tuple[float, list[list[tuple[int, int]]], np.ndarray, float, np.ndarray]:
    """(log-likelihood, best links of each pair, expected counts of cells, share of NULL, expected jumps) of an HMM."""
    declared, t, null = fit.declaration, fit.params["translation"], float(fit.params["null"])
    corpus, pairs = declared.corpus, declared.pairs
    total, best, counts, nulls, words = 0.0, [], np.zeros(len(t)), 0.0, 0
    jumps = np.zeros_like(fit.params["jumps"])
    for source, target in zip(*data, strict=True):
        s, f = [corpus.source_words[w] for w in source.split()], [corpus.target_words[w] for w in target.split()]
        which = bins(len(s), declared.widest)
        step = fit.params["jumps"][which]
        step = step / step.sum(axis=1, keepdims=True)
        ways = []
        for alignment in product(range(-1, len(s)), repeat=len(f)):
            # A run of NULLs at the head remembers one of the positions, each as likely.
            for head in range(len(s)):
                if alignment[0] >= 0 and head:
                    continue
                p, memory, moves = 1.0, head, []
                for j, i in enumerate(alignment):
                    cell = int(pairs.find(0 if i < 0 else s[i], f[j]))
                    if j == 0:
                        p *= (1 / len(s)) * (null if i < 0 else 1 - null)
                        memory = head if i < 0 else i
                    elif i < 0:
                        p *= null
                    else:
                        p *= (1 - null) * step[memory, i]
                        moves.append(which[memory, i])
                        memory = i
                    p *= t[cell]
                ways.append((p, alignment, moves))
        z = sum(p for p, _, _ in ways)
        total += np.log(z)
        words += len(f)
        top = max(ways, key=lambda way: way[0])[1]
        best.append([(i, j) for j, i in enumerate(top) if i >= 0])
        for p, alignment, moves in ways:
            for j, i in enumerate(alignment):
                counts[int(pairs.find(0 if i < 0 else s[i], f[j]))] += p / z
                nulls += p / z * (i < 0)
            for move in moves:
                jumps[move] += p / z
    return total, best, counts, nulls / words, jumps


SHORT = (["a b c", "b d", "c a d b", "d", "a a"], ["x y z", "y y w", "z x", "w x", "y x w z"])


@pytest.mark.parametrize("null", [0.2, None])
def test_hmm_equals_enumeration(null: float | None) -> None:
    model = lem.WordAlignment("hmm", null=null, widest=2)
    fit = lem.fit(model, SHORT, max_iterations=3)
    total, best, counts, share, jumps = enumerated(SHORT, fit)
    assert fit.log_likelihood == pytest.approx(total, abs=1e-10)
    assert fit.align() == best
    assert fit.align(SHORT) == best
    form = model.on_host(SHORT, None)[2]
    new, value = form.update(form.theta(fit.params))
    assert value == pytest.approx(total, abs=1e-10)
    t, moved, q = form.split(new)
    begin, sizes = form.links.sources, form.links.in_source
    np.testing.assert_allclose(t, counts / np.repeat(np.add.reduceat(counts, begin), sizes), atol=1e-10)
    assert q == pytest.approx(0.2 if null else share, abs=1e-10)
    np.testing.assert_array_equal(moved > 0, jumps > 0)


def test_hmm_ascends_and_finds_the_monotone_order() -> None:
    rng = np.random.default_rng(0)
    sources, targets = [], []
    for _ in range(300):
        words = rng.integers(0, 30, rng.integers(3, 9))
        sources.append([f"s{w}" for w in words])
        targets.append([f"t{w}" for w in words])  # one word each, in order; repeats only order tells apart
    fit = lem.fit(lem.WordAlignment("hmm", null=None), (sources, targets), max_iterations=20)
    assert np.diff(fit.trace).min() > 0
    assert fit.params["jumps"].argmax() == fit.declaration.widest + 1
    sure = [[(i, i) for i in range(len(s))] for s in sources]
    first = lem.fit(lem.WordAlignment(), (sources, targets), max_iterations=5)
    assert alignment_error_rate(fit.align(), sure) < 0.01 < alignment_error_rate(first.align(), sure)


def test_both_directions_made_one() -> None:
    fit = lem.fit(lem.WordAlignment(), DATA, max_iterations=10)
    back = lem.fit(lem.WordAlignment(), DATA[::-1], max_iterations=10)
    both = fit.symmetrise(back)
    assert both[4] == {(0, 0), (1, 1)}
    union, common = fit.symmetrise(back, method="union"), fit.symmetrise(back, method="intersection")
    grown = fit.symmetrise(back, method="grow-diag")
    assert all(c <= g <= b <= u for c, g, b, u in zip(common, grown, both, union, strict=True))
    assert symmetrise({(0, 0)}, {(3, 3)}, "grow-diag-final-and") == {(0, 0), (3, 3)}


def test_alignment_error_rate_with_possible_links() -> None:
    # A = 3 links, S = 2: 1 of A is sure, 2 are possible: 1 - (1 + 2) / (3 + 2).
    found, sure, possible = [{(0, 0), (1, 1), (2, 2)}], [{(0, 0), (1, 2)}], [{(1, 1)}]
    assert alignment_error_rate(found, sure, possible) == pytest.approx(0.4)
    with pytest.raises(ValueError, match="as many of each"):
        alignment_error_rate(found, [])


def test_translations_and_new_sentences(tmp_path: Path) -> None:
    fit = lem.fit(lem.WordAlignment(), DATA, max_iterations=20)
    assert fit.translations("house", 1)[0][0] == "haus"
    assert fit.align((["the unknown book"], ["das neue buch"]))[0][-1] == (2, 2)
    np.testing.assert_allclose([p.sum(axis=1) for p in fit.link_probability()][0], 1)
    again = lem.load(fit.save(tmp_path / "fit"), model=lem.WordAlignment(), data=DATA)
    assert again.align() == fit.align()


CASES: list[tuple[Any, str]] = [
    (lambda: lem.fit(lem.WordAlignment(), (["a", ""], ["x", "y"])), "source sentence 1 is empty: leave the pair out"),
    (lambda: lem.fit(lem.WordAlignment(), (["a", "b"], ["x", []])), "target sentence 1 is empty"),
    (lambda: lem.fit(lem.WordAlignment(), (["a"], ["x", "y"])), "1 source and 2 target sentences"),
    (lambda: lem.fit(lem.WordAlignment(), ([], [])), "no sentences"),
    (lambda: lem.fit(lem.WordAlignment(), 3), "expected \\(sources, targets\\)"),
    (lambda: lem.fit(lem.WordAlignment(), ([1], [2])), "expected \\(sources, targets\\)"),
    (lambda: lem.fit(lem.WordAlignment(), DATA, weights=[1.0]), "repeat the sentences"),
    (lambda: lem.WordAlignment("ibm3"), "expected 'ibm1', 'ibm2', 'hmm'"),
    (lambda: lem.WordAlignment("hmm", null=1.0), "a probability below 1"),
    (lambda: lem.WordAlignment(warm=-1), "expected an integer >= 0"),
    (lambda: lem.fit(lem.WordAlignment(), DATA, initial={"translation": [1.0]}), "of the same data"),
    (lambda: lem.fit(lem.WordAlignment(), DATA).probability("buch", "cat"), "the word 'cat' is not in the corpus"),
    (lambda: lem.fit(lem.WordAlignment(), DATA).translations("cat"), "not in the corpus"),
    (lambda: lem.fit(lem.WordAlignment("hmm"), DATA).link_probability(), "of IBM 1 and 2"),
    (lambda: lem.fit(lem.WordAlignment("ibm2"), DATA).align((["a"], ["das"])), "lengths of sentences it has seen"),
    (lambda: symmetrise([], [], "both"), "expected 'intersection'"),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_refusals_are_one_line(case: int) -> None:
    act, told = CASES[case]
    with pytest.raises(ValueError, match=told) as caught:
        act()
    assert "\n" not in str(caught.value)
