"""Every verb against enumeration of all paths, on random small models: ragged, masked, labelled, missing, weighted."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from hmm.brute import answers
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson

import latentem as lem

K = 3
LENGTHS = np.array([5, 1, 4, 2])
FREE = lem.HMM(K, lem.families.Poisson())


def random_case(seed: int, zeros: bool) -> tuple[Any, lem.Sequences, np.ndarray]:
    """(params, four short sequences of lengths 5, 1, 4, 2, emissions (T, K))."""
    rng = np.random.default_rng(seed)
    matrix = rng.dirichlet(np.ones(K), K)
    if zeros:
        matrix = matrix * np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]])
        matrix /= matrix.sum(axis=1, keepdims=True)
    params = {
        "initial": rng.dirichlet(np.ones(K)),
        "transition": matrix,
        "emission": {"rate": np.exp(rng.normal(1.0, 1.0, K))},
    }
    x = rng.poisson(3.0, LENGTHS.sum())
    emission = poisson.logpmf(x[:, None], params["emission"]["rate"])
    return params, lem.sequences(x, lengths=LENGTHS), emission


def declared(series: lem.Sequences) -> tuple[lem.Model, lem.Sequences]:
    hmm, found = FREE.declare(series)
    return hmm.model(), found


def by_sequence(params: Any, emission: np.ndarray) -> list[dict[str, Any]]:
    return [
        answers(params["initial"], params["transition"], part) for part in np.split(emission, np.cumsum(LENGTHS)[:-1])
    ]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), zeros=st.booleans())
def test_probabilities_and_paths(seed: int, zeros: bool) -> None:
    params, series, emission = random_case(seed, zeros)
    model, series = declared(series)
    brute = by_sequence(params, emission)
    np.testing.assert_allclose(
        lem.chain.log_prob(model, params, series), [b["log_prob"] for b in brute], rtol=1e-12, atol=1e-13
    )
    for name, verb in (("smoothed", lem.chain.smoothed), ("filtered", lem.chain.filtered), ("pairs", lem.chain.pairs)):
        expected = np.concatenate([b[name] for b in brute])
        np.testing.assert_allclose(verb(model, params, series), expected, atol=1e-12, err_msg=name)
    states, score = lem.chain.viterbi(model, params, series, 4)
    for n, (own, b) in enumerate(zip(series.split(states), brute, strict=True)):
        there = np.isfinite(b["scores"][:4])
        np.testing.assert_allclose(score[n][: len(there)][there], b["scores"][:4][there], rtol=1e-12)
        for r in range(min(4, int(there.sum()))):
            # Of paths that are equally probable either may come first.
            same = np.flatnonzero(np.abs(b["scores"] - b["scores"][r]) < 1e-12)
            assert own[:, r].tolist() in b["paths"][same].tolist()


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_missing_steps_and_known_states(seed: int) -> None:
    params, series, emission = random_case(seed, False)
    rng = np.random.default_rng(seed + 1)
    x = np.asarray(series.steps, dtype=float)
    gone = rng.uniform(size=len(x)) < 0.3
    gone[series.starts] = False
    x[gone] = np.nan
    emission = np.where(gone[:, None], 0.0, emission)
    labels = np.where(rng.uniform(size=len(x)) < 0.3, rng.integers(0, K, len(x)), -1)
    known = (labels >= 0)[:, None] & (labels[:, None] != np.arange(K))
    brute = by_sequence(params, np.where(known, -np.inf, emission))
    model, series = declared(lem.sequences(x, lengths=LENGTHS, labels=labels))
    np.testing.assert_allclose(
        lem.chain.log_prob(model, params, series), [b["log_prob"] for b in brute], rtol=1e-12, atol=1e-13
    )
    found = lem.chain.smoothed(model, params, series)
    np.testing.assert_allclose(found, np.concatenate([b["smoothed"] for b in brute]), atol=1e-12)


def test_draws_of_paths_have_the_smoothed_distribution() -> None:
    params, series, emission = random_case(3, True)
    model, series = declared(series)
    draws = lem.chain.sample_paths(model, params, series, jax.random.key(0), 400)
    brute = np.concatenate([b["smoothed"] for b in by_sequence(params, emission)])
    share = np.stack([(draws == k).mean(axis=1) for k in range(K)], axis=1)
    assert np.max(np.abs(share - brute)) < 4 * 0.5 / np.sqrt(400)
    # A transition that is impossible is never drawn.
    inside = np.flatnonzero(np.diff(np.repeat(np.arange(4), LENGTHS)) == 0)
    assert np.all(params["transition"][draws[inside], draws[inside + 1]] > 0)


def step(params: Any, x: Any, z: Any, previous: Any) -> Any:
    return jax.numpy.log(params["transition"][previous, z]) + jax.scipy.stats.poisson.logpmf(
        x, params["emission"]["rate"][z]
    )


def first(params: Any, x: Any, z: Any) -> Any:
    return jax.numpy.log(params["initial"][z]) + jax.scipy.stats.poisson.logpmf(x, params["emission"]["rate"][z])


DECLARED = lem.Model(
    step,
    lem.Chain(K, first),
    {
        "initial": lem.simplex(K),
        "transition": lem.simplex(K).batched(K),
        "emission": {"rate": lem.positive(K)},
    },
)


def test_a_chain_of_ones_own_is_the_same_model() -> None:
    params, series, emission = random_case(11, False)
    found = lem.chain.smoothed(DECLARED, params, series)
    brute = by_sequence(params, emission)
    np.testing.assert_allclose(found, np.concatenate([b["smoothed"] for b in brute]), atol=1e-12)
    ready = lem.fit(FREE, series, initial=params, method=lem.Plain(), max_iterations=3, tolerance=0.0, polish=False)
    own = lem.fit(DECLARED, series, initial=params, method=lem.Plain(), max_iterations=3, tolerance=0.0, polish=False)
    np.testing.assert_allclose(own.trace, ready.trace, rtol=1e-9)


def test_weights_are_replication() -> None:
    params, series, _ = random_case(5, False)
    parts = series.split(np.asarray(series.steps))
    weights = np.array([2, 1, 3, 1])
    copies = lem.sequences([part for part, w in zip(parts, weights, strict=True) for _ in range(w)])
    options: Any = {"initial": params, "max_iterations": 5, "tolerance": 0.0, "polish": False}
    weighted, copied = lem.fit(FREE, series, weights=weights, **options), lem.fit(FREE, copies, **options)
    np.testing.assert_allclose(weighted.trace, copied.trace, rtol=1e-11)
    assert weighted.n_observations == copied.n_observations == 2 * 5 + 1 + 3 * 4 + 2


def test_what_is_forced_keeps_its_expectation() -> None:
    # Two states, each with one symbol it can show; the data force the transition of probability 1e-300.
    hmm = lem.HMM(2, lem.families.Categorical(2))
    params = {
        "initial": np.array([1.0, 0.0]),
        "transition": np.array([[1.0 - 1e-300, 1e-300], [0.0, 1.0]]),
        "emission": {"probabilities": np.array([[1.0, 0.0], [0.0, 1.0]])},
    }
    declared, series = hmm.declare(lem.sequences(np.array([0, 0, 1, 1, 0]), lengths=np.array([4, 1])))
    model = declared.model()
    np.testing.assert_allclose(lem.chain.log_prob(model, params, series), [-300 * np.log(10), 0.0], rtol=1e-12)
    np.testing.assert_allclose(lem.chain.smoothed(model, params, series)[:, 1], [0, 0, 1, 1, 0], atol=1e-12)
    np.testing.assert_allclose(lem.chain.pairs(model, params, series)[2], [[0, 1], [0, 0]], atol=1e-12)


def test_an_impossible_sequence_says_where() -> None:
    hmm = lem.HMM(2, lem.families.Categorical(2))
    params = {
        "initial": np.array([1.0, 0.0]),
        "transition": np.array([[0.5, 0.5], [0.0, 1.0]]),
        "emission": {"probabilities": np.array([[1.0, 0.0], [0.0, 1.0]])},
    }
    declared, series = hmm.declare(lem.sequences(np.array([0, 0, 1, 0, 1, 0, 1]), lengths=np.array([5, 2])))
    model = declared.model()
    found = lem.chain.log_prob(model, params, series)
    assert found[0] == -np.inf and found[1] == pytest.approx(np.log(0.5))
    assert lem.chain.first_impossible(model, params, series).tolist() == [3, -1]
    with pytest.raises(ValueError, match="log p.x. is -inf"):
        lem.fit(hmm, series, initial=params)
