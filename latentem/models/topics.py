"""Topics: probabilistic latent semantic analysis on sparse counts of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float

from latentem.building import ProductsForm, products, sparse_counts
from latentem.priors import Dirichlet


class Word(NamedTuple):
    """A word of a topic.

    Args:
        word: its name, or its number where no vocabulary was given.
        probability: p(word | topic).
        lift: p(word | topic) / p(word).
    """

    word: Any
    probability: float
    lift: float


@dataclass(frozen=True, eq=False)
class Topics:
    """p(w | d) = sum_k theta_dk phi_kw: every word of a document comes from one of K topics (Hofmann 1999).

    Counts are a matrix of documents by words, sparse or dense, as scikit-learn's CountVectorizer gives it. The
    log-likelihood is sum of n_dw log p(w | d); the multinomial coefficients, which no parameter changes, are left out.
    EM takes the two factors in turn (ECM), as non-negative matrix factorisation does, and SQUAREM on top of that.

    Args:
        topics: K.
        prior: {"documents": Dirichlet(a), "topics": Dirichlet(b)}, either or both, a and b >= 1: smoothed (MAP).
        tempering: exponent below 1 of the E-step's probabilities, against overfitting (Hofmann 2001).
        vocabulary: (V,) the words, for `top_words`.
        overall: (V,) shares of the words in the data of a fit, which fills them in.

    >>> counts = np.array([[4, 2, 0, 0], [2, 1, 0, 0], [0, 0, 3, 3], [0, 0, 1, 1]])
    >>> topics = lem.Topics(2, vocabulary=["cell", "gene", "goal", "team"])
    >>> fit = lem.fit(topics, counts, key=jax.random.key(1), starts=3)
    >>> sorted(fit.top_words(1)[k][0].word for k in (0, 1)), round(fit.log_likelihood, 4)
    (['cell', 'goal'], -11.2738)
    """

    topics: int
    prior: Mapping[str, Any] | None = None
    tempering: float = 1.0
    vocabulary: Sequence[str] | None = None
    overall: Any = field(default=None, repr=False)

    verbs = ("top_words", "fold_in", "perplexity", "word_probabilities")

    def __post_init__(self) -> None:
        if not isinstance(self.topics, int | np.integer) or self.topics < 1:
            raise ValueError(f"topics={self.topics!r}: expected an integer >= 1")
        if not 0 < self.tempering <= 1:
            raise ValueError(f"tempering={self.tempering!r}: expected a number above 0 and up to 1")
        for name, prior in (self.prior or {}).items():
            if name not in ("documents", "topics"):
                raise ValueError(f"prior of {name!r}: expected 'documents' or 'topics'")
            concentration = getattr(prior, "concentration", None)
            if not isinstance(prior, Dirichlet) or not isinstance(concentration, float) or concentration < 1:
                raise ValueError(f"prior of {name}: {prior!r}: expected lem.priors.Dirichlet(a), one number a >= 1")

    @property
    def name(self) -> str:
        """What summaries and files call the model."""
        return f"topics, {self.topics}"

    def on_host(self, data: Any, weights: Any) -> tuple[Topics, Any, ProductsForm]:
        """(the model with its data, checked counts, what the driver climbs on); `weights` (D,) multiply documents."""
        counts = sparse_counts(data)
        if self.vocabulary is not None and len(self.vocabulary) != counts.shape[1]:
            raise ValueError(f"vocabulary has {len(self.vocabulary)} words: expected {counts.shape[1]}, the columns")
        if weights is not None:
            w = np.asarray(weights, np.float64)
            if w.shape != counts.shape[:1] or not (np.isfinite(w) & (w > 0)).all():
                raise ValueError(f"weights: expected {counts.shape[0]} numbers > 0, one for each document")
            counts = sp.csr_array(sp.diags_array(w) @ counts)
            counts.sort_indices()
        overall = np.asarray(counts.sum(axis=0)).ravel() / counts.data.sum()
        return replace(self, overall=overall), counts, self._form(counts)

    def _form(self, counts: Any, held: Any = None) -> ProductsForm:
        prior = self.prior or {}
        documents, words = (prior[n].concentration if n in prior else 1.0 for n in ("documents", "topics"))
        return ProductsForm(counts, int(self.topics), self.tempering, documents, words, held)

    # --- verbs

    def top_words(self, fit: Any, n: int = 10, by: str = "probability") -> list[list[Word]]:
        """The n first words of every topic, by "probability" or by "lift", p(word | topic) / p(word).

        By lift, words come in that have at least a thousandth of the probability of the topic's first: a word that was
        seen once would lead every list.
        """
        if by not in ("probability", "lift"):
            raise ValueError(f"by={by!r}: expected 'probability' or 'lift'")
        phi, overall = fit.params["topics"], self._overall
        lift = np.divide(phi, overall, out=np.zeros_like(phi), where=overall > 0)
        found = []
        for k in range(len(phi)):
            value = phi[k] if by == "probability" else np.where(phi[k] > 1e-3 * phi[k].max(), lift[k], 0.0)
            best = np.argsort(-value, kind="stable")[:n]
            found.append([Word(self._word(w), float(phi[k, w]), float(lift[k, w])) for w in best])
        return found

    def _word(self, w: int) -> Any:
        return int(w) if self.vocabulary is None else self.vocabulary[w]

    def fold_in(
        self, fit: Any, counts: Any, tolerance: float = 1e-8, max_iterations: int = 1000
    ) -> Float[np.ndarray, "N K"]:
        """Topics of new documents, (N, K), the topics held as they are; a document without words gets even ones.

        Args:
            fit: with its topics.
            counts: (N, V).
            tolerance: of the log-likelihood, relative.
            max_iterations: of EM.
        """
        table, words = self._new(counts), np.ascontiguousarray(fit.params["topics"].T)
        known = words.sum(axis=1) > 0  # a word that no topic has says nothing
        form = self._form(sp.csr_array(table[:, known]), words[known])
        theta, last = form.start(np.random.default_rng(0), True), -np.inf
        for _ in range(max_iterations):
            theta, now = form.update(theta)
            if now - last < tolerance * abs(now):
                break
            last = now
        return theta.reshape(-1, self.topics)

    def word_probabilities(self, fit: Any, documents: Float[np.ndarray, "N K"] | None = None) -> np.ndarray:
        """p(w | d), (N, V), of the documents of the fit or of topics that `fold_in` gave."""
        return (fit.params["documents"] if documents is None else documents) @ fit.params["topics"]

    def perplexity(self, fit: Any, held_out: Any, given: Any = None) -> float:
        """exp(- mean log p(w | d)) of held-out words; infinite where a topic model without prior meets a new word.

        Args:
            fit: with its topics.
            held_out: (N, V) counts of the words to predict.
            given: (N, V) other words of the same documents, on which new documents are folded in; left out, the
                held-out words are of the documents of the fit, in their order.

        Raises:
            ValueError: the tables do not fit each other.
        """
        table = self._new(held_out)
        own = (len(fit.params["documents"]), len(self._overall))
        if given is None and table.shape != own:
            told = f"held_out has shape {table.shape}, the fit's counts {own}"
            raise ValueError(f"perplexity: {told}: give other words of the same documents as given=")
        if given is not None and np.shape(given) != table.shape:
            raise ValueError(f"perplexity: given has shape {np.shape(given)}: expected {table.shape}")
        documents = fit.params["documents"] if given is None else self.fold_in(fit, given)
        row = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))
        found = products(table, row, documents, np.ascontiguousarray(fit.params["topics"].T))
        with np.errstate(divide="ignore"):
            return float(np.exp(-(table.data @ np.log(found)) / table.data.sum()))

    @property
    def _overall(self) -> np.ndarray:
        if self.overall is None:
            raise ValueError("these Topics have seen no data: ask a fit of them")
        return self.overall

    def _new(self, counts: Any) -> Any:
        table = sparse_counts(counts, empty=True)
        if table.shape[1] != len(self._overall):
            raise ValueError(f"counts have {table.shape[1]} words: expected {len(self._overall)}, as in the fit")
        return table
