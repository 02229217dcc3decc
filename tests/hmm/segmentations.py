"""Everything a semi-Markov model is asked, by enumeration of all segmentations."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import logsumexp
from scipy.stats import nbinom, poisson

K, D = 3, 4
DURATION: dict[str, Any] = {
    "free": {"probabilities": np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.0, 0.4, 0.2], [0.25, 0.25, 0.25, 0.25]])},
    "poisson": {"rate": np.array([0.5, 1.5, 4.0])},
    "negative binomial": {"size": np.array([0.7, 2.0, 5.0]), "probability": np.array([0.3, 0.6, 0.8])},
}


def params(kind: str) -> dict[str, Any]:
    return {
        "initial": np.array([0.5, 0.2, 0.3]),
        "transition": np.array([[0.0, 0.7, 0.3], [0.4, 0.0, 0.6], [0.9, 0.1, 0.0]]),
        "duration": DURATION[kind],
        "emission": {"rate": np.array([1.0, 4.0, 8.0])},
    }


def distribution(kind: str, p: dict[str, Any]) -> np.ndarray:
    """(K, D) probabilities of 1, ..., D steps."""
    more = np.arange(D)
    if kind == "free":
        return p["probabilities"]
    weight = (
        poisson.pmf(more, p["rate"][:, None])
        if kind == "poisson"
        else nbinom.pmf(more, p["size"][:, None], p["probability"][:, None])
    )
    return weight / weight.sum(axis=1, keepdims=True)


def segmentations(kind: str, p: Any, length: int, first: bool, last: bool) -> list[tuple[float, list[tuple[int, int]]]]:
    """(log probability, segments (state, duration)) of every way to fill `length` steps; the last may be cut off."""
    lasts = distribution(kind, p["duration"])
    at_least = np.cumsum(lasts[:, ::-1], axis=1)[:, ::-1]
    begin = at_least / at_least.sum(axis=1, keepdims=True) if first else lasts
    found, open_ = [], [(0.0, [], 0)]
    with np.errstate(divide="ignore"):
        while open_:
            score, segments, filled = open_.pop()
            for k in range(K):
                for d in range(1, D + 1):
                    if segments:
                        own = np.log(p["transition"][segments[-1][0], k]) + np.log(lasts[k, d - 1])
                    else:
                        own = np.log(p["initial"][k]) + np.log(begin[k, d - 1])
                    new = (score + own, [*segments, (k, d)], filled + d)
                    if new[0] == -np.inf or (new[2] > length and not last):
                        continue
                    if new[2] >= length:
                        found.append(new[:2])
                    else:
                        open_.append(new)
    return found


def brute(
    kind: str, p: Any, x: np.ndarray, first: bool, last: bool, labels: np.ndarray | None = None
) -> dict[str, Any]:
    """What is asked of one sequence of counts, NaN where there is none; -1 in labels where the state is not known."""
    every = segmentations(kind, p, len(x), first, last)
    paths = np.array([np.concatenate([[k] * d for k, d in segments])[: len(x)] for _, segments in every])
    if labels is not None:
        kept = np.flatnonzero(((labels < 0) | (paths == labels)).all(axis=1))
        every, paths = [every[i] for i in kept], paths[kept]
    density = np.where(np.isnan(x)[:, None], 0.0, poisson.logpmf(np.nan_to_num(x)[:, None], p["emission"]["rate"]))
    score = np.array([s for s, _ in every]) + density[np.arange(len(x)), paths].sum(axis=1)
    weight = np.exp(score - logsumexp(score))
    smoothed = np.stack([(weight[:, None] * (paths == k)).sum(axis=0) for k in range(K)], axis=1)
    return {
        "log_prob": logsumexp(score),
        "smoothed": smoothed,
        "best": paths[np.argmax(score)],
        "pairs": np.array(
            [
                [[weight[(paths[:, t] == i) & (paths[:, t + 1] == j)].sum() for j in range(K)] for i in range(K)]
                for t in range(len(x) - 1)
            ]
        ),
        "every": (every, weight),
    }
