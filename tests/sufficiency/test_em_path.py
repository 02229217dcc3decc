"""EM on anchors and EM on all rows climb the same path."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm, poisson

import latentem as lem


class Case(NamedTuple):
    model: lem.Model
    data: Any
    initial: dict[str, Any]


def poisson_mixture(p: Any, x: Any, z: Any) -> Any:
    return jnp.log(p["weight"][z]) + poisson.logpmf(x, p["rate"][z])


def gaussian_mixture(p: Any, x: Any, z: Any) -> Any:
    return jnp.log(p["weight"][z]) + norm.logpdf(x, p["mean"][z], p["sd"][z])


def item_response(p: Any, x: Any, z: Any) -> Any:
    logit = p["slope"] * z + p["easiness"]
    return jnp.sum(x * logit - jax.nn.softplus(logit)) + norm.logpdf(z)


def zero_inflated(p: Any, x: Any, z: Any) -> Any:
    structural = jnp.where(x == 0, jnp.log(p["zero"]), -jnp.inf)
    return jnp.where(z == 0, structural, jnp.log1p(-p["zero"]) + poisson.logpmf(x, p["rate"]))


def regressions(p: Any, x: Any, z: Any) -> Any:
    mean = p["base"][z, x["group"]] + p["effect"][z] * x["treated"]
    return jnp.log(p["weight"][z]) + norm.logpdf(x["y"], mean, p["sd"])


def cases() -> dict[str, Case]:
    rng = np.random.default_rng(11)
    half = {"weight": [0.4, 0.6]}
    counts = np.where(rng.random(600) < 0.4, rng.poisson(2.0, 600), rng.poisson(9.0, 600)).astype(float)
    real = np.where(rng.random(600) < 0.4, rng.normal(-1, 1, 600), rng.normal(3, 0.7, 600))
    ability = rng.standard_normal((600, 1))
    answers = (rng.random((600, 6)) < 1 / (1 + np.exp(-1.3 * ability - rng.normal(0, 1, 6)))).astype(np.int32)
    inflated = np.where(rng.random(600) < 0.3, 0, rng.poisson(3.0, 600))
    group, treated = rng.integers(0, 3, 600), rng.random(600) < 0.5
    y = np.where(rng.random(600) < 0.5, group - 1.0 + treated, 2.0 - group) + 0.4 * rng.standard_normal(600)
    two = lem.Finite(2)
    weight = {"weight": lem.simplex(2)}
    return {
        "poisson mixture": Case(
            lem.Model(poisson_mixture, two, {**weight, "rate": lem.positive(2)}),
            counts,
            {**half, "rate": [1.0, 5.0]},
        ),
        "gaussian mixture": Case(
            lem.Model(gaussian_mixture, two, {**weight, "mean": lem.real(2), "sd": lem.positive(2)}),
            real,
            {**half, "mean": [-0.5, 1.0], "sd": [1.0, 1.0]},
        ),
        "2PL": Case(
            lem.Model(item_response, lem.Continuous(1, size=21), {"slope": lem.real(6), "easiness": lem.real(6)}),
            answers,
            {"slope": np.ones(6), "easiness": np.zeros(6)},
        ),
        "zero-inflated Poisson": Case(
            lem.Model(zero_inflated, two, {"zero": lem.unit(), "rate": lem.positive()}),
            inflated,
            {"zero": 0.5, "rate": 1.0},
        ),
        "regressions on discrete covariates": Case(
            lem.Model(
                regressions,
                two,
                {**weight, "base": lem.real((2, 3)), "effect": lem.real(2), "sd": lem.positive()},
            ),
            {"y": y, "group": group, "treated": treated},
            {**half, "base": [[0.0, 0.0, 0.5], [1.0, 1.0, 0.0]], "effect": [0.3, 0.0], "sd": 1.0},
        ),
    }


CASES = cases()
PLAIN = {"method": lem.Plain(), "m_step": "newton", "tolerance": 0.0, "polish": False}


@pytest.mark.parametrize("name", CASES)
def test_same_path_as_on_all_rows(name: str) -> None:
    case = CASES[name]
    on_anchors, on_rows = (
        lem.fit(case.model, case.data, initial=case.initial, max_iterations=15, compress=compress, **PLAIN)
        for compress in (True, False)
    )
    assert on_anchors.compression is not None and on_anchors.compression.verdict
    assert on_rows.compression is not None and not on_rows.compression.verdict
    assert not on_anchors.notes
    assert len(on_anchors.trace) == len(on_rows.trace) >= 15
    np.testing.assert_allclose(on_anchors.trace, on_rows.trace, rtol=1e-9)
    np.testing.assert_allclose(on_anchors.log_likelihood, on_rows.log_likelihood, rtol=1e-9)
    for a, b in zip(jax.tree.leaves(on_anchors.params), jax.tree.leaves(on_rows.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)
