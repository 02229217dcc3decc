"""Scores, influence, intervals and Wald tests: against refits, and against what can be computed by hand."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inference.zoo import FAITHFUL, HASSELBLAD, fitted
from scipy import stats

import latentem as lem
from latentem.ascent.polish import climb


def raveled(params: object) -> np.ndarray:
    return np.concatenate([np.ravel(np.asarray(a)) for a in jax.tree.leaves(params)])


@pytest.mark.parametrize("name", ["hasselblad", "zip", "tobit", "2pl", "full gaussians", "factors"])
def test_scores_add_to_zero_at_the_maximum(name: str) -> None:
    fit = fitted(name)
    scores = fit.scores_per_observation()
    assert scores.shape == (len(fit.data.weights), fit.n_parameters)
    assert np.max(np.abs(fit.data.weights @ scores)) < 1e-7 * np.max(np.abs(scores))


def test_scores_are_the_gradient_of_log_prob() -> None:
    fit = fitted("hasselblad")
    scores = fit.scores_per_observation()
    with jax.enable_x64(True):
        u = fit.model.space.unconstrain(jax.tree.map(jnp.asarray, fit.params))
        for n in (0, 4, 9):
            x = jnp.asarray(fit.data.observations[n], dtype=float)
            gradient = jax.grad(lambda v, x=x: fit.model.log_evidence(fit.model.space.constrain(v), x))(u)
            np.testing.assert_allclose(scores[n], gradient, rtol=1e-9, atol=1e-12)


def columns(params: object) -> np.ndarray:
    """Leaves with a leading axis of rows, side by side."""
    return np.concatenate([np.reshape(a, (len(a), -1)) for a in jax.tree.leaves(params)], axis=1)


def test_influence_ranks_old_faithful_as_leaving_each_eruption_out() -> None:
    fit = fitted("full gaussians")
    form, prepared = fit.problem.form, fit.problem.prepared
    n = len(FAITHFUL)
    with jax.enable_x64(True):
        u = form.model.space.unconstrain(jax.tree.map(jnp.asarray, fit.params))
        every = [climb(form, u, replace(prepared, weights=jnp.asarray(w))).params for w in 1.0 - np.eye(n)]
        refits = jax.tree.map(lambda *a: np.stack(a), *every)
    errors = raveled(fit.standard_errors())
    exact = (columns(refits) - raveled(fit.params)) / errors
    found = fit.influence()
    predicted = columns(found.params) / errors
    assert stats.spearmanr(np.sum(exact**2, axis=1), np.sum(predicted**2, axis=1)).statistic > 0.9999
    for entry in range(len(errors)):
        assert stats.spearmanr(exact[:, entry], predicted[:, entry]).statistic > 0.996
    # What is left is of second order.
    size = np.linalg.norm(exact, axis=1)
    assert np.all(np.linalg.norm(predicted - exact, axis=1) < 0.01 * size + 0.5 * size**2)
    assert found.displacement.shape == (n,) and np.all(found.displacement >= 0)


def test_influence_of_a_weighted_row_is_that_of_all_its_copies() -> None:
    x = np.array([0.0, 1.0, 2.0, 3.0, 9.0])
    mixture = lem.Mixture(lem.families.Poisson(), 1)
    fit = lem.fit(mixture, x, weights=[3, 4, 2, 1, 1], key=jax.random.key(0))
    change = fit.influence().params["components"]["rate"][:, 0]
    mean = fit.params["components"]["rate"][0]
    np.testing.assert_allclose(change, -np.array([3, 4, 2, 1, 1]) * (x - mean) / 11, rtol=1e-8)


def test_influence_needs_identified_params() -> None:
    with pytest.raises(ValueError, match="influence: no standard error for loadings"):
        fitted("factors").influence()


def test_sensitivity_to_a_prior_is_that_of_a_refit() -> None:
    fit = fitted("hasselblad")
    gaps = []
    for shape in (1.5, 1.05):  # densities x^(shape - 1): the second pulls a tenth as hard
        other = replace(fit.model, prior={"rate": lem.priors.Gamma(shape, 1e-9)})
        found = fit.sensitivity(other)
        assert abs(found.log_likelihood) < 1e-9  # a prior is no part of it
        refit = lem.fit(other, fit.data.observations, weights=fit.data.weights, initial=fit.params)
        change = raveled(refit.params) - raveled(fit.params)
        gaps.append(np.max(np.abs(raveled(found.params) - change)) / np.max(np.abs(change)))
    assert gaps[0] < 0.1 and gaps[1] < 0.12 * gaps[0]  # what is left is of second order


def test_sensitivity_to_other_params_is_refused() -> None:
    with pytest.raises(ValueError, match="sensitivity: .* has other params .* expected those of the fit") as error:
        fitted("hasselblad").sensitivity(fitted("abo").model)
    assert "\n" not in str(error.value)


def test_intervals_on_both_scales() -> None:
    fit = fitted("hasselblad")
    errors = fit.standard_errors()
    lower, upper = fit.confidence_intervals(0.95)
    np.testing.assert_allclose(lower["rate"], fit.params["rate"] - 1.959963984540054 * errors["rate"], rtol=1e-12)
    np.testing.assert_allclose(upper["rate"], fit.params["rate"] + 1.959963984540054 * errors["rate"], rtol=1e-12)
    assert lower["weight"] < 0
    low, high = fit.confidence_intervals(0.95, scale="free")
    assert 0 < low["weight"] < fit.params["weight"] < high["weight"] < 1
    # A rate is positive: the interval is symmetric in its logarithm.
    np.testing.assert_allclose(low["rate"] * high["rate"], fit.params["rate"] ** 2, rtol=1e-12)
    np.testing.assert_allclose(
        np.log(high["rate"] / fit.params["rate"]), 1.959963984540054 * errors["rate"] / fit.params["rate"], rtol=1e-12
    )
    narrow, wide = fit.confidence_intervals(0.5), fit.confidence_intervals(0.99)
    assert np.all(wide.lower["rate"] < narrow.lower["rate"]) and np.all(narrow.upper["rate"] < wide.upper["rate"])


def test_wald_tests() -> None:
    fit = fitted("hasselblad")
    z = (fit.params["rate"][0] - 1.0) / fit.standard_errors()["rate"][0]
    by_name = fit.wald_test("rate[0]", 1.0)
    assert by_name.statistic == pytest.approx(z**2) and by_name.df == 1
    assert by_name.p_value == pytest.approx(0.464361, abs=1e-4)
    contrast = np.array([-1.0, 1.0, 0.0])  # rate[0], rate[1], weight
    c = fit.covariance()
    gap = fit.params["rate"][1] - fit.params["rate"][0]
    by_matrix = fit.wald_test(contrast)
    assert by_matrix.statistic == pytest.approx(gap**2 / (c[0, 0] + c[1, 1] - 2 * c[0, 1]))
    by_function = fit.wald_test(lambda p: p["rate"][1] - p["rate"][0])
    assert by_function.statistic == pytest.approx(by_matrix.statistic)
    both = fit.wald_test({"rate": [1.0, 2.5]})
    g = fit.params["rate"] - [1.0, 2.5]
    assert both.df == 2 and both.statistic == pytest.approx(g @ np.linalg.inv(c[:2, :2]) @ g)
    assert both.p_value == pytest.approx(np.exp(-both.statistic / 2))  # chi-squared with 2 degrees of freedom
    # A simplex has one degree of freedom less than it has entries.
    assert fitted("abo").wald_test({"gene": [0.25, 0.05, 0.7]}).df == 2
    with pytest.raises(ValueError, match="fixed params have no standard error"):
        fitted("simplex, covariance, fixed").wald_test("origin")


def test_rate_is_that_of_the_iterations() -> None:
    fit = fitted("zip")
    found = fit.rate()
    assert found.spectrum.shape == (2,) and np.all(np.diff(found.spectrum) <= 0)
    plain = HASSELBLAD.fit(method=lem.Plain(), tolerance=0.0, step_tolerance=1e-8, polish=False)
    assert plain.status is lem.Status.converged
    slow = fitted("hasselblad")
    em, step = lem.em(slow.model), raveled(plain.params) - raveled(slow.params)
    with jax.enable_x64(True):
        state = em.init(plain.params, slow.data.observations, slow.data.weights)
        later = raveled(em.step(state)[0].params) - raveled(slow.params)
    assert np.linalg.norm(later) / np.linalg.norm(step) == pytest.approx(slow.rate().rate, abs=1e-4)
    direction = step / np.linalg.norm(step)
    assert abs(direction @ slow.rate().slowest) == pytest.approx(1.0, abs=1e-3)
