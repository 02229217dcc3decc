"""Transitions that depend on covariates: enumeration of all paths, and a likelihood written in NumPy on its own."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from hmm.brute import answers
from scipy.optimize import approx_fprime, minimize
from scipy.stats import poisson

import latentem as lem

K = 2
LENGTHS = np.array([6, 1, 5, 120])


def simulated() -> dict[str, np.ndarray]:
    """Counts of two states; leaving state 0 is likely where z is large."""
    rng = np.random.default_rng(4)
    z, y = rng.normal(size=LENGTHS.sum()), []
    begins = set(np.cumsum(LENGTHS)[:-1].tolist()) | {0}
    state = 0
    for t in range(len(z)):
        if t in begins:
            state = int(rng.uniform() < 0.5)
        else:
            leave = 1 / (1 + np.exp(1.5 - (1.5, -0.5)[state] * z[t - 1]))
            state = 1 - state if rng.uniform() < leave else state
        y.append(rng.poisson((2.0, 9.0)[state]))
    return {"y": np.array(y, float), "z": z}


DATA = simulated()
MODELS = {at: lem.HMM(K, lem.families.Poisson(), covariates=("z",), covariate_at=at) for at in ("from", "to")}
PARAMS = {
    "initial": np.array([0.3, 0.7]),
    "transition": np.array([[[0, 0], [-1.5, 1.2]], [[-1.0, -0.7], [0, 0]]]),
    "emission": {"rate": np.array([2.5, 8.0])},
}


def matrices(b: np.ndarray, z: np.ndarray, at: str) -> np.ndarray:
    """Transition matrices into each step of one sequence, (T, 2, 2)."""
    used = np.concatenate([z[:1], z[:-1]]) if at == "from" else z
    odds = np.exp(b[..., 0] + b[..., 1] * used[:, None, None])
    return odds / odds.sum(axis=2, keepdims=True)


def log_likelihood(u: np.ndarray, at: str) -> float:
    """Of all sequences: u is logit(initial), the four coefficients, and the logarithms of the rates."""
    b = np.zeros((2, 2, 2))
    b[0, 1], b[1, 0] = u[1:3], u[3:5]
    first = np.array([1.0, np.exp(u[0])]) / (1 + np.exp(u[0]))
    total, ends = 0.0, np.cumsum(LENGTHS)
    for begin, end in zip(ends - LENGTHS, ends, strict=True):
        density = poisson.pmf(DATA["y"][begin:end, None], np.exp(u[5:]))
        moves = matrices(b, DATA["z"][begin:end], at)
        alpha = first * density[0]
        for t in range(1, end - begin):
            total += np.log(alpha.sum())
            alpha = (alpha / alpha.sum()) @ moves[t] * density[t]
        total += np.log(alpha.sum())
    return total


@pytest.mark.parametrize("at", ["from", "to"])
def test_equals_enumeration_of_all_paths(at: str) -> None:
    hmm, series = MODELS[at].declare(lem.sequences(DATA, lengths=LENGTHS))
    short = lem.Sequences(jax.tree.map(lambda a: a[:12], series.steps), LENGTHS[:3])
    model = hmm.model()
    smoothed, pairs = (verb(model, PARAMS, short) for verb in (lem.chain.smoothed, lem.chain.pairs))
    states, score = lem.chain.viterbi(model, PARAMS, short, 1)
    for n, (begin, end) in enumerate([(0, 6), (6, 7), (7, 12)]):
        emission = poisson.logpmf(DATA["y"][begin:end, None], PARAMS["emission"]["rate"])
        moves = matrices(PARAMS["transition"], DATA["z"][begin:end], at)
        brute = answers(PARAMS["initial"], moves, emission)
        np.testing.assert_allclose(smoothed[begin:end], brute["smoothed"], atol=1e-12)
        np.testing.assert_allclose(pairs[begin:end], brute["pairs"], atol=1e-12)
        np.testing.assert_allclose(score[n, 0], brute["scores"][0], rtol=1e-12)
        assert states[begin:end, 0].tolist() == brute["paths"][0].tolist()


@pytest.fixture(scope="module")
def fitted() -> lem.Fit:
    return lem.fit(MODELS["from"], lem.sequences(DATA, lengths=LENGTHS), initial=PARAMS)


def test_the_optimum_is_that_of_a_likelihood_in_numpy(fitted: lem.Fit) -> None:
    p = fitted.params
    b = p["transition"]
    u = np.concatenate([[np.log(p["initial"][1] / p["initial"][0])], b[0, 1], b[1, 0], np.log(p["emission"]["rate"])])
    assert fitted.status is lem.Status.converged
    assert fitted.log_likelihood == pytest.approx(log_likelihood(u, "from"), rel=1e-11)
    assert np.max(np.abs(approx_fprime(u, log_likelihood, 1e-6, "from"))) < 1e-3
    best = minimize(lambda v: -log_likelihood(v, "from"), u + 0.2, method="BFGS")
    assert fitted.log_likelihood >= -best.fun - 1e-7
    # Standard errors: the curvature of the same likelihood by differences.
    hessian = np.array([approx_fprime(u, lambda v, i=i: slope(v, i), 1e-4) for i in range(len(u))])
    errors = np.sqrt(np.diag(np.linalg.inv(-0.5 * (hessian + hessian.T))))
    found = fitted.standard_errors()
    np.testing.assert_allclose(found["transition"][0, 1], errors[1:3], rtol=1e-3)
    np.testing.assert_allclose(found["transition"][1, 0], errors[3:5], rtol=1e-3)
    np.testing.assert_allclose(found["emission"]["rate"], errors[5:] * p["emission"]["rate"], rtol=1e-3)


def slope(u: np.ndarray, i: int) -> float:
    step = 1e-4 * np.eye(len(u))[i]
    return (log_likelihood(u + step, "from") - log_likelihood(u - step, "from")) / 2e-4


def test_closed_and_derived_m_steps_end_at_the_same_place(fitted: lem.Fit) -> None:
    assert np.all(np.diff(fitted.trace) > -1e-9)
    series = lem.sequences(DATA, lengths=LENGTHS)
    derived = lem.fit(MODELS["from"], series, initial=PARAMS, m_step="newton", max_iterations=300)
    np.testing.assert_allclose(derived.log_likelihood, fitted.log_likelihood, rtol=1e-9)


def test_verbs(fitted: lem.Fit) -> None:
    series = lem.sequences(DATA, lengths=LENGTHS)
    filtered = fitted.filter(series)[3]
    begin = LENGTHS[:3].sum()
    state = None
    for t in range(4):
        given = None if t == 0 else DATA["z"][[begin + t - 1]]
        state, _ = fitted.step(state, DATA["y"][begin + t], given)
        np.testing.assert_allclose(state, filtered[t], atol=1e-12)
    future = np.array([[2.0], [-1.0]])
    moves = matrices(fitted.params["transition"], np.array([0.0, 2.0, -1.0]), "to")[1:]
    expected = filtered[-1] @ moves[0]
    found = fitted.forecast(2, series, covariates=future)[3]
    np.testing.assert_allclose(found, [expected, expected @ moves[1]], atol=1e-12)
    # Where z is huge, state 0 is left at once and state 1 is kept.
    drawn = fitted.sample(jax.random.key(0), 40, covariates=np.full((40, 1), 30.0))
    assert drawn.shape == (40,) and drawn[2:].mean() > 6
    with pytest.raises(ValueError, match=r"covariates: none: expected \(2, 1\) numbers, of z"):
        fitted.forecast(2, series)


def test_a_zero_stays_a_zero() -> None:
    allowed = np.array([[True, True], [False, True]])
    hmm = lem.HMM(2, lem.families.Poisson(), allowed=allowed, covariates="z")
    start = {**PARAMS, "transition": PARAMS["transition"] * [[[1], [1]], [[0], [0]]]}
    fit = lem.fit(hmm, lem.sequences(DATA, lengths=LENGTHS), initial=start, max_iterations=3, polish=False)
    assert np.all(fit.params["transition"][1] == 0) and np.all(fit.params["transition"][0, 1] != 0)
    declared, series = hmm.declare(lem.sequences(DATA, lengths=LENGTHS))
    assert np.all(lem.chain.pairs(declared.model(), fit.params, series)[:, 1, 0] == 0)
    start["transition"] = PARAMS["transition"]
    with pytest.raises(ValueError, match="transition"):
        lem.fit(hmm, lem.sequences(DATA, lengths=LENGTHS), initial=start)


def test_a_missing_count_keeps_its_covariate() -> None:
    y = DATA["y"][:6].copy()
    y[[2, 5]] = np.nan
    hmm, series = MODELS["from"].declare(lem.sequences({"y": y, "z": DATA["z"][:6]}))
    emission = np.where(np.isnan(y)[:, None], 0.0, poisson.logpmf(np.nan_to_num(y)[:, None], [2.5, 8.0]))
    brute = answers(PARAMS["initial"], matrices(PARAMS["transition"], DATA["z"][:6], "from"), emission)
    np.testing.assert_allclose(lem.chain.log_prob(hmm.model(), PARAMS, series), brute["log_prob"], rtol=1e-12)


def test_bad_input() -> None:
    def declare(steps: Any, **options: Any) -> None:
        lem.HMM(2, lem.families.Poisson(), **options).declare(lem.sequences(steps))

    y, z = DATA["y"][:6], DATA["z"][:6].copy()
    with pytest.raises(ValueError, match="no column is called 'w': choose from y, z"):
        declare({"y": y, "z": z}, covariates="w")
    with pytest.raises(ValueError, match="expected steps with named columns"):
        declare(y, covariates="z")
    with pytest.raises(ValueError, match="leave 0 columns for the states to emit"):
        declare({"z": y}, covariates="z")
    with pytest.raises(ValueError, match=r"covariate 'z' has shape \(6, 2\): expected \(6,\), one number per step"):
        declare({"y": y, "z": np.stack([z, z], axis=1)}, covariates="z")
    with pytest.raises(ValueError, match="covariate_at='before': expected 'from' or 'to'"):
        declare({"y": y, "z": z}, covariates="z", covariate_at="before")
    with pytest.raises(ValueError, match="initial='stationary' with covariates"):
        declare({"y": y, "z": z}, covariates="z", initial="stationary")
    z[5] = np.nan
    declare({"y": y, "z": z}, covariates="z")  # nothing leaves the last step
    z[3] = np.nan
    with pytest.raises(ValueError, match="covariate 'z' is missing at step 3"):
        declare({"y": y, "z": z}, covariates="z")


def test_transitions_at_covariates_and_observations_ahead() -> None:
    fit = lem.fit(MODELS["to"], lem.sequences(DATA, lengths=LENGTHS), initial=PARAMS, max_iterations=2, polish=False)
    odds = np.exp(fit.params["transition"] @ np.array([1.0, 0.7]))
    expected = odds / odds.sum(axis=1, keepdims=True)
    for z in (0.7, [0.7], {"z": 0.7}):
        np.testing.assert_allclose(fit.transition_at(z), expected, rtol=1e-12)
    for z in ([[0.7], [0.0]], {"z": [0.7, 0.0]}):
        found = fit.transition_at(z)
        assert found.shape == (2, 2, 2)
        np.testing.assert_allclose(found[0], expected, rtol=1e-12)
    with pytest.raises(ValueError, match=r"covariates: none: expected \(1, 1\) numbers, of z"):
        fit.transition_at()
    with pytest.raises(ValueError, match="covariates: no column is called 'z'"):
        fit.transition_at({"w": 1.0})
    ahead = fit.predictive(2, covariates={"z": [0.7, 0.0]})[-1]
    states = fit.filter()[-1][-1] @ expected
    rate, x = fit.params["emission"]["rate"], np.arange(60)
    np.testing.assert_allclose(ahead.states[0], states, rtol=1e-10)
    pmf = states @ poisson.pmf(x, rate[:, None])
    assert ahead.mean[0] == pytest.approx(pmf @ x, rel=1e-9)
    assert ahead.sd[0] == pytest.approx(np.sqrt(pmf @ x**2 - (pmf @ x) ** 2), rel=1e-8)
    for level in (0.05, 0.5, 0.975):
        assert ahead.quantile(level)[0] == np.argmax(np.cumsum(pmf) >= level)
    assert ahead.quantile([0.1, 0.9]).shape == (2, 2)
    assert ahead.log_density([4.0, 4.0])[0] == pytest.approx(np.log(pmf[4]), rel=1e-10)


def test_samples_take_the_covariates_of_the_data() -> None:
    series = lem.sequences(DATA, lengths=LENGTHS)
    fit = lem.fit(MODELS["from"], series, initial=PARAMS)
    assert fit.sample(0, 6).shape == (6,)
    with pytest.raises(ValueError, match="n=7 takes the covariates of the data, and there are 6 steps in its first"):
        fit.sample(0, 7)
    assert fit.sample(0, 7, covariates=np.zeros((7, 1))).shape == (7,)
    drawn = lem.bootstrap(fit, 1, 4)
    # Replicates differ in what is observed and keep when covariates were what: their estimates lie around the fit.
    rates = drawn.params["emission"]["rate"]
    assert rates.shape == (drawn.converged, 2) and np.abs(rates - fit.params["emission"]["rate"]).max() < 2.0
    assert len(set(drawn.log_likelihood.tolist())) == drawn.converged
