"""Simulated answers have the proportions a fit expects; a finer grid changes what mirt says it changes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

import latentem as lem
from latentem import datasets
from latentem.models.irt.checked.check_grid import _doubled

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


@pytest.mark.slow
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


def test_a_report_says_what_a_finer_grid_changes() -> None:
    coarse = lem.fit(lem.IRT("2pl", nodes=7), columns(), weights=datasets.lsat7().frequency)
    check = coarse.grid_check
    params, step = coarse.params["2pl"], 1e-5
    assert check.nodes == (7, 13) and check.fit is None and coarse.grid_check is check
    assert check.log_likelihood == pytest.approx(marginal(params, 13) - marginal(params, 7), abs=1e-8)
    names = [(name, j) for name in params for j in range(5)]
    gradient = [
        marginal({**params, name: params[name] + step * np.eye(5)[j]}, 13)
        - marginal({**params, name: params[name] - step * np.eye(5)[j]}, 13)
        for name, j in names
    ]
    change = coarse.covariance() @ np.array(gradient) / (2 * step)
    np.testing.assert_allclose(np.concatenate([check.params["2pl"][name] for name in params]), change, rtol=1e-5)
    assert check.largest == pytest.approx(np.max(np.abs(change)), rel=1e-5)
    assert f"grid: {check}" in coarse.summary() and str(check).endswith("; fit with nodes=13")


def test_a_grid_that_does_calls_for_no_more_nodes() -> None:
    fit = lem.fit(lem.IRT("2pl"), columns(), weights=datasets.lsat7().frequency)
    assert 0 < fit.grid_check.in_errors < 1e-6  # of mirt's 61 nodes, too
    assert "  grid: 61 -> 121 nodes: log-likelihood" in fit.summary() and "nodes=" not in fit.summary()


@pytest.mark.parametrize(
    ("options", "nodes"),
    [
        ({}, (61, 121)),
        ({"quadrature": "hermite"}, (31, 62)),
        ({"quadrature": "sobol", "nodes": 64}, (64, 128)),
        ({"quadrature": "adaptive"}, (21, 42)),
        ({"dimensions": 2}, (31, 61)),
        ({"specific": ("a", "a", "b", "b", None)}, (31, 61)),
    ],
)
def test_twice_as_many_nodes(options: dict[str, Any], nodes: tuple[int, int]) -> None:
    model, _ = lem.IRT("2pl", **options).declare(columns())
    finer, found = _doubled(SimpleNamespace(model=model))
    assert found == nodes and finer.latent.size == nodes[1]


def test_errors_in_one_line(lsat7: lem.Fit) -> None:
    for n in (0, -3, 2.5, True):
        with pytest.raises(ValueError, match="expected a positive whole number of persons"):
            lsat7.simulate(jax.random.key(0), n)
