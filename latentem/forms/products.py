"""Counts of words in documents whose probabilities are a product of unknown factors, p(w | d) = sum_k theta_dk phi_kw.

Probabilistic latent semantic analysis (Hofmann 1999), and with Dirichlet priors its smoothed form. Only the words that
a document has are looked at: one gathered product for their probabilities, two sparse products for expected counts.
Up to the rows' sums it is Poisson counts with both the operator and the image unknown, so that the alternating step is
the multiplicative update of non-negative matrix factorisation with Kullback-Leibler loss (Lee and Seung 2001).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float
from scipy.special import gammaln, xlogy

from latentem.forms.host import HostForm

Vector = Float[np.ndarray, " D"]
#: Numbers of a gathered block: what stays in cache.
BLOCK = 40_000


def products(
    counts: Any, row: np.ndarray, theta: Float[np.ndarray, "D K"], words: Float[np.ndarray, "V K"]
) -> Float[np.ndarray, " nnz"]:
    """sum_k theta[d, k] words[w, k] at every entry (d, w) of the counts, block by block."""
    out = np.empty(counts.nnz)
    k = theta.shape[1]
    block = max(64, BLOCK // k)
    left, right = np.empty((block, k)), np.empty((block, k))
    for start in range(0, counts.nnz, block):
        stop = min(start + block, counts.nnz)
        a, b = left[: stop - start], right[: stop - start]
        np.take(theta, row[start:stop], axis=0, out=a, mode="clip")
        np.take(words, counts.indices[start:stop], axis=0, out=b, mode="clip")
        np.einsum("ik,ik->i", a, b, out=out[start:stop])
    return out


def normalised(a: np.ndarray, axis: int) -> np.ndarray:
    """The same with sums of one along the axis; even where everything is 0."""
    total = a.sum(axis=axis, keepdims=True)
    if total.min() > 0:
        a /= total
        return a
    return np.where(total > 0, a / np.where(total > 0, total, 1.0), 1.0 / a.shape[axis])


@dataclass(eq=False)
class ProductsForm(HostForm):
    """Topics of documents.

    Args:
        counts: (D, V), sorted rows, entries > 0.
        topics: K.
        tempering: exponent of the E-step's posterior, 1 for EM (Hofmann 2001, Machine Learning 42).
        documents: concentration of the Dirichlet prior of the topics of a document; 1 for none.
        words: of the words of a topic.
        held: phi (V, K), where the topics are known and only documents are folded in.
    """

    counts: Any
    topics: int
    tempering: float = 1.0
    documents: float = 1.0
    words: float = 1.0
    held: Float[np.ndarray, "V K"] | None = None
    row: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        d, v = self.counts.shape
        self.row = np.repeat(np.arange(d), np.diff(self.counts.indptr))
        self.size = d * self.topics
        self.n_observations = float(self.counts.data.sum())
        self.n_parameters = d * (self.topics - 1) + (0 if self.held is not None else self.topics * (v - 1))

    # theta is theta (D, K) and phi transposed (V, K), end to end: rows are what is gathered.

    def split(self, theta: Vector) -> tuple[np.ndarray, np.ndarray]:
        """(topics of documents (D, K), words of topics (V, K)), views."""
        d, v = self.counts.shape
        documents = theta[: self.size].reshape(d, self.topics)
        return documents, theta[self.size :].reshape(v, self.topics) if self.held is None else self.held

    def joined(self, documents: np.ndarray, words: np.ndarray) -> Vector:
        """The vector of both."""
        return documents.ravel() if self.held is not None else np.concatenate([documents.ravel(), words.ravel()])

    def start(self, rng: np.random.Generator, first: bool) -> Vector:
        """Random words and topics, near even: even topics would stay equal for ever."""
        d, v = self.counts.shape
        documents = rng.dirichlet(np.full(self.topics, 10.0), d)
        if self.held is not None:
            return np.full(self.size, 1.0 / self.topics)
        overall = np.asarray(self.counts.sum(axis=0)).ravel() / self.n_observations
        if self.words != 1:  # a prior knows words that no document has
            overall = 0.99 * overall + 0.01 / v
        words = overall[:, None] * rng.gamma(1.0, size=(v, self.topics))
        return self.joined(documents, normalised(words, 0))

    def _tempered(self, a: np.ndarray) -> np.ndarray:
        return a if self.tempering == 1 else a**self.tempering

    def _weights(self, documents: np.ndarray, words: np.ndarray) -> tuple[Any, float]:
        """(counts / probabilities, objective without priors) at the entries."""
        found = products(self.counts, self.row, documents, words)
        with np.errstate(divide="ignore"):
            value = float(self.counts.data @ np.log(found)) / self.tempering
            ratio = self.counts.data / found
        return sp.csr_array((ratio, self.counts.indices, self.counts.indptr), shape=self.counts.shape), value

    def update(self, theta: Vector) -> tuple[Vector, float]:
        documents, words = self.split(theta)
        a, b = self._tempered(documents), self._tempered(words)
        ratio, value = self._weights(a, b)
        objective = value + self._log_prior(documents, words)
        new = a * (ratio @ b)
        if self.documents != 1:
            new += self.documents - 1
        new = normalised(new, 1)
        if self.held is not None:
            return new.ravel(), objective
        if self.tempering == 1:
            # The E-step again before the other factor: the parts climb one after the other (ECM).
            a = new
            ratio, _ = self._weights(a, b)
        expected = b * (ratio.T @ a)
        mass = expected.sum(axis=0)
        if self.words != 1:
            expected += self.words - 1
        elif self.documents == 1 and self.tempering == 1:
            # What the topic gained in all belongs to its documents, as in the Poisson model of the same products.
            emitted = np.add.reduceat(self.counts.data, self.counts.indptr[:-1]) @ new
            new = normalised(new * np.divide(mass, emitted, out=np.ones_like(mass), where=emitted > 0), 1)
        return self.joined(new, normalised(expected, 0)), objective

    def _log_prior(self, documents: np.ndarray, words: np.ndarray) -> float:
        value = 0.0
        for a, axis, concentration in ((documents, 1, self.documents), (words, 0, self.words)):
            if concentration != 1 and not (axis == 0 and self.held is not None):
                k, n = a.shape[axis], a.shape[1 - axis]
                constant = n * (gammaln(k * concentration) - k * gammaln(concentration))
                value += float(constant + np.sum(xlogy(concentration - 1, a)))
        return value

    def values(self, theta: Vector) -> tuple[float, float]:
        documents, words = self.split(theta)
        found = products(self.counts, self.row, documents, words)
        return float(self.counts.data @ np.log(found)), self._log_prior(documents, words)

    def objective(self, theta: Vector) -> float:
        documents, words = self.split(theta)
        a, b = self._tempered(documents), self._tempered(words)
        return self._weights(a, b)[1] + self._log_prior(documents, words)

    def from_coordinates(self, u: Vector) -> Vector:
        documents, words = self.split(u * u)
        return self.joined(normalised(documents, 1), words if self.held is not None else normalised(words, 0))

    def params(self, theta: Vector) -> Any:
        documents, words = self.split(theta)
        return {"documents": documents.copy(), "topics": np.ascontiguousarray(words.T)}

    def theta(self, params: Any) -> Vector:
        d, v = self.counts.shape
        try:
            documents, topics = (np.array(params[name], np.float64) for name in ("documents", "topics"))
        except (KeyError, TypeError, ValueError, IndexError):
            raise ValueError('initial: expected {"documents": (D, K), "topics": (K, V)}') from None
        for name, a, shape in (("documents", documents, (d, self.topics)), ("topics", topics, (self.topics, v))):
            if a.shape != shape:
                raise ValueError(f"initial {name} have shape {a.shape}: expected {shape}")
            if not ((a >= 0).all() and np.allclose(a.sum(axis=1), 1, atol=1e-6)):
                raise ValueError(f"initial {name}: expected rows of probabilities that add up to one")
        return self.joined(documents, np.ascontiguousarray(topics.T))
