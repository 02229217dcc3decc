"""Sum-score distributions against enumeration of every pattern of answers."""

from __future__ import annotations

import itertools

import jax
import numpy as np

from latentem.models.irt.asked.lord_wingersky import rest_scores, sum_scores

CATEGORIES = (2, 4, 3, 2)


def tables(nodes: int = 3) -> np.ndarray:
    rng = np.random.default_rng(7)
    padded = np.zeros((nodes, len(CATEGORIES), max(CATEGORIES)))
    for j, c in enumerate(CATEGORIES):
        padded[:, j, :c] = rng.dirichlet(np.ones(c), nodes)
    return padded


def enumerated(table: np.ndarray, items: tuple[int, ...]) -> np.ndarray:
    found = np.zeros((len(table), sum(c - 1 for c in CATEGORIES) + 1))
    for pattern in itertools.product(*(range(CATEGORIES[j]) for j in items)):
        found[:, sum(pattern)] += np.prod([table[:, j, c] for j, c in zip(items, pattern, strict=True)], axis=0)
    return found


def test_every_pattern() -> None:
    table, highest = tables(), sum(c - 1 for c in CATEGORIES)
    with jax.enable_x64(True):
        np.testing.assert_allclose(sum_scores(table, highest), enumerated(table, (0, 1, 2, 3)), atol=1e-15)
        rest = np.asarray(rest_scores(table, highest))
    for j in range(len(CATEGORIES)):
        others = tuple(i for i in range(len(CATEGORIES)) if i != j)
        np.testing.assert_allclose(rest[j], enumerated(table, others), atol=1e-15)
