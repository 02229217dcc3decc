"""What a fitted semi-Markov model is asked, with states that are known and priors, against enumeration."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import jax
import numpy as np
import pytest
from hmm.segmentations import K, brute, distribution, params
from scipy.optimize import minimize

import latentem as lem
from latentem import durations, families

LENGTHS = np.array([6, 1, 4])
X = np.array([1, 0, np.nan, 9, 7, 3, 4, 8, 4, 5, 0])
LABELS = np.array([-1, 0, -1, -1, 2, -1, -1, 2, -1, -1, -1])
SERIES = lem.sequences(X, lengths=LENGTHS, labels=LABELS)
ONE: Any = {"method": lem.Plain(), "max_iterations": 1, "polish": False}


def parts(a: np.ndarray) -> list[np.ndarray]:
    return np.split(a, np.cumsum(LENGTHS)[:-1])


@cache
def fitted() -> lem.Fit:
    """One step of EM from given params, with states that are known."""
    model = lem.HSMM(K, families.Poisson(), durations.Free(4), first_censored=True)
    return lem.fit(model, SERIES, initial=params("free"), **ONE)


def enumerated(n: int, x: np.ndarray, labels: np.ndarray | None = None) -> dict[str, Any]:
    own = parts(LABELS)[n] if labels is None else labels
    return brute("free", fitted().params, x, True, True, own)


@pytest.mark.slow
def test_known_states() -> None:
    smoothed, paths, moves = fitted().smooth(), fitted().viterbi(), fitted().transition_expectations()
    log_prob = fitted().log_prob()
    for n, x in enumerate(parts(X)):
        own = enumerated(n, x)
        assert log_prob[n] == pytest.approx(own["log_prob"], rel=1e-11)
        np.testing.assert_allclose(smoothed[n], own["smoothed"], atol=1e-11)
        np.testing.assert_allclose(moves[n], own["pairs"].reshape(-1, K, K), atol=1e-11)
        assert paths[n].tolist() == own["best"].tolist()


def test_what_comes_next() -> None:
    filtered, ahead = fitted().filter(), fitted().forecast(3)
    for n, x in enumerate(parts(X)):
        known = parts(LABELS)[n]
        for t in range(len(x)):
            own = enumerated(n, x[: t + 1], known[: t + 1])
            np.testing.assert_allclose(filtered[n][t], own["smoothed"][-1], atol=1e-11)
        # The steps to come are steps without an observation.
        longer = enumerated(n, np.append(x, [np.nan] * 3), np.append(known, [-1] * 3))
        np.testing.assert_allclose(ahead[n], longer["smoothed"][-3:], atol=1e-11)


def test_one_step_after_another() -> None:
    free = lem.sequences(X[:6])
    filtered, state, evidence = fitted().filter(free), None, 0.0
    for t, x in enumerate(X[:6]):
        state, gained = fitted().step(state, x)
        evidence += gained
        np.testing.assert_allclose(state.reshape(K, -1).sum(axis=1), filtered[t], atol=1e-11)
    assert evidence == pytest.approx(enumerated(0, X[:6], np.full(6, -1))["log_prob"], rel=1e-11)


def test_draws_of_paths_have_the_smoothed_distribution() -> None:
    draws = fitted().sample_path(jax.random.key(0), 400)
    for drawn, smoothed in zip(draws, fitted().smooth(), strict=True):
        share = np.stack([(drawn == k).mean(axis=1) for k in range(K)], axis=1)
        assert np.max(np.abs(share - smoothed)) < 4 * 0.5 / np.sqrt(400)


def test_simulated_segments_last_and_follow_as_they_should() -> None:
    # Every state shows itself, so segments are seen.
    p = {**params("free"), "emission": {"probabilities": np.eye(K)}}
    model = lem.HSMM(K, families.Categorical(K), durations.Free(4))
    fit = lem.fit(model, np.array([0, 0, 0, 1, 2, 2]), initial=p, **ONE)
    x = replace(fit, params=p).sample(jax.random.key(1), 9000)
    edges = np.flatnonzero(np.diff(x)) + 1
    states, lasts = x[edges[:-1]], np.diff(edges)
    for k in range(K):
        own = lasts[states == k]
        for d, share in enumerate(p["duration"]["probabilities"][k], start=1):
            assert np.mean(own == d) == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / len(own)) + 1e-12)
        followers = states[1:][states[:-1] == k]
        share = np.bincount(followers, minlength=K) / len(followers)
        np.testing.assert_allclose(share, p["transition"][k], atol=4 * 0.5 / np.sqrt(len(followers)))


def test_priors_add_to_what_is_expected() -> None:
    start, series = params("free"), lem.sequences(X, lengths=LENGTHS)
    concentration = 1.0 + np.array([[0, 1, 2], [3, 0, 1], [2, 2, 0]])
    lasting = np.where(start["duration"]["probabilities"] > 0, 1.0 + np.arange(12.0).reshape(K, 4), 1.0)
    prior = {
        "initial": lem.priors.Dirichlet(3.0),
        "transition": lem.priors.Dirichlet(tuple(map(tuple, concentration))),
        "duration": {"probabilities": lem.priors.Dirichlet(tuple(map(tuple, lasting)))},
    }
    model = lem.HSMM(K, families.Poisson(), durations.Free(4), prior=prior)
    one = lem.fit(model, series, initial=start, **ONE).params
    begins, moves, lasted, _ = counts("free", start, False)
    np.testing.assert_allclose(one["initial"], (begins + 2) / (begins + 2).sum(), rtol=1e-9)
    moves = moves + concentration - 1
    np.testing.assert_allclose(one["transition"], moves / moves.sum(axis=1, keepdims=True), rtol=1e-9)
    total = lasted + lasting - 1
    expected = total / total.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(one["duration"]["probabilities"], expected, atol=1e-9)


def test_a_prior_of_a_duration_that_is_not_free() -> None:
    start, series = params("poisson"), lem.sequences(X, lengths=LENGTHS)
    prior = {"duration": {"rate": lem.priors.Gamma(9.0, 3.0)}}
    model = lem.HSMM(K, families.Poisson(), durations.Poisson(4), prior=prior)
    one = lem.fit(model, series, initial=start, **ONE).params["duration"]["rate"]
    _, _, lasted, _ = counts("poisson", start, False)

    def value(u: np.ndarray) -> float:
        p = distribution("poisson", {"rate": np.exp(u)})
        return -np.sum(lasted * np.log(p)) - np.sum(8.0 * u - 3.0 * np.exp(u))

    best = minimize(value, np.log(start["duration"]["rate"]), tol=1e-12)
    assert value(np.log(one)) <= best.fun + 1e-7


def counts(kind: str, p: Any, first: bool) -> tuple[np.ndarray, ...]:
    """(begins (K,), moves (K, K), segments that began inside and at the start (K, 4), at the start)."""
    begins, moves, lasted, opened = np.zeros(K), np.zeros((K, K)), np.zeros((K, 4)), np.zeros((K, 4))
    for x in parts(X):
        for (_, segments), w in zip(*brute(kind, p, x, first, True)["every"], strict=True):
            begins[segments[0][0]] += w
            opened[segments[0][0], segments[0][1] - 1] += w
            for (i, _), (j, d) in zip(segments[:-1], segments[1:], strict=True):
                moves[i, j] += w
                lasted[j, d - 1] += w
    return begins, moves, lasted + opened, opened


def test_a_fit_with_labels_numbers_the_states_by_them() -> None:
    rng = np.random.default_rng(0)
    states = np.concatenate([[i % 2] * (3 if i % 2 else 5) for i in range(12)])
    x = rng.poisson(np.where(states, 1.0, 12.0))
    few = np.where(rng.uniform(size=len(x)) < 0.1, states, -1)
    model = lem.HSMM(2, families.Poisson(), durations.Free(6))
    for seed in range(4):
        for flip in (False, True):
            known = np.where(few < 0, -1, 1 - few if flip else few)
            fit = lem.fit(model, lem.sequences(x, labels=known), key=jax.random.key(seed), polish=False)
            rate = fit.params["emission"]["rate"]
            assert (rate[1] > rate[0]) == flip


def test_what_does_not_go() -> None:
    with pytest.raises(ValueError, match="viterbi_top of an HSMM: its best paths would be of equal states") as told:
        fitted().viterbi_top(2)
    assert "\n" not in str(told.value)
    with pytest.raises(ValueError, match="labels hold state 3: expected 0 to 2, or -1 for not known"):
        model = lem.HSMM(K, families.Poisson(), durations.Free(4))
        lem.fit(model, lem.sequences([1.0, 2.0, 3.0, 4.0], labels=[0, 1, 3, -1]), initial=params("free"))
    whole = lem.HSMM(K, families.Poisson(), durations.Free(4), last_censored=False)
    with pytest.raises(ValueError, match="sample: segments end with the sequence here"):
        whole.sample(None, jax.random.key(0), 5)
