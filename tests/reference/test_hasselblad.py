"""Deaths of women over 80 in The Times: the mixture of two Poisson distributions of Hasselblad (1969).

Maximum and counts of evaluations: recomputed in JAX and R 4.2.2 (tests/Hasselblad1969.R of the CRAN package
SQUAREM 2021.1) from Hasselblad, V. (1969), JASA 64, 1459-1471; Titterington, Smith and Makov (1985). The reference
counts evaluations with the weight as ONE coordinate, hence `unit` and not `simplex`.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import poisson

import latentem as lem
from latentem import datasets

LOG_LIKELIHOOD = -1989.945859883
WEIGHT, RATES = 0.3598854, (1.2560951, 2.6634044)
START = {"weight": 0.5, "rate": [1.0, 3.0]}


def complete_log_likelihood(params: Any, x: Any, z: Any) -> Any:
    weight = jnp.where(z == 0, params["weight"], 1 - params["weight"])
    return jnp.log(weight) + poisson.logpmf(x, params["rate"][z])


def statistics(params: Any, x: Any, z: Any) -> Any:
    one = jnp.arange(2) == z
    return {"count": 1.0 * one, "total": x * one}


def maximize(expected: Any, params: Any) -> Any:
    count = expected["count"]
    return {"weight": count[0] / jnp.sum(count), "rate": expected["total"] / count}


SPACE = {"weight": lem.unit(), "rate": lem.positive(2)}
DERIVED = lem.Model(complete_log_likelihood, lem.Finite(2), SPACE)
CLOSED = lem.Model(complete_log_likelihood, lem.Finite(2), SPACE, m_step=lem.ClosedForm(statistics, maximize))


def fit(model: lem.Model, **options: Any) -> lem.Fit:
    table = datasets.hasselblad()
    return lem.fit(model, table.deaths, weights=table.frequency, initial=START, **options)


@pytest.mark.parametrize(
    ("model", "m_step"),
    [(DERIVED, "newton"), (DERIVED, "gradient"), (CLOSED, "closed")],
    ids=["newton", "gradient", "closed"],
)
def test_each_m_step_reaches_the_published_maximum(model: lem.Model, m_step: str) -> None:
    found = fit(model, m_step=m_step)
    assert found.status is lem.Status.converged
    assert abs(found.log_likelihood - LOG_LIKELIHOOD) < 1e-9
    assert found.params["weight"] == pytest.approx(WEIGHT, abs=5e-8)
    np.testing.assert_allclose(found.params["rate"], RATES, atol=5e-8)
    assert found.evaluations < 100  # 2,643 by EM as it is
    # EM alone, without the polish, is as high; the likelihood is too flat for it to have all digits of the params.
    alone = fit(model, m_step=m_step, polish=False, tolerance=0.0, step_tolerance=1e-9)
    assert alone.status is lem.Status.converged
    assert abs(alone.log_likelihood - LOG_LIKELIHOOD) < 1e-8


def test_plain_em_takes_as_many_evaluations_as_published() -> None:
    found = fit(CLOSED, method=lem.Plain(), tolerance=0.0, step_tolerance=1e-8, polish=False)
    # `evaluations` counts the one that scores the params returned as well.
    assert found.evaluations - 1 == 2643
    assert np.all(np.diff(found.trace) >= -1e-9)


def test_the_declaration_finds_it_from_random_starts() -> None:
    table = datasets.hasselblad()
    found = lem.fit(DERIVED, table.deaths, weights=table.frequency, key=jax.random.key(1), starts=2)
    assert abs(found.log_likelihood - LOG_LIKELIHOOD) < 1e-9
    assert found.n_observations == 1096 and found.n_parameters == 3
