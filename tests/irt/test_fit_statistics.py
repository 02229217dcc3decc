"""Fit of items, persons and models: figures of R's mirt 1.47 at its maximum of the likelihood, and identities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import latentem as lem
from latentem import datasets

ITEMS = [f"item_{j}" for j in range(1, 6)]


@pytest.fixture(scope="module")
def lsat7() -> lem.Fit:
    data = datasets.lsat7()
    return lem.fit(lem.IRT("2pl"), data.matrix(*ITEMS), weights=data.frequency)


@pytest.fixture(scope="module")
def persons() -> Any:
    """LSAT7, a row for each person."""
    data = datasets.lsat7()
    return np.repeat(data.matrix(*ITEMS), data.frequency.astype(int), axis=0).astype(float)


# --- persons


def test_fit_of_persons(lsat7: lem.Fit) -> None:
    # personfit() of the first two patterns, 00000 and 00001.
    found = lsat7.person_fit()
    figures = {
        "infit": [0.785379254910149, 0.674563014214085],
        "z_infit": [-0.460817256822658, -1.06396341268753],
        "outfit": [0.711935614238736, 0.656262439356267],
        "z_outfit": [-0.559918628921257, -1.11177450805034],
        "Zh": [0.579914458121171, 1.04342868187966],
    }
    for name, expected in figures.items():
        np.testing.assert_allclose(found[name][:2], expected, rtol=1e-6)


def test_fit_of_new_persons_counts_the_items_they_answered(lsat7: lem.Fit) -> None:
    # With the outcome of an item left out, the log-likelihood of Zh and its moments are sums over the rest: by hand.
    x = np.array([[1.0, 0.0, np.nan, 1.0, 1.0], [np.nan] * 5])
    found = lsat7.person_fit(x)
    theta = lsat7.scores("eap", x)["theta"][0]
    p = 1 / (1 + np.exp(-(lsat7.params["2pl"]["slope"] * theta + lsat7.params["2pl"]["intercept"])))[[0, 1, 3, 4]]
    y = np.array([1, 0, 1, 1])
    mean = p * np.log(p) + (1 - p) * np.log(1 - p)
    spread = p * (1 - p) * np.log(p / (1 - p)) ** 2
    observed = np.log(np.where(y == 1, p, 1 - p))
    assert found["Zh"][0] == pytest.approx((observed - mean).sum() / np.sqrt(spread.sum()), rel=1e-9)
    assert found["infit"][0] == pytest.approx(((y - p) ** 2).sum() / (p * (1 - p)).sum(), rel=1e-9)
    assert all(np.isnan(column[1]) for column in found.values())


# --- pairs of items


def test_residual_correlations(lsat7: lem.Fit) -> None:
    found = lsat7.residuals("Q3")
    np.testing.assert_allclose(
        found[0], [1, -0.134483655412896, -0.213735262981148, -0.0121053874636185, 0.00869576189992841], atol=1e-7
    )
    np.testing.assert_allclose(found, found.T, rtol=1e-12)


def test_local_dependence(lsat7: lem.Fit) -> None:
    found = lsat7.residuals("LD")
    np.testing.assert_allclose(
        found[0, 1:], [-0.0212370298372303, -0.0292646598365858, 0.0507734965902259, 0.0489139757298707], atol=1e-7
    )
    np.testing.assert_allclose(
        found[1:, 0], [0.451011436307409, 0.856420315351078, 2.57794795599768, 2.39257702170238], rtol=1e-6
    )
    assert np.isnan(np.diagonal(found)).all()


def test_unknown_kind_of_residual(lsat7: lem.Fit) -> None:
    with pytest.raises(ValueError, match="kind='Q4': expected one of 'Q3', 'LD'"):
        lsat7.residuals("Q4")
