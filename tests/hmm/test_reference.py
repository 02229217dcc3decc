"""Figures of other software and of publications."""

from __future__ import annotations

from typing import Any

import hmmlearn.hmm
import jax
import numpy as np
import pytest

import latentem as lem
from latentem import families
from latentem.ascent.loop import CONVERGED, STOPPED

# Zucchini and MacDonald (2009), table 3.1 and R output of their pois.HMM.mle (stationary); the free starts by EM in
# NumPy with random restarts (m = 4 improves on the printed -326.6749).
STATIONARY = {2: (-342.31827, 703.3278), 3: (-329.46028, 700.9760), 4: (-327.83159, 730.4284)}
FREE = {2: -341.878701, 3: -328.527483}


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    return lem.datasets.earthquakes().count


@pytest.mark.parametrize(
    "states", [pytest.param(2, marks=pytest.mark.slow), 3, pytest.param(4, marks=pytest.mark.slow)]
)
def test_earthquakes_with_a_stationary_start(states: int, counts: np.ndarray) -> None:
    hmm = lem.HMM(states, families.Poisson(), initial="stationary")
    fit = lem.fit(hmm, counts, key=jax.random.key(0), starts=20)
    log_likelihood, bic = STATIONARY[states]
    assert fit.log_likelihood == pytest.approx(log_likelihood, abs=6e-6)
    assert fit.bic == pytest.approx(bic, abs=1e-4)
    assert fit.status.ok


@pytest.mark.parametrize("states", [2, 3])
def test_earthquakes_with_a_free_start(states: int, counts: np.ndarray) -> None:
    fit = lem.fit(lem.HMM(states, families.Poisson()), counts, key=jax.random.key(0), starts=20)
    assert fit.log_likelihood == pytest.approx(FREE[states], abs=1e-6)
    if states == 2:
        # hmmlearn's documentation and an EM in NumPy agree on the path: 0 up to 1904, 1 up to 1918, ...
        path = fit.viterbi()
        order = np.argsort(np.argsort(fit.params["emission"]["rate"]))
        runs = np.flatnonzero(np.diff(order[path])) + 1
        assert runs.tolist() == [5, 19, 34, 52, 57, 58, 68, 77]


def test_four_states_are_better_than_printed(counts: np.ndarray) -> None:
    fit = lem.fit(lem.HMM(4, families.Poisson()), counts, key=jax.random.key(0), starts=200)
    assert fit.log_likelihood > -326.463498 - 1e-6
    # No start of 200 ended in a number that is not finite, or by falling; all that were not given up converged.
    assert np.isfinite(fit.starts).all()
    assert fit.ends is not None and set(fit.ends.outcomes.tolist()) <= {CONVERGED, STOPPED}


# Wikipedia, Forward-backward algorithm and Viterbi algorithm, with more digits by enumeration.
UMBRELLA = {
    "initial": np.array([0.5, 0.5]),
    "transition": np.array([[0.7, 0.3], [0.3, 0.7]]),
    "emission": {"probabilities": np.array([[0.9, 0.1], [0.2, 0.8]])},
}


def test_the_umbrella_of_wikipedia() -> None:
    hmm, series = lem.HMM(2, families.Categorical(2)).declare(np.array([0, 0, 1, 0, 0]))
    model = hmm.model()
    assert lem.chain.log_prob(model, UMBRELLA, series)[0] == pytest.approx(-3.3725020443321747, abs=1e-12)
    smoothed = lem.chain.smoothed(model, UMBRELLA, series)[:, 0]
    np.testing.assert_allclose(smoothed, [0.86733889, 0.82041905, 0.30748358, 0.82041905, 0.86733889], atol=1e-8)
    filtered = lem.chain.filtered(model, UMBRELLA, series)[:, 0]
    np.testing.assert_allclose(filtered, [0.81818182, 0.88335704, 0.19066794, 0.730794, 0.86733889], atol=1e-8)
    pairs = lem.chain.pairs(model, UMBRELLA, series).sum(axis=0)
    np.testing.assert_allclose(pairs, [[2.08018619, 0.73547438], [0.73547438, 0.44886504]], atol=1e-8)
    path, score = lem.chain.viterbi(model, UMBRELLA, series)
    assert path[:, 0].tolist() == [0, 0, 1, 0, 0]
    assert score[0, 0] == pytest.approx(-4.459028291034797, abs=1e-12)


def test_the_health_of_wikipedia() -> None:
    # Wikipedia, Viterbi algorithm: healthy or with a fever; normal, cold, dizzy. The path and its probability, 0.01344
    # with these numbers; the probability of the data by enumeration.
    hmm, series = lem.HMM(2, families.Categorical(3)).declare(np.array([0, 1, 2]))
    params = {
        "initial": np.array([0.6, 0.4]),
        "transition": np.array([[0.7, 0.3], [0.4, 0.6]]),
        "emission": {"probabilities": np.array([[0.1, 0.4, 0.5], [0.6, 0.3, 0.1]])},
    }
    path, score = lem.chain.viterbi(hmm.model(), params, series)
    assert path[:, 0].tolist() == [1, 0, 0] and np.exp(score[0, 0]) == pytest.approx(0.01344, rel=1e-12)
    smoothed = lem.chain.smoothed(hmm.model(), params, series)
    np.testing.assert_allclose(smoothed[:, 0], [0.23170296, 0.62406283, 0.86397712], atol=1e-8)


def test_the_ice_cream_of_eisner() -> None:
    # Eisner (2002), An interactive spreadsheet for teaching the forward-backward algorithm: ice creams on 33 days, cold
    # or hot, and the chance to stop, here a third state that shows a symbol of its own. The probability of a hot day is
    # printed as 0.871 and 0.977 for the first two; the log-likelihoods of EM are of one in NumPy.
    diary = [2, 3, 3, 2, 3, 2, 3, 2, 2, 3, 1, 3, 3, 1, 1, 1, 2, 1, 1, 1, 3, 1, 2, 1, 1, 1, 2, 3, 3, 2, 3, 2, 2, 4]
    start = {
        "initial": np.array([0.5, 0.5, 0.0]),
        "transition": np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.0, 0.0, 1.0]]),
        "emission": {"probabilities": np.array([[0.7, 0.2, 0.1, 0.0], [0.1, 0.2, 0.7, 0.0], [0.0, 0.0, 0.0, 1.0]])},
    }
    x = np.array(diary) - 1
    hmm = lem.HMM(3, families.Categorical(4), allowed=start["transition"] > 0)
    fit = lem.fit(hmm, x, initial=start, method=lem.Plain(), max_iterations=12, tolerance=0.0, polish=False)
    expected = [-41.5378178210752, -36.74229259324899, -35.95768811401295, -35.65110693840495, -35.48933082733452]
    np.testing.assert_allclose(fit.trace[:5], expected, rtol=1e-13)
    assert fit.trace[11] == pytest.approx(-35.33351371563321, rel=1e-13)
    assert fit.params["initial"][2] == 0 and np.all(fit.params["transition"][2] == [0, 0, 1])
    declared, series = hmm.declare(x)
    hot = lem.chain.smoothed(declared.model(), start, series)[:2, 1]
    np.testing.assert_allclose(hot, [0.8709421349545287, 0.9769256020843929], rtol=1e-12)


def test_the_weather_of_rabiner() -> None:
    # Rabiner (1989), Proc. IEEE 77, page 259: P(sun sun sun rain rain sun cloudy sun | model) = 1.536e-4.
    matrix = np.array([[0.4, 0.3, 0.3], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8]])
    states = np.array([2, 2, 2, 0, 0, 2, 1, 2])
    hmm, series = lem.HMM(3, families.Categorical(3), initial=[0, 0, 1]).declare(states)
    params = {"initial": [0, 0, 1], "transition": matrix, "emission": {"probabilities": np.eye(3)}}
    assert np.exp(lem.chain.log_prob(hmm.model(), params, series)[0]) == pytest.approx(1.536e-4, rel=1e-12)


# --- one EM step of hmmlearn 0.3.3, its priors off

LENGTHS = [30, 12, 18]


def chain_start(k: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"initial": rng.dirichlet(np.ones(k)), "transition": rng.dirichlet(2 * np.ones(k), k)}


def one_step(hmm: lem.HMM, start: Any, x: np.ndarray) -> Any:
    series = lem.sequences(x, lengths=LENGTHS)
    options: Any = {"method": lem.Plain(), "max_iterations": 1, "tolerance": 0.0, "polish": False}
    return lem.fit(hmm, series, initial=start, **options)


def peer_step(peer: Any, start: Any, x: np.ndarray) -> Any:
    peer.startprob_, peer.transmat_ = start["initial"], start["transition"]
    return peer.fit(x, LENGTHS)


@pytest.mark.parametrize("covariance", ["full", "diagonal", "spherical", "tied"])
def test_gaussian_step(covariance: str) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 2)) + 2.0 * rng.integers(0, 2, (60, 1))
    start = chain_start(2, rng)
    mean = np.array([[0.0, 0.1], [1.5, 1.0]])
    matrix = np.array([[1.0, 0.2], [0.2, 0.8]])
    peer_type = {"diagonal": "diag"}.get(covariance, covariance)
    own: dict[str, Any] = {"mean": mean}
    if covariance in ("full", "tied"):
        peer_covariance: Any = matrix if covariance == "tied" else np.stack([matrix, 2 * matrix])
        own["covariance"] = peer_covariance
    else:
        peer_covariance = np.array([[0.5, 1.5], [1.0, 2.0]]) if covariance == "diagonal" else np.array([0.7, 1.3])
        own["variance"] = peer_covariance
    peer = hmmlearn.hmm.GaussianHMM(
        2, peer_type, n_iter=1, tol=-np.inf, init_params="", min_covar=0.0, covars_prior=0.0, covars_weight=0.0
    )
    if covariance == "full":
        peer.covars_prior, peer.covars_weight = np.zeros((2, 2)), -3.0  # weight - D - 1 enters the denominator
    if covariance == "tied":
        peer.covars_prior, peer.covars_weight = np.zeros((2, 2)), 0.0
    if covariance in ("diagonal", "spherical"):
        peer.covars_weight = 1.0  # 2 (weight - 1) enters the denominator
    peer.means_, peer.covars_ = mean, peer_covariance
    peer_step(peer, start, x)
    shared = ("covariance",) if covariance == "tied" else ()
    family = families.Gaussian("full" if covariance == "tied" else covariance)
    fit = one_step(lem.HMM(2, family, shared=shared), {**start, "emission": own}, x)
    np.testing.assert_allclose(fit.params["transition"], peer.transmat_, atol=1e-9)
    np.testing.assert_allclose(fit.params["initial"], peer.startprob_, atol=1e-9)
    np.testing.assert_allclose(fit.params["emission"]["mean"], peer.means_, atol=1e-9)
    spread = fit.params["emission"]["covariance" if "covariance" in own else "variance"]
    expected = np.asarray(peer._covars_)
    if covariance == "spherical":  # repeated for every column
        expected = expected[:, 0]
    np.testing.assert_allclose(spread, expected, atol=1e-9)


def test_poisson_step() -> None:
    rng = np.random.default_rng(2)
    x = rng.poisson(np.where(rng.uniform(size=60) < 0.5, 2.0, 9.0))
    start = chain_start(2, rng)
    peer = hmmlearn.hmm.PoissonHMM(2, n_iter=1, tol=-np.inf, init_params="")
    peer.lambdas_ = np.array([[3.0], [8.0]])
    peer_step(peer, start, x[:, None])
    fit = one_step(lem.HMM(2, families.Poisson()), {**start, "emission": {"rate": np.array([3.0, 8.0])}}, x)
    np.testing.assert_allclose(fit.params["emission"]["rate"], peer.lambdas_[:, 0], atol=1e-9)
    np.testing.assert_allclose(fit.params["transition"], peer.transmat_, atol=1e-9)


def test_categorical_step() -> None:
    rng = np.random.default_rng(3)
    x = rng.integers(0, 4, 60)
    start = chain_start(3, rng)
    probabilities = rng.dirichlet(np.ones(4), 3)
    peer = hmmlearn.hmm.CategoricalHMM(3, n_iter=1, tol=-np.inf, init_params="")
    peer.emissionprob_ = probabilities
    peer_step(peer, start, x[:, None])
    fit = one_step(lem.HMM(3, families.Categorical(4)), {**start, "emission": {"probabilities": probabilities}}, x)
    np.testing.assert_allclose(fit.params["emission"]["probabilities"], peer.emissionprob_, atol=1e-9)
    np.testing.assert_allclose(fit.params["transition"], peer.transmat_, atol=1e-9)


def test_mixture_step() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(60, 2)) + 3.0 * rng.integers(0, 3, (60, 1))
    start = chain_start(2, rng)
    weights = rng.dirichlet(np.ones(2), 2)
    mean, variance = rng.normal(2.0, 2.0, (2, 2, 2)), np.full((2, 2, 2), 1.5)
    peer = hmmlearn.hmm.GMMHMM(2, 2, covariance_type="diag", n_iter=1, tol=-np.inf, init_params="", min_covar=0.0)
    peer.weights_, peer.means_, peer.covars_ = weights, mean, variance
    peer.covars_prior, peer.covars_weight = -1.5 * np.ones((2, 2, 2)), np.zeros((2, 2, 2))
    peer.means_weight, peer.weights_prior = np.zeros((2, 2)), np.ones((2, 2))
    peer.means_prior = np.zeros((2, 2, 2))
    peer_step(peer, start, x)
    own = {**start, "emission": {"weights": weights, "components": {"mean": mean, "variance": variance}}}
    fit = one_step(lem.HMM(2, lem.GaussianMixture(2, "diagonal")), own, x)
    np.testing.assert_allclose(fit.params["transition"], peer.transmat_, atol=1e-9)
    np.testing.assert_allclose(fit.params["emission"]["weights"], peer.weights_, atol=1e-9)
    np.testing.assert_allclose(fit.params["emission"]["components"]["mean"], peer.means_, atol=1e-9)
    # hmmlearn takes squares about the means before the step, which is no M-step: the difference is that of the means.
    expected = peer.covars_ - (peer.means_ - mean) ** 2
    np.testing.assert_allclose(fit.params["emission"]["components"]["variance"], expected, atol=1e-9)
