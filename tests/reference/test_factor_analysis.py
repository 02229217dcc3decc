"""Maximum-likelihood factor analysis without a line of E-step code: the posterior comes from the Hessian.

R 4.2.2, factanal(attitude, 2): uniquenesses on the scale of the data, log-likelihood of the raw data with the
maximum-likelihood covariance. The ratings are those of Chatterjee and Price (1977).
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm

import latentem as lem
from latentem import datasets

NOISE = (
    30.0397662461079,
    22.6787786087143,
    92.7648715037974,
    52.7846197334723,
    33.2034364202675,
    84.8834644405438,
    3.74686970714667,
)


def two_factors(params: Any, x: Any, z: Any) -> Any:
    given = norm.logpdf(x, params["mean"] + params["loadings"] @ z, jnp.sqrt(params["noise"]))
    return jnp.sum(given) + jnp.sum(norm.logpdf(z))


def test_attitude_has_two_factors() -> None:
    x = datasets.attitude().matrix()
    space = {"mean": lem.real(7), "loadings": lem.real((7, 2)), "noise": lem.positive(7)}
    model = lem.Model(two_factors, lem.Continuous(2, method="hessian"), space)
    loadings = 0.5 * np.random.default_rng(0).normal(size=(7, 2)) * x.std(axis=0)[:, None]
    start = {"mean": x.mean(axis=0), "loadings": loadings, "noise": 0.5 * x.var(axis=0)}
    found = lem.fit(model, x, initial=start)
    assert found.log_likelihood == pytest.approx(-751.021055213885, abs=1e-6)
    np.testing.assert_allclose(found.params["noise"], NOISE, rtol=1e-5)
    np.testing.assert_allclose(found.params["mean"], x.mean(axis=0), rtol=1e-9)
    covariance = found.params["loadings"] @ found.params["loadings"].T + np.diag(found.params["noise"])
    normal = -0.5 * (
        30 * (7 * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1])
        + np.sum((x - x.mean(axis=0)) @ np.linalg.inv(covariance) * (x - x.mean(axis=0)))
    )
    assert found.log_likelihood == pytest.approx(normal, abs=1e-9)
