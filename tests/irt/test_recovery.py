"""Recovery: over 200 simulated replications estimates scatter around the truth, biased by no more than chance shows."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import latentem as lem

REPLICATIONS = 200


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def three_pl() -> tuple[Any, np.ndarray]:
    # Guessing is estimated without a prior, whose pull is a bias: that takes discriminating items and many persons.
    rng = np.random.default_rng(1)
    ability = rng.normal(size=(8000, 1))
    right = 0.2 + 0.8 * logistic(np.linspace(1.6, 2.4, 8) * ability + np.linspace(1.0, -1.0, 8))
    return lem.IRT("3pl"), (rng.random(right.shape) < right).astype(np.int8)


def graded() -> tuple[Any, np.ndarray]:
    rng = np.random.default_rng(1)
    ability = rng.normal(size=(4000, 1, 1))
    slope = np.exp(rng.normal(0.2, 0.25, (8, 1)))
    threshold = np.sort(rng.normal(0, 1.3, (8, 3)), axis=1) + np.array([-0.6, 0.0, 0.6])
    passed = rng.random((4000, 8, 1)) < logistic(slope * ability - threshold)
    return lem.IRT("graded"), passed.sum(axis=2).astype(np.int8)


@pytest.mark.slow
@pytest.mark.parametrize("case", [three_pl, graded])
def test_bias_is_within_two_monte_carlo_errors(case: Any) -> None:
    irt, answers = case()
    truth = lem.fit(irt, answers)
    found = lem.bootstrap(truth, jax.random.key(0), REPLICATIONS)
    assert found.converged == REPLICATIONS
    ratios = []
    for name, value in truth.params[irt.model].items():
        draws = found.params[irt.model][name]
        error = draws.std(axis=0, ddof=1) / np.sqrt(REPLICATIONS)
        ratios.append(np.abs(draws.mean(axis=0) - value).ravel() / error.ravel())
    ratio = np.concatenate(ratios)
    # Without any bias 95% are below two, and the largest of a few dozen is below three and a half.
    assert np.mean(ratio <= 2) >= 0.9
    assert np.max(ratio) < 3.5
