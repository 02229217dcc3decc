"""Params that items have in common hold over all items, whatever their blocks; testlets; groups. By brute force on the
grid, or the same model in other words."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

import latentem as lem
from latentem import datasets

ITEMS = [f"item_{j}" for j in range(1, 6)]
LSAT6 = datasets.lsat6()
ANSWERS = LSAT6.matrix(*ITEMS)
NODES = np.linspace(-6, 6, 61)
WEIGHTS = np.exp(-0.5 * NODES**2) / np.exp(-0.5 * NODES**2).sum()


def lsat6(model: Any, **options: Any) -> lem.Fit:
    return lem.fit(lem.IRT(model, **options), ANSWERS, weights=LSAT6.frequency)


def brute(slope: np.ndarray, intercept: np.ndarray) -> float:
    logit = NODES[:, None] * slope + intercept
    log_p = ANSWERS @ logit.T - np.logaddexp(0, logit).sum(axis=1)
    return float(LSAT6.frequency @ np.log(np.exp(log_p) @ WEIGHTS))


def test_one_slope_beside_a_known_intercept() -> None:
    fit = lsat6("1pl", fixed={"item_1": {"intercept": 2.5}})
    slopes = [np.asarray(block["slope"]) for block in fit.params.values()]
    assert len(slopes) == 2 and slopes[0] == slopes[1] and fit.n_parameters == 5
    best = minimize(lambda v: -brute(v[0] * np.ones(5), np.append(2.5, v[1:])), np.ones(5), method="BFGS")
    assert fit.log_likelihood == pytest.approx(-best.fun, abs=1e-6)
    errors = [e["slope"] for e in fit.standard_errors().values()]
    assert errors[0] == pytest.approx(errors[1], rel=1e-12) and errors[0] > 0


def test_items_of_other_models_params_may_be_equal_across_blocks() -> None:
    fit = lsat6(
        "2pl", fixed={"item_1": {"intercept": 2.5}}, equal={"slope": [["item_1", "item_3"], ["item_2", "item_5"]]}
    )
    slope = np.array([row for row in fit.item_parameters()["slope"]])
    assert slope[0] == slope[2] and slope[1] == slope[4] and fit.n_parameters == 3 + 4

    def minus(v: np.ndarray) -> float:
        return -brute(v[[0, 1, 0, 2, 1]], np.append(2.5, v[3:]))

    best = minimize(minus, np.ones(7), method="BFGS")
    assert fit.log_likelihood == pytest.approx(-best.fun, abs=1e-6)


RNG = np.random.default_rng(5)
ABILITY = RNG.normal(size=(300, 1))
GRADED = np.concatenate(
    [np.digitize(ABILITY + RNG.logistic(size=(300, 2)), cuts) for cuts in ([-1, 1], [-1.5, 0, 1.5])], axis=1
)


def test_graded_items_of_three_and_four_categories_share_a_slope() -> None:
    fit = lem.fit(lem.IRT("graded", shared=("slope",), nodes=15), GRADED)
    slopes = [block["slope"] for block in fit.params.values()]
    assert len(slopes) == 2 and slopes[0] == slopes[1]
    assert fit.n_parameters == 1 + 2 * 2 + 2 * 3 and fit.status is lem.Status.converged
    moved = {block: {**own, "slope": own["slope"] + 0.1} for block, own in fit.params.items()}
    away = lem.fit(lem.IRT("graded", shared=("slope",), nodes=15), GRADED, initial=moved)
    assert away.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-8)


def test_steps_of_other_numbers_of_categories_are_refused() -> None:
    with pytest.raises(ValueError, match="'step' is common to all items of 'rsm'"):
        lem.fit(lem.IRT("rsm", nodes=15), GRADED)


SPECIFIC = ("a", "a", "a", "b", "b", "b")
MASK = np.array([[True, s == "a", s == "b"] for s in SPECIFIC])
PERSONS = RNG.normal(size=(300, 3)) * [1.2, 0.9, 0.7]
TESTLETS = (RNG.random((300, 6)) < 1 / (1 + np.exp(-PERSONS @ MASK.T - RNG.normal(size=6)))).astype(float)


def test_the_testlet_model_is_that_on_the_full_grid() -> None:
    """Wang and Wilson (2005): Rasch items with a variance of each testlet."""
    reduced = lem.fit(lem.IRT("rasch", specific=SPECIFIC, nodes=9), TESTLETS)
    full = lem.fit(lem.IRT("rasch", loadings=MASK, correlated=False, nodes=9), TESTLETS)
    assert reduced.n_parameters == full.n_parameters == 6 + 3
    assert reduced.log_likelihood == pytest.approx(full.log_likelihood, abs=1e-8)
    np.testing.assert_allclose(reduced.params["ability"]["variance"], full.params["ability"]["variance"], atol=1e-4)


@pytest.mark.slow
def test_groups_of_a_bifactor_model_differ_in_the_general_ability() -> None:
    group = np.arange(300) % 2
    data = {"responses": TESTLETS, "g": group}
    fit = lem.fit(lem.IRT("rasch", specific=SPECIFIC, group="g", nodes=9), data)
    assert fit.params["ability"]["mean"].shape == (1,) and fit.params["ability"]["variance"].shape == (2, 3)
    nodes = np.linspace(-6, 6, 9)
    theta = np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 3)
    logit = theta @ MASK.T + fit.params["rasch"]["intercept"]
    likelihood = np.exp(TESTLETS @ logit.T - np.logaddexp(0, logit).sum(axis=1))
    total = 0.0
    for g in (0, 1):
        mean = np.array([fit.params["ability"]["mean"][0] * g, 0, 0])
        w = np.exp(-0.5 * np.sum((theta - mean) ** 2 / fit.params["ability"]["variance"][g], axis=1))
        total += float(np.log(likelihood[group == g] @ w / w.sum()).sum())
    assert fit.log_likelihood == pytest.approx(total, abs=1e-8)


def test_guessing_at_its_edge_is_a_boundary_and_a_param_of_m2() -> None:
    fit = lsat6({**dict.fromkeys(ITEMS[:4], "2pl"), "item_5": "3pl"})
    assert fit.status is lem.Status.boundary
    assert np.isnan(fit.standard_errors()["3pl"]["guessing"]).all()
    found = fit.model_fit()
    assert found["df"] == 4 and found["M2"] == pytest.approx(4.67, abs=0.01)


def test_a_graded_rating_scale_is_a_graded_model_with_steps_in_common() -> None:
    """Muraki (1990)."""
    x = GRADED[:, 2:]
    x = np.concatenate([x, np.digitize(1.4 * ABILITY + 0.3 + RNG.logistic(size=(300, 2)), [-1.5, 0, 1.5])], axis=1)
    fit = lem.fit(lem.IRT("grsm", nodes=15), x)
    assert fit.n_parameters == 4 + 4 + 2
    own = fit.params["grsm"]
    threshold = own["slope"][:, None] * np.append(0.0, np.cumsum(own["step"])) - own["location"][:, None]
    known = {f"item_{j + 1}": {"slope": own["slope"][j], "threshold": threshold[j]} for j in range(4)}
    graded = lem.fit(lem.IRT("graded", nodes=15, fixed=known), x)
    assert fit.log_likelihood == pytest.approx(graded.log_likelihood, abs=1e-9)


def test_items_that_a_group_was_never_given_have_no_params_there() -> None:
    x, group = TESTLETS.copy(), np.arange(300) % 2
    x[group == 1, 5] = np.nan
    data = {"responses": x, "g": group}
    fit = lem.fit(lem.IRT("2pl", group="g", invariance="configural", nodes=15), data)
    assert fit.n_parameters == 2 * 12 - 2
    table = fit.item_parameters()
    gone = (table["item"] == "item_6") & (table["group"] == "1")
    for name in ("slope", "intercept", "difficulty", "slope_se"):
        assert np.isnan(table[name][gone]).all() and np.isfinite(table[name][~gone]).all()
    apart = [lem.fit(lem.IRT("2pl", nodes=15), x[group == g][:, : 6 - g]) for g in (0, 1)]
    assert fit.log_likelihood == pytest.approx(sum(one.log_likelihood for one in apart), abs=1e-6)
    equal = lem.fit(lem.IRT("2pl", group="g", equal={"slope": [["item_1", "item_2"]]}, nodes=15), data)
    assert np.isfinite(equal.dif(purify=False)["p"][:5]).all()


def test_the_reference_group_is_chosen() -> None:
    group = np.where(np.arange(300) % 2, "late", "early")
    data = {"responses": TESTLETS, "g": group}
    first = lem.fit(lem.IRT("rasch", group="g", nodes=15), data)
    other = lem.fit(lem.IRT("rasch", group="g", reference="late", nodes=15), data)
    assert first.model.declaration.seen.groups == ("early", "late")
    assert other.model.declaration.seen.groups == ("late", "early")
    assert first.params["ability"]["mean"] == pytest.approx(-other.params["ability"]["mean"], abs=0.02)
    with pytest.raises(ValueError, match="reference='never': expected one of the groups"):
        lem.IRT("rasch", group="g", reference="never").declare(data)


@pytest.mark.slow
def test_degrees_of_freedom_of_items_do_not_depend_on_their_order() -> None:
    x = np.concatenate([TESTLETS, TESTLETS[::-1]], axis=1)
    order = np.arange(12)[::-1]
    fits = [lem.fit(lem.IRT("2pl", dimensions=2, nodes=9), a) for a in (x, x[:, order])]
    df = [fit.item_fit()["df_S_X2"] for fit in fits]
    np.testing.assert_array_equal(df[0], df[1][order])


def test_weights_that_say_little_are_told_of() -> None:
    fit = lem.fit(lem.IRT("rasch", nodes=15), ANSWERS, weights=LSAT6.frequency / 1000)
    assert any("add up to" in note for note in fit.notes)
