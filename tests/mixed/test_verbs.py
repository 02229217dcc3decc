"""What a fit is asked, against dense algebra, refits and identities."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from mixed import dense, sleep

import latentem as lem

SLEEP = sleep.simulated()
FORMULA = "reaction ~ days + (days | subject)"


@pytest.fixture(scope="module")
def fit() -> Any:
    return lem.fit(lem.Mixed(FORMULA), SLEEP.columns)


def whole(fit: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(V, Z G, X, y) of the sleep study at the fit."""
    codes = np.unique(SLEEP.subject, return_inverse=True)[1]
    x = np.column_stack([np.ones(180), SLEEP.days])
    z = dense.one_hot(codes, x)
    g = np.kron(fit.solved.covariances[0], np.eye(18))
    return z @ g @ z.T + fit.solved.sigma**2 * np.eye(180), z @ g, x, SLEEP.reaction


def test_blups_and_their_prediction_error_variance(fit: Any) -> None:
    v, zg, x, y = whole(fit)
    inverse = np.linalg.inv(v)
    b = np.linalg.inv(x.T @ inverse @ x)
    p = inverse - inverse @ x @ b @ x.T @ inverse
    table = fit.random_effects("subject")
    np.testing.assert_allclose(np.concatenate([table["Intercept"], table["days"]]), zg.T @ p @ y, rtol=1e-8)
    g = np.kron(fit.solved.covariances[0], np.eye(18))
    pev = np.diag(g - zg.T @ p @ zg)
    np.testing.assert_allclose(np.concatenate([table["Intercept_se"], table["days_se"]]) ** 2, pev, rtol=1e-8)
    np.testing.assert_allclose(
        np.concatenate([table["Intercept_reliability"], table["days_reliability"]]), 1 - pev / np.diag(g), rtol=1e-8
    )


def test_influence_is_that_of_leaving_a_record_out(fit: Any) -> None:
    v, _, x, y = whole(fit)
    inverse = np.linalg.inv(v)
    beta = np.linalg.solve(x.T @ inverse @ x, x.T @ inverse @ y)
    found = fit.influence()
    for n in (0, 57, 179):
        keep = np.delete(np.arange(180), n)
        smaller = np.linalg.inv(v[np.ix_(keep, keep)])
        without = np.linalg.solve(x[keep].T @ smaller @ x[keep], x[keep].T @ smaller @ y[keep])
        np.testing.assert_allclose(found.change[n], without - beta, rtol=1e-7)
        expected = x[n] @ without + v[n, keep] @ smaller @ (y[keep] - x[keep] @ without)
        left = x[n] - v[n, keep] @ smaller @ x[keep]
        spread = v[n, n] - v[n, keep] @ smaller @ v[keep, n]
        spread += left @ np.linalg.inv(x[keep].T @ smaller @ x[keep]) @ left
        assert found.deleted[n] == pytest.approx((y[n] - expected) / np.sqrt(spread), rel=1e-7)
    assert found.leverage.sum() == pytest.approx(np.trace(hat(fit)), rel=1e-8)


def hat(fit: Any) -> np.ndarray:
    """The matrix that takes y to its fitted values."""
    v, _, x, _ = whole(fit)
    inverse = np.linalg.inv(v)
    p = inverse - inverse @ x @ np.linalg.solve(x.T @ inverse @ x, x.T @ inverse)
    return np.eye(180) - fit.solved.sigma**2 * p


def test_standard_errors_of_variances_are_those_of_the_differenced_likelihood(fit: Any) -> None:
    table = fit.variance_components()
    codes = np.unique(SLEEP.subject, return_inverse=True)[1]
    x = np.column_stack([np.ones(180), SLEEP.days])
    z = dense.one_hot(codes, x)

    def value(components: np.ndarray) -> float:
        a, ab, b, residual = components
        v = z @ np.kron(np.array([[a, ab], [ab, b]]), np.eye(18)) @ z.T + residual * np.eye(180)
        return dense.log_likelihood(SLEEP.reaction, x, v, True)

    at = np.array(table["variance"])
    steps = np.diag(1e-3 * np.array([at[0], np.sqrt(at[0] * at[2]), at[2], at[3]]))
    hessian = np.array(
        [
            [
                (value(at + h + k) - value(at + h - k) - value(at - h + k) + value(at - h - k))
                / (4 * h.sum() * k.sum())
                for k in steps
            ]
            for h in steps
        ]
    )
    np.testing.assert_allclose(table["se"], np.sqrt(np.diagonal(np.linalg.inv(-hessian))), rtol=1e-3)
    assert table["sd"][1] == pytest.approx(at[1] / np.sqrt(at[0] * at[2]))  # of a covariance, the correlation
    assert np.nansum(table["share"]) == pytest.approx(1.0)


def test_prediction(fit: Any) -> None:
    np.testing.assert_allclose(fit.predict(), fit.predict(SLEEP.columns), rtol=1e-12)
    np.testing.assert_allclose(SLEEP.reaction - fit.predict(), fit.residuals(), rtol=1e-12)
    new = {"days": np.array([10.0, 10.0]), "subject": np.array([308, 999])}
    fixed = fit.params["fixed"] @ [1, 10]
    own = fit.random_effects("subject")
    first = own["level"].tolist().index("308")
    expected = [fixed + own["Intercept"][first] + 10 * own["days"][first], fixed]
    np.testing.assert_allclose(fit.predict(new), expected, rtol=1e-12)
    np.testing.assert_allclose(fit.predict({"days": np.array([10.0])}, random=False), [fixed], rtol=1e-12)


def test_frequencies_stand_for_repeated_records() -> None:
    count = np.random.default_rng(0).integers(0, 3, size=180)
    rows = np.repeat(np.arange(180), count)
    repeated = {name: column[rows] for name, column in SLEEP.columns.items()}
    one = lem.fit(lem.Mixed(FORMULA), SLEEP.columns, weights=count)
    two = lem.fit(lem.Mixed(FORMULA), repeated)
    assert one.log_likelihood == pytest.approx(two.log_likelihood, abs=1e-8)
    np.testing.assert_allclose(one.variance_components()["variance"], two.variance_components()["variance"], rtol=1e-6)


def test_precision_weights_scale_the_residual_variance() -> None:
    table = {**SLEEP.columns, "w": np.random.default_rng(0).uniform(0.5, 2, 180)}
    fit = lem.fit(lem.Mixed("reaction ~ days + (1 | subject)", precision="w"), table)
    roots, sigma = fit.solved.roots, fit.solved.sigma
    codes = np.unique(SLEEP.subject, return_inverse=True)[1]
    x = np.column_stack([np.ones(180), SLEEP.days])
    v = dense.covariance(roots, sigma, [dense.one_hot(codes)], [np.eye(18)], table["w"])
    assert fit.log_likelihood == pytest.approx(dense.log_likelihood(SLEEP.reaction, x, v, True), abs=1e-8)
    for change in (0.99, 1.01):
        other = dense.covariance([r * change for r in roots], sigma, [dense.one_hot(codes)], [np.eye(18)], table["w"])
        assert dense.log_likelihood(SLEEP.reaction, x, other, True) < fit.log_likelihood


def test_saved_and_loaded(fit: Any, tmp_path: Path) -> None:
    path = fit.save(tmp_path / "fit")
    model = lem.Mixed(FORMULA)
    again: Any = lem.load(path, model, SLEEP.columns)
    assert again.status is fit.status and again.log_likelihood == fit.log_likelihood
    np.testing.assert_allclose(again.fixed_effects()["df"], fit.fixed_effects()["df"], rtol=1e-6)
    np.testing.assert_allclose(again.random_effects("subject")["days"], fit.random_effects("subject")["days"])
    bare: Any = lem.load(path, model)
    with pytest.raises(ValueError, match="loaded without its data"):
        bare.random_effects()


def test_simulation_and_bootstrap(fit: Any) -> None:
    draws = fit.simulate(jax.random.key(0), 4000)
    v, _, x, _ = whole(fit)
    np.testing.assert_allclose(draws.mean(axis=0), x @ fit.params["fixed"], atol=6 * np.sqrt(v.max() / 4000))
    np.testing.assert_allclose(np.var(draws, axis=0), np.diag(v), rtol=0.15)
    replicates = fit.bootstrap(jax.random.key(1), 60)
    assert replicates.converged.all()
    np.testing.assert_allclose(replicates.standard_errors()["fixed"], fit.fixed_effects()["se"], rtol=0.4)
    low, high = replicates.confidence_intervals()["fixed"]
    assert np.all(low < fit.params["fixed"]) and np.all(fit.params["fixed"] < high)


def test_tests_of_components(fit: Any) -> None:
    table = fit.component_tests()
    ordinary = np.column_stack([np.ones(180), SLEEP.days])
    left = SLEEP.reaction - ordinary @ np.linalg.lstsq(ordinary, SLEEP.reaction, rcond=None)[0]
    null = dense.log_likelihood(SLEEP.reaction, ordinary, np.eye(180) * (left @ left / 178), True)
    assert table["statistic"][0] == pytest.approx(2 * (fit.log_likelihood - null), rel=1e-8)
    crossed: Any = lem.fit(lem.Mixed("diameter ~ 1 + (1 | plate) + (1 | sample)"), lem.datasets.penicillin())
    without = lem.fit(lem.Mixed("diameter ~ 1 + (1 | sample)"), lem.datasets.penicillin())
    statistic = crossed.component_tests()["statistic"][0]
    assert statistic == pytest.approx(2 * (crossed.log_likelihood - without.log_likelihood), abs=1e-6)


def test_uncorrelated_terms_are_two_effects() -> None:
    fit: Any = lem.fit(lem.Mixed("reaction ~ days + (days || subject)"), SLEEP.columns)
    codes = np.unique(SLEEP.subject, return_inverse=True)[1]
    x = np.column_stack([np.ones(180), SLEEP.days])
    designs = [dense.one_hot(codes, x[:, :1]), dense.one_hot(codes, x[:, 1:])]
    assert fit.log_likelihood == pytest.approx(dense.maximum(SLEEP.reaction, x, designs, True), abs=1e-7)
    assert [e.name for e in fit.solved.design.effects] == ["subject", "subject.1"]


def test_missing_values_leave_a_record_out() -> None:
    table = {name: column.astype(float) for name, column in SLEEP.columns.items()}
    table["reaction"] = table["reaction"].copy()
    table["reaction"][[3, 70]] = np.nan
    fit = lem.fit(lem.Mixed(FORMULA), table)
    kept = {name: np.delete(column, [3, 70]) for name, column in table.items()}
    assert fit.log_likelihood == pytest.approx(lem.fit(lem.Mixed(FORMULA), kept).log_likelihood, abs=1e-9)
    assert "2 records with missing values were left out" in fit.notes


def test_a_table_of_any_library_is_read() -> None:
    import pandas as pd
    import polars as pl

    expected = lem.fit(lem.Mixed(FORMULA), SLEEP.columns).log_likelihood
    for table in (pd.DataFrame(SLEEP.columns), pl.DataFrame(SLEEP.columns)):
        assert lem.fit(lem.Mixed(FORMULA), table).log_likelihood == pytest.approx(expected, abs=1e-9)


def test_a_callback_stops_a_fit() -> None:
    seen = []
    fit = lem.fit(lem.Mixed(FORMULA), SLEEP.columns, callback=lambda s: seen.append(s.objective) or len(seen) == 2)
    assert fit.status is lem.Status.interrupted and len(seen) == 2
    assert lem.fit(lem.Mixed(FORMULA), SLEEP.columns, initial=fit.params).status is lem.Status.converged


def test_summary_reads_as_lme4_s(fit: Any) -> None:
    text = fit.summary()
    deviations = [f"{sd:.5g}" for sd in np.sqrt(fit.variance_components()["variance"][[0, 2]])]
    estimates = [f"{estimate:.7g}" for estimate in fit.fixed_effects()["estimate"]]
    for part in ("Linear mixed model by REML", "Scaled residuals", "subject", *deviations, *estimates, "17.00"):
        assert part in text, part
    assert max(len(line) for line in text.splitlines()) <= 120


def test_heritability_is_the_share_of_the_animals_and_keeps_to_its_bounds() -> None:
    data = lem.datasets.mrode_calves()
    model = lem.Mixed("gain_11 ~ 0 + sex + (1 | calf)", {"calf": lem.pedigree(data.calf, data.sire, data.dam)})
    fit: Any = lem.fit(model, data)
    animal, residual = fit.variance_components()["variance"]
    found = fit.heritability()
    assert found.estimate == pytest.approx(animal / (animal + residual))
    assert 0 < found.lower < found.estimate < found.upper < 1
    by_hand = fit.function_of_components(lambda v: v["calf"][0, 0] / (v["calf"][0, 0] + v["residual"]))
    assert by_hand.se == pytest.approx(found.se)


def test_a_pedigree_of_one_generation_is_exchangeable() -> None:
    founders = lem.pedigree(np.unique(SLEEP.subject), [0] * 18, [0] * 18)
    related = lem.fit(lem.Mixed(FORMULA, {"subject": founders}), SLEEP.columns)
    plain = lem.fit(lem.Mixed(FORMULA), SLEEP.columns)
    assert related.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-10)
    np.testing.assert_allclose(related.params["effects"]["subject"], plain.params["effects"]["subject"], rtol=1e-8)


def test_a_genomic_relationship_is_dense_maximum_likelihood() -> None:
    rng = np.random.default_rng(0)
    n = 150
    markers = rng.binomial(2, rng.uniform(0.1, 0.9, 400), size=(n, 400)).astype(float)
    markers = (markers - markers.mean(axis=0)) / markers.std(axis=0)
    k = markers @ markers.T / 400 + 0.01 * np.eye(n)
    x = np.column_stack([np.ones(n), rng.normal(size=n)])
    y = x @ [1, 0.5] + np.linalg.cholesky(k) @ rng.normal(size=n) * 0.7 + rng.normal(size=n) * 0.7
    names = np.array([f"id{i:03d}" for i in range(n)])
    table = {"y": y, "x": x[:, 1], "line": names}
    for reml in (True, False):
        fit = lem.fit(lem.Mixed("y ~ x + (1 | line)", {"line": lem.relationship(k, names)}, reml=reml), table)
        independent = dense.maximum(y, x, [np.eye(n)], reml, [k])
        assert fit.log_likelihood == pytest.approx(independent, abs=1e-8)


def test_tables(fit: Any) -> None:
    found, fixed, components = fit.table(), fit.fixed_effects(), fit.variance_components()
    places = ["subject,Intercept", "subject,days,Intercept", "subject,days", "Residual"]
    assert found["index"].tolist() == [*fixed["name"], *places]
    np.testing.assert_array_equal(found["estimate"], [*fixed["estimate"], *components["variance"]])
    np.testing.assert_array_equal(found["lower"][:2], fixed["lower"])
    v, se = components["variance"][0], components["se"][0]
    assert found["upper"][2] == pytest.approx(v * np.exp(1.959963984540054 * se / v), rel=1e-10)
    assert (found["lower"][found["name"] == "variance"] > 0).all()
    said = fit.augment()
    np.testing.assert_allclose(said["fitted"] + said["residual"], SLEEP.reaction, rtol=1e-12)
    np.testing.assert_array_equal(
        fit.augment({k: a[:3] for k, a in SLEEP.columns.items()})["fitted"], said["fitted"][:3]
    )
