"""Damped Newton ascends, also where the function is not concave."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentem.numerics.newton import ascent_direction, newton_ascent


def ascend(value: Any, start: Any, **options: Any) -> Any:
    gradient = jax.grad(value)
    options = {"iterations": 60, "tolerance": 1e-16, **options}
    return newton_ascent(value, lambda u: (gradient(u), jax.hessian(value)(u)), jnp.asarray(start), **options)


def test_a_quadratic_takes_one_step(x64: None) -> None:
    top = jnp.array([1.0, -2.0])
    found = ascend(lambda u: -jnp.sum(jnp.array([1.0, 10.0]) * (u - top) ** 2), [0.0, 0.0])
    np.testing.assert_allclose(found.u, top, atol=1e-14)
    assert int(found.iterations) <= 2


def banana(u: Any) -> Any:
    """Minus the function of Rosenbrock (1960), whose maximum 0 is at (1, 1)."""
    return -((1 - u[0]) ** 2) - 100 * (u[1] - u[0] ** 2) ** 2


@pytest.mark.parametrize("start", [[-1.2, 1.0], [0.0, 3.0], [2.0, -2.0]])
def test_rosenbrock(start: Any, x64: None) -> None:
    found = ascend(banana, start)
    np.testing.assert_allclose(found.u, [1.0, 1.0], atol=1e-10)
    assert found.evaluations < 200


def test_it_leaves_a_place_where_the_function_is_convex(x64: None) -> None:
    # cos has its maxima at multiples of 2 pi and is convex near pi.
    found = ascend(lambda u: jnp.sum(jnp.cos(u)), [3.0, 0.4])
    np.testing.assert_allclose(np.cos(found.u), 1.0, atol=1e-14)


@pytest.mark.parametrize("iterations", [1, 2, 3, 5])
def test_no_step_lowers_the_value(iterations: int, x64: None) -> None:
    start = jnp.array([-1.2, 1.0])
    assert ascend(banana, start, iterations=iterations).value >= banana(start)


def test_steps_are_halved_until_the_value_exists(x64: None) -> None:
    # The logarithm ends at u = 3; a full Newton step from 2.9 would leave it.
    found = ascend(lambda u: jnp.sum(jnp.where(u < 3, jnp.log(jnp.where(u < 3, 3 - u, 1.0)), -jnp.inf) - u**2), [2.9])
    assert np.isfinite(found.value) and abs(jax.grad(lambda u: jnp.log(3 - u) - u**2)(found.u[0])) < 1e-10


def test_a_flat_direction_is_not_followed(x64: None) -> None:
    found = ascend(lambda u: -((u[0] - 1.0) ** 2), [0.0, 7.0])
    np.testing.assert_allclose(found.u, [1.0, 7.0], atol=1e-12)


def test_the_direction_ascends_whatever_the_curvature(x64: None) -> None:
    gradient = jnp.array([1.0, -2.0, 0.5])
    hessian = jnp.diag(jnp.array([-2.0, 3.0, 0.0]))
    direction, gain = ascent_direction(gradient, hessian)
    assert gradient @ direction > 0 and gain > 0
    np.testing.assert_allclose(direction[:2], [0.5, -2 / 3], rtol=1e-12)


def test_a_start_without_a_value_is_left_alone(x64: None) -> None:
    found = ascend(lambda u: jnp.sum(u) * jnp.nan, [1.0])
    assert bool(found.stuck) and int(found.iterations) == 0
