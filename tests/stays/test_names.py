"""What a summary shows first: how states follow one another, the table of items; names in place of numbers."""

import numpy as np
import pandas as pd
import pytest
from scipy import linalg, special, stats
from shapes import SHAPES
from shapes import fitted as shaped
from stays.fits import COLUMNS, F, N, fitted

import latentem as lem


def after(lines: list[str], word: str) -> list[float]:
    """The numbers of the line that begins with a word."""
    line = next(line for line in lines if line.split()[:1] == [word] or line.startswith(word + " "))
    return [float(part) for part in line[len(word) :].split()]


def test_states_of_a_hidden_markov_model() -> None:
    fit = fitted("hmm of symbols")
    lines = fit.summary().splitlines()
    begin = lines.index("transition probabilities")
    shown = lines[begin : begin + 6]
    matrix = fit.params["transition"]
    for k in range(2):
        np.testing.assert_allclose(after(shown[2:], str(k)), matrix[k], rtol=6e-4)
    share = linalg.null_space(matrix.T - np.eye(2))[:, 0]
    np.testing.assert_allclose(after(shown, "stationary"), share / share.sum(), rtol=6e-4)
    np.testing.assert_allclose(after(shown, "mean dwell"), 1 / (1 - np.diagonal(matrix)), rtol=6e-4)


def test_states_that_last() -> None:
    fit = fitted("hsmm")
    lines = fit.summary().splitlines()
    k = np.arange(1, 4)[:, None]
    pmf = stats.poisson.pmf(k - 1, fit.params["duration"]["rate"])
    dwell = (k * pmf / pmf.sum(axis=0)).sum(axis=0)
    np.testing.assert_allclose(after(lines, "mean dwell"), dwell, rtol=6e-4)
    # Two states take turns: each has half of the segments.
    np.testing.assert_allclose(after(lines, "stationary"), dwell / dwell.sum(), rtol=6e-4)


def test_transitions_that_depend_on_covariates() -> None:
    lines = fitted("hmm with covariates").summary().splitlines()
    begin = lines.index("transition probabilities where all covariates are 0")
    np.testing.assert_allclose(
        after(lines[begin + 2 :], "0"), fitted("hmm with covariates").transition_at({"z": 0.0})[0], rtol=6e-4
    )


def test_items() -> None:
    shape = next(shape for shape in SHAPES if shape.name == "2pl")
    fit = shaped(shape)
    lines = fit.summary().splitlines()
    table = fit.item_parameters()
    head = next(i for i, line in enumerate(lines) if line.split()[:2] == ["item", "model"])
    assert lines[head].split() == list(table)
    for j, name in enumerate(table["item"]):
        cells = lines[head + 1 + j].split()
        assert cells[0] == name
        np.testing.assert_allclose([float(c) for c in cells[2:]], [table[c][j] for c in list(table)[2:]], atol=5.1e-5)
    assert not any(line.startswith("2pl.slope") for line in lines)


def test_observations_ahead() -> None:
    fit = fitted("hmm")
    ahead = fit.predictive(3)
    p, states = fit.params["emission"], fit.forecast(3)
    assert ahead.mean.shape == ahead.sd.shape == (3, 2)
    np.testing.assert_allclose(ahead.mean, states @ p["mean"], rtol=1e-10)
    variance = np.diagonal(p["covariance"], axis1=1, axis2=2)
    np.testing.assert_allclose(ahead.sd**2, states @ (variance + p["mean"] ** 2) - ahead.mean**2, rtol=1e-8)
    median = ahead.quantile(0.5)
    at_most = [states[:, [k]] * stats.norm.cdf(median, p["mean"][k], np.sqrt(variance[k])) for k in range(2)]
    np.testing.assert_allclose(np.sum(at_most, axis=0), 0.5, rtol=1e-9)
    x = np.array([[0.1, 0.2], [3.0, 4.0], [1.0, 1.0]])
    density = [states[:, k] * stats.multivariate_normal(p["mean"][k], p["covariance"][k]).pdf(x) for k in range(2)]
    np.testing.assert_allclose(ahead.log_density(x), np.log(np.sum(density, axis=0)), rtol=1e-9)
    for bad in (0.0, 1.0, [0.5, 2.0]):
        with pytest.raises(ValueError, match="expected probabilities between 0 and 1"):
            ahead.quantile(bad)


def test_observations_ahead_that_depend_on_columns() -> None:
    fit = fitted("hmm of regressions")
    z = np.array([0.5, -1.0])
    ahead = fit.predictive(2, covariates=pd.DataFrame({"other": [1, 2], "z": z}))
    coefficients = fit.params["emission"]["coefficients"]
    expected = np.sum(fit.forecast(2) * (coefficients[:, 0] + z[:, None] * coefficients[:, 1]), axis=1)
    np.testing.assert_allclose(ahead.mean["a"], expected, rtol=1e-10)
    with pytest.raises(ValueError, match="what is observed depends on z: pass covariates="):
        fit.predictive(2)
    with pytest.raises(ValueError, match=r"column 'z' has shape \(1,\): expected \(2,\)"):
        fit.predictive(2, covariates={"z": [0.0]})
    assert fit.sample(0, N)["a"].shape == (N,) and (fit.sample(0, N)["z"] == COLUMNS["z"]).all()


def test_mixtures_of_regressions_are_simulated_with_their_covariates() -> None:
    rng = np.random.default_rng(2)
    z = rng.normal(size=60)
    y = np.where(np.arange(60) % 2, 3 + z, -3 - z) + 0.3 * rng.normal(size=60)
    fit = lem.fit(lem.Mixture(F.GaussianRegression("y", ("z",)), 2), {"y": y, "z": z}, key=0)
    drawn = fit.sample(1, 60)
    assert (drawn["z"] == z).all()
    away = np.abs(drawn["y"][:, None] - np.stack([np.ones(60), z], 1) @ fit.params["components"]["coefficients"].T)
    assert away.min(axis=1).max() < 1.5  # about one of the two lines
    assert set(fit.sample(1, 100)["z"]) <= set(z)
    found = lem.bootstrap(fit, 0, 40)
    errors = fit.standard_errors()["components"]["coefficients"]
    np.testing.assert_allclose(found.standard_errors()["components"]["coefficients"], errors, rtol=0.6)


def test_persons_are_simulated_with_their_groups_and_covariates() -> None:
    rng = np.random.default_rng(4)
    group, w = np.repeat(["a", "b"], [40, 200]), rng.normal(size=240)
    theta = rng.normal(size=240) + 2.0 * w
    answers = {f"q{j}": (rng.random(240) < special.expit(theta - j + 2)).astype(int) for j in range(4)}
    model = lem.IRT("rasch", covariates=("w",), nodes=15)
    fit = lem.fit(model, {**answers, "w": w})
    drawn = fit.sample(0, 240)
    assert (drawn["covariates"][:, 0] == w).all()
    high = np.asarray(drawn["answers"]).mean(axis=1)
    assert np.corrcoef(high, w)[0, 1] > 0.5
    grouped = lem.fit(lem.IRT("rasch", group="g", nodes=15), {**answers, "g": group})
    assert (grouped.sample(0, 240)["group"] == (group == "b")).all()
