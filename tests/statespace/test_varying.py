"""Matrices that change with covariates: filter, smoother and score are those of the joint distribution."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dense_gaussian import dense

import latentem as lem
from latentem.ascent.derivatives import compiled_expansion
from latentem.forms.kalman import KalmanForm
from latentem.numerics.compiled import jit

D, P = 2, 2
SPACE = {
    "fade": lem.unit(),
    "drive": lem.positive(),
    "gain": lem.real(),
    "noise": lem.positive(P),
    "first": lem.real(D),
}
PARAMS = {
    "fade": np.array(0.8),
    "drive": np.array(0.5),
    "gain": np.array(0.7),
    "noise": np.array([0.4, 0.9]),
    "first": np.array([0.3, -0.2]),
}


def system(params: Any, x: Any) -> lem.kalman.System:
    """Steps of uneven length u[0]: the longer, the more is forgotten and driven; a sensor whose gain v[0] changes."""
    dtype = params["fade"].dtype
    kept = params["fade"] ** x["u"][0]
    return lem.kalman.System(
        jnp.array([[kept, 0.1], [-0.1 * x["u"][0], kept]], dtype),
        jnp.array([[0.2], [0.0]], dtype),
        params["drive"] * x["u"][0] * jnp.eye(D, dtype=dtype),
        jnp.array([[1.0, 0.0], [params["gain"] * x["v"][0], 1.0]], dtype),
        jnp.array([[0.1], [-0.3]], dtype),
        params["noise"] * jnp.exp(0.2 * x["v"][0]),
        params["first"],
        jnp.eye(D, dtype=dtype) * (1.0 + x["v"][0] ** 2),
        jnp.zeros((D, 0), dtype),
    )


def step(params: Any, x: Any, z: Any, previous: Any) -> Any:
    return jnp.sum(jax.scipy.stats.norm.logpdf(z - previous))


FACTORS = lem.LinearGaussian(system, (0, 1), opening=(0, 1), varying=True)
MODEL = lem.Model(step, lem.GaussianChain(D, FACTORS), SPACE, name="uneven steps")


def data(lengths: tuple[int, ...] = (37, 1, 22)) -> lem.Sequences:
    rng = np.random.default_rng(0)
    parts = []
    for n in lengths:
        y = rng.normal(size=(n, P)).cumsum(axis=0)
        y[rng.random(y.shape) < 0.2] = np.nan
        y[0, 0] = 1.0
        parts.append({"y": y, "u": rng.gamma(2.0, 0.5, (n, 1)), "v": rng.normal(size=(n, 1))})
    return lem.sequences(parts)


def test_filter_and_smoother_are_those_of_the_joint_distribution() -> None:
    series = data()
    read = MODEL.latent.read(series)
    paths = lem.kalman.smoothed(MODEL, PARAMS, read)
    filtered = lem.kalman.filtered(MODEL, PARAMS, read)
    with jax.enable_x64(True):
        form = KalmanForm(MODEL)
        log_prob = np.asarray(_log_prob(form, jax.tree.map(jnp.asarray, PARAMS), form.of_new(read, "float64")))
        own = jax.vmap(lambda u, v: system(jax.tree.map(jnp.asarray, PARAMS), {"u": u, "v": v}))
        # A step's matrices move it on: their covariates are those of the move into the step after it.
        every = own(jnp.asarray(np.roll(series.steps["u"], -1, axis=0)), jnp.asarray(series.steps["v"]))
        matrices = [jax.tree.map(lambda a, t=t: np.asarray(a[t]), every) for t in range(series.total)]
    for i, (begin, n) in enumerate(zip(series.starts, series.lengths, strict=True)):
        rows = slice(begin, begin + n)
        y, u, v = (series.steps[name][rows] for name in "yuv")
        found = dense(matrices[rows], y, u, v)
        assert log_prob[i] == pytest.approx(found.log_prob, rel=1e-10)
        np.testing.assert_allclose(paths.mean[rows], found.mean, atol=1e-10)
        np.testing.assert_allclose(paths.covariance[rows], np.einsum("tdte->tde", found.covariance), atol=1e-10)
        lag = [found.covariance[t + 1, :, t] for t in range(n - 1)]
        np.testing.assert_allclose(paths.lag[rows][:-1], np.reshape(lag, (n - 1, D, D)), atol=1e-10)
        np.testing.assert_allclose(filtered.mean[rows][-1], found.mean[-1], atol=1e-10)


def test_score_and_information_are_derivatives_of_the_likelihood() -> None:
    with jax.enable_x64(True):
        form = KalmanForm(MODEL)
        prepared = form.of_new(MODEL.latent.read(data(), np.array([1.0, 2.0, 0.5])), "float64")
        u = np.asarray(MODEL.space.unconstrain(jax.tree.map(jnp.asarray, PARAMS)))
        here = jax.tree.map(np.asarray, compiled_expansion(form, prepared, u))
        value = jit(lambda u: form.log_likelihood(MODEL.space.constrain(u), prepared))
        score = np.asarray(jit(jax.grad(value))(u))
        hessian = np.asarray(jit(jax.hessian(value))(u))
    np.testing.assert_allclose(here.gradient, score, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(here.hessian, hessian, rtol=1e-7, atol=1e-7)


def test_a_fit_climbs_to_a_maximum_and_what_cannot_be_is_refused() -> None:
    fit = lem.fit(MODEL, data(), initial=PARAMS)
    assert fit.status.ok and np.abs(fit.gradient).max() < 1e-4
    with pytest.raises(ValueError, match="vary from step to step: call"):
        lem.kalman.matrices(MODEL, PARAMS)
    with pytest.raises(TypeError, match="leave no sums for maximize="):
        lem.LinearGaussian(system, (0, 1), maximize=lambda found, params: params, varying=True)


_log_prob = jit(lambda form, params, prepared: form.log_prob(params, prepared), static_argnums=0)
