"""A density that anchors cannot serve gets a reason in one line, and its fit goes on without them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm

import latentem as lem

TWO = lem.Finite(2)
REAL = {"a": lem.real(2)}


class Case(NamedTuple):
    log_prob: Callable[[Any, Any, Any], Any]
    space: dict[str, Any]
    data: Any
    reason: str
    latent: Any = TWO


rng = np.random.default_rng(0)
real = rng.standard_normal(400)
with_nan = np.where(np.arange(400) % 50 == 3, np.nan, real)
late_nan = rng.standard_normal(5000)
late_nan[4321] = np.nan


def answers(p: Any, x: Any, z: Any) -> Any:
    logit = p["slope"] * z + p["easiness"]
    return jnp.sum(x * logit - jax.nn.softplus(logit)) + norm.logpdf(z)


def location(p: Any, x: Any, z: Any) -> Any:
    return norm.logpdf(x, p["a"][z])


thirty = {"slope": lem.real(30), "easiness": lem.real(30)}
grid = lem.Continuous(1, size=9)

CASES = {
    "NaN at sampled params": Case(
        lambda p, x, z: jnp.log(p["a"][z] - 1.0) - x * p["a"][z],
        REAL,
        real,
        r"log p\(x, z\) is NaN at \d\d% of the drawn params: check its domain",
    ),
    "NaN at all params": Case(
        lambda p, x, z: jnp.sqrt(-1.0 - p["a"][z] ** 2) * x,
        REAL,
        real,
        r"log p\(x, z\) is nan at every drawn value of the params: check its domain",
    ),
    "infinite at sampled params": Case(
        lambda p, x, z: jnp.where(jnp.abs(p["a"][z]) < 0.1, 0.0, jnp.inf) - x * p["a"][z],
        REAL,
        real,
        r"log p\(x, z\) is infinite at \d\d% of the drawn params: check its domain",
    ),
    "NaN for some rows": Case(location, REAL, with_nan, r"log p\(x, z\) is nan for 8 of \d+ rows at all drawn params"),
    "NaN for a row outside the sample": Case(location, REAL, late_nan, r"log p\(x, z\) is nan for 1 of \d+ rows"),
    "x only": Case(
        lambda p, x, z: norm.logpdf(x) + z * x,
        REAL,
        real,
        r"depends on x and z only: there is nothing to estimate",
    ),
    "nothing": Case(lambda p, x, z: 0.0 * x, REAL, real, "is zero for all drawn params: nothing to estimate"),
    "impossible": Case(lambda p, x, z: -jnp.inf + 0.0 * x, REAL, real, "is -inf for every row and every z"),
    "support moves": Case(
        lambda p, x, z: jnp.where(x <= p["a"][z], -jnp.log(p["a"][z]), -jnp.inf),
        {"a": lem.positive(2)},
        rng.uniform(0, 3, 400),
        "its support depends on the params",
    ),
    "more params than rows": Case(
        answers,
        thirty,
        (rng.random((12, 30)) < 0.5).astype(float),
        r"12 distinct rows are too few for 60 free parameters",
        grid,
    ),
    "one row": Case(answers, thirty, np.ones((1, 30)), "rank 1 of 1 distinct rows: anchors would save nothing", grid),
    "one value": Case(location, REAL, np.ones(400), "rank 1 of 1 distinct rows: anchors would save nothing"),
    "as many statistics as rows": Case(
        lambda p, x, z: jnp.log(p["share"][z, x]),
        {"share": lem.simplex(5, batch=2)},
        rng.integers(0, 5, 400),
        "needs a statistic for nearly each of 5 distinct rows",
    ),
    "more than half as many statistics as rows": Case(
        lambda p, x, z: jnp.sum(norm.logpdf(x, p["mean"][z])),
        {"mean": lem.real((2, 6))},
        rng.standard_normal((12, 6)),
        "rank 8 of 12 distinct rows: anchors would save nothing",
    ),
    "no free parameter": Case(location, {"a": lem.fixed(np.zeros(2))}, real, "no parameter is free"),
    "no nodes": Case(
        lambda p, x, z: norm.logpdf(x, p["a"] + z) + norm.logpdf(z),
        {"a": lem.real()},
        real,
        "does not sum over nodes that all observations share",
        lem.Continuous(1, method="hessian"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_reason_is_named(name: str) -> None:
    case = CASES[name]
    model = lem.Model(case.log_prob, case.latent, case.space)
    found = lem.sufficiency(model, case.data, jax.random.key(0))
    assert not found.verdict
    with pytest.raises(AssertionError, match=case.reason):
        raise AssertionError(found.reason)
    assert "\n" not in str(found)


def test_a_log_density_of_enormous_size_does_not_overflow() -> None:
    model = lem.Model(lambda p, x, z: -jnp.exp(jnp.exp(3 * p["a"][z])) * x**2 + p["a"][z], TWO, REAL)
    found = lem.sufficiency(model, real, jax.random.key(0))
    assert found.verdict and found.rank == 2


def test_a_fit_of_nothing_goes_on_uncompressed() -> None:
    case = CASES["x only"]
    x = np.random.default_rng(0).standard_normal(3000)
    fit = lem.fit(lem.Model(case.log_prob, TWO, REAL), x, initial={"a": [0.0, 0.0]}, polish=False)
    assert fit.compression is not None and "depends on x and z only" in fit.compression.reason
    assert np.isfinite(fit.log_likelihood)


def test_a_row_that_no_params_allow_is_named_by_the_fit() -> None:
    with pytest.raises(ValueError, match="log p.x. is nan at the initial params for 1 of 5000 distinct rows.*row 4321"):
        lem.fit(lem.Model(location, TWO, REAL), late_nan, initial={"a": [-1.0, 1.0]})
