"""Everything an HMM is asked, by enumeration of all paths."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np


def paths(first: np.ndarray, transition: np.ndarray, emission: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(all K^T paths (P, T), log p(x, path) (P,)).

    Args:
        first: (K,) probabilities.
        transition: (K, K), or (T, K, K) into each step.
        emission: (T, K), log p(x_t | state).
    """
    length, k = emission.shape
    if transition.ndim == 2:
        transition = np.broadcast_to(transition, (length, k, k))
    every = np.array(list(product(range(k), repeat=length)))
    with np.errstate(divide="ignore"):
        score = np.log(first)[every[:, 0]] + emission[0, every[:, 0]]
        for t in range(1, length):
            score = score + np.log(transition[t, every[:, t - 1], every[:, t]]) + emission[t, every[:, t]]
    return every, score


def answers(first: np.ndarray, transition: np.ndarray, emission: np.ndarray) -> dict[str, Any]:
    """log_prob, filtered, smoothed, predicted, pairs, and the paths sorted by probability."""
    length, k = emission.shape
    every, score = paths(first, transition, emission)
    top = score.max()
    weight = np.exp(score - top)
    total = weight.sum()
    smoothed = np.array([[weight[every[:, t] == j].sum() for j in range(k)] for t in range(length)]) / total
    pairs = np.zeros((length, k, k))
    for t in range(1, length):
        for i, j in product(range(k), repeat=2):
            pairs[t, i, j] = weight[(every[:, t - 1] == i) & (every[:, t] == j)].sum() / total
    filtered = np.zeros((length, k))
    for t in range(length):
        own, of = paths(first, transition[: t + 1] if transition.ndim == 3 else transition, emission[: t + 1])
        w = np.exp(of - of.max())
        filtered[t] = [w[own[:, t] == j].sum() / w.sum() for j in range(k)]
    order = np.argsort(-score, kind="stable")
    return {
        "log_prob": top + np.log(total),
        "smoothed": smoothed,
        "filtered": filtered,
        "pairs": pairs,
        "paths": every[order],
        "scores": score[order],
    }
