"""The E-step of a linear mixed model against dense algebra: likelihoods, score, average information, EM."""

import numpy as np
import pytest
from mixed import dense

import latentem as lem
from latentem.field import Effect, System, layout, moments

N = 60
RNG = np.random.default_rng(0)
GROUP, ANIMAL = RNG.integers(8, size=N), 1 + RNG.integers(12, size=N)
X = np.column_stack([np.ones(N), RNG.normal(size=N)])
Z = np.column_stack([np.ones(N), RNG.normal(size=N)])
Y = RNG.normal(size=N) + X @ [1, 2]
WEIGHTS = RNG.uniform(0.5, 2, N)
PEDIGREE = lem.pedigree(np.arange(1, 13), [0] * 4 + [1, 1, 2, 3, 5, 5, 6, 7], [0] * 4 + [2, 3, 3, 4, 6, 7, 7, 8])


def built(reml: bool) -> System:
    bounds = [lem.exchangeable().bind(GROUP, "group"), PEDIGREE.bind(ANIMAL, "animal")]
    codes = [bounds[0].index(GROUP), bounds[1].index(ANIMAL)]
    effects = [Effect("e", ("1", "x"), b, c, z) for b, c, z in zip(bounds, codes, (X, Z), strict=True)]
    found = moments(Y, X, effects, WEIGHTS, N, float(np.log(WEIGHTS).sum()))
    return System(layout(effects, found.grams), found, reml)


def covariance(system: System, theta: np.ndarray) -> np.ndarray:
    roots, sigma = system.unpack(theta)
    effects = system.layout.effects
    designs = []
    for e in effects:
        levels = np.eye(e.bound.size)[e.codes]
        designs.append(np.concatenate([levels * e.z[:, a : a + 1] for a in range(e.r)], axis=1))
    kernels = [np.linalg.inv(e.bound.precision.toarray()) for e in effects]
    return dense.covariance(roots, sigma, designs, kernels, WEIGHTS)


INSIDE = np.array([0.7, 0.2, 0.5, 0.4, -0.1, 0.3, 1.1])
AT_ZERO = np.array([0.7, 0.2, 0.0, 0.0, 0.0, 0.0, 1.1])


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("theta", [INSIDE, AT_ZERO], ids=["inside", "at zero"])
def test_point_against_dense(reml: bool, theta: np.ndarray) -> None:
    system = built(reml)
    point = system.at(theta)
    v = covariance(system, theta)
    assert point.log_likelihood == pytest.approx(dense.log_likelihood(Y, X, v, reml), abs=1e-10)
    h = 1e-5
    steps = h * np.eye(len(theta))
    numeric = [
        (
            dense.log_likelihood(Y, X, covariance(system, theta + s), reml)
            - dense.log_likelihood(Y, X, covariance(system, theta - s), reml)
        )
        / (2 * h)
        for s in steps
    ]
    np.testing.assert_allclose(point.score, numeric, atol=1e-6)
    slopes = [(covariance(system, theta + s) - covariance(system, theta - s)) / (2 * h) for s in steps]
    inverse = np.linalg.inv(v)
    p = inverse - inverse @ X @ np.linalg.solve(X.T @ inverse @ X, X.T @ inverse)
    working = np.array([s @ p @ Y for s in slopes])
    np.testing.assert_allclose(point.average_information, 0.5 * working @ p @ working.T, atol=1e-7)
    np.testing.assert_allclose(point.fixed_covariance, np.linalg.inv(X.T @ inverse @ X), atol=1e-10)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("step", ["em", "px_em"])
def test_em_never_falls(reml: bool, step: str) -> None:
    system = built(reml)
    theta = INSIDE
    trace = [system.at(theta).log_likelihood]
    for _ in range(20):
        theta = getattr(system.at(theta), step)()
        trace.append(system.at(theta).log_likelihood)
    assert np.diff(trace).min() > -1e-9


def test_em_of_a_variance_that_vanishes() -> None:
    # Expanded EM reaches a variance of 0 geometrically, where EM on the variance crawls.
    data = lem.datasets.dyestuff_simulated()
    bound = lem.exchangeable().bind(data.batch, "batch")
    effect = Effect("batch", ("1",), bound, bound.index(data.batch), np.ones((30, 1)))
    y = data.amount - data.amount.mean()
    found = moments(y, np.ones((30, 1)), [effect], np.ones(30), 30, 0.0)
    system = System(layout([effect], found.grams), found, True)
    reached = {}
    for step in ("em", "px_em"):
        theta = np.array([2.0, 2.0])
        for _ in range(50):
            theta = getattr(system.at(theta), step)()
        reached[step] = system.at(theta).log_likelihood
    assert reached["px_em"] == pytest.approx(-80.91413891, abs=1e-7)
    assert reached["em"] < -80.92
