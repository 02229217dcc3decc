"""Fits with states that are known at some steps: they begin from these, so that a state keeps its number."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import latentem as lem
from latentem import families
from latentem.numerics.seeding import thin_known

RNG = np.random.default_rng(7)
T, LENGTHS = 600, [200, 399, 1]
STATES = np.repeat(RNG.integers(0, 3, T // 6), 6)
RATE = np.array([20.0, 9.0, 2.0])  # not in the order of size
X = RNG.poisson(RATE[STATES])
FEW = np.where(RNG.uniform(size=T) < 0.1, STATES, -1)
POISSON = lem.HMM(3, families.Poisson())


def series(labels: np.ndarray, x: np.ndarray = X) -> lem.Sequences:
    return lem.sequences(x, lengths=LENGTHS, labels=labels)


def test_with_all_states_known_the_fit_is_that_of_the_complete_data() -> None:
    fit = lem.fit(POISSON, series(STATES), key=jax.random.key(0), polish=False)
    rates = [X[STATES == k].mean() for k in range(3)]
    np.testing.assert_allclose(fit.params["emission"]["rate"], rates, rtol=1e-10)
    begins, moves = np.zeros(3), np.zeros((3, 3))
    for part in series(STATES).split(STATES):
        begins[part[0]] += 1
        np.add.at(moves, (part[:-1], part[1:]), 1)
    np.testing.assert_allclose(fit.params["initial"], begins / 3, atol=1e-12)
    np.testing.assert_allclose(fit.params["transition"], moves / moves.sum(axis=1, keepdims=True), rtol=1e-10)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 2, 0]])
def test_states_come_in_the_order_of_a_tenth_of_the_labels(order: list[int]) -> None:
    labels = np.where(FEW < 0, -1, np.array(order)[FEW])
    for seed in range(5):
        fit = lem.fit(POISSON, series(labels), key=jax.random.key(seed), polish=False, tolerance=1e-6)
        np.testing.assert_allclose(fit.params["emission"]["rate"][order], RATE, rtol=0.15)


def starts(model: lem.HMM, data: lem.Sequences, draws: int = 20) -> Any:
    """Params of many starts."""
    hmm, found = model.declare(data)
    factored = hmm.model().factored
    assert factored is not None and factored.initial is not None
    known, begins = map(jnp.asarray, found.known)
    weights = jnp.ones(found.total)
    keys = jax.random.split(jax.random.key(0), draws)
    draw = jax.vmap(lambda k: factored.initial(k, jnp.asarray(found.steps, float), weights, known, begins))  # pyright: ignore
    return jax.tree.map(np.asarray, draw(keys))


def test_a_start_has_what_is_known_and_leaves_the_rest_to_other_states() -> None:
    # Only the state of middling counts is known: the others are on both sides of it, in any order.
    drawn = starts(POISSON, series(np.where(FEW == 1, 1, -1)))["emission"]["rate"]
    np.testing.assert_allclose(drawn[:, 1], X[FEW == 1].mean(), rtol=0.15)
    others = np.sort(drawn[:, [0, 2]], axis=1)
    assert np.mean((others[:, 0] < 5) & (others[:, 1] > 13)) > 0.5
    assert 0 < np.mean(drawn[:, 0] < drawn[:, 2]) < 1


def test_a_start_counts_known_moves_and_beginnings() -> None:
    drawn = starts(POISSON, series(STATES))
    moves = np.zeros((3, 3))
    for part in series(STATES).split(STATES):
        np.add.at(moves, (part[:-1], part[1:]), 1)
    # Beside one drawn move from each state.
    expected = moves / moves.sum(axis=1, keepdims=True)
    assert np.max(np.abs(drawn["transition"] - expected)) < 1 / (1 + moves.sum(axis=1).min())
    assert np.ptp(drawn["transition"], axis=0).max() > 0
    begun = np.bincount(STATES[[0, 200, 599]], minlength=3)
    assert np.all(np.abs(drawn["initial"] - begun / 3) < 0.25)


def test_one_step_of_each_state_is_enough() -> None:
    y = np.random.default_rng(0).normal(size=(T, 2)) + np.array([[5, 0], [0, 5], [0, 0]])[STATES]
    labels = np.full(T, -1)
    for k in range(3):
        labels[np.flatnonzero(STATES == k)[0]] = k
    model = lem.HMM(3, families.Gaussian("full"))
    for seed in range(3):
        fit = lem.fit(model, series(labels, y), key=jax.random.key(seed), polish=False, tolerance=1e-6)
        np.testing.assert_allclose(fit.params["emission"]["mean"], [[5, 0], [0, 5], [0, 0]], atol=0.4)
        assert fit.status.ok


def test_few_labels_of_long_data_are_all_looked_at() -> None:
    n, limit = 5000, 200
    label = np.full(n, -1)
    where = np.array([7, 8, 2000, 4999])
    label[where] = [0, 1, 0, 1]
    rows, kept, weights = thin_known(jnp.arange(n), jnp.asarray(label), jnp.ones(n), limit)
    assert rows.shape == kept.shape == weights.shape == (limit,)
    assert set(where.tolist()) <= set(np.asarray(rows).tolist())
    assert np.mean(np.asarray(kept) >= 0) == pytest.approx(0.5, abs=0.02)
    rest = np.asarray(rows)[np.asarray(kept) < 0]
    assert np.ptp(rest) > 4800 and np.max(np.diff(rest)) < 100
