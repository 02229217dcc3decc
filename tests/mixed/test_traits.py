"""Mixed models of several responses against dense algebra."""

from typing import Any

import numpy as np
import pytest
from mixed import dense

import latentem as lem

N, ANIMALS = 90, 24
G = np.array([[1.0, 0.0], [0.6, 0.7]])
R = np.array([[0.8, 0.0], [0.3, 0.9]])


def herd() -> dict[str, np.ndarray]:
    """Milk and fat of animals of six sires; a fifth of the fat readings are missing."""
    rng = np.random.default_rng(3)
    sire = np.r_[np.zeros(6, int), np.repeat(np.arange(1, 7), 3)]
    relation = np.eye(ANIMALS)
    for k in range(6, ANIMALS):
        relation[k, :k] = relation[:k, k] = 0.5 * relation[sire[k] - 1, :k]
    u = np.linalg.cholesky(relation) @ rng.normal(size=(ANIMALS, 2)) @ G.T
    animal = rng.integers(ANIMALS, size=N)
    animal[:ANIMALS] = np.arange(ANIMALS)
    x = rng.normal(size=N)
    y = np.array([10.0, 4.0]) + np.outer(x, [0.5, -0.3]) + u[animal] + rng.normal(size=(N, 2)) @ R.T
    y[rng.random(N) < 0.2, 1] = np.nan
    return {"animal": animal + 1, "x": x, "milk": y[:, 0], "fat": y[:, 1], "sire": sire, "relation": relation}


DATA = herd()
TABLE = {name: DATA[name] for name in ("animal", "x", "milk", "fat")}
PEDIGREE = lem.pedigree(np.arange(1, ANIMALS + 1), DATA["sire"], np.zeros(ANIMALS, int))


@pytest.fixture(scope="module", params=[True, False], ids=["REML", "ML"], name="fit")
def _fit(request: pytest.FixtureRequest) -> Any:
    model = lem.Mixed("cbind(milk, fat) ~ x + (1 | animal)", {"animal": PEDIGREE}, reml=request.param)
    return lem.fit(model, TABLE)


def densely(root: np.ndarray, left: np.ndarray, reml: bool) -> tuple[float, np.ndarray, np.ndarray]:
    """(log-likelihood, fixed effects, predictions (2, q)) of the responses stacked trait by trait."""
    y = np.concatenate([DATA["milk"], DATA["fat"]])
    there = ~np.isnan(y)
    x = np.kron(np.eye(2), np.column_stack([np.ones(N), DATA["x"]]))[there]
    z = np.kron(np.eye(2), dense.one_hot(DATA["animal"] - 1))[there]
    g = np.kron(root @ root.T, DATA["relation"])
    v = z @ g @ z.T + np.kron(left @ left.T, np.eye(N))[np.ix_(there, there)]
    inverse = np.linalg.inv(v)
    beta = np.linalg.solve(x.T @ inverse @ x, x.T @ inverse @ y[there])
    blup = g @ z.T @ inverse @ (y[there] - x @ beta)
    return dense.log_likelihood(y[there], x, v, reml), beta, blup.reshape(2, -1)


def test_likelihood_and_predictions_are_those_of_dense_algebra(fit: Any) -> None:
    assert fit.status is lem.Status.converged
    reml, root, left = fit.declaration.reml, fit.params["effects"]["animal"], fit.params["residual"]
    value, beta, blup = densely(root, left, reml)
    assert fit.log_likelihood == pytest.approx(value, abs=1e-8)
    np.testing.assert_allclose(fit.params["fixed"].ravel(), beta, rtol=1e-6)
    table = fit.random_effects("animal")
    np.testing.assert_allclose(table["milk: Intercept"], blup[0], atol=1e-6)
    np.testing.assert_allclose(table["fat: Intercept"], blup[1], atol=1e-6)
    # No other components are better.
    for which in range(2):
        for i, j in ((0, 0), (1, 0), (1, 1)):
            for step in (-0.02, 0.02):
                moved = [root.copy(), left.copy()]
                moved[which][i, j] += step
                assert densely(moved[0], moved[1], reml)[0] < value


def test_tables_and_verbs_know_the_traits(fit: Any) -> None:
    rows = fit.variance_components()
    assert rows["group"].tolist() == ["animal"] * 3 + ["Residual"] * 3
    covariance = fit.params["residual"] @ fit.params["residual"].T
    np.testing.assert_allclose(rows["variance"][3:], covariance[[0, 1, 1], [0, 0, 1]])
    assert rows["sd"][4] == pytest.approx(covariance[1, 0] / np.sqrt(covariance[0, 0] * covariance[1, 1]))
    assert np.all(rows["se"] > 0) and np.all(np.abs(rows["sd"][[1, 4]]) < 1)
    np.testing.assert_allclose(rows["share"][[0, 3]].sum(), 1.0)
    h = fit.heritability("animal", "fat")
    assert h.estimate == pytest.approx(rows["share"][2]) and h.lower < h.estimate < h.upper
    assert fit.fixed_effects()["name"].tolist() == ["milk: Intercept", "milk: x", "fat: Intercept", "fat: x"]
    value = fit.predict()
    assert value.shape == (N, 2) and np.isfinite(value).all()
    np.testing.assert_allclose(fit.predict(TABLE), value)
    left = fit.residuals()
    np.testing.assert_array_equal(np.isnan(left), np.isnan(np.column_stack([DATA["milk"], DATA["fat"]])))
    assert fit.simulate(0, 3).shape == (3, N, 2)
    assert "fat: Intercept" in fit.summary()


def test_traits_that_are_apart_are_models_of_one_response(fit: Any) -> None:
    """Without covariances between traits the likelihood is the sum of theirs, and with them it is larger."""
    reml = fit.declaration.reml
    one = lem.fit(lem.Mixed("milk ~ x + (1 | animal)", {"animal": PEDIGREE}, reml=reml), TABLE)
    kept = {name: column[~np.isnan(DATA["fat"])] for name, column in TABLE.items()}
    two = lem.fit(lem.Mixed("fat ~ x + (1 | animal)", {"animal": PEDIGREE}, reml=reml), kept)
    apart = [np.diag([float(f.params["effects"]["animal"][0, 0]) for f in (one, two)])]
    apart.append(np.diag([float(f.params["residual"]) for f in (one, two)]))
    assert densely(apart[0], apart[1], reml)[0] == pytest.approx(one.log_likelihood + two.log_likelihood, abs=1e-7)
    assert fit.log_likelihood > one.log_likelihood + two.log_likelihood


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="climbs by Newton's method: leave it out"):
        lem.fit(lem.Mixed("cbind(milk, fat) ~ 1 + (1 | animal)"), TABLE, method=lem.PX())
    with pytest.raises(ValueError, match="precision='x': of one response"):
        lem.fit(lem.Mixed("cbind(milk, fat) ~ 1 + (1 | animal)", precision="x"), TABLE)
