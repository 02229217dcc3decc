"""Regressions as families: statsmodels, least squares in NumPy, likelihoods written on their own, enumeration."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import statsmodels.api as sm
from hmm.brute import answers
from scipy.optimize import approx_fprime
from scipy.stats import norm, poisson
from statsmodels.tsa.ar_model import AutoReg

import latentem as lem
from latentem.families import Autoregressive, BernoulliRegression, GaussianRegression, PoissonRegression

N = 150


def simulated() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """(columns, states): two states of a sticky chain, each with a line of its own."""
    rng = np.random.default_rng(1)
    states = np.cumsum(rng.uniform(size=N) < 0.1) % 2
    z, w = rng.normal(size=N), rng.uniform(-1, 1, N)
    mean = np.where(states == 0, 1.0 + 2.0 * z, -2.0 - 1.0 * z)
    rate = np.exp(np.where(states == 0, 0.5 + 0.3 * z, 2.0 - 0.4 * z))
    data = {
        "y": mean + 0.6 * rng.normal(size=N),
        "count": rng.poisson(rate).astype(float),
        "yes": (rng.uniform(size=N) < 1 / (1 + np.exp(-0.4 - z + w))).astype(float),
        "z": z,
        "w": w,
    }
    return data, states


DATA, STATES = simulated()


@pytest.mark.parametrize(
    ("family", "response", "glm"),
    [
        (GaussianRegression("y", ("z", "w")), "y", sm.families.Gaussian()),
        (PoissonRegression("count", ("z", "w")), "count", sm.families.Poisson()),
        (BernoulliRegression("yes", ("z", "w")), "yes", sm.families.Binomial()),
    ],
)
def test_one_component_is_the_glm_of_statsmodels(family: Any, response: str, glm: Any) -> None:
    weights = np.random.default_rng(0).integers(1, 4, N).astype(float)
    fit = lem.fit(lem.Mixture(family, 1), DATA, key=jax.random.key(0), weights=weights)
    design = np.column_stack([np.ones(N), DATA["z"], DATA["w"]])
    reference = sm.GLM(DATA[response], design, family=glm, freq_weights=weights).fit(tol=1e-13)
    np.testing.assert_allclose(fit.params["components"]["coefficients"][0], reference.params, rtol=1e-7, atol=1e-9)
    found = fit.standard_errors()["components"]["coefficients"][0]
    # statsmodels divides the residuals of a normal regression by n - p, maximum likelihood by n.
    ratio = np.sqrt(1 - 3 / weights.sum()) if response == "y" else 1.0
    np.testing.assert_allclose(found, reference.bse * ratio, rtol=1e-6)


def test_a_mixture_of_lines_is_at_a_maximum_of_its_likelihood() -> None:
    mixture = lem.Mixture(GaussianRegression("y", "z"), 2)
    fit = lem.fit(mixture, DATA, key=jax.random.key(1), starts=4)
    p = fit.params

    def log_likelihood(u: np.ndarray) -> float:
        share = 1 / (1 + np.exp(-u[0]))
        lines = [norm.logpdf(DATA["y"], u[1 + i] + u[3 + i] * DATA["z"], np.exp(u[5 + i])) for i in (0, 1)]
        return float(np.sum(np.logaddexp(np.log(share) + lines[0], np.log1p(-share) + lines[1])))

    b = p["components"]["coefficients"]
    own = [np.log(p["weights"][0] / p["weights"][1])]
    u = np.concatenate([own, b[:, 0], b[:, 1], 0.5 * np.log(p["components"]["variance"])])
    assert fit.log_likelihood == pytest.approx(log_likelihood(u), rel=1e-12)
    assert np.max(np.abs(approx_fprime(u, log_likelihood, 1e-6))) < 1e-3
    # The lines it was drawn from.
    np.testing.assert_allclose(b[np.argsort(-b[:, 0])], [[1, 2], [-2, -1]], atol=0.4)


START = {
    "initial": np.array([0.6, 0.4]),
    "transition": np.array([[0.8, 0.2], [0.3, 0.7]]),
    "emission": {"coefficients": np.array([[0.5, 1.0], [-1.0, 0.0]]), "variance": np.array([1.0, 2.0])},
}


def test_one_step_of_em_is_weighted_least_squares() -> None:
    hmm = lem.HMM(2, GaussianRegression("y", "z"))
    short = {name: DATA[name][:10] for name in ("y", "z")}
    one = lem.fit(hmm, lem.sequences(short), initial=START, method=lem.Plain(), max_iterations=1, polish=False)
    design = np.column_stack([np.ones(10), short["z"]])
    mean = design @ START["emission"]["coefficients"].T
    emission = norm.logpdf(short["y"][:, None], mean, np.sqrt(START["emission"]["variance"]))
    q = answers(START["initial"], START["transition"], emission)["smoothed"]
    for k in range(2):
        b = np.linalg.solve((design * q[:, [k]]).T @ design, (design * q[:, [k]]).T @ short["y"])
        variance = np.sum(q[:, k] * (short["y"] - design @ b) ** 2) / q[:, k].sum()
        np.testing.assert_allclose(one.params["emission"]["coefficients"][k], b, rtol=1e-10)
        np.testing.assert_allclose(one.params["emission"]["variance"][k], variance, rtol=1e-10)


def test_states_with_poisson_regressions_are_at_a_maximum() -> None:
    hmm = lem.HMM(2, PoissonRegression("count", "z"), initial=(0.5, 0.5))
    count = DATA["count"].copy()
    count[[5, 40]] = np.nan
    begin = {"transition": START["transition"], "emission": {"coefficients": np.array([[0.0, 0.0], [1.0, 0.0]])}}
    begin["initial"] = np.array([0.5, 0.5])
    fit = lem.fit(hmm, lem.sequences({"count": count, "z": DATA["z"]}), initial=begin)

    def log_likelihood(u: np.ndarray) -> float:
        stay = 1 / (1 + np.exp(-u[:2]))
        matrix = np.array([[stay[0], 1 - stay[0]], [1 - stay[1], stay[1]]])
        density = poisson.pmf(np.nan_to_num(count)[:, None], np.exp(u[2:4] + u[4:6] * DATA["z"][:, None]))
        density[np.isnan(count)] = 1.0
        alpha, total = np.array([0.5, 0.5]) * density[0], 0.0
        for row in density[1:]:
            total += np.log(alpha.sum())
            alpha = alpha / alpha.sum() @ matrix * row
        return total + np.log(alpha.sum())

    stay = np.diag(fit.params["transition"])
    u = np.concatenate([np.log(stay / (1 - stay)), fit.params["emission"]["coefficients"].T.ravel()])
    assert fit.log_likelihood == pytest.approx(log_likelihood(u), rel=1e-11)
    assert np.max(np.abs(approx_fprime(u, log_likelihood, 1e-6))) < 1e-3
    states = fit.viterbi()
    assert max(np.mean(states == STATES), np.mean(states != STATES)) > 0.9


def test_autoregression_of_one_state_is_least_squares_on_the_past() -> None:
    y = np.cumsum(np.random.default_rng(2).normal(size=80)) * 0.3
    reference = AutoReg(y, 2).fit()
    hmm, series = lem.HMM(1, Autoregressive(2)).declare(y)
    assert series.observed is not None and series.observed.tolist() == [False] * 2 + [True] * 78
    with jax.enable_x64(True):
        found = jax.tree.map(np.asarray, hmm.emission.default(*series.of_steps(np.ones(1)), np.var(y)))
    np.testing.assert_allclose(found["coefficients"], reference.params, rtol=1e-9)
    params = {
        "initial": np.ones(1),
        "transition": np.ones((1, 1)),
        "emission": {"coefficients": reference.params[None], "variance": reference.sigma2[None]},
    }
    np.testing.assert_allclose(lem.chain.log_prob(hmm.model(), params, series), [reference.llf], rtol=1e-12)


def test_autoregression_equals_enumeration() -> None:
    y = np.array([0.3, -0.2, 0.5, 1.0, np.nan, 0.4, 0.1, 0.9, 1.2, 0.2])
    lengths = np.array([7, 3])
    params = {
        **START,
        "emission": {"coefficients": np.array([[0.1, 0.8], [0.5, -0.3]]), "variance": np.array([1, 2.0])},
    }
    hmm, series = lem.HMM(2, Autoregressive(1)).declare(lem.sequences(y, lengths=lengths))
    found = lem.chain.log_prob(hmm.model(), params, series)
    b = params["emission"]["coefficients"]
    for n, part in enumerate(np.split(y, [7])):
        emission = np.zeros((len(part), 2))
        mean = b[:, 0] + b[:, 1] * part[:-1, None]
        emission[1:] = np.nan_to_num(norm.logpdf(part[1:, None], mean, np.sqrt(params["emission"]["variance"])))
        assert found[n] == pytest.approx(
            answers(START["initial"], START["transition"], emission)["log_prob"], rel=1e-12
        )


def test_bad_input() -> None:
    y, z = DATA["y"], DATA["z"]
    with pytest.raises(ValueError, match="no column 'x' in columns y, z: expected y, x; add it"):
        GaussianRegression("y", "x").declare({"y": y, "z": z})
    with pytest.raises(ValueError, match="no column 'y' in a ndarray"):
        GaussianRegression("y").declare(y)
    with pytest.raises(ValueError, match="the intercept and covariates z, w are linearly dependent"):
        GaussianRegression("y", ("z", "w")).declare({"y": y, "z": z, "w": 2 * z + 1})
    with pytest.raises(ValueError, match="expected counts 0, 1, 2"):
        PoissonRegression("y", "z").declare({"y": y, "z": z})
    with pytest.raises(ValueError, match="expected 0 or 1"):
        BernoulliRegression("count", "z").declare(DATA)
    with pytest.raises(ValueError, match="no covariates and no intercept"):
        GaussianRegression("y", intercept=False)
    with pytest.raises(ValueError, match="sequence 1 has 2 steps: expected more than 2"):
        lem.HMM(1, Autoregressive(2)).declare(lem.sequences(y[:9], lengths=[7, 2]))
    gap = np.where(np.arange(N) == 3, np.nan, z)
    with pytest.raises(ValueError, match=r"observations\[3\] = nan: expected a number"):
        lem.HMM(2, GaussianRegression("y", "z")).declare(lem.sequences({"y": y, "z": gap}))
