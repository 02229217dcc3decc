"""Topics: the multiplicative update of scikit-learn's NMF, topics that are there, held-out words, refusals."""

from itertools import permutations
from typing import Any

import jax
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import xlogy
from scipy.stats import dirichlet

import latentem as lem


def corpus(documents: int = 300, words: int = 60, topics: int = 3, length: int = 120) -> tuple[Any, Any, Any]:
    """(counts, topics of documents, words of topics) drawn from the model."""
    rng = np.random.default_rng(0)
    theta = rng.dirichlet(np.full(topics, 0.3), documents)
    phi = rng.dirichlet(np.full(words, 0.2), topics)
    return sp.csr_matrix(np.array([rng.multinomial(length, p) for p in theta @ phi])), theta, phi


def random_start(counts: Any, topics: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    d, v = counts.shape
    return {"documents": rng.dirichlet(np.ones(topics), d), "topics": rng.dirichlet(np.ones(v), topics)}


@pytest.mark.parametrize("steps", [1, 4])
def test_a_step_is_the_multiplicative_update_of_scikit_learn(steps: int) -> None:
    from sklearn.decomposition import non_negative_factorization

    counts = corpus()[0].astype(float)
    start = random_start(counts, 3)
    fit = lem.fit(lem.Topics(3), counts, initial=start, method=lem.Plain(), max_iterations=steps)
    lengths = np.asarray(counts.sum(axis=1))
    w, h, _ = non_negative_factorization(
        counts,
        W=lengths * start["documents"],
        H=start["topics"].copy(),
        n_components=3,
        init="custom",
        solver="mu",
        beta_loss="kullback-leibler",
        max_iter=steps,
        tol=0,
    )
    theirs = w @ h
    # scikit-learn adds single precision's epsilon to denominators.
    np.testing.assert_allclose(fit.word_probabilities(), theirs / theirs.sum(axis=1, keepdims=True), atol=1e-6)


def test_fixed_points_are_those_of_nmf() -> None:
    from sklearn.decomposition import non_negative_factorization

    counts = corpus(60, 20, 2)[0].astype(float)
    fit = lem.fit(lem.Topics(2), counts, initial=random_start(counts, 2), tolerance=1e-13)
    lengths = np.asarray(counts.sum(axis=1))
    w, h = lengths * fit.params["documents"], fit.params["topics"]
    later = non_negative_factorization(
        counts, W=w.copy(), H=h.copy(), n_components=2, init="custom", solver="mu", beta_loss=1, max_iter=20, tol=1e-3
    )
    np.testing.assert_allclose(later[0] @ later[1], w @ h, atol=1e-4)


def test_topics_of_a_simulated_corpus_are_found() -> None:
    counts, theta, phi = corpus()
    fit = lem.fit(lem.Topics(3), counts, key=jax.random.key(0), starts=3)
    assert fit.status is lem.Status.converged
    assert np.diff(fit.trace).min() > -1e-6
    distance = min(np.abs(fit.params["topics"][list(p)] - phi).sum(axis=1).max() / 2 for p in permutations(range(3)))
    assert distance < 0.06  # total variation; 36,000 words for 180 probabilities
    probabilities = fit.word_probabilities()
    assert np.corrcoef(probabilities.ravel(), (theta @ phi).ravel())[0, 1] > 0.98


def test_log_likelihood_is_that_of_the_words() -> None:
    counts = corpus(20, 10, 2)[0]
    fit = lem.fit(lem.Topics(2), counts, key=jax.random.key(0))
    assert fit.log_likelihood == pytest.approx(xlogy(counts.toarray(), fit.word_probabilities()).sum(), abs=1e-9)


def test_a_weight_repeats_a_document() -> None:
    counts = corpus(8, 10, 2)[0]
    start = random_start(counts, 2)
    twice = {"documents": np.vstack([start["documents"], start["documents"][:1]]), "topics": start["topics"]}
    a = lem.fit(lem.Topics(2), counts, weights=[2, *[1] * 7], initial=start, method=lem.Plain(), max_iterations=9)
    b = lem.fit(lem.Topics(2), sp.vstack([counts, counts[:1]]), initial=twice, method=lem.Plain(), max_iterations=9)
    np.testing.assert_allclose(a.params["topics"], b.params["topics"], atol=1e-12)


def test_map_ascends_and_counts_the_prior() -> None:
    counts = corpus(50, 20, 2)[0]
    prior = {"documents": lem.priors.Dirichlet(1.5), "topics": lem.priors.Dirichlet(1.1)}
    fit = lem.fit(lem.Topics(2, prior=prior), counts, key=jax.random.key(0), tolerance=1e-12)
    assert np.diff(fit.trace).min() > -1e-8
    parts = [dirichlet.logpdf(row, np.full(2, 1.5)) for row in fit.params["documents"]]
    parts += [dirichlet.logpdf(row / row.sum(), np.full(20, 1.1)) for row in fit.params["topics"]]
    assert fit.log_prior == pytest.approx(sum(parts), abs=1e-6)
    assert fit.params["documents"].min() > 0
    moved = {k: 0.999 * v + 0.001 / v.shape[1] for k, v in fit.params.items()}
    form = lem.Topics(2, prior=prior).on_host(counts, None)[2]
    assert form.objective(form.theta(moved)) < fit.objective


def test_tempered_em_climbs_its_free_energy_and_predicts_better_where_em_overfits() -> None:
    rng = np.random.default_rng(2)
    counts, theta, phi = corpus(80, 60, 3, 25)
    held_out = np.array([rng.multinomial(200, p) for p in theta @ phi])
    held_out = sp.csr_matrix(held_out * (counts.sum(axis=0) > 0).A1)
    plain = lem.fit(lem.Topics(6), counts, key=jax.random.key(0))
    tempered = lem.fit(lem.Topics(6, tempering=0.7), counts, key=jax.random.key(0))
    assert np.diff(tempered.trace).min() > -1e-6
    assert tempered.log_likelihood < plain.log_likelihood
    assert tempered.perplexity(held_out) < plain.perplexity(held_out)


def test_new_documents_are_folded_in() -> None:
    rng = np.random.default_rng(3)
    counts, _, phi = corpus()
    theta = rng.dirichlet(np.full(3, 0.3), 40)
    seen = np.asarray(counts.sum(axis=0)).ravel() > 0
    phi = phi * seen / (phi * seen).sum(axis=1, keepdims=True)
    given, held_out = (np.array([rng.multinomial(300, p) for p in theta @ phi])[:, seen] for _ in range(2))
    fit = lem.fit(lem.Topics(3), counts[:, seen], key=jax.random.key(0), starts=3)
    phi, counts = phi[:, seen], counts[:, seen]
    found = fit.fold_in(given)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    # Convex in each document: the gradient per topic is 1 where the topic is used, at most 1 elsewhere.
    gradient = (given / (found @ fit.params["topics"])) @ fit.params["topics"].T / 300
    assert gradient.max() < 1 + 1e-2
    truth = float(np.exp(-np.mean(np.sum(held_out / 300 * np.log(theta @ phi), axis=1))))
    unigram = np.asarray(counts.sum(axis=0)).ravel() / counts.sum()
    worst = float(np.exp(-np.mean(np.sum(held_out / 300 * np.log(unigram), axis=1))))
    assert truth < fit.perplexity(held_out, given=given) < 1.03 * truth < worst
    np.testing.assert_allclose(fit.fold_in(np.zeros((1, len(unigram)))), np.full((1, 3), 1 / 3))


def test_top_words_and_lift() -> None:
    counts = np.array([[4, 2, 0, 0, 5], [2, 1, 0, 0, 2], [0, 0, 3, 3, 5], [0, 0, 1, 1, 2]])
    words = ["cell", "gene", "goal", "team", "the"]
    fit = lem.fit(lem.Topics(2, vocabulary=words), counts, key=jax.random.key(1), starts=5)
    first = fit.top_words(1)
    assert {topic[0].word for topic in first} == {"the"}
    lifted = fit.top_words(2, by="lift")
    assert {frozenset(w.word for w in topic) for topic in lifted} == {
        frozenset({"cell", "gene"}),
        frozenset({"goal", "team"}),
    }
    word = first[0][0]
    assert word.lift == pytest.approx(word.probability / (14 / counts.sum()))
    assert fit.top_words(1)[0][0] == first[0][0]


def test_count_vectorizer_is_taken_as_it_is() -> None:
    from sklearn.feature_extraction.text import CountVectorizer

    texts = ["the cell and the gene", "gene of a cell", "goal for the team", "the team scores a goal"]
    vectors = CountVectorizer()
    counts = vectors.fit_transform(texts)
    topics = lem.Topics(2, vocabulary=vectors.get_feature_names_out())
    fit = lem.fit(topics, counts, key=jax.random.key(0))
    assert len(fit.top_words(3)[0]) == 3


C = np.array([[2, 1, 0], [0, 1, 3]])
CASES: list[tuple[Any, str]] = [
    (lambda: lem.fit(lem.Topics(2), -C), r"counts\[0, 0\] = -2, one of 4: expected finite numbers >= 0"),
    (lambda: lem.fit(lem.Topics(2), C * np.array([1, np.nan, 1])), r"counts\[0, 1\] = nan"),
    (lambda: lem.fit(lem.Topics(2), sp.csr_matrix(np.vstack([C, [0, 0, 0]]))), "document 2 has no word"),
    (lambda: lem.fit(lem.Topics(2), 0 * C), "counts are all 0"),
    (lambda: lem.fit(lem.Topics(2), ["a text", "and another"]), "expected a matrix, sparse or dense"),
    (lambda: lem.fit(lem.Topics(2), np.array([1.0, 2.0])), "expected a matrix"),
    (lambda: lem.fit(lem.Topics(2, vocabulary=["a"]), C), "vocabulary has 1 words: expected 3"),
    (lambda: lem.fit(lem.Topics(2), C, weights=[1, -1]), "expected 2 numbers > 0"),
    (lambda: lem.fit(lem.Topics(2), C, initial={"topics": C}), 'expected {"documents"'),
    (lambda: lem.fit(lem.Topics(2), C, initial={"documents": np.ones((2, 2)), "topics": C}), "add up to one"),
    (lambda: lem.Topics(0), "expected an integer >= 1"),
    (lambda: lem.Topics(2, tempering=1.5), "above 0 and up to 1"),
    (lambda: lem.Topics(2, prior={"words": lem.priors.Dirichlet(1.1)}), "expected 'documents' or 'topics'"),
    (lambda: lem.Topics(2, prior={"topics": lem.priors.Dirichlet(0.5)}), "one number a >= 1"),
    (lambda: lem.fit(lem.Topics(2), C).perplexity(C[:1]), "give other words of the same documents as given="),
    (lambda: lem.fit(lem.Topics(2), C).fold_in(C[:, :2]), "counts have 2 words: expected 3"),
    (lambda: lem.fit(lem.Topics(2), C).top_words(by="rank"), "expected 'probability' or 'lift'"),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_refusals_are_one_line(case: int) -> None:
    act, told = CASES[case]
    with pytest.raises(ValueError, match=told) as caught:
        act()
    assert "\n" not in str(caught.value)
