"""The parts of SQUAREM on numbers, and the trace that its refusals leave out."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import latentem as lem
from latentem import datasets
from latentem.ascent.acceleration import SQUAREMState
from latentem.ascent.acceleration.squarem import Seen, Walk, extrapolate, judge, settle


def vector(*numbers: float) -> Any:
    return jnp.array(numbers, float)


def number(value: float) -> Any:
    return jnp.asarray(value, float)


def state(theta: Any, floor: float = -np.inf) -> SQUAREMState:
    return SQUAREMState(vector(*theta), vector(9.0, 9.0), number(4.0), number(2.0), number(floor))


def everywhere(theta: Any) -> Any:
    return jnp.ones((), bool)


@pytest.mark.parametrize(
    ("objective", "floor", "slack", "good"),
    [
        (-10.0, -np.inf, 0.0, True),
        (-10.0, -10.5, 0.0, True),
        (-10.0, -9.5, 0.0, False),
        (-10.0, -9.5, 1.0, True),
        (np.nan, -9.5, 0.0, False),
        (np.nan, -np.inf, 0.0, True),  # there is nothing to go back to
    ],
)
def test_a_point_is_judged_by_the_floor(x64: None, objective: float, floor: float, slack: float, good: bool) -> None:
    found, short = judge(state((0.0, 0.0), floor), vector(3.0, 4.0), number(objective), slack, 6.0)
    assert bool(found) is good and bool(short)
    assert not judge(state((0.0, 0.0), floor), vector(3.0, 4.0), number(objective), slack, 5.0)[1]


def test_two_steps_of_a_geometric_series_extrapolate_to_its_limit(x64: None) -> None:
    # From 0 with ratio 1/2 towards (2, 4): r = (1, 2), v = -r / 2, |r| / |v| = 2.
    once, twice = vector(1.0, 2.0), vector(1.5, 3.0)
    tried, usable, length, ended = extrapolate(vector(0.0, 0.0), once, twice, number(4.0), everywhere, 1e-6)
    np.testing.assert_allclose(tried, [2.0, 4.0], rtol=1e-15)
    assert usable and length == 2.0 and not ended


def test_the_bound_the_constraints_and_the_end_hold_an_extrapolation_back(x64: None) -> None:
    start, once, twice = vector(0.0, 0.0), vector(1.0, 2.0), vector(1.5, 3.0)
    tried, usable, length, _ = extrapolate(start, once, twice, number(1.5), everywhere, 1e-6)
    # 2 a r + a^2 v = (3 - 9 / 8) r
    np.testing.assert_allclose(tried, [1.875, 3.75], rtol=1e-15)
    assert usable and length == 1.5
    tried, usable, *_ = extrapolate(start, once, twice, number(4.0), lambda t: jnp.all(t < 3.5), 1e-6)
    assert not usable and np.array_equal(tried, twice)
    tried, usable, _, ended = extrapolate(start, once, twice, number(4.0), everywhere, 2.0)
    assert ended and not usable and np.array_equal(tried, twice)
    tried, usable, length, _ = extrapolate(start, once, 2 * once, number(4.0), everywhere, 1e-6)
    assert not usable and length == 1.0 and np.array_equal(tried, 2 * once)


def walked(objectives: Any, *, good: bool = True, short: bool = False, length: float = 2.0) -> Walk:
    images = jnp.array([[1.0, 2.0], [1.5, 3.0], [1.9, 3.9]])
    flags = [jnp.asarray(flag) for flag in (good, short, True, False)]
    seen = Seen(flags[0], flags[1], vector(2.0, 4.0), flags[2], number(length), flags[3])
    return Walk(jnp.asarray(3, jnp.int32), flags[3], images[2], images, vector(*objectives), seen)


def test_what_an_iteration_leaves(x64: None) -> None:
    before = state((0.0, 0.0), -11.0)
    after, info = settle(before, walked((-10.0, -9.0, -8.0)), 4.0, 1.0)
    assert np.array_equal(after.theta, [1.9, 3.9]) and np.array_equal(after.fallback, [1.5, 3.0])
    assert after.longest == 4.0 and after.floor == -10.0
    assert info.objective == -8.0 and info.accepted == -8.0 and info.evaluations == 3 and not info.refused
    assert info.step == pytest.approx(np.hypot(0.1, 0.1), rel=1e-15)
    after, _ = settle(before, walked((-10.0, -9.0, -8.0), length=4.0), 4.0, 1.0)
    assert after.longest == 16.0 and after.shorter == 1.0
    # An extrapolation below the start may be refused: what is certain is the start.
    _, info = settle(before, walked((-10.0, -9.0, -10.5)), 4.0, 1.0)
    assert info.objective == -9.0 and info.accepted == -10.0
    # One that is not finite is given up at once.
    after, info = settle(before, walked((-10.0, -9.0, np.nan), length=4.0), 4.0, 1.0)
    assert np.array_equal(after.theta, [1.5, 3.0]) and after.longest == 1.0 and info.accepted == -9.0


def test_a_refused_point_gives_way_to_the_plain_one(x64: None) -> None:
    after, info = settle(state((0.0, 0.0), -11.0), walked((-12.0, -np.inf, -np.inf), good=False), 4.0, 1.0)
    assert np.array_equal(after.theta, [9.0, 9.0]) and after.longest == 2.0 and after.floor == -np.inf
    assert info.refused and info.objective == -11.0 and info.accepted == -11.0 and np.isinf(info.step)


def test_a_short_first_step_ends_the_iteration(x64: None) -> None:
    after, info = settle(state((0.0, 0.0), -11.0), walked((-10.0, -np.inf, -np.inf), short=True), 4.0, 1.0)
    assert np.array_equal(after.theta, [1.0, 2.0]) and info.objective == info.accepted == -10.0
    assert info.step == pytest.approx(np.sqrt(5.0), rel=1e-15)


def test_refused_proposals_leave_no_mark_in_the_trace() -> None:
    # Some iterations of this fit propose too much; recorded, they let the trace fall by 2e-4.
    table = datasets.lsat7()
    answers = np.stack([getattr(table, f"item_{i}") for i in range(1, 6)], axis=1)
    fit = lem.fit(lem.IRT("3pl"), answers, weights=table.frequency, key=jax.random.key(0))
    assert np.min(np.diff(fit.trace)) >= -1e-12 * abs(fit.objective)
    assert (fit.iterations, fit.trace[-1]) == (48, pytest.approx(fit.objective, abs=1e-9))
