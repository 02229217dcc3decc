"""`lem.check` passes what is right and names the part that is wrong."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts.registry import CHAIN, chain_first, chain_step, short_series
from jax.scipy.stats import poisson

import latentem as lem
from latentem.posterior import Gaussian, Weighted
from latentem.testing import build_case
from latentem.testing.certificate import posterior_part
from latentem.testing.closed_form import closed_form_part
from latentem.testing.objective import objective_part
from latentem.testing.report import Part
from latentem.testing.score import score_part
from latentem.testing.separable import separable_part
from latentem.testing.weights import weights_part

X = np.array([0.0, 1.0, 1.0, 2.0, 0.0, 3.0, 7.0, 8.0, 9.0, 7.0, 6.0, 10.0])
SPACE = {"weight": lem.simplex(2), "rate": lem.positive(2)}
KEY = jax.random.key(0)


def cll(params: Any, x: Any, z: Any) -> Any:
    rate = params["rate"][z]
    return jnp.log(params["weight"][z]) + x * jnp.log(rate) - rate - jax.lax.lgamma(x + 1.0)


def initial(key: Any, x: Any, weights: Any) -> Any:
    spread = jnp.exp(0.2 * jax.random.normal(key, (2,)))
    return {"weight": jnp.array([0.4, 0.6]), "rate": jnp.array([0.5, 2.0]) * jnp.mean(x) * spread}


def statistics(params: Any, x: Any, z: Any) -> Any:
    one = jnp.arange(2) == z
    return {"count": 1.0 * one, "total": x * one}


def maximize(expected: Any, params: Any) -> Any:
    count = expected["count"]
    return {"weight": count / jnp.sum(count), "rate": expected["total"] / count}


def closed(maximize: Any = maximize, statistics: Any = statistics, **options: Any) -> lem.Model:
    form = lem.ClosedForm(statistics, maximize, **options)
    return lem.Model(cll, lem.Finite(2), SPACE, m_step=form, initial=initial)


def verdict(part: Callable[..., Part | None], model: lem.Model, data: Any = X) -> Part:
    """What one part says of a model."""
    with jax.enable_x64(True):
        found = part(build_case(model, data, KEY)[0])
    assert found is not None and "\n" not in found.message
    return found


def test_a_coherent_model_passes_every_part() -> None:
    report = lem.check(closed(), X, KEY)
    assert report.passed and report.raise_if_failed() is report
    first = ("initial values", "indices", "unused", "posterior", "density")
    names = (*first, "score", "objective", "weights", "closed M-step")
    assert tuple(part.name for part in report.parts) == names
    assert str(report).startswith("check of model: passed\nok     initial values: ")
    assert len(str(report).splitlines()) == 10
    assert lem.check(closed(), X, KEY, weights=np.arange(12) % 4 * 1.0).passed


# --- the posterior


def responsibilities(params: Any, x: Any, tilt: float = 0.0) -> Weighted:
    nodes = jnp.arange(2)
    joint = jax.vmap(lambda z: cll(params, x, z))(nodes)
    evidence = jnp.logaddexp(joint[0], joint[1])
    log_q = joint - evidence + tilt * jnp.array([1.0, 0.0])
    return Weighted(nodes, log_q - jnp.logaddexp(log_q[0], log_q[1]), evidence)


def two_percent_off(params: Any, x: Any) -> Weighted:
    return responsibilities(params, x, float(np.log(1.02)))


def wrong_evidence(params: Any, x: Any) -> Weighted:
    right = responsibilities(params, x)
    return Weighted(right.nodes, right.log_probabilities, right.log_evidence + 0.5)


def blind(params: Any, x: Any) -> Weighted:
    """A posterior that excludes a latent value that is possible."""
    right = responsibilities(params, x)
    return Weighted(right.nodes, jnp.array([0.0, -jnp.inf]), right.log_evidence)


class OnlyExpectations:
    """A posterior object of a user's own, which says no more than it must."""

    def __init__(self, inner: Weighted) -> None:
        self.expect, self.log_evidence = inner.expect, inner.log_evidence


class Masses:
    """A posterior object with nodes and their log probabilities; its evidence is left to the library."""

    def __init__(self, inner: Weighted) -> None:
        self.nodes = inner.nodes
        self.log_prob = lambda z: inner.log_probabilities[z]


def as_integers(params: Any, x: Any, z: Any) -> Any:
    return cll(params, x, jnp.asarray(z, int))


def given(posterior: Any, wrap: Any = lambda q: q) -> lem.Model:
    latent = lem.Given(lambda params, x: wrap(posterior(params, x)), value=0)
    return lem.Model(as_integers, latent, SPACE, initial=initial)


@pytest.mark.parametrize("wrap", [lambda q: q, OnlyExpectations, Masses], ids=["weighted", "expect", "nodes"])
def test_a_supplied_posterior_that_is_two_percent_off_is_named(wrap: Any) -> None:
    assert verdict(posterior_part, given(responsibilities, wrap)).passed
    wrong = verdict(posterior_part, given(two_percent_off, wrap))
    assert not wrong.passed and wrong.name == "posterior"
    assert wrap is OnlyExpectations or "off by up to 2%" in wrong.message


def test_the_report_names_the_posterior_and_can_be_raised() -> None:
    report = lem.check(given(two_percent_off), X, KEY)
    assert {"posterior", "score"} <= set(report.failed)
    assert not {"initial values", "weights"} & set(report.failed)
    with pytest.raises(AssertionError, match=r"check of model: FAILED\n(.*\n)*FAILED posterior: "):
        report.raise_if_failed()


@pytest.mark.parametrize(
    ("posterior", "told"),
    [
        (wrong_evidence, "log_evidence of row "),
        (blind, "p(z | x) of latent value 1 in row 0 is 0, but"),
    ],
)
def test_what_is_wrong_with_a_posterior_is_told(posterior: Any, told: str) -> None:
    wrong = verdict(posterior_part, given(posterior))
    assert not wrong.passed and told in wrong.message


def linear_gaussian(params: Any, x: Any, z: Any) -> Any:
    return -0.5 * (z**2 + (x - params["mean"] - z) ** 2) - jnp.log(2 * jnp.pi)


def normal_posterior(params: Any, x: Any, scale: float = 1.0) -> Gaussian:
    y = x - params["mean"]
    return Gaussian(0.5 * y, jnp.asarray(0.5 * scale), -0.25 * y**2 - 0.5 * jnp.log(4 * jnp.pi))


def wide_posterior(params: Any, x: Any) -> Gaussian:
    return normal_posterior(params, x, 1.02)


def cubic(params: Any, x: Any, z: Any) -> Any:
    return linear_gaussian(params, x, z) + 0.1 * z**3


@pytest.mark.parametrize(
    ("density", "latent", "holds"),
    [
        (linear_gaussian, lem.Given(normal_posterior), True),
        (linear_gaussian, lem.Given(wide_posterior), False),
        (linear_gaussian, lem.Continuous(1, "hessian"), True),
        (cubic, lem.Continuous(1, "hessian"), False),
    ],
)
def test_a_normal_posterior_is_compared_at_points(density: Any, latent: Any, holds: bool) -> None:
    found = verdict(posterior_part, lem.Model(density, latent, {"mean": lem.real()}))
    assert found.passed is holds, found.message


def by_quadrature(params: Any, x: Any) -> Weighted:
    nodes, log_weights = lem.Continuous(1, "hermite", size=15).nodes() or ((), ())
    nodes = jnp.asarray(nodes)
    joint = jax.vmap(lambda z: linear_gaussian(params, x, z))(nodes)
    return Weighted.from_log_joint(nodes, joint + log_weights)


def by_wrong_quadrature(params: Any, x: Any) -> Weighted:
    right = by_quadrature(params, x)
    log_q = right.log_probabilities + 0.02 * right.nodes
    return Weighted(right.nodes, log_q - jax.nn.logsumexp(log_q), right.log_evidence)


@pytest.mark.parametrize(("posterior", "holds"), [(by_quadrature, True), (by_wrong_quadrature, False)])
def test_quadrature_weights_of_a_supplied_posterior_are_no_error(posterior: Any, holds: bool) -> None:
    model = lem.Model(linear_gaussian, lem.Given(posterior), {"mean": lem.real()})
    assert verdict(posterior_part, model).passed is holds


def test_a_row_that_is_impossible_at_the_start_is_named() -> None:
    model = lem.Model(cll, lem.Finite(2), SPACE, initial=initial)
    wrong = verdict(posterior_part, model, np.r_[X[:-1], np.nan])
    assert not wrong.passed and "row 11" in wrong.message


# --- the M-step


def unweighted_mean(x: Any, weights: Any) -> Any:
    return jnp.mean(x)


def with_context(params: Any, x: Any, z: Any, context: Any) -> Any:
    return statistics(params, x, z)


def pools(expected: Any, params: Any, mean: Any) -> Any:
    return {"weight": params["weight"], "rate": jnp.stack([0.5 * mean, 2.0 * mean])}


def counts_rows(expected: Any, params: Any) -> Any:
    return {"weight": expected["count"] / len(X), "rate": maximize(expected, params)["rate"]}


def averages_over_rows(expected: Any, params: Any) -> Any:
    weight = maximize(expected, params)["weight"]
    return {"weight": weight, "rate": expected["total"] / len(X) / weight}


def test_an_m_step_that_ignores_weights_is_named() -> None:
    assert verdict(weights_part, closed()).passed
    wrong = verdict(weights_part, closed(pools, with_context, context=unweighted_mean))
    assert not wrong.passed and wrong.name == "weights" and "ignores the weights" in wrong.message
    for step in (counts_rows, averages_over_rows):
        wrong = verdict(closed_form_part, closed(step))
        assert not wrong.passed and wrong.name == "closed M-step" and "ignores the weights" in wrong.message


def with_gamma_prior(expected: Any, params: Any) -> Any:
    rate = (expected["total"] + 3.0) / (expected["count"] + 1.0)
    return {"weight": maximize(expected, params)["weight"], "rate": rate}


def test_an_m_step_that_ignores_the_prior_is_named() -> None:
    prior = {"rate": lem.priors.Gamma(4.0, 1.0)}

    def model(maximize: Any) -> lem.Model:
        form = lem.ClosedForm(statistics, maximize, includes_prior=True)
        return lem.Model(cll, lem.Finite(2), SPACE, prior=prior, m_step=form, initial=initial)

    assert verdict(closed_form_part, model(with_gamma_prior)).passed
    wrong = verdict(closed_form_part, model(maximize))
    assert not wrong.passed and "ignores the prior" in wrong.message


def downhill(expected: Any, params: Any) -> Any:
    best = maximize(expected, params)
    return {"weight": best["weight"], "rate": params["rate"] ** 2 / best["rate"]}


def test_an_objective_that_falls_is_named() -> None:
    wrong = verdict(objective_part, closed(downhill))
    assert not wrong.passed and wrong.name == "objective"


def halfway(expected: Any, params: Any) -> Any:
    best = maximize(expected, params)
    return {"weight": best["weight"], "rate": jnp.sqrt(best["rate"] * params["rate"])}


def test_a_step_that_only_climbs_passes_where_it_settles() -> None:
    found = verdict(closed_form_part, closed(halfway))
    assert found.passed and "settles where the objective has no slope" in found.message


# --- the rest


def outside(key: Any, x: Any, weights: Any) -> Any:
    return {"weight": jnp.array([0.4, 0.5]), "rate": jnp.array([1.0, 2.0])}


def misshapen(key: Any, x: Any, weights: Any) -> Any:
    return {"weight": jnp.array([0.4, 0.6]), "rate": jnp.array([1.0, 2.0, 3.0])}


@pytest.mark.parametrize(("start", "told"), [(outside, "weight = [0.4 0.5]"), (misshapen, "rate the shape (3,)")])
def test_initial_values_outside_their_constraints_are_named(start: Any, told: str) -> None:
    with jax.enable_x64(True):
        case, found = build_case(lem.Model(cll, lem.Finite(2), SPACE, initial=start), X, KEY)
        assert all(bool(case.model.space.contains(params)) for params in case.each_start())
    assert not found.passed and found.name == "initial values" and told in found.message


def features(x: Any, context: Any) -> Any:
    return jnp.stack([jnp.ones_like(x), x, -jax.lax.lgamma(x + 1.0)], axis=1)


def natural(params: Any, context: Any) -> Any:
    rate = params["rate"]
    return jnp.stack([jnp.log(params["weight"]) - rate, jnp.log(rate), jnp.ones(2)], axis=1)


def without_factorial(params: Any, context: Any) -> Any:
    return natural(params, context) * jnp.array([1.0, 1.0, 0.0])


@pytest.mark.parametrize(("coefficients", "holds"), [(natural, True), (without_factorial, False)])
def test_a_separable_form_that_is_another_density_is_named(coefficients: Any, holds: bool) -> None:
    form = lem.Separable(features, coefficients)
    model = lem.Model(cll, lem.Finite(2), SPACE, separable=form, initial=initial)
    assert verdict(separable_part, model).passed is holds


def unmasked(params: Any, x: Any, z: Any) -> Any:
    # Right values, but the derivative of the square root at 0 is infinite.
    return cll(params, x, z) + jnp.where(z >= 0, 0.0, jnp.sqrt(params["rate"][0] * 0.0))


def test_a_gradient_that_is_nan_is_named() -> None:
    wrong = verdict(score_part, lem.Model(unmasked, lem.Finite(2), SPACE, initial=initial))
    assert not wrong.passed and "mask the arguments" in wrong.message
    assert verdict(score_part, closed()).passed


# --- chains


def chain_factors(wrong: float) -> lem.Factored:
    """The factors of `chain_step`, their transitions off by `wrong` nats into state 0."""
    return lem.Factored(
        first=lambda params: jnp.log(params["first"]),
        transition=lambda params: jnp.log(params["moves"]) + jnp.array([wrong, 0.0]),
        emission=lambda params, x, context: poisson.logpmf(x[:, None], params["rate"]),
    )


@pytest.mark.parametrize("wrong", [0.0, 1e-3])
def test_factors_of_a_chain_that_are_not_its_declared_step_are_named(wrong: float) -> None:
    model = lem.Model(chain_step, lem.Chain(2, chain_first), CHAIN, factored=chain_factors(wrong))
    series = short_series(np.random.default_rng(0), 12)
    report = lem.check(model, series, KEY)
    assert ("factors" in report.failed) == (wrong > 0)
    if wrong:
        part = next(part for part in report.parts if part.name == "factors")
        assert "log p(x) of sequence" in part.message and "by its factors" in part.message
