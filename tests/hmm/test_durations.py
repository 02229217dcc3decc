"""Semi-Markov models against enumeration of all segmentations."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import nbinom, poisson

import latentem as lem

K, D = 3, 4
LENGTHS = np.array([7, 1, 3])
X = np.array([1, 0, 2, 9, 7, 3, 4, 8, 4, 5, 0])
FAMILIES: dict[str, Any] = {
    "free": lem.durations.Free(D),
    "poisson": lem.durations.Poisson(D),
    "negative binomial": lem.durations.NegativeBinomial(D),
}
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


def brute(kind: str, p: Any, x: np.ndarray, first: bool, last: bool) -> dict[str, Any]:
    every = segmentations(kind, p, len(x), first, last)
    paths = np.array([np.concatenate([[k] * d for k, d in segments])[: len(x)] for _, segments in every])
    density = poisson.logpmf(x[:, None], p["emission"]["rate"])
    score = np.array([s for s, _ in every]) + density[np.arange(len(x)), paths].sum(axis=1)
    weight = np.exp(score - logsumexp(score))
    smoothed = np.stack([(weight[:, None] * (paths == k)).sum(axis=0) for k in range(K)], axis=1)
    return {
        "log_prob": logsumexp(score),
        "smoothed": smoothed,
        "best": paths[np.argmax(score)],
        "every": (every, weight),
    }


def model(kind: str, first: bool = False, last: bool = True) -> lem.HSMM:
    return lem.HSMM(K, lem.families.Poisson(), FAMILIES[kind], first_censored=first, last_censored=last)


@pytest.mark.parametrize(
    ("kind", "first", "last"),
    [("free", False, True), ("poisson", True, False), ("negative binomial", True, True), ("free", False, False)],
)
def test_equals_enumeration_of_segmentations(kind: str, first: bool, last: bool) -> None:
    p = params(kind)
    hsmm, series = model(kind, first, last).declare(lem.sequences(X, lengths=LENGTHS))
    chain = hsmm.model()
    found = lem.chain.log_prob(chain, p, series)
    smoothed = lem.chain.smoothed(chain, p, series).reshape(-1, K, D).sum(axis=2)
    best = lem.chain.viterbi(chain, p, series)[0][:, 0] // D
    for n, x in enumerate(np.split(X, np.cumsum(LENGTHS)[:-1])):
        own = brute(kind, p, x, first, last)
        assert found[n] == pytest.approx(own["log_prob"], rel=1e-11)
        np.testing.assert_allclose(series.split(smoothed)[n], own["smoothed"], atol=1e-11)
        assert series.split(best)[n].tolist() == own["best"].tolist()


@pytest.mark.parametrize(("kind", "first", "last"), [("free", False, True), ("poisson", True, False)])
def test_one_step_of_em_maximises_the_expected_log_likelihood(kind: str, first: bool, last: bool) -> None:
    start = params(kind)
    series = lem.sequences(X, lengths=LENGTHS)
    one = lem.fit(
        model(kind, first, last), series, initial=start, method=lem.Plain(), max_iterations=1, polish=False
    ).params
    moves, begins, lasted, opened = np.zeros((K, K)), np.zeros(K), np.zeros((K, D)), np.zeros((K, D))
    occupied, total = np.zeros(K), np.zeros(K)
    for x in np.split(X, np.cumsum(LENGTHS)[:-1]):
        own = brute(kind, start, x, first, last)
        occupied, total = occupied + own["smoothed"].sum(axis=0), total + x @ own["smoothed"]
        for (_, segments), w in zip(*own["every"], strict=True):
            begins[segments[0][0]] += w
            opened[segments[0][0], segments[0][1] - 1] += w
            for (i, _), (j, d) in zip(segments[:-1], segments[1:], strict=True):
                moves[i, j] += w
                lasted[j, d - 1] += w
    np.testing.assert_allclose(one["initial"], begins / begins.sum(), rtol=1e-9)
    np.testing.assert_allclose(one["transition"], moves / moves.sum(axis=1, keepdims=True), atol=1e-9)
    np.testing.assert_allclose(one["emission"]["rate"], total / occupied, rtol=1e-9)
    if kind == "free":
        counts = lasted + opened
        expected = counts / counts.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(one["duration"]["probabilities"], expected, atol=1e-9)
        return

    def value(u: np.ndarray) -> float:
        p = distribution(kind, {"rate": np.exp(u)})
        at_least = np.cumsum(p[:, ::-1], axis=1)[:, ::-1]
        remains = at_least / at_least.sum(axis=1, keepdims=True)
        return -np.sum(lasted * np.log(p)) - np.sum(opened * np.log(remains))

    reached = value(np.log(one["duration"]["rate"]))
    best = minimize(value, np.log(start["duration"]["rate"]), bounds=[(-8, 8)] * K)
    assert reached < value(np.log(start["duration"]["rate"])) - 1e-3
    assert reached <= best.fun + 1e-7


def test_a_geometric_duration_is_a_markov_chain() -> None:
    # A negative binomial of size 1 forgets: with a long cut-off it is the HMM whose states are kept with p.
    leave = np.array([0.5, 0.6, 0.7])
    p = params("negative binomial")
    p["duration"] = {"size": np.ones(K), "probability": leave}
    family = lem.durations.NegativeBinomial(40)
    hsmm, series = lem.HSMM(K, lem.families.Poisson(), family).declare(lem.sequences(X, lengths=LENGTHS))
    found = lem.chain.log_prob(hsmm.model(), p, series)
    matrix = np.diag(1 - leave) + leave[:, None] * p["transition"]
    hmm, plain = lem.HMM(K, lem.families.Poisson()).declare(lem.sequences(X, lengths=LENGTHS))
    own = {"initial": p["initial"], "transition": matrix, "emission": p["emission"]}
    np.testing.assert_allclose(found, lem.chain.log_prob(hmm.model(), own, plain), rtol=1e-9)


def test_a_fit_finds_durations_and_answers() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.poisson(1.0 if i % 2 else 12.0, 3 if i % 2 else 5) for i in range(12)])
    fit = lem.fit(lem.HSMM(2, lem.families.Poisson(), lem.durations.Free(6)), x, key=jax.random.key(0), polish=False)
    assert np.all(np.diff(fit.trace) > -1e-9)
    high = int(np.argmax(fit.params["emission"]["rate"]))
    lasts = fit.params["duration"]["probabilities"]
    assert lasts[high, 4] > 0.7 and lasts[1 - high, 2] > 0.7
    assert np.mean((fit.viterbi() == high) == np.tile([True] * 5 + [False] * 3, 6)) > 0.9
    np.testing.assert_allclose(fit.smooth().sum(axis=1), 1, atol=1e-9)


def test_bad_input() -> None:
    poisson_family = lem.families.Poisson()
    with pytest.raises(ValueError, match="states=1: expected an integer >= 2"):
        lem.HSMM(1, poisson_family, FAMILIES["free"])
    with pytest.raises(ValueError, match=r"Free\(0\): expected the longest duration, at least 1"):
        lem.durations.Free(0)
    with pytest.raises(TypeError, match="durations=5: expected lem.durations.Free"):
        lem.HSMM(2, poisson_family, 5)  # pyright: ignore
    with pytest.raises(ValueError, match="prior for 'duration': expected 'emission'"):
        lem.HSMM(2, poisson_family, FAMILIES["free"], prior={"duration": 1})
    with pytest.raises(ValueError, match="labels with HSMM"):
        lem.HSMM(2, poisson_family, FAMILIES["free"]).declare(lem.sequences(X, labels=np.zeros(11, int)))
