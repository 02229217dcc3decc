"""Simulated answers have the proportions a fit expects; a finer grid changes what mirt says it changes."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import latentem as lem
from latentem import datasets

ITEMS = [f"item_{j}" for j in range(1, 6)]
N = 20_000


def columns() -> dict[str, Any]:
    data = datasets.lsat7()
    return {name: data.columns[name] for name in ITEMS}


@pytest.fixture(scope="module")
def lsat7() -> lem.Fit:
    return lem.fit(lem.IRT("2pl"), columns(), weights=datasets.lsat7().frequency, polish=False)


def test_proportions(lsat7: lem.Fit) -> None:
    found = lsat7.simulate(jax.random.key(4), N)
    assert list(found) == ITEMS
    answers = np.stack([found[name] for name in ITEMS], axis=1)
    theta = np.linspace(-6, 6, 61)
    weights = np.exp(-0.5 * theta**2) / np.exp(-0.5 * theta**2).sum()
    params = lsat7.params["2pl"]
    p = 1 / (1 + np.exp(-(params["slope"] * theta[:, None] + params["intercept"])))
    pairs = p.T @ (weights[:, None] * p)  # P(both right); the diagonal is replaced by P(right)
    np.fill_diagonal(pairs, weights @ p)
    observed = answers.T @ answers / N
    assert np.all(np.abs(observed - pairs) < 4 * np.sqrt(pairs * (1 - pairs) / N))


def test_groups_covariates_and_categories_come_back_as_the_data_had_them() -> None:
    rng = np.random.default_rng(0)
    n = 300
    group = rng.choice(["north", "south"], n, p=[0.3, 0.7])
    ability = rng.normal(size=n) + (group == "south")
    data: dict[str, Any] = {f"q{j}": np.array([2, 5])[(rng.normal(size=n) < ability).astype(int)] for j in range(3)} | {
        "region": group
    }
    fit = lem.fit(lem.IRT("2pl", group="region", fixed={"slope": 1.0}), data, polish=False)
    new = fit.simulate(jax.random.key(0), N)
    assert set(new) == {"q0", "q1", "q2", "region"} and set(np.unique(new["q1"])) == {2, 5}
    share = np.mean(new["region"] == "south")
    expected = np.mean(group == "south")
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / N)
    mean = {g: np.mean(new["q0"][new["region"] == g] == 5) for g in ("north", "south")}
    observed = {g: np.mean(data["q0"][group == g] == 5) for g in ("north", "south")}
    assert mean["south"] - mean["north"] == pytest.approx(observed["south"] - observed["north"], abs=0.12)
    again = fit.log_prob(new)  # the declaration of the fit reads them
    assert again.shape == (N,) and np.isfinite(again).all()


def marginal(params: Any, nodes: int) -> float:
    """Log-likelihood of LSAT7 in NumPy."""
    data = datasets.lsat7()
    x, theta = data.matrix(*ITEMS), np.linspace(-6, 6, nodes)
    weights = np.exp(-0.5 * theta**2) / np.exp(-0.5 * theta**2).sum()
    p = 1 / (1 + np.exp(-(params["slope"] * theta[:, None] + params["intercept"])))
    likelihood = np.prod(np.where(x[:, None] == 1, p, 1 - p), axis=2)
    return float(data.frequency @ np.log(likelihood @ weights))


def test_the_grid_is_doubled() -> None:
    coarse = lem.fit(lem.IRT("2pl", nodes=7), columns(), weights=datasets.lsat7().frequency, polish=False)
    check = coarse.check_grid()
    assert check.nodes == (7, 13) and check.largest > 1e-3 and check.in_errors > 1e-2
    assert "7 -> 13 nodes" in str(check)
    new = {name: coarse.params["2pl"][name] + check.params["2pl"][name] for name in coarse.params["2pl"]}
    best = marginal(new, 13)
    assert check.log_likelihood == pytest.approx(best - marginal(coarse.params["2pl"], 7), abs=1e-8)
    rng = np.random.default_rng(1)
    for _ in range(20):  # new params are a maximum on the finer grid
        other = {name: value + rng.normal(scale=1e-3, size=5) for name, value in new.items()}
        assert marginal(other, 13) < best


def test_errors_in_one_line(lsat7: lem.Fit) -> None:
    for n in (0, -3, 2.5, True):
        with pytest.raises(ValueError, match="expected a positive whole number of persons"):
            lsat7.simulate(jax.random.key(0), n)
