"""A chain declared by one step is recognised as Gaussian, and fitted as the same model given by its matrices is."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm

import latentem as lem

NILE = lem.datasets.nile().volume


def read(params: Any, x: Any, z: Any) -> Any:
    there = ~jnp.isnan(x)
    return jnp.where(there, norm.logpdf(jnp.where(there, x, 0.0), z[0], jnp.sqrt(params["noise"])), 0.0)


def step(params: Any, x: Any, z: Any, previous: Any) -> Any:
    return norm.logpdf(z[0], previous[0], jnp.sqrt(params["level"])) + read(params, x, z)


def first(params: Any, x: Any, z: Any) -> Any:
    return norm.logpdf(z[0], 1120.0, 100.0) + read(params, x, z)


def bent(params: Any, x: Any, z: Any, previous: Any) -> Any:
    return norm.logpdf(z[0], previous[0] ** 2, jnp.sqrt(params["level"])) + read(params, x, z)


SPACE = {"level": lem.positive(), "noise": lem.positive()}
START = {"level": 1000.0, "noise": 1e4}


def test_a_declared_level_is_the_level_given_by_matrices() -> None:
    series = lem.sequences([np.where(np.arange(60) % 7 == 3, np.nan, NILE[:60]), NILE[60:]])
    declared = lem.fit(lem.Model(step, lem.GaussianChain(1, first=first), SPACE), series, initial=START)
    given = lem.StateSpace(1, transition="identity", observation=[[1.0]], initial=([1120.0], [[1e4]]))
    wanted = lem.fit(given, series)
    assert declared.status is lem.Status.converged
    assert declared.log_likelihood == pytest.approx(wanted.log_likelihood, abs=1e-6)
    assert declared.params["level"] == pytest.approx(wanted.params["process"][0, 0], rel=1e-4)
    own, theirs = declared.standard_errors(), wanted.standard_errors()
    assert own["noise"] == pytest.approx(theirs["noise"][0, 0], rel=1e-3)
    np.testing.assert_allclose(declared.log_prob(), wanted.log_prob(), atol=1e-3)


def test_a_step_that_is_not_quadratic_is_refused() -> None:
    with pytest.raises(ValueError, match="not quadratic in z and previous"):
        lem.fit(lem.Model(bent, lem.GaussianChain(1, first=first), SPACE), NILE, initial=START, key=jax.random.key(0))
