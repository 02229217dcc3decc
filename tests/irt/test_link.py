"""Linking undoes a known change of scale, and curves on the new scale are those on the old one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

import latentem as lem
from latentem import datasets
from latentem.models.irt.asked.link import METHODS, transformed

MODELS = {
    "i1": "2pl",
    "i2": "3pl",
    "i3": "graded",
    "i4": "gpcm",
    "i5": "nominal",
    "i6": "sequential",
    "i7": "rsm",
    "i8": "2pl",
}
SLOPE, INTERCEPT = 1.3, -0.4


@pytest.fixture(scope="module")
def declared() -> Any:
    rng = np.random.default_rng(5)
    categories = {name: 2 if model in ("2pl", "3pl") else 3 for name, model in MODELS.items()}
    data = {name: rng.integers(0, c, 50) for name, c in categories.items()}
    return lem.IRT(MODELS, items=tuple(MODELS)).declare(data)[0].declaration


@pytest.fixture(scope="module")
def params(declared: Any) -> Any:
    rng = np.random.default_rng(2)
    with jax.enable_x64(True):
        space = lem.ParameterSpace.of(declared.constraints())
        return jax.tree.map(np.asarray, space.constrain(jax.numpy.asarray(rng.normal(size=space.size))))


def test_the_same_curves_on_the_new_scale(declared: Any, params: Any) -> None:
    theta = np.linspace(-3, 3, 7)[:, None]
    with jax.enable_x64(True):
        before = np.asarray(declared.table(params, jax.numpy.asarray(theta)))
        moved = transformed(declared, params, SLOPE, INTERCEPT)
        after = np.asarray(declared.table(moved, jax.numpy.asarray(SLOPE * theta + INTERCEPT)))
    np.testing.assert_allclose(np.exp(after), np.exp(before), atol=1e-14)
    assert np.abs(moved["2pl"]["slope"] - params["2pl"]["slope"]).max() > 0.1


@pytest.fixture(scope="module")
def fits() -> tuple[lem.Fit, lem.Fit]:
    """A fit, and the same with its items on another scale."""
    data = datasets.lsat7()
    columns = {name: data.columns[name] for name in [f"item_{j}" for j in range(1, 6)]}
    fit = lem.fit(lem.IRT("2pl"), columns, weights=data.frequency, polish=False)
    return fit, replace(fit, params=transformed(fit.model.declaration, fit.params, SLOPE, INTERCEPT))


@pytest.mark.parametrize("method", METHODS)
def test_a_known_change_of_scale(fits: tuple[lem.Fit, lem.Fit], method: str) -> None:
    fit, other = fits
    for anchors in (None, ("item_1", "item_2", "item_5")):
        found = fit.link(other, method, anchors)
        assert found.slope == pytest.approx(SLOPE, abs=1e-8)
        assert found.intercept == pytest.approx(INTERCEPT, abs=1e-8)
    for name, value in other.params["2pl"].items():
        np.testing.assert_allclose(found.params["2pl"][name], value, atol=1e-7)
    assert found.anchors == ("item_1", "item_2", "item_5")


def test_haebara_and_stocking_lord_minimise_their_criteria(fits: tuple[lem.Fit, lem.Fit]) -> None:
    # Items that moved by themselves too: no change of scale fits exactly, and the methods differ.
    fit, other = fits
    noisy = {name: value + np.array([0.2, -0.1, 0.05, -0.2, 0.1]) for name, value in other.params["2pl"].items()}
    other = replace(other, params={"2pl": noisy})
    theta = np.linspace(-6, 6, 61)
    weights = np.exp(-0.5 * theta**2) / np.exp(-0.5 * theta**2).sum()

    def gap(slope: float, intercept: float) -> np.ndarray:
        here = fit.params["2pl"]
        logit = here["slope"] * (theta[:, None] - intercept) / slope + here["intercept"]
        there = noisy["slope"] * theta[:, None] + noisy["intercept"]
        return 1 / (1 + np.exp(-logit)) - 1 / (1 + np.exp(-there))

    criteria = {
        "haebara": lambda a, b: weights @ np.sum(gap(a, b) ** 2, axis=1),
        "stocking-lord": lambda a, b: weights @ np.sum(gap(a, b), axis=1) ** 2,
    }
    for method, criterion in criteria.items():
        found = fit.link(other, method)
        best = criterion(found.slope, found.intercept)
        assert best > 1e-8
        for da, db in [(1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3)]:
            assert criterion(found.slope + da, found.intercept + db) > best


def test_errors_in_one_line(fits: tuple[lem.Fit, lem.Fit]) -> None:
    fit, other = fits
    for call, told in [
        (lambda: fit.link(other, "mean-mean"), "method='mean-mean': expected one of 'mean-sigma'"),
        (lambda: fit.link(other, anchors=["item_1", "item_9"]), "anchors name item 'item_9'"),
        (lambda: fit.link(other, anchors=["item_1"]), "1 items in common, expected at least 2"),
        (lambda: fit.link(other, anchors="item_1"), "expected a list of names"),
        (lambda: fit.link({}), "expected the Fit of an item response model, got dict"),
    ]:
        with pytest.raises((ValueError, TypeError), match=told) as error:
            call()
        assert "\n" not in str(error.value)
