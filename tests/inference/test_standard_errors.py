"""Information, standard errors and rates against published figures, and against the Hessian by autodiff."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inference.zoo import ABO, CASES, FAITHFUL, HASSELBLAD, LINKAGE, TIMES, ZIP, Case, fitted
from jax.scipy.stats import poisson

import latentem as lem
from latentem.inference.errors import errors
from latentem.inference.estimate import Estimate


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_oakes_is_the_hessian_of_the_log_likelihood(case: Case) -> None:
    fit = fitted(case.name)
    model, data = fit.model, fit.data

    def objective(u: Any) -> Any:
        params = model.space.constrain(u)
        rows = jax.tree.map(jnp.asarray, data.observations)
        return model.log_likelihood(params, rows, jnp.asarray(data.weights)) + model.log_prior(params)

    with jax.enable_x64(True):
        u = model.space.unconstrain(jax.tree.map(jnp.asarray, fit.params))
        exact = -np.asarray(jax.jit(jax.hessian(objective))(u))
    observed = fit.information()
    assert np.max(np.abs(observed - exact)) <= 1e-9 * np.max(np.abs(exact))


def test_genetic_linkage() -> None:
    # Rao (1965); Louis (1982), J. R. Statist. Soc. B 44; figures recomputed from the quadratic 197 t^2 - 15 t - 68 = 0.
    fit = fitted("linkage")
    observed = fit.information(coordinates="natural")[0, 0]
    complete = fit.information("complete", coordinates="natural")[0, 0]
    assert observed == pytest.approx(377.51690039468724, rel=1e-9)
    assert complete == pytest.approx(435.31785379896564, rel=1e-9)
    assert fit.rate().rate == pytest.approx(0.13277873374559884, rel=1e-9)
    assert fit.standard_errors()["t"] == pytest.approx(0.05146734920088868, rel=1e-9)
    np.testing.assert_allclose(fit.covariance(), 1 / observed, rtol=1e-9)


def test_hasselblad() -> None:
    # Hasselblad (1969), JASA 64; printed figures from a finite-difference Hessian, good to about six digits.
    fit = fitted("hasselblad")
    errors = fit.standard_errors()
    found = np.array([errors["weight"], *errors["rate"]])
    np.testing.assert_allclose(found, [0.19468403, 0.35002925, 0.25047795], rtol=2e-6)
    assert fit.rate().rate == pytest.approx(0.99567, abs=5e-6)

    def log_likelihood(t: Any) -> Any:
        density = t[0] * jnp.exp(poisson.logpmf(TIMES.deaths, t[1])) + (1 - t[0]) * jnp.exp(
            poisson.logpmf(TIMES.deaths, t[2])
        )
        return jnp.sum(TIMES.frequency * jnp.log(density))

    with jax.enable_x64(True):
        theta = jnp.array([fit.params["weight"], *fit.params["rate"]])
        direct = np.sqrt(np.diag(np.linalg.inv(-np.asarray(jax.hessian(log_likelihood)(theta)))))
    np.testing.assert_allclose(found, direct, rtol=1e-9)


def test_motorette_tobit() -> None:
    # Schmee and Hahn (1979), Technometrics 21; errors from a Hessian of the censored normal likelihood.
    fit = fitted("tobit")
    assert fit.log_likelihood == pytest.approx(-12.965455147942448, abs=1e-8)
    order = ("intercept", "slope", "sigma")
    estimates, errors = fit.params, fit.standard_errors()
    np.testing.assert_allclose(
        [estimates[k] for k in order], [-6.01924973611489, 4.31124718555847, 0.25918270986154285], rtol=2e-8
    )
    # Printed to four digits; the finite-difference Hessian behind them is good to five.
    np.testing.assert_allclose([errors[k] for k in order], [0.9468, 0.4367, 0.0473], atol=5e-5)


def test_zero_inflated_widows() -> None:
    # Thisted (1988), Elements of Statistical Computing, page 178; errors by finite differences in R 4.2.2.
    errors = fitted("zip").standard_errors()
    assert errors["none"] == pytest.approx(0.013356520596002851, rel=2e-6)
    assert errors["rate"] == pytest.approx(0.039192188421604476, rel=2e-6)


def test_abo_has_errors_for_every_gene_of_the_simplex() -> None:
    fit = fitted("abo")

    def log_likelihood(free: Any) -> Any:
        a, b = free
        o = 1 - a - b
        phenotypes = jnp.array([a**2 + 2 * a * o, b**2 + 2 * b * o, 2 * a * b, o**2])
        return jnp.sum(jnp.asarray(ABO.weights) * jnp.log(phenotypes))

    with jax.enable_x64(True):
        direct = np.linalg.inv(-np.asarray(jax.hessian(log_likelihood)(jnp.asarray(fit.params["gene"][:2]))))
    map_to_all = np.array([[1, 0], [0, 1], [-1, -1]])
    np.testing.assert_allclose(fit.covariance(), map_to_all @ direct @ map_to_all.T, rtol=1e-8, atol=1e-16)
    np.testing.assert_allclose(fit.standard_errors()["gene"], np.sqrt(np.diag(fit.covariance())), rtol=1e-12)


def test_logistic_errors_are_those_of_the_literature() -> None:
    # Bock and Aitkin (1981), Psychometrika 46: LSAT section 6; errors on 61 Gauss-Hermite nodes, SciPy.
    fit = lem.fit(
        lem.Model(
            fitted("2pl").model.complete_log_likelihood,
            lem.Continuous(1, "hermite", size=61),
            {"slope": lem.real(5), "intercept": lem.real(5)},
        ),
        fitted("2pl").data.observations,
        weights=fitted("2pl").data.weights,
        initial=fitted("2pl").params,
    )
    reference = [
        *(0.2581145456417, 0.18667973453743886, 0.23276397114985795, 0.18514285214599227, 0.20990911675221205),
        *(0.2057432623632288, 0.09001897399376198, 0.07627290623602363, 0.09903745835029387, 0.13535865483574994),
    ]
    errors = fit.standard_errors()
    np.testing.assert_allclose([*errors["slope"], *errors["intercept"]], reference, rtol=1e-5)


def test_fixed_params_have_no_error_and_do_not_disturb_the_others() -> None:
    errors = fitted("simplex, covariance, fixed").standard_errors()
    assert np.isnan(errors["origin"]).all()
    assert all(np.isfinite(errors[k]).all() for k in ("weight", "mean", "covariance"))
    assert errors["covariance"][0, 1] == errors["covariance"][1, 0]


def test_what_the_data_do_not_identify_is_named_and_the_rest_keeps_its_errors() -> None:
    # Loadings are known up to a rotation; means and noise do not feel it.
    fit = fitted("factors")
    errors = fit.standard_errors()
    assert np.isnan(errors["loadings"]).all()
    np.testing.assert_allclose(errors["mean"], FACTOR_MEAN_ERRORS(fit), rtol=1e-8)
    assert np.isfinite(errors["noise"]).all()
    (note,) = fit.error_notes()
    assert "loadings[0,0]" in note and "do not identify" in note and "noise" not in note


def FACTOR_MEAN_ERRORS(fit: lem.Fit) -> np.ndarray:
    """Standard errors of a mean: of the fitted covariance over 30 rows."""
    return np.sqrt((np.sum(fit.params["loadings"] ** 2, axis=1) + fit.params["noise"]) / 30)


def one_rate(params: Any, x: Any, z: Any) -> Any:
    return poisson.logpmf(x, params["rate"])


def normal(params: Any, x: Any, z: Any) -> Any:
    return jax.scipy.stats.norm.logpdf(x, params["mean"], params["sd"])


ONE = lem.Model(
    one_rate, lem.Finite(1), {"rate": lem.positive()}, sample=lambda p, key: jax.random.poisson(key, p["rate"])
)
NORMAL = lem.Model(normal, lem.Finite(1), {"mean": lem.real(), "sd": lem.positive()})


def test_kinds_of_information_by_hand() -> None:
    # n counts of one Poisson distribution: observed information n / rate, scores (x - rate) / rate.
    x = np.array([0.0, 1.0, 1.0, 2.0, 5.0, 3.0])
    fit = lem.fit(ONE, x, initial={"rate": 1.0})
    rate = x.mean()
    np.testing.assert_allclose(fit.information(coordinates="natural"), [[6 / rate]], rtol=1e-10)
    np.testing.assert_allclose(fit.information("complete", coordinates="natural"), [[6 / rate]], rtol=1e-10)
    squares = np.sum(((x - rate) / rate) ** 2)
    np.testing.assert_allclose(fit.information("score", coordinates="natural"), [[squares]], rtol=1e-10)
    expected = fit.information("expected", coordinates="natural", key=jax.random.key(1))
    np.testing.assert_allclose(expected, [[6 / rate]], rtol=0.05)
    assert fit.standard_errors()["rate"] == pytest.approx(np.sqrt(rate / 6))
    assert fit.standard_errors("score")["rate"] == pytest.approx(1 / np.sqrt(squares))
    assert fit.standard_errors("sandwich")["rate"] == pytest.approx(np.sqrt(squares) / (6 / rate))


def test_weights_count_as_replication_in_every_kind() -> None:
    x, w = np.array([0.0, 1.0, 2.0, 5.0]), np.array([2, 3, 1, 4])
    weighted = lem.fit(ONE, x, weights=w, initial={"rate": 1.0})
    repeated = lem.fit(ONE, np.repeat(x, w), initial={"rate": 1.0})
    for kind in ("observed", "score", "sandwich"):
        assert weighted.standard_errors(kind)["rate"] == pytest.approx(repeated.standard_errors(kind)["rate"])


def test_params_on_the_edge_have_no_error() -> None:
    # Nobody is without children, so nobody is in excess: the share of zeros goes to its edge.
    x = np.array([1.0, 1.0, 2.0, 3.0, 2.0, 1.0, 4.0])
    fit = lem.fit(ZIP.model, x, initial={"none": 0.2, "rate": 1.5})
    assert fit.status is lem.Status.boundary
    assert fit.params["rate"] == pytest.approx(2.0, rel=1e-6)
    errors = fit.standard_errors()
    assert np.isnan(errors["none"])
    assert errors["rate"] == pytest.approx(np.sqrt(2.0 / 7), rel=1e-6)
    assert any("edge" in note and "none" in note for note in fit.error_notes())


def test_a_component_without_weight_has_no_errors() -> None:
    estimate = Estimate(HASSELBLAD.model, fitted("hasselblad").data, {"weight": 0.0, "rate": np.array([1.0, 2.0])})
    found = errors(estimate)
    variance = estimate.as_tree(np.diagonal(found.natural))
    assert np.isnan(variance["weight"]) and np.isnan(variance["rate"][0]) and variance["rate"][1] > 0
    assert len(found.notes) == 2 and "rate[0]" in found.notes[1]


def test_a_float32_fit_has_errors_in_double_precision() -> None:
    single = lem.fit(ONE, np.array([0.0, 1.0, 1.0, 2.0, 5.0]), initial={"rate": 1.0}, dtype="float32")
    assert single.standard_errors()["rate"] == pytest.approx(np.sqrt(1.8 / 5), rel=1e-6)


def test_too_few_observations() -> None:
    with pytest.raises(ValueError, match="2 observations are too few|no standard error"):
        fit = lem.fit(NORMAL, np.array([1.0, 2.0]), initial={"mean": 0.0, "sd": 1.0})
        raise ValueError("; ".join(fit.error_notes("score")) or "no standard error expected")
    mixture = lem.fit(lem.GaussianMixture(1), FAITHFUL[:2], initial=None, key=jax.random.key(0), polish=False)
    errors = mixture.standard_errors() if mixture.status.ok else None
    assert errors is None or np.isnan(errors["components"]["covariance"]).any()


def test_a_fit_that_did_not_converge_says_so() -> None:
    fit = HASSELBLAD.fit(max_iterations=2)
    assert fit.status is lem.Status.max_iterations
    for verb in ("standard_errors", "confidence_intervals", "covariance", "rate", "influence"):
        with pytest.raises(ValueError, match=f"{verb}: this fit has status max_iterations"):
            getattr(fit, verb)()
    assert fit.information().shape == (3, 3)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda fit: fit.information("fisher"), "kind='fisher'"),
        (lambda fit: fit.information(coordinates="u"), "coordinates='u'"),
        (lambda fit: fit.standard_errors("expected"), "kind='expected': expected 'observed'"),
        (lambda fit: fit.information("expected"), "declares no sampler"),
        (lambda fit: fit.confidence_intervals(95), "level=95"),
        (lambda fit: fit.confidence_intervals(scale="log"), "scale='log'"),
        (lambda fit: fit.wald_test("mean"), "no parameter 'mean'"),
        (lambda fit: fit.wald_test(np.eye(2)), r"expected \(q, 3\)"),
        (lambda fit: fit.wald_test(["rate"], [1.0, 2.0, 3.0]), "value of shape"),
    ],
)
def test_bad_input_has_a_one_line_answer(ask: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ask(fitted("hasselblad"))
    assert "\n" not in str(caught.value)


def test_hard_assignments_have_no_information() -> None:
    fit = lem.fit(lem.KMeans(2), FAITHFUL, key=jax.random.key(0))
    with pytest.raises(ValueError, match="hard assignments"):
        fit.information()


def test_a_loaded_fit_needs_its_model_and_data(tmp_path: Any) -> None:
    path = fitted("linkage").save(tmp_path / "fit")
    with pytest.raises(ValueError, match="loaded without its model"):
        lem.load(path).standard_errors()
    again = lem.load(path, model=LINKAGE.model)
    with pytest.raises(ValueError, match="loaded without its data"):
        again.standard_errors()
