"""Every accelerator climbs to the same maximum as EM, in fewer evaluations."""

from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from contracts.registry import POISSON, poisson, poisson_maximize, poisson_statistics

import latentem as lem
from latentem import datasets
from latentem.ascent.iteration import em_map
from latentem.ascent.mstep import resolve

MODEL = lem.Model(
    poisson, lem.Finite(2), POISSON, m_step=lem.ClosedForm(poisson_statistics, poisson_maximize), name="Poisson"
)
START = {"weight": [0.5, 0.5], "rate": [1.0, 3.0]}
# Hasselblad (1969), JASA 64, 1459-1471; see tests/reference/test_hasselblad.py.
MAXIMUM = -1989.945859883


def fit(method: Any, **options: Any) -> lem.Fit:
    table = datasets.hasselblad()
    options = {"tolerance": 0.0, "step_tolerance": 1e-8, "polish": False, "initial": START, **options}
    return lem.fit(MODEL, table.deaths.astype(float), weights=table.frequency, method=method, **options)


@pytest.mark.parametrize(
    ("method", "most"),
    [
        (lem.Plain(), 2700),
        (lem.SQUAREM(), 200),
        (lem.SQUAREM(slack=1.0), 200),
        (lem.Anderson(), 200),
        (lem.Anderson(window=3, slack=0.0), 400),
    ],
    ids=str,
)
def test_each_method_reaches_the_maximum(method: Any, most: int) -> None:
    found = fit(method)
    assert found.status is lem.Status.converged
    assert abs(found.log_likelihood - MAXIMUM) < 1e-8
    assert found.evaluations < most


@pytest.mark.parametrize("method", [lem.Plain(), lem.Anderson(slack=0.0)], ids=str)
def test_without_slack_the_objective_never_falls(method: Any) -> None:
    assert np.all(np.diff(fit(method).trace) >= -1e-9)


def test_squarem_without_slack_never_starts_an_iteration_lower(x64: None) -> None:
    table = datasets.hasselblad()
    begin = lem.em(MODEL).init(START, table.deaths.astype(float), table.frequency)
    example = {name: jnp.asarray(value) for name, value in START.items()}
    mapping, _ = em_map(begin.form, resolve("auto", begin.form), begin.prepared, example)
    method = lem.SQUAREM()
    step = jax.jit(lambda state: method.step(mapping, state, 0.0))
    state, begun, refused = method.init(jax.flatten_util.ravel_pytree(example)[0]), [], 0
    for _ in range(25):
        objective = float(mapping.update(state.theta)[1])
        state, info = step(state)
        refused += bool(info.refused)
        begun.extend([] if bool(info.refused) else [objective])
    assert np.all(np.diff(begun) >= -1e-9) and len(begun) + refused == 25
    assert begun[-1] == pytest.approx(MAXIMUM, abs=1e-6)


def test_an_extrapolation_outside_the_constraints_is_not_used() -> None:
    # From here the extrapolated weight would be negative.
    start = {"weight": [0.02, 0.98], "rate": [0.05, 2.4]}
    for method in (lem.SQUAREM(longest=64.0), lem.Anderson()):
        found = fit(method, initial=start, max_iterations=3000)
        assert found.log_likelihood == pytest.approx(MAXIMUM, abs=1e-7)


def test_a_window_is_at_least_one_step() -> None:
    with pytest.raises(ValueError, match="expected at least 1 past step"):
        lem.Anderson(window=0)
