"""The maximiser as a differentiable function: implicit gradients against finite differences of refits."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inference.zoo import FAITHFUL, HASSELBLAD, fitted

import latentem as lem

RNG = np.random.default_rng(3)
FEW = FAITHFUL[::5]


def penalty(params: Any, h: Any) -> Any:
    """Gamma(shape, rate) on each rate, up to a constant."""
    return jnp.sum((h["shape"] - 1) * jnp.log(params["rate"]) - h["rate"] * params["rate"])


def normals(params: Any, x: Any, z: Any) -> Any:
    density = jax.scipy.stats.multivariate_normal.logpdf(x, params["mean"][z], params["covariance"])
    return jnp.log(params["weight"][z]) + density


TIED = lem.Model(
    normals, lem.Finite(2), {"weight": lem.simplex(2), "mean": lem.real((2, 2)), "covariance": lem.covariance(2)}
)
START = {"weight": [0.4, 0.6], "mean": [[2.0, 55.0], [4.3, 80.0]], "covariance": [[0.2, 0.5], [0.5, 36.0]]}


def differences(f: Any, at: np.ndarray, directions: np.ndarray, step: float) -> np.ndarray:
    return np.array([(float(f(at + step * d)) - float(f(at - step * d))) / (2 * step) for d in directions])


def test_gradient_in_weights_and_hyperparameters(x64: None) -> None:
    model, start = HASSELBLAD.model, fitted("hasselblad").params

    @jax.jit
    def target(weights: Any, h: Any) -> Any:
        found = lem.solve(model, HASSELBLAD.x, initial=start, weights=weights, prior=penalty, hyperparameters=h)
        return found["rate"][1] - 2 * found["rate"][0] + found["weight"]

    weights, h = np.asarray(HASSELBLAD.weights, float), {"shape": 3.0, "rate": 1.0}
    in_weights, in_h = jax.grad(target, argnums=(0, 1))(weights, h)
    exact = differences(lambda w: target(w, h), weights, np.eye(10), 1e-3)
    np.testing.assert_allclose(in_weights, exact, rtol=1e-5, atol=1e-9)
    for name in h:
        step = {k: 1e-4 * (k == name) for k in h}
        up, down = ({k: h[k] + s * step[k] for k in h} for s in (1, -1))
        difference = (target(weights, up) - target(weights, down)) / 2e-4
        assert in_h[name] == pytest.approx(float(difference), rel=1e-5)


def test_gradient_in_data(x64: None) -> None:
    @jax.jit
    def target(x: Any) -> Any:
        found = lem.solve(TIED, x, initial=START)
        return found["mean"][0, 1] + 3 * found["weight"][0] + found["covariance"][0, 1]

    gradient = jax.grad(target)(jnp.asarray(FEW))
    directions = RNG.normal(size=(5, *FEW.shape))
    exact = differences(target, FEW, directions, 1e-5)
    np.testing.assert_allclose(np.einsum("kij,ij->k", directions, gradient), exact, rtol=1e-5)


def test_influence_is_the_gradient_in_the_weights(x64: None) -> None:
    fit = fitted("hasselblad")
    gradient = jax.jacrev(lambda w: lem.solve(fit.model, HASSELBLAD.x, initial=fit.params, weights=w)["rate"])(
        jnp.asarray(HASSELBLAD.weights, float)
    )
    change = fit.influence().params["rate"]
    np.testing.assert_allclose(-gradient * HASSELBLAD.weights, change.T, rtol=1e-6)


def test_the_solution_is_that_of_fit(x64: None) -> None:
    fit = fitted("full gaussians")
    far = {
        "weights": [0.5, 0.5],
        "components": {
            "mean": [[2.5, 60.0], [4.0, 75.0]],
            "covariance": np.broadcast_to(np.diag([0.5, 60.0]), (2, 2, 2)),
        },
    }
    found = lem.solve(lem.GaussianMixture(2), FAITHFUL, initial=far)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(fit.params), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7)


def test_a_direction_the_data_do_not_identify_has_no_gradient_but_the_others_do(x64: None) -> None:
    fit = fitted("factors")
    x = jnp.asarray(fit.data.observations)

    def noise(w: Any) -> Any:
        return lem.solve(fit.model, x, initial=fit.params, weights=w)["noise"][0]

    def loading(w: Any) -> Any:
        return lem.solve(fit.model, x, initial=fit.params, weights=w)["loadings"][0, 0]

    gradient = jax.grad(noise)(jnp.ones(30))
    assert np.isfinite(gradient).all()
    direction = RNG.normal(size=30)
    exact = differences(noise, np.ones(30), direction[None], 1e-4)
    np.testing.assert_allclose(gradient @ direction, exact[0], rtol=1e-5)
    assert np.isnan(jax.grad(loading)(jnp.ones(30))).all()


def test_no_gradient_short_of_the_maximum(x64: None) -> None:
    # A linear objective has no maximum: Newton walks off, and the theorem does not hold anywhere.
    runaway = lem.Model(lambda p, x, z: x * p["a"], lem.Finite(1), {"a": lem.real()})
    gradient = jax.grad(lambda w: lem.solve(runaway, jnp.ones(3), initial={"a": 0.0}, weights=w, iterations=2)["a"])
    assert np.isnan(gradient(jnp.ones(3))).all()


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"weights have shape \(3,\): expected \(10,\)"):
        lem.solve(HASSELBLAD.model, HASSELBLAD.x, initial=HASSELBLAD.initial, weights=np.ones(3))
    with pytest.raises(ValueError, match=r"params\['rate'\]"):
        lem.solve(HASSELBLAD.model, HASSELBLAD.x, initial={"weight": 0.5, "rate": [1.0, -3.0]})
    with pytest.raises(ValueError, match="differ in their number of rows"):
        lem.solve(HASSELBLAD.model, {"a": np.ones(3), "b": np.ones(4)}, initial=HASSELBLAD.initial)
    with pytest.raises(TypeError, match="fit.model"):
        jax.grad(lambda x: lem.solve(lem.GaussianMixture(2), x, initial={})["weights"][0])(jnp.asarray(FEW))
