"""Emission: deconvolution, unfolding, priors by brute force, regions, and what it refuses."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize
from scipy.stats import poisson

import latentem as lem

BLUR = np.array([[0.8, 0.2, 0.0], [0.2, 0.6, 0.2], [0.0, 0.2, 0.8]])


def test_richardson_lucy_is_that_of_scikit_image() -> None:
    from scipy.signal import convolve
    from skimage import restoration

    rng = np.random.default_rng(0)
    truth = np.zeros((24, 20))
    truth[5:9, 6:14], truth[15, 4] = 0.8, 1.0
    axis = np.exp(-0.5 * (np.arange(-3, 4) / 1.2) ** 2)
    psf = np.outer(axis, axis) / axis.sum() ** 2
    blurred = convolve(truth, psf, mode="same") + 0.01 * rng.random(truth.shape)
    # Its update has no division by the sensitivity, which is 1 inside and less within 3 pixels of the border.
    blur = np.array(
        [convolve(e.reshape(truth.shape), psf, mode="same", method="direct").ravel() for e in np.eye(truth.size)]
    ).T  # (M, P)
    start = np.full(truth.shape, 0.5)
    wide = lem.Emission(blur, shape=truth.shape, sensitivity=np.ones(truth.size))
    ours = lem.fit(wide, blurred, initial={"image": start}, method=lem.Plain(), max_iterations=15)
    theirs = restoration.richardson_lucy(blurred, psf, num_iter=15, clip=False)
    np.testing.assert_allclose(ours.image, theirs, rtol=1e-9, atol=1e-12)


def test_log_likelihood_is_that_of_poisson_counts() -> None:
    y, b, a = np.array([3.0, 9.0, 4.0]), np.array([0.5, 0.1, 0.2]), np.array([1.0, 0.7, 0.9])
    fit = lem.fit(lem.Emission(BLUR, background=b, attenuation=a), y)
    mean = a * (BLUR @ fit.image) + b
    np.testing.assert_allclose(fit.expected_counts(), mean)
    assert fit.log_likelihood == pytest.approx(poisson.logpmf(y, mean).sum(), abs=1e-12)
    assert fit.status is lem.Status.converged


def test_a_bin_that_was_not_measured_says_nothing() -> None:
    y = np.array([3.0, 9.0, 4.0, np.nan])
    taller = np.vstack([BLUR, [[1.0, 1.0, 1.0]]])
    fit = lem.fit(lem.Emission(taller), y)
    left_out = lem.fit(lem.Emission(BLUR), y[:3])
    np.testing.assert_allclose(fit.image, left_out.image, atol=1e-8)
    twice = lem.fit(lem.Emission(taller), np.nan_to_num(y), weights=np.array([2.0, 2.0, 2.0, 0.0]))
    assert twice.log_likelihood == pytest.approx(2 * left_out.log_likelihood, abs=1e-8)


@pytest.mark.parametrize(
    "prior",
    [
        lem.priors.Quadratic(4, 0.3),
        lem.priors.Huber(8, 0.7, threshold=2.0),
        lem.priors.RelativeDifference(8, 2.0),
        lem.priors.RelativeDifference(4, 1.5, edge=0.0),
    ],
)
def test_map_is_the_maximum_that_a_general_optimiser_finds(prior: Any) -> None:
    rng = np.random.default_rng(5)
    matrix = rng.random((30, 12))
    x = rng.uniform(2, 20, (3, 4))
    y = rng.poisson(matrix @ x.ravel()).astype(float)
    fit = lem.fit(lem.Emission(matrix, shape=(3, 4), prior=prior), y, tolerance=1e-14)

    def cost(u: np.ndarray) -> float:
        image = np.exp(u)
        return -poisson.logpmf(y, matrix @ image).sum() - prior.log_prob(image.reshape(3, 4))

    found = minimize(cost, np.log(np.full(12, 10.0)), method="BFGS", options={"gtol": 1e-6})
    assert fit.objective == pytest.approx(-found.fun, abs=1e-5)
    np.testing.assert_allclose(fit.image.ravel(), np.exp(found.x), rtol=5e-3)


@pytest.mark.parametrize(
    "prior",
    [lem.priors.Quadratic(8, 0.3), lem.priors.Huber(4, 0.7, threshold=3.0), lem.priors.RelativeDifference(8, 2.0)],
)
def test_curvature_of_a_prior_is_its_second_derivative(prior: Any) -> None:
    rng = np.random.default_rng(6)
    image, v = rng.uniform(5, 9, (4, 5)), rng.standard_normal((4, 5))
    apply, diagonal = prior.curvature(image)
    h = 1e-4
    second = (prior.log_prob(image + h * v) - 2 * prior.log_prob(image) + prior.log_prob(image - h * v)) / h**2
    assert np.sum(v * apply(v)) == pytest.approx(-second, rel=1e-4)
    unit = np.zeros((4, 5))
    unit[2, 3] = 1.0
    assert apply(unit)[2, 3] == pytest.approx(diagonal[2, 3])


def small_scan(prior: Any = None) -> tuple[lem.Emission, np.ndarray]:
    image = 40 + 30 * np.random.default_rng(8).random((6, 6))
    return lem.Emission(lem.datasets.tomography.parallel_beam(6, 9), shape=(6, 6), background=1.0, prior=prior), image


def small_blur() -> tuple[lem.Emission, np.ndarray]:
    """A blur that counts undo: no pixel is estimated as 0, where the estimate would not be normal."""
    line = sp.diags_array([0.15, 0.7, 0.15], offsets=[-1, 0, 1], shape=(6, 6))
    image = 400 + 300 * np.random.default_rng(8).random((6, 6))
    return lem.Emission(sp.csr_array(sp.kron(line, line)), shape=(6, 6), background=1.0), image


@pytest.mark.parametrize("case", ["ml", "map"])
def test_standard_error_of_a_region_is_what_400_simulations_show(case: str) -> None:
    model, image = small_blur() if case == "ml" else small_scan(lem.priors.Quadratic(4, 0.002))
    matrix = model.operator
    mean = matrix @ image.ravel() + 1.0
    mask = np.zeros((6, 6))
    mask[1:4, 2:5] = 1
    rng = np.random.default_rng(0)
    one = lem.fit(model, mean)
    found = []
    for _ in range(400):
        fit = lem.fit(model, rng.poisson(mean).astype(float), initial=one.params, tolerance=1e-9)
        found.append((fit.image * mask).sum())
    error = one.region(mask)
    assert error.standard_error == pytest.approx(np.std(found, ddof=1), rel=0.1)
    assert error.lower < (one.image * mask).sum() < error.upper


def test_bias_falls_and_noise_rises_along_the_iterations() -> None:
    model, image = small_scan()
    y = model.operator @ image.ravel() + 1.0
    fit = lem.fit(model, y, method=lem.Plain(), max_iterations=3)
    mask = np.zeros((6, 6))
    mask[2, 2] = 1
    path = fit.bias_variance(mask, (1, 5, 20, 100), truth=image, simulations=40)
    assert np.all(np.diff(path.standard_deviation[:, 0]) > 0)
    assert abs(path.bias[-1, 0]) < abs(path.bias[0, 0])


def test_save_and_load(tmp_path: Path) -> None:
    y = np.array([3.0, 9.0, 4.0])
    model = lem.Emission(BLUR, background=0.2)
    fit = lem.fit(model, y)
    path = fit.save(tmp_path / "fit")
    plain = lem.load(path)
    np.testing.assert_array_equal(plain.params["image"], fit.image)
    again = lem.load(path, model=model, data=y)
    np.testing.assert_allclose(again.expected_counts(), fit.expected_counts())
    assert again.log_likelihood == fit.log_likelihood
    assert "emission (MLEM): 3 bins, 3 pixels" in fit.summary()
    assert fit.to_dict()["status"] == "converged"


Y = np.array([3.0, 9.0, 4.0])
SPARSE = sp.csr_array(BLUR)
CASES: list[tuple[Any, str]] = [
    (lambda: lem.fit(lem.Emission(BLUR), -Y), r"counts\[0\] = -3, one of 3: counts are finite and >= 0"),
    (lambda: lem.fit(lem.Emission(BLUR), np.array([1.0, np.inf, 2.0])), r"counts\[1\] = inf"),
    (lambda: lem.fit(lem.Emission(BLUR), Y[:2]), "expected 3, the operator's rows"),
    (lambda: lem.fit(lem.Emission(BLUR), 0 * Y), "counts are all 0"),
    (lambda: lem.fit(lem.Emission(np.diag([1.0, 0.0, 1.0])), Y), r"counts\[1\] = 9.*nothing can be counted there"),
    (lambda: lem.fit(lem.Emission(-SPARSE), Y), "negative entries"),
    (lambda: lem.fit(lem.Emission(lem.operator(lambda x: -x, domain=3)), Y), "negative entries"),
    (lambda: lem.fit(lem.Emission(BLUR, background=-1.0), Y), "background.*>= 0"),
    (lambda: lem.fit(lem.Emission(BLUR, background=[1.0, 2.0]), Y), "background has shape"),
    (lambda: lem.fit(lem.Emission(BLUR, attenuation=2.0), Y), "fraction that comes through"),
    (lambda: lem.fit(lem.Emission(BLUR, shape=(2, 2)), Y), "expected 3 pixels in all"),
    (lambda: lem.fit(lem.Emission(BLUR, prior=lem.priors.Quadratic(5)), Y), "neighbours=5 on a lattice of 1"),
    (lambda: lem.Emission(BLUR, prior=lem.priors.Normal(0.0, 1.0)), "expected lem.priors.Quadratic"),
    (lambda: lem.fit(lem.Emission(BLUR, subsets=4), Y), "expected at most 3"),
    (lambda: lem.Emission(BLUR, subsets=0), "expected an integer >= 1"),
    (lambda: lem.Emission(BLUR, stopping="soon"), "expected 'discrepancy'"),
    (lambda: lem.fit(lem.Emission(BLUR, sensitivity=np.array([1.0, 0.0, 1.0])), Y), r"sensitivity\[1\] = 0"),
    (lambda: lem.fit(lem.Emission(BLUR), "counts"), "counts: expected an array of numbers"),
    (lambda: lem.fit(lem.Emission(BLUR), Y, method=lem.Anderson()), "climbs by lem.SQUAREM"),
    (lambda: lem.fit(lem.Emission(BLUR), Y, polish=True), "polish= does not apply to Emission"),
    (lambda: lem.fit(lem.Emission(BLUR), Y, dtype="float32"), "computes in float64"),
    (lambda: lem.fit(lem.Emission(BLUR), Y, passes=3), "belongs to ordered subsets"),
    (lambda: lem.fit(lem.Emission(BLUR), Y, initial={"image": [1.0, -1.0, 1.0]}), "negative or not finite"),
    (lambda: lem.fit(lem.Emission(BLUR), Y, initial={"image": [1.0]}), "expected"),
    (lambda: lem.fit(lem.Emission(BLUR), Y).standard_errors(), "verbs of its own.*region"),
    (lambda: lem.fit(lem.Emission(BLUR), Y).predict(), "verbs of its own"),
    (lambda: lem.fit(lem.Emission(BLUR, subsets=3), Y).region(np.ones(3)), "status subsets"),
    (lambda: lem.fit(lem.Emission(BLUR), Y).region(np.ones(2)), "expected"),
    (lambda: lem.priors.Huber(4, 1.0, threshold=0.0), "expected a number > 0"),
    (lambda: lem.priors.Quadratic(4, -1.0), "expected a number >= 0"),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_refusals_are_one_line(case: int) -> None:
    act, told = CASES[case]
    with pytest.raises(ValueError, match=told) as caught:
        act()
    assert "\n" not in str(caught.value)


def test_what_asks_for_a_model_refuses() -> None:
    with pytest.raises(TypeError, match="climbs on the host"):
        lem.check(lem.Emission(BLUR), Y, jax.random.key(0))


def test_starts_are_drawn_from_the_key() -> None:
    fit = lem.fit(lem.Emission(BLUR), Y, key=jax.random.key(1), starts=3)
    assert len(fit.starts) == 3
    np.testing.assert_allclose(fit.starts, fit.objective, atol=1e-6)
