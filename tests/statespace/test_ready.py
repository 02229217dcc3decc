"""Ready models at given params against statsmodels 0.15 and pykalman 0.11, which compute the same by other code."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.tsa.statespace.initialization import Initialization

import latentem as lem
from latentem.forms.kalman import KalmanForm
from latentem.numerics.compiled import jit

RNG = np.random.default_rng(4)
WAVES = np.cumsum(RNG.normal(size=60)) + 2 * np.sin(np.arange(60) / 3) + RNG.normal(size=60)
RAIN = RNG.normal(size=60)
HOLES = np.where(np.arange(60) % 11 == 5, np.nan, WAVES)


def log_likelihood(model: Any, data: Any, params: Any) -> float:
    """Of these params, without a fit."""
    declared, series = model.declare(data)
    own = declared.model()
    with jax.enable_x64(True):
        form, given = KalmanForm(own), jax.tree.map(jnp.asarray, own.space.check(params))
        return float(_log_likelihood(form, given, form.of_new(own.latent.read(series), "float64")))


@pytest.mark.parametrize("kind", ["trend", "season", "fixed season", "cycle", "regression"])
def test_structural_models_are_those_of_statsmodels(kind: str) -> None:
    """Level and slope; season; damped cycle in its stationary distribution; regression with a fixed level."""
    model, options, params = {
        "trend": (lem.LocalTrend(), {"level": "lltrend"}, {"level": 0.5, "trend": 0.1, "noise": 0.8}),
        "season": (
            lem.Structural(seasonal=4),
            {"level": "llevel", "seasonal": 4},
            {"level": 0.5, "seasonal": 0.2, "noise": 0.8},
        ),
        "fixed season": (
            lem.Structural(seasonal=4, seasonal_fixed=True),
            {"level": "llevel", "seasonal": 4, "stochastic_seasonal": False},
            {"level": 0.5, "noise": 0.8},
        ),
        "cycle": (
            lem.Structural(cycle=True),
            {"level": "llevel", "cycle": True, "stochastic_cycle": True, "damped_cycle": True},
            {"level": 0.5, "noise": 0.8, "cycle": {"variance": 0.3, "damping": 0.9, "frequency": 0.4}},
        ),
        "regression": (
            lem.Structural(level="fixed", regressors="rain"),
            {"level": "dconstant", "exog": RAIN, "mle_regression": True},
            {"noise": 0.8, "coefficients": [0.4]},
        ),
    }[kind]
    peer = sm.tsa.UnobservedComponents(HOLES, use_exact_diffuse=True, **options)
    unknown = peer.k_states
    if kind == "cycle":
        unknown -= 2
        first = Initialization(3)
        first.set(0, "diffuse")
        first.set((1, 3), "stationary")
        peer.ssm.initialize(first)
        given = [0.8, 0.5, 0.3, 0.4, 0.9]
        assert peer.param_names == [
            "sigma2.irregular",
            "sigma2.level",
            "sigma2.cycle",
            "frequency.cycle",
            "damping.cycle",
        ]
    elif kind == "regression":
        given = [0.8, 0.4]
    else:
        given = [params["noise"], *(value for name, value in params.items() if name != "noise")]
    data = {"y": HOLES, "rain": RAIN} if kind == "regression" else HOLES
    wanted = peer.loglike(given) + 0.5 * unknown * np.log(2 * np.pi)  # statsmodels leaves this constant out
    assert log_likelihood(model, data, params) == pytest.approx(wanted, abs=1e-8)


def test_autoregressions_with_and_without_noise_are_those_of_statsmodels() -> None:
    """Exact likelihood, readings missing; params are at their mean, variance and coefficients."""
    coefficients = [0.6, 0.25]
    params = {"mean": 0.4, "coefficients": coefficients, "variance": 1.3, "noise": 0.7}
    noisy = sm.tsa.SARIMAX(HOLES - 0.4, order=(2, 0, 0), measurement_error=True)
    assert log_likelihood(lem.AR(2), HOLES, params) == pytest.approx(noisy.loglike([*coefficients, 0.7, 1.3]), abs=1e-8)
    exact = sm.tsa.SARIMAX(HOLES - 0.4, order=(2, 0, 0))
    del params["noise"]
    wanted = exact.loglike([*coefficients, 1.3])
    assert log_likelihood(lem.AR(2, noise=False), HOLES, params) == pytest.approx(wanted, abs=1e-8)


def test_an_autoregression_is_fitted_to_the_maximum_of_the_likelihood_of_statsmodels() -> None:
    fit = lem.fit(lem.AR(2, noise=False), HOLES)
    assert fit.status.ok
    found = np.array([*fit.params["coefficients"], fit.params["variance"], fit.params["mean"]])

    def wanted(at: np.ndarray) -> float:
        return float(sm.tsa.SARIMAX(HOLES - at[3], order=(2, 0, 0)).loglike(at[:3]))

    best = wanted(found)
    assert fit.log_likelihood == pytest.approx(best, abs=1e-8)
    for k, error in enumerate([0.01, 0.01, 0.02, 0.1]):
        assert max(wanted(found + sign * error * np.eye(4)[k]) for sign in (-1, 1)) < best


def test_dynamic_factors_are_those_of_statsmodels() -> None:
    rng = np.random.default_rng(5)
    y = np.cumsum(rng.normal(size=(40, 1)), axis=0) * [1.0, 0.5, -0.8] + rng.normal(size=(40, 3))
    y[rng.random(y.shape) < 0.1] = np.nan
    loadings, noise = [1.1, 0.4, -0.7], [0.9, 1.1, 0.6]
    peer = sm.tsa.DynamicFactor(y, k_factors=1, factor_order=1)
    params = {
        "transition": [[0.7]],
        "process": [[1.0]],
        "observation": np.reshape(loadings, (3, 1)),
        "noise": np.diag(noise),
        "offset_effect": np.zeros((3, 1)),
    }
    assert log_likelihood(lem.DynamicFactor(1), y, params) == pytest.approx(
        peer.loglike([*loadings, *noise, 0.7]), abs=1e-8
    )


def test_em_steps_are_those_of_pykalman() -> None:
    """All matrices free, first state given: three iterations of both."""
    from pykalman import KalmanFilter

    rng = np.random.default_rng(6)
    y = np.cumsum(rng.normal(size=(30, 2)), axis=0)
    start = {
        "transition": [[0.8, 0.1], [0.0, 0.7]],
        "process": [[0.5, 0.1], [0.1, 0.6]],
        "observation": [[1.0, 0.2], [0.1, 1.0]],
        "noise": [[1.0, 0.2], [0.2, 1.5]],
        "initial_mean": [0.0, 0.0],
        "initial_covariance": [[1.0, 0.0], [0.0, 1.0]],
    }
    names = ["transition_matrices", "transition_covariance", "observation_matrices", "observation_covariance"]
    peer = KalmanFilter(
        **dict(zip(names, list(start.values())[:4], strict=True)),
        initial_state_mean=[0.0, 0.0],
        initial_state_covariance=np.eye(2),
        em_vars=names,
    ).em(y, n_iter=3)
    model = lem.StateSpace(2, noise="free", initial=([0.0, 0.0], np.eye(2)))
    fit = lem.fit(model, y, initial=start, method=lem.Plain(), max_iterations=3, tolerance=0.0, polish=False)
    for own, theirs in zip(list(start)[:4], names, strict=True):
        np.testing.assert_allclose(fit.params[own], getattr(peer, theirs), atol=1e-8, err_msg=own)
    assert fit.log_likelihood == pytest.approx(peer.loglikelihood(y), abs=1e-8)


_log_likelihood = jit(lambda form, params, prepared: form.log_likelihood(params, prepared), static_argnums=0)
