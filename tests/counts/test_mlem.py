"""MLEM, OSEM and SQUAREM on a scan of the Shepp-Logan phantom.

Figures: a NumPy/SciPy program of a dozen lines, x <- x / A'1 * A'(y / (A x + b)), on the scan of `pet.py` (full Poisson
log-likelihood, log y! included).
"""

import numpy as np
import pytest
from counts.pet import scan

import latentem as lem

MLEM = {
    1: -99596.08089746263,
    2: -72841.43413970989,
    5: -35920.23604657622,
    10: -20402.5271242605,
    20: -15760.47405400402,
    50: -14622.980160519586,
    100: -14392.235319454821,
    200: -14280.265773169289,
}
AT_ONES = -327985.51265907194
OSEM = [
    -30311.28008742244,
    -18407.926434709407,
    -16069.930041317268,
    -15330.013001066422,
    -15005.03551241149,
    -14828.22318598084,
    -14717.554157515988,
    -14641.469144480314,
    -14585.587742260344,
    -14542.505699450809,
]


def emission(**more: object) -> lem.Emission:
    return lem.Emission(scan()[0], shape=(64, 64), background=0.5, **more)  # pyright: ignore[reportArgumentType]


def test_the_scan_is_the_one_of_the_figures() -> None:
    projector, _, counts = scan()
    assert projector.nnz == 491520
    assert counts.sum() == 608663


def test_mlem_path() -> None:
    fit = lem.fit(emission(), scan()[2], method=lem.Plain(), max_iterations=200)
    assert {n: fit.trace[n - 1] for n in MLEM} == pytest.approx(MLEM, abs=1e-6)
    assert fit.log_likelihood == pytest.approx(MLEM[200], abs=1e-6)
    assert fit.image.sum() == pytest.approx(10101.423010162425, abs=1e-6)
    assert fit.status is lem.Status.max_iterations
    form = emission().on_host(scan()[2], None)[2]
    assert sum(form.values(form.start(np.random.default_rng(0), True))) == pytest.approx(AT_ONES, abs=1e-6)


def test_osem_path_says_that_it_does_not_ascend() -> None:
    fit = lem.fit(emission(subsets=6), scan()[2], passes=10)
    np.testing.assert_allclose(fit.trace, OSEM, atol=1e-6)
    assert fit.status is lem.Status.subsets
    assert not fit.status.ok
    assert "do not ascend" in fit.status.advice
    later = lem.fit(emission(), scan()[2], initial=fit.params, max_iterations=5)
    assert later.log_likelihood > fit.log_likelihood


def test_squarem_ascends_and_is_there_in_100_evaluations() -> None:
    seen = []
    fit = lem.fit(
        emission(),
        scan()[2],
        max_iterations=33,
        callback=lambda s: seen.append(s.objective),  # pyright: ignore[reportArgumentType]
    )
    assert fit.evaluations <= 100
    assert fit.log_likelihood >= -14200
    assert np.diff(fit.trace).min() > 0
    assert np.diff(seen).min() > 0


def test_expected_counts_add_up_without_background() -> None:
    projector, _, counts = scan()
    fit = lem.fit(lem.Emission(projector), counts * (projector.sum(axis=1).reshape(60, 91) > 0), max_iterations=3)
    kept = fit.declaration.measured
    assert kept.sensitivity @ fit.params["image"] == pytest.approx(kept.counts.sum(), rel=1e-12)


def test_callables_equal_the_matrix() -> None:
    import jax.numpy as jnp

    projector, _, counts = scan()
    coo = projector.tocoo()
    row, column, entry = coo.row, coo.col, coo.data

    def forward(image: jnp.ndarray) -> jnp.ndarray:
        return jnp.zeros((60, 91)).ravel().at[row].add(entry * image.ravel()[column]).reshape(60, 91)

    operator = lem.operator(forward, domain=(64, 64))
    x = np.random.default_rng(0).random(4096)
    np.testing.assert_allclose(operator @ x, projector @ x, rtol=1e-10)
    y = np.random.default_rng(1).random(5460)
    np.testing.assert_allclose(operator.adjoint(y), projector.T @ y, rtol=1e-10)
    a = lem.fit(emission(), counts, method=lem.Plain(), max_iterations=5)
    b = lem.fit(lem.Emission(operator, background=0.5), counts, method=lem.Plain(), max_iterations=5)
    np.testing.assert_allclose(b.image, a.image, rtol=1e-10)


def test_list_mode_equals_binned_counts() -> None:
    projector, _, counts = scan()
    few = np.random.default_rng(0).binomial(counts.astype(int), 0.01).ravel()
    binned = lem.fit(emission(), few.astype(float), method=lem.Plain(), max_iterations=20)
    events = np.random.default_rng(2).permutation(np.repeat(np.arange(few.size), few))
    listed = lem.Emission(
        projector[events], shape=(64, 64), background=0.5, sensitivity=np.asarray(projector.sum(axis=0)).ravel()
    )
    fit = lem.fit(listed, np.ones(len(events)), method=lem.Plain(), max_iterations=20)
    np.testing.assert_allclose(fit.image, binned.image, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "prior",
    [
        lem.priors.Quadratic(8, strength=0.05),
        lem.priors.Huber(4, strength=0.1, threshold=1.0),
        lem.priors.RelativeDifference(8, strength=0.5),
        lem.priors.RelativeDifference(8, strength=0.5, edge=0.0),
    ],
)
def test_map_ascends_and_keeps_noise_out(prior: object) -> None:
    _, phantom, counts = scan()
    for method in (lem.Plain(), lem.SQUAREM()):
        fit = lem.fit(emission(prior=prior), counts, method=method, max_iterations=30)
        assert np.diff(fit.trace).min() > 0
        assert np.sqrt(np.mean((fit.image - phantom) ** 2)) < 1.3  # MLEM: 1.35 after 200 iterations, and rising


def test_stopping_by_discrepancy() -> None:
    _, phantom, counts = scan()
    fit = lem.fit(emission(stopping="discrepancy"), counts, method=lem.Plain())
    assert fit.status is lem.Status.stopped
    chi = fit.residuals()
    assert 0.9 * chi.size < np.sum(chi**2) <= chi.size
    assert "chi-square" in fit.notes[0]
    assert np.sqrt(np.mean((fit.image - phantom) ** 2)) < 1.3
