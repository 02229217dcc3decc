"""Structures of abilities and items beyond one normal ability: the same in other words, or by brute force."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import latentem as lem
from latentem import datasets
from latentem.constraints import Standardised

ITEMS = [f"item_{j}" for j in range(1, 6)]
LSAT7 = datasets.lsat7()
ANSWERS = LSAT7.matrix(*ITEMS)


def lsat7(model: Any = "2pl", **options: Any) -> lem.Fit:
    return lem.fit(lem.IRT(model, **options), ANSWERS, weights=LSAT7.frequency)


def simulated(slope: np.ndarray, n: int, seed: int = 0, **moments: Any) -> np.ndarray:
    """2PL answers (n, J) for slopes (J, D)."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=(n, slope.shape[1])) * moments.get("scale", 1.0) + moments.get("mean", 0.0)
    logit = theta @ slope.T + rng.normal(size=len(slope))
    return (rng.random(logit.shape) < 1 / (1 + np.exp(-logit))).astype(int)


# --- equal params


def test_items_with_one_slope_are_the_1pl() -> None:
    equal, one = lsat7(equal={"slope": ITEMS}), lsat7("1pl")
    assert equal.n_parameters == one.n_parameters == 6
    assert equal.log_likelihood == pytest.approx(one.log_likelihood, abs=1e-8)
    np.testing.assert_allclose(equal.params["2pl"]["slope"], np.repeat(one.params["1pl"]["slope"], 5), rtol=1e-6)
    errors = [fit.standard_errors()[name]["slope"] for fit, name in ((equal, "2pl"), (one, "1pl"))]
    np.testing.assert_allclose(errors[0], np.repeat(errors[1], 5), rtol=1e-5)


def test_pairs_of_equal_slopes_maximise_the_likelihood() -> None:
    fit = lsat7(equal={"slope": [["item_1", "item_4"], ["item_2", "item_3"]]})
    slope = fit.params["2pl"]["slope"]
    assert fit.n_parameters == 8
    assert slope[0] == slope[3] and slope[1] == slope[2]
    nodes = np.linspace(-6, 6, 61)
    weights = np.exp(-0.5 * nodes**2)

    def minus(v: np.ndarray) -> float:
        logit = nodes[:, None] * v[[0, 1, 1, 0, 2]] + v[3:]
        log_p = ANSWERS @ logit.T - np.logaddexp(0, logit).sum(axis=1)
        return -float(LSAT7.frequency @ np.log(np.exp(log_p) @ weights / weights.sum()))

    best = minimize(minus, np.concatenate([np.ones(3), np.zeros(5)]), method="BFGS")
    assert fit.log_likelihood == pytest.approx(-best.fun, abs=1e-6)


@pytest.mark.slow
def test_a_param_in_common_may_be_known() -> None:
    of_all, of_each = lsat7("1pl", fixed={"slope": 1.2}), lsat7(fixed={"slope": 1.2})
    assert of_all.n_parameters == of_each.n_parameters == 5
    assert of_all.log_likelihood == pytest.approx(of_each.log_likelihood, abs=1e-9)
    assert np.shape(of_all.params["1pl"]["slope"]) == ()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"equal": {"slope": ["item_1", "item_9"]}}, "equal names item 'item_9': expected one of item_1"),
        ({"equal": {"slope": [["item_1", "item_2"], ["item_2", "item_3"]]}}, "equal names item 'item_2' twice"),
        ({"equal": {"thickness": ["item_1", "item_2"]}}, "'thickness' is not among them"),
        ({"equal": {"slope": ["item_1", "item_2"]}, "shared": ["slope"]}, "is fixed, or common to all items"),
        (
            {"equal": {"slope": ["item_1", "item_2"]}, "fixed": {"item_2": {"slope": 1.0}}},
            "'slope' of item 'item_2' is fixed, or common to all",
        ),
    ],
)
def test_what_cannot_be_equal(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        lsat7(**options)


# --- mean and variance of ability


def test_known_items_leave_mean_and_variance_to_be_found() -> None:
    known = lsat7().params["2pl"]
    fixed = {name: {"slope": known["slope"][j], "intercept": known["intercept"][j]} for j, name in enumerate(ITEMS)}
    abler = ANSWERS[ANSWERS.sum(axis=1) > 1], LSAT7.frequency[ANSWERS.sum(axis=1) > 1]
    fit = lem.fit(lem.IRT("2pl", fixed=fixed, mean="free", variance="free"), abler[0], weights=abler[1])
    assert fit.n_parameters == 2
    nodes = np.linspace(-6, 6, 61)
    logit = nodes[:, None] * known["slope"] + known["intercept"]
    likelihood = np.exp(abler[0] @ logit.T - np.logaddexp(0, logit).sum(axis=1))

    def minus(v: np.ndarray) -> float:
        w = np.exp(-0.5 * (nodes - v[0]) ** 2 / np.exp(v[1]))
        return -float(abler[1] @ np.log(likelihood @ w / w.sum()))

    best = minimize(minus, np.zeros(2), method="BFGS", options={"gtol": 1e-9})
    assert fit.log_likelihood == pytest.approx(-best.fun, abs=1e-8)
    assert fit.params["ability"]["mean"] == pytest.approx(best.x[0], abs=1e-5)
    assert fit.params["ability"]["variance"] == pytest.approx(np.exp(best.x[1]), rel=1e-5)


def test_a_free_mean_takes_known_items() -> None:
    with pytest.raises(ValueError, match="mean='free': ability has no origin"):
        lem.IRT("2pl", mean="free")


@pytest.mark.parametrize("invariance", ["scalar", "configural"])
@pytest.mark.slow
def test_rasch_models_of_groups_are_1pl_models_of_groups(invariance: str) -> None:
    x = np.concatenate([simulated(np.full((5, 1), 1.3), 500), simulated(np.full((5, 1), 1.3), 500, 0, mean=0.6)])
    data = {"x": x, "g": np.repeat([0, 1], 500)}
    rasch, one = (lem.fit(lem.IRT(m, group="g", invariance=invariance), data) for m in ("rasch", "1pl"))
    assert rasch.n_parameters == one.n_parameters
    # The same model on another scale of ability, and so on other nodes.
    assert rasch.log_likelihood == pytest.approx(one.log_likelihood, abs=1e-4)
    assert rasch.params["ability"]["variance"].shape == (2,)
    slope = one.params["1pl"]["slope"]
    expected = slope**2 * np.array([1, one.params["ability"]["variance"][0]]) if invariance == "scalar" else slope**2
    np.testing.assert_allclose(rasch.params["ability"]["variance"], np.ravel(expected), rtol=1e-3)


# --- quadrature


@pytest.mark.slow
def test_adaptive_nodes_agree_with_the_grid() -> None:
    adaptive, grid = lsat7(quadrature="adaptive"), lsat7()
    assert adaptive.log_likelihood == pytest.approx(grid.log_likelihood, abs=1e-5)
    np.testing.assert_allclose(adaptive.params["2pl"]["slope"], grid.params["2pl"]["slope"], atol=1e-5)
    errors = [fit.standard_errors()["2pl"]["slope"] for fit in (adaptive, grid)]
    np.testing.assert_allclose(errors[0], errors[1], rtol=1e-4)
    np.testing.assert_allclose(adaptive.scores("eap")["theta"], grid.scores("eap")["theta"], atol=1e-4)


# --- bifactor

SPECIFIC = ["a"] * 3 + ["b"] * 2 + [None]
MASK = np.array([[True, label == "a", label == "b"] for label in SPECIFIC])


@pytest.fixture(scope="module")
def testlets() -> np.ndarray:
    return simulated(np.where(MASK, 1.3, 0.0), 300)


@pytest.fixture(scope="module")
def reduced(testlets: np.ndarray) -> lem.Fit:
    return lem.fit(lem.IRT("2pl", specific=SPECIFIC, nodes=9), testlets, tolerance=1e-8)


def test_dimension_reduction_is_the_sum_over_all_abilities(testlets: np.ndarray, reduced: lem.Fit) -> None:
    nodes = np.linspace(-6, 6, 9)
    weights = np.exp(-0.5 * nodes**2) / np.exp(-0.5 * nodes**2).sum()
    theta = np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 3)
    table = reduced.item_parameters(errors=False)
    slope = np.nan_to_num(np.stack([table[f"slope_{d}"] for d in (1, 2, 3)], axis=1))
    logit = theta @ slope.T + table["intercept"]
    joint = np.exp(testlets @ logit.T - np.logaddexp(0, logit).sum(axis=1))
    joint = joint * np.prod(np.meshgrid(weights, weights, weights, indexing="ij"), axis=0).ravel()
    evidence = joint.sum(axis=1)
    assert reduced.log_likelihood == pytest.approx(np.log(evidence).sum(), abs=1e-9)
    np.testing.assert_allclose(reduced.log_prob(testlets), np.log(evidence), rtol=1e-10)
    scores = reduced.scores("eap")
    mean = joint @ theta / evidence[:, None]
    np.testing.assert_allclose(scores["theta"], mean, atol=1e-10)
    np.testing.assert_allclose(scores["se"] ** 2, joint @ theta**2 / evidence[:, None] - mean**2, atol=1e-10)


@pytest.mark.slow
def test_the_fit_is_that_of_the_same_loadings(testlets: np.ndarray, reduced: lem.Fit) -> None:
    full = lem.fit(lem.IRT("2pl", loadings=MASK, correlated=False, nodes=9), testlets, tolerance=1e-8)
    assert reduced.n_parameters == full.n_parameters
    assert reduced.log_likelihood == pytest.approx(full.log_likelihood, abs=1e-7)
    errors = [jax.tree.leaves(fit.standard_errors()) for fit in (reduced, full)]
    for one, other in zip(*errors, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3)


@pytest.mark.slow
def test_bifactor_models_take_missing_answers_and_categories(testlets: np.ndarray) -> None:
    x = testlets.astype(float) + (np.arange(300)[:, None] % 3 == 0)
    x[::7, 1] = np.nan
    fit = lem.fit(lem.IRT("graded", specific=SPECIFIC, nodes=7), x, tolerance=1e-3)
    table = fit.item_parameters(errors=False)
    slope = np.nan_to_num(np.stack([table[f"slope_{d}"] for d in (1, 2, 3)], axis=1))
    nodes = np.linspace(-6, 6, 7)
    theta = np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 3)
    weights = np.exp(-0.5 * np.sum(theta**2, axis=1))
    at_least = [1 / (1 + np.exp(table[f"threshold_{c}"] - theta @ slope.T)) for c in (1, 2)]
    p = np.stack([1 - at_least[0], at_least[0] - at_least[1], at_least[1]])
    likelihood = np.ones((300, len(theta)))
    for j in range(6):
        known = ~np.isnan(x[:, j])
        likelihood[known] *= p[x[known, j].astype(int), :, j]
    assert fit.log_likelihood == pytest.approx(np.log(likelihood @ weights / weights.sum()).sum(), abs=1e-9)


def test_what_a_bifactor_model_refuses(testlets: np.ndarray, reduced: lem.Fit) -> None:
    with pytest.raises(ValueError, match="specific= takes abilities that are normal"):
        lem.IRT("2pl", specific=SPECIFIC, histogram=True)
    with pytest.raises(ValueError, match="specific names the abilities of 6 items: expected 5"):
        lem.fit(lem.IRT("2pl", specific=SPECIFIC), testlets[:, :5])
    with pytest.raises(ValueError, match="expected 'grid' or 'hermite' for a bifactor model"):
        lem.IRT("2pl", specific=SPECIFIC, quadrature="sobol")
    with pytest.raises(ValueError, match="a bifactor model is scored by 'eap'"):
        reduced.scores("map")
    with pytest.raises(ValueError, match="a bifactor model sums over two abilities at a time"):
        reduced.model_fit()


# --- exploratory


@pytest.fixture(scope="module")
def exploratory() -> lem.Fit:
    slope = np.zeros((10, 2))
    slope[:5, 0], slope[5:, 1] = 1.5, 1.2
    return lem.fit(lem.IRT("2pl", dimensions=2, nodes=15), simulated(slope, 1500))


def test_exploratory_abilities_are_turned_to_what_was_simulated(exploratory: lem.Fit) -> None:
    assert exploratory.status is lem.Status.converged
    assert exploratory.n_parameters == 10 + 20 - 1
    found = exploratory.rotate("varimax")
    np.testing.assert_allclose(found.correlation, np.eye(2), atol=1e-12)
    expected = np.zeros((10, 2))
    expected[:5, 0], expected[5:, 1] = 1.5 / np.hypot(1.702, 1.5), 1.2 / np.hypot(1.702, 1.2)
    np.testing.assert_allclose(found.loadings, expected, atol=0.15)


@pytest.mark.parametrize("method", ["varimax", "quartimax", "oblimin", "quartimin"])
def test_a_rotation_leaves_the_model_as_it_is(exploratory: lem.Fit, method: str) -> None:
    found = exploratory.rotate(method)
    table = exploratory.item_parameters(errors=False)
    slope = np.nan_to_num(np.stack([table["slope_1"], table["slope_2"]], axis=1))
    theta = exploratory.scores("eap")["theta"]
    np.testing.assert_allclose(theta @ found.turn @ found.slopes.T, theta @ slope.T, atol=1e-10)
    np.testing.assert_allclose(np.diagonal(found.correlation), 1.0, atol=1e-9)
    common = np.einsum("jd,de,je->j", found.loadings, found.correlation, found.loadings)
    np.testing.assert_allclose(common, found.communality, atol=1e-9)


def test_what_cannot_be_turned(exploratory: lem.Fit) -> None:
    with pytest.raises(ValueError, match=r"rotate\('promax'\): expected one of 'varimax'"):
        exploratory.rotate("promax")
    with pytest.raises(ValueError, match="this fit is not exploratory"):
        lsat7().rotate()
    with pytest.raises(ValueError, match="without loadings"):
        lem.IRT("2pl", dimensions=2, loadings=MASK)
    with pytest.raises(ValueError, match="dimensions=5: expected more items than that, got 5"):
        lsat7(dimensions=5, quadrature="sobol")


# --- histogram


@pytest.mark.slow
def test_a_histogram_finds_two_groups_of_abilities() -> None:
    rng = np.random.default_rng(1)
    theta = np.where(rng.random(1500) < 0.5, -1.0, 1.0) + 0.3 * rng.normal(size=1500)
    theta = (theta - theta.mean()) / theta.std()
    slope, intercept = rng.uniform(0.8, 2.0, 15), rng.normal(size=15)
    x = (rng.random((1500, 15)) < 1 / (1 + np.exp(-(np.outer(theta, slope) + intercept)))).astype(int)
    normal = lem.fit(lem.IRT("2pl", nodes=25), x)
    free = lem.fit(lem.IRT("2pl", histogram=True, nodes=25), x, tolerance=1e-5)
    nodes, weights = free.model.declaration.grid.values[:, 0], free.params["ability"]["weights"][0]
    assert free.status.ok or free.status is lem.Status.boundary
    np.testing.assert_allclose([weights @ nodes, weights @ nodes**2], [0, 1], atol=1e-9)
    assert free.n_parameters == normal.n_parameters + 22
    assert free.log_likelihood > normal.log_likelihood + 50
    error = [np.abs(fit.params["2pl"]["slope"] - slope).mean() for fit in (normal, free)]
    assert error[1] < 0.7 * error[0]


@pytest.mark.slow
def test_standardised_weights(x64: None) -> None:
    nodes = np.linspace(-3, 3, 9)
    constraint = Standardised(tuple(nodes.tolist()))
    u = jnp.asarray(np.random.default_rng(0).normal(size=6))
    weights = constraint.constrain(u)
    np.testing.assert_allclose([weights.sum(), weights @ nodes, weights @ nodes**2], [1, 0, 1], atol=1e-12)
    np.testing.assert_allclose(constraint.unconstrain(weights), u, atol=1e-9)
    assert constraint.contains(weights) and not constraint.contains(jnp.full(9, 1 / 9))
    assert not constraint.boundary(weights).any()
    for order in (jax.jacfwd, lambda f: jax.jacfwd(jax.jacfwd(f))):
        derivative = order(constraint.constrain)(u)
        step = 1e-5
        lower = (lambda f: f) if order is jax.jacfwd else jax.jacfwd
        f = lower(constraint.constrain)
        numeric = jnp.stack([(f(u + step * e) - f(u - step * e)) / (2 * step) for e in jnp.eye(6)], axis=-1)
        np.testing.assert_allclose(derivative, numeric, atol=1e-7)


def test_the_m_step_of_a_histogram_maximises_on_its_set(x64: None) -> None:
    nodes = np.linspace(-3, 3, 9)
    constraint = Standardised(tuple(nodes.tolist()))
    counts = jnp.asarray([1.0, 4, 20, 30, 10, 3, 25, 7, 2])
    best = constraint.maximize(counts)
    assert constraint.contains(best)
    slope = jax.grad(lambda u: counts @ jnp.log(constraint.constrain(u)))(constraint.unconstrain(best))
    np.testing.assert_allclose(slope, 0.0, atol=1e-7)


def test_a_histogram_of_groups_takes_known_items() -> None:
    with pytest.raises(ValueError, match="takes known items"):
        lem.IRT("2pl", histogram=True, group="g")
