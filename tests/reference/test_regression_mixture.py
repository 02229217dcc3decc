"""A mixture of two regressions on x and x squared, declared in five lines, against an independent optimiser.

Data as in Leisch (2004), JSS 11(8), section 4: a line and a parabola, simulated here. The reference is SciPy's BFGS on
the observed-data log-likelihood written in NumPy.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm
from scipy import optimize
from scipy.special import logsumexp
from scipy.stats import norm as normal

import latentem as lem


def regression(params: Any, row: Any, z: Any) -> Any:
    intercept, slope, bend = params["coefficients"][z]
    mean = intercept + slope * row["x"] + bend * row["x"] ** 2
    return jnp.log(params["weight"][z]) + norm.logpdf(row["y"], mean, params["deviation"][z])


SPACE = {"weight": lem.simplex(2), "coefficients": lem.real((2, 3)), "deviation": lem.positive(2)}
MODEL = lem.Model(regression, lem.Finite(2), SPACE)
START = {
    "weight": [0.5, 0.5],
    "coefficients": [[0.0, 5.0, 0.0], [15.0, 10.0, -1.0]],
    "deviation": [4.0, 4.0],
}


def simulated() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(20040101)
    x = rng.uniform(0.0, 10.0, 200)
    line = np.arange(200) < 100
    y = np.where(line, 5.0 * x, 40.0 - (x - 5.0) ** 2) + 3.0 * rng.normal(size=200)
    return {"x": x, "y": y}


def log_likelihood(u: np.ndarray, data: dict[str, np.ndarray]) -> float:
    weight = 1.0 / (1.0 + np.exp(-u[0]))
    design = np.stack([np.ones_like(data["x"]), data["x"], data["x"] ** 2], axis=1)
    joint = [
        np.log(w) + normal.logpdf(data["y"], design @ u[1 + 3 * k : 4 + 3 * k], np.exp(u[7 + k]))
        for k, w in enumerate((weight, 1.0 - weight))
    ]
    return float(np.sum(logsumexp(np.stack(joint), axis=0)))


def test_regression_mixture_reaches_the_maximum_of_an_independent_optimiser() -> None:
    data = simulated()
    found = lem.fit(MODEL, data, initial=START, polish=False, tolerance=1e-13)
    start = np.r_[0.0, np.ravel(START["coefficients"]), np.log(START["deviation"])]
    scale = np.r_[1.0, [10.0, 3.0, 0.3] * 2, 1.0, 1.0]
    reached = optimize.minimize(
        lambda v: -log_likelihood(v * scale, data), start / scale, method="BFGS", options={"gtol": 1e-6}
    )
    assert found.status is lem.Status.converged and found.n_parameters == 9
    assert found.log_likelihood == pytest.approx(-reached.fun, abs=1e-6)
    u = reached.x * scale
    np.testing.assert_allclose(found.params["coefficients"].ravel(), u[1:7], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.params["deviation"], np.exp(u[7:]), rtol=1e-4)
    with jax.enable_x64(True):
        score = MODEL.score(jax.tree.map(jnp.asarray, found.params), jax.tree.map(jnp.asarray, data))
    assert np.max(np.abs(score)) < 1e-3
