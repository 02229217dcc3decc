"""Modal analysis: what it finds of structures whose modes are known."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shear_frame import Frame, frame

import latentem as lem
from latentem.models.modal.modal import rotations
from latentem.models.modal.subspace import identify
from latentem.numerics.compiled import jit


def test_the_transition_has_the_poles_of_its_modes() -> None:
    with jax.enable_x64(True):
        matrix = np.asarray(rotations(jnp.array([2.0, 7.0]), jnp.array([0.01, 0.05]), 50.0))
    poles = np.log(np.linalg.eigvals(matrix)) * 50.0
    poles = poles[poles.imag > 0][np.argsort(np.abs(poles[poles.imag > 0]))]
    np.testing.assert_allclose(np.abs(poles) / (2 * np.pi), [2.0, 7.0], rtol=1e-12)
    np.testing.assert_allclose(-poles.real / np.abs(poles), [0.01, 0.05], rtol=1e-12)


def test_subspace_identification_starts_near_the_modes() -> None:
    made = frame(3, 2000)
    with jax.enable_x64(True):
        y = jnp.asarray(made.y - made.y.mean(axis=0))
        found = jit(lambda y: identify(y, 3, made.rate, (0, 1, 2)))(y)
        order = np.argsort(found.frequency)
    np.testing.assert_allclose(np.asarray(found.frequency)[order], made.frequency, rtol=0.01)
    shape = np.asarray(found.shape)[:, order]
    np.testing.assert_allclose(shape, made.shape / made.shape[0], atol=0.2)


@pytest.fixture(scope="module", name="small")
def _small() -> tuple[Frame, lem.Fit]:
    """One storey read by two sensors, 10 % of the readings lost."""
    made = frame(1, 800, noise=0.2, damping=0.03, storeys=1)
    rng = np.random.default_rng(0)
    y = np.concatenate([made.y, 0.5 * made.y + 0.2 * rng.normal(size=made.y.shape)], axis=1)
    y[rng.random(y.shape) < 0.1] = np.nan
    return made, lem.fit(lem.Modal(1, rate=made.rate), y)


@pytest.mark.slow
def test_a_mode_is_found_within_its_errors(small: tuple[Frame, lem.Fit]) -> None:
    made, fit = small
    assert fit.status.ok
    (mode,) = fit.modes()
    assert abs(mode.frequency - made.frequency[0]) < 3 * mode.frequency_error
    assert abs(mode.damping - made.damping[0]) < 3 * mode.damping_error
    assert mode.frequency_interval[0] < mode.frequency < mode.frequency_interval[1]
    assert mode.shape[0] == 1.0 and mode.shape_error[0] == 0.0
    assert abs(mode.shape[1] - 0.5) < 4 * abs(mode.shape_error[1])
    np.testing.assert_allclose(fit.mac(fit), [[1.0]])
    (panel,) = lem.plot.mode_shapes(fit).axes
    np.testing.assert_allclose(panel.lines[0].get_xdata(), mode.shape.real)


@pytest.mark.slow
def test_all_modes_of_a_frame_within_two_errors_with_readings_lost() -> None:
    made = frame(3)
    y = made.y.copy()
    y[np.random.default_rng(0).random(y.shape) < 0.1] = np.nan
    fit = lem.fit(lem.Modal(3, rate=made.rate), y)
    modes = fit.modes()
    for k, mode in enumerate(modes):
        assert abs(mode.frequency - made.frequency[k]) < 2 * mode.frequency_error
        assert abs(mode.damping - made.damping[k]) < 2 * mode.damping_error
    assert np.diagonal(fit.mac(made.shape.astype(complex))).min() > 0.999
    # Two set-ups, the reference in both, sensors 1 and 2 in one each.
    first, second = made.y[:2000].copy(), made.y[2000:].copy()
    first[:, 2], second[:, 1] = np.nan, np.nan
    roving = lem.fit(lem.Modal(3, rate=made.rate), [first, second])
    for a, b in zip(roving.modes(), modes, strict=True):
        assert abs(a.frequency - b.frequency) < 2 * a.frequency_error
        assert abs(a.damping - b.damping) < 2 * a.damping_error
    orders = fit.stabilisation([2, 3, 4])
    assert min(orders, key=lambda order: order.bic).modes == 3


@pytest.mark.slow
def test_intervals_cover_in_200_simulations() -> None:
    inside = []
    for seed in range(200):
        made = frame(seed, 4000)
        fit = lem.fit(lem.Modal(3, rate=made.rate), made.y)
        for k, mode in enumerate(fit.modes()):
            inside.append(mode.frequency_interval[0] <= made.frequency[k] <= mode.frequency_interval[1])
            inside.append(mode.damping_interval[0] <= made.damping[k] <= mode.damping_interval[1])
    assert 0.90 <= np.mean(inside) <= 0.98
