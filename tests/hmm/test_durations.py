"""Semi-Markov models against enumeration of all segmentations."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from hmm.segmentations import D, K, brute, distribution, params
from scipy.optimize import minimize

import latentem as lem

LENGTHS = np.array([7, 1, 3])
X = np.array([1, 0, 2, 9, 7, 3, 4, 8, 4, 5, 0])
FAMILIES: dict[str, Any] = {
    "free": lem.durations.Free(D),
    "poisson": lem.durations.Poisson(D),
    "negative binomial": lem.durations.NegativeBinomial(D),
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
    for n, x in enumerate(np.split(X.astype(float), np.cumsum(LENGTHS)[:-1])):
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
    for x in np.split(X.astype(float), np.cumsum(LENGTHS)[:-1]):
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
    with pytest.raises(ValueError, match="prior for 'durations': expected 'initial', 'transition', 'duration' or"):
        lem.HSMM(2, poisson_family, FAMILIES["free"], prior={"durations": 1})
