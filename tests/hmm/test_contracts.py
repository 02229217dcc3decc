"""What every model keeps to (`contracts`), of a chain: whose observations are sequences, and whose rows have an order.

That weights are replication, and that data that are impossible say where, is in `test_enumeration`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
from contracts.programs import programs

import latentem as lem

LENGTHS = [20, 25, 15]
COUNTS = np.random.default_rng(0).poisson(np.repeat([2.0, 9.0, 2.0, 9.0], 15))
WEIGHTS = np.array([1.0, 2.0, 0.5])
START = {
    "initial": np.array([0.5, 0.5]),
    "transition": np.array([[0.8, 0.2], [0.3, 0.7]]),
    "emission": {"rate": np.array([3.0, 7.0])},
}


def fit(x: Any, weights: Any = WEIGHTS, **options: Any) -> lem.Fit:
    """Five plain EM steps; the model is made anew at each call."""
    hmm = lem.HMM(2, lem.families.Poisson())
    chosen = {"method": lem.Plain(), "max_iterations": 5, "tolerance": 0.0, "polish": False, "initial": START}
    return lem.fit(hmm, x, weights=weights, **{**chosen, **options})


@cache
def fitted() -> lem.Fit:
    return fit(lem.sequences(COUNTS, lengths=LENGTHS))


def test_the_objective_never_falls() -> None:
    trace = fitted().trace
    assert np.isfinite(trace).all() and np.all(np.diff(trace) > 0)


def test_the_order_of_the_sequences_does_not_matter() -> None:
    parts = np.split(COUNTS, np.cumsum(LENGTHS)[:-1])
    order = [2, 0, 1]
    other = fit(lem.sequences([parts[i] for i in order]), WEIGHTS[order])
    np.testing.assert_allclose(other.trace, fitted().trace, rtol=1e-12)
    for i, smoothed in zip(order, other.smooth(), strict=True):
        np.testing.assert_allclose(smoothed, fitted().smooth()[i], atol=1e-12)


def test_a_sequence_of_weight_zero_is_not_there() -> None:
    without = fit(lem.sequences(COUNTS[:45], lengths=LENGTHS[:2]), [1.0, 2.0])
    beside = fit(lem.sequences(COUNTS, lengths=LENGTHS), [1.0, 2.0, 0.0])
    np.testing.assert_allclose(beside.trace, without.trace, rtol=1e-12)
    assert beside.n_observations == without.n_observations == 20 + 2 * 25


def test_an_equal_model_on_data_of_the_same_shape_compiles_nothing() -> None:
    fitted()
    with programs() as seen:
        again = fit(lem.sequences(COUNTS[::-1], lengths=LENGTHS))
    assert np.isfinite(again.log_likelihood) and again.log_likelihood != fitted().log_likelihood
    assert seen == []


def test_float32_stays_close_to_float64() -> None:
    narrow = fit(lem.sequences(COUNTS, lengths=LENGTHS), dtype="float32")
    assert narrow.dtype == "float32" and np.any(narrow.trace != fitted().trace)
    np.testing.assert_allclose(narrow.trace, fitted().trace, rtol=1e-5)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = fitted().save(tmp_path / "fit")
    series = lem.sequences(COUNTS, lengths=LENGTHS)
    loaded = lem.load(path, model=lem.HMM(2, lem.families.Poisson()), data=series, weights=WEIGHTS)
    jax.tree.map(np.testing.assert_array_equal, loaded.params, fitted().params)
    assert loaded.model == fitted().model
    for one, other in zip(loaded.viterbi(), fitted().viterbi(), strict=True):
        np.testing.assert_array_equal(one, other)
