"""Fits that climbed on the host, as files and by pickle: they go on alone, and know their data."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
import scipy.sparse as sp

import latentem as lem

RNG = np.random.default_rng(0)
BLUR = sp.csr_array(np.eye(6) * 0.6 + np.eye(6, k=1) * 0.2 + np.eye(6, k=-1) * 0.2)
PHOTONS = RNG.poisson(30.0, 6).astype(float)
WORDS = RNG.poisson(2.0, (12, 5)) + np.eye(12, 5, dtype=int)
TEXTS = (["the house", "the book", "a book"], ["das haus", "das buch", "ein buch"])
PICTURE = np.where(np.arange(8) < 4, 0.0, 4.0) + RNG.normal(size=(8, 8))


class Kept(NamedTuple):
    """A model, its data, other data, what a file alone answers, and what it cannot."""

    model: Any
    data: Any
    other: Any
    alone: Callable[[Any], Any]
    not_alone: Callable[[Any], Any]
    told: str


KEPT = {
    "emission": Kept(
        lem.Emission(BLUR, prior=lem.priors.Huber(2, 0.01)),
        PHOTONS,
        PHOTONS + 1,
        lambda fit: fit.image,
        lambda fit: fit.expected_counts(),
        "has seen no data",
    ),
    "topics": Kept(
        lem.Topics(2, vocabulary=list("abcde")),
        WORDS,
        WORDS + 1,
        lambda fit: (
            [[tuple(word)[1:] for word in topic] for topic in fit.top_words(3)],
            fit.fold_in(WORDS[:4]),
            fit.perplexity(WORDS[:4], given=WORDS[:4]),
        ),
        lambda fit: fit.log_prob(),
        "climbs on the host and has verbs of its own",
    ),
    "ibm1": Kept(
        lem.WordAlignment(),
        TEXTS,
        (TEXTS[0][:2], TEXTS[1][:2]),
        lambda fit: ([p for _, p in fit.translations("book")], fit.align((["a house"], ["ein haus"]))),
        lambda fit: fit.align(),
        "loaded without its sentences",
    ),
    "hmm alignment": Kept(
        lem.WordAlignment("hmm"),
        TEXTS,
        (TEXTS[0][:2], TEXTS[1][:2]),
        lambda fit: (fit.probability("haus", "house"), fit.align((["a house"], ["ein haus"]))),
        lambda fit: fit.align(),
        "loaded without its sentences",
    ),
    "segmentation": Kept(
        lem.Segmentation(2),
        PICTURE,
        PICTURE + 1,
        lambda fit: (fit.labels, fit.foreground()),
        lambda fit: fit.predict(),
        "climbs on the host and has verbs of its own",
    ),
}


@pytest.mark.parametrize("kept", KEPT.values(), ids=KEPT.keys())
def test_a_file_alone_answers_and_knows_its_data(kept: Kept, tmp_path: Path) -> None:
    fit = lem.fit(kept.model, kept.data, key=jax.random.key(0), max_iterations=5)
    path = fit.save(tmp_path / "fit")
    alone = lem.load(path)
    assert str(alone) and alone.status is fit.status and alone.name == fit.name
    same(kept.alone(alone), kept.alone(fit))
    with pytest.raises(ValueError, match="^[^\n]*$") as refused:
        kept.not_alone(alone)
    assert kept.told in str(refused.value)
    whole = lem.load(path, model=kept.model, data=kept.data)
    same(kept.alone(whole), kept.alone(fit))
    assert whole.data is not None
    with pytest.raises(ValueError, match="other data than those of the fit"):
        lem.load(path, model=kept.model, data=kept.other)
    with pytest.raises(ValueError, match="expected that as model=, or none"):
        lem.load(path, model=lem.KMeans(2), data=kept.data)
    copied = pickle.loads(pickle.dumps(fit))
    same(kept.alone(copied), kept.alone(fit))
    assert copied.data is not None


def test_an_operator_is_given_once_more(tmp_path: Path) -> None:
    kept = KEPT["emission"]
    path = lem.fit(kept.model, kept.data, max_iterations=3).save(tmp_path / "fit")
    with pytest.raises(ValueError, match="loaded without its operator: pass model= beside data="):
        lem.load(path, data=kept.data)
    again = lem.load(path, model=kept.model, data=kept.data)
    np.testing.assert_allclose(again.expected_counts(), BLUR @ again.image)


def same(a: Any, b: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, a, b)
