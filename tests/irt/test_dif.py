"""Differential item functioning: likelihood ratios against a NumPy likelihood maximised by SciPy; a planted item."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

import latentem as lem

PATTERNS = np.array(list(itertools.product((0, 1), repeat=5)))
ITEMS = tuple(f"item_{j}" for j in range(1, 6))
PLANTED = 1
N = 1500


@pytest.fixture(scope="module")
def data() -> dict[str, np.ndarray]:
    """Two groups with means 0 and 0.5; the second item is harder for the second group."""
    rng = np.random.default_rng(11)
    group = np.repeat([0, 1], N)
    theta = rng.normal(size=2 * N) + 0.5 * group
    slope, intercept = np.array([1.0, 1.3, 1.6, 0.9, 1.2]), np.array([0.8, 0.3, -0.2, 0.5, -0.5])
    logit = slope * theta[:, None] + intercept
    logit[:, PLANTED] -= 0.9 * group
    answers = (rng.random(logit.shape) < 1 / (1 + np.exp(-logit))).astype(int)
    return {name: answers[:, j] for j, name in enumerate(ITEMS)} | {"group": group}


@pytest.fixture(scope="module")
def tested(data: dict[str, np.ndarray]) -> tuple[lem.Fit, dict[str, np.ndarray]]:
    fit = lem.fit(lem.IRT("2pl", group="group"), data, polish=False)
    return fit, fit.dif()


def maximum(counts: np.ndarray, free: tuple[int, ...]) -> float:
    """Largest log-likelihood of pattern counts (2, 32) with slopes and intercepts by group for the items of `free`."""
    z = np.linspace(-6, 6, 61)

    def negative(u: np.ndarray) -> float:
        slopes, intercepts = np.tile(u[:5], (2, 1)), np.tile(u[5:10], (2, 1))
        slopes[1, list(free)], intercepts[1, list(free)] = u[12::2], u[13::2]
        value = 0.0
        for g, (mean, log_variance) in enumerate([(0.0, 0.0), (u[10], u[11])]):
            weights = np.exp(-0.5 * (z - mean) ** 2 / np.exp(log_variance))
            p = 1 / (1 + np.exp(-(slopes[g] * z[:, None] + intercepts[g])))
            likelihood = np.prod(np.where(PATTERNS[:, None] == 1, p, 1 - p), axis=2) @ (weights / weights.sum())
            value += counts[g] @ np.log(likelihood)
        return -value

    start = np.concatenate([np.ones(5), np.zeros(7), np.tile([1.0, 0.0], len(free))])
    return -optimize.minimize(negative, start, method="BFGS", options={"gtol": 1e-3, "maxiter": 500}).fun


def test_statistics_are_likelihood_ratios(data: Any, tested: tuple[lem.Fit, dict[str, np.ndarray]]) -> None:
    codes = np.stack([data[name] for name in ITEMS], axis=1) @ 2 ** np.arange(5)[::-1]
    counts = np.stack([np.bincount(codes[data["group"] == g], minlength=32) for g in (0, 1)])
    # The planted item left the anchors: the others are tested beside it, and it is tested against all others.
    base = maximum(counts, (PLANTED,))
    _, found = tested
    for j in range(5):
        other = maximum(counts, () if j == PLANTED else (PLANTED, j))
        assert found["chi2"][j] == pytest.approx(2 * abs(other - base), abs=1e-4)
        assert found["p"][j] == pytest.approx(stats.chi2.sf(2 * abs(other - base), 2), rel=1e-3)
    assert found["df"].tolist() == [2] * 5


def test_the_planted_item_is_found(tested: tuple[lem.Fit, dict[str, np.ndarray]]) -> None:
    _, found = tested
    assert found["item"].tolist() == list(ITEMS)
    assert found["anchor"].tolist() == [j != PLANTED for j in range(5)]
    assert found["p"][PLANTED] < 1e-10
    assert np.delete(found["p"], PLANTED).min() > 0.01


def test_order_of_items_and_labels_do_not_matter(data: Any, tested: tuple[lem.Fit, dict[str, np.ndarray]]) -> None:
    fit, _ = tested
    once = fit.dif(purify=False)
    turned = {name: data[name] for name in reversed(ITEMS)}
    labels = np.where(data["group"] == 0, "a", "b")
    again = lem.fit(lem.IRT("2pl"), turned, polish=False, max_iterations=1).dif(labels, purify=False)
    assert again["item"].tolist() == list(reversed(ITEMS))
    np.testing.assert_allclose(again["chi2"][::-1], once["chi2"], atol=1e-4)
    assert once["anchor"].all()


def test_errors_in_one_line(tested: tuple[lem.Fit, dict[str, np.ndarray]]) -> None:
    fit, _ = tested
    for call, told in [
        (lambda: fit.dif(alpha=5), "alpha=5: expected a level between 0 and 1"),
        (lambda: fit.dif([1, 2]), r"group has shape \(2,\): expected \(3000,\)"),
        (lambda: fit.dif(np.zeros(2 * N)), "expected at least 2 groups"),
        (lambda: lem.fit(lem.IRT("2pl", group="group", free_items=("q",)), {}), "responses have no column 'group'"),
    ]:
        with pytest.raises(ValueError, match=told) as error:
            call()
        assert "\n" not in str(error.value)


def test_free_items_are_checked(data: Any) -> None:
    for model, name, told in [
        ("2pl", "q", "free_items names item 'q': expected one of item_1"),
        ("1pl", "item_2", "shares 'slope' with others"),
    ]:
        with pytest.raises(ValueError, match=told):
            lem.fit(lem.IRT(model, group="group", free_items=(name,)), data)
    with pytest.raises(TypeError, match="expected a list of names"):
        lem.IRT("2pl", free_items="item_1")  # pyright: ignore[reportArgumentType]


def test_abilities_of_persons_depend_on_their_group(tested: tuple[lem.Fit, dict[str, np.ndarray]]) -> None:
    fit, _ = tested
    z, params = np.linspace(-6, 6, 61), fit.params["2pl"]
    p = 1 / (1 + np.exp(-(params["slope"] * z[:, None] + params["intercept"])))
    pattern = np.array([1, 0, 1, 1, 0])
    likelihood = np.prod(np.where(pattern == 1, p, 1 - p), axis=1)
    total = np.prod(p, axis=1)  # of the highest sum, which one pattern gives
    prior = fit.params["ability"]
    n = fit.data.weights.size  # the shape of the fit's own persons, so that nothing else is compiled
    x = {name: np.full(n, value) for name, value in zip(ITEMS, pattern, strict=True)} | {"group": np.arange(n) % 2}
    right = {**x, **{name: np.ones(n) for name in ITEMS}}
    found, sums = fit.scores("eap", x), fit.scores("eapsum", right)
    marginal = fit.reliability()["marginal"]
    info = (params["slope"] ** 2 * p * (1 - p)).sum(axis=1)
    for g, (mean, variance) in enumerate([(0.0, 1.0), (float(prior["mean"][0]), float(prior["variance"][0]))]):
        weights = np.exp(-0.5 * (z - mean) ** 2 / variance)
        expected = np.average(z, weights=weights * likelihood)
        assert found["theta"][g] == pytest.approx(expected, abs=1e-10)
        spread = np.average((z - expected) ** 2, weights=weights * likelihood)
        assert found["se"][g] == pytest.approx(np.sqrt(spread), abs=1e-10)
        assert sums["theta"][g] == pytest.approx(np.average(z, weights=weights * total), abs=1e-10)
        assert marginal[g] == pytest.approx(
            np.average(info * variance / (info * variance + 1), weights=weights), abs=1e-6
        )
    assert found["theta"][1] > found["theta"][0] + 0.05
