"""Segmentation: enumeration of all labels, minimum cuts by brute force, a noisy scene, histograms, refusals."""

from itertools import permutations, product
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from scipy.special import logsumexp

import latentem as lem
from latentem.forms.cut import minimum_cut
from latentem.forms.lattice import LatticeForm, log_partition_bound
from latentem.models.segmentation import Background
from latentem.models.segmentation.coupling import draw, most_plausible
from latentem.numerics.lattice import count_pairs, neighbour_sum, pairs

#: neighbours -> in how many coordinates they may differ.
REACH = {4: 1, 8: 2, 6: 1, 18: 2, 26: 3}


def scene(size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """(image, labels): a disc of 1 and a rectangle of 2 on 0, with noise of sd .7."""
    down, right = np.mgrid[:128, :128]
    truth = ((right - 64) ** 2 + (down - 64) ** 2 < 40**2).astype(int)
    truth[20:50, 60:110] = 2
    image = np.array([0.0, 1.0, 2.0])[truth] + 0.7 * np.random.default_rng(0).normal(size=truth.shape)
    return image[:size, :size], truth[:size, :size]


def accuracy(labels: np.ndarray, truth: np.ndarray, classes: int = 3) -> float:
    return max(float((np.array(p)[labels] == truth).mean()) for p in permutations(range(classes)))


@pytest.mark.parametrize(
    ("shape", "neighbours"), [((4, 7), 4), ((5, 4), 8), ((1, 3), 4), ((3, 4, 2), 6), ((2, 3, 4), 18), ((3, 2, 3), 26)]
)
def test_neighbours_and_a_sweep_by_brute_force(shape: tuple[int, ...], neighbours: int) -> None:
    x = np.random.default_rng(0).random(shape)
    found = np.zeros(shape)
    for i, j in product(np.ndindex(*shape), np.ndindex(*shape)):
        apart = np.abs(np.subtract(i, j))
        found[i] += x[j] * (apart.max() == 1 and apart.sum() <= REACH[neighbours])
    np.testing.assert_allclose(neighbour_sum(x, neighbours), found)
    assert count_pairs(shape, neighbours) == neighbour_sum(np.ones(shape), neighbours).sum() / 2
    q, density = np.stack([x, 1 - x]), np.random.default_rng(1).normal(size=(2, *shape))
    form = LatticeForm(np.zeros((*shape, 1)), 2, neighbours, 0.7, 1, q)
    padded = np.pad(q, ((0, 0), *((1, 1) for _ in shape)))
    form.sweep(padded, density)
    for corner in product((0, 1), repeat=len(shape)):  # site by site, in the same order of colours
        here = (slice(None), *(slice(c, None, 2) for c in corner))
        logit = 0.7 * np.stack([neighbour_sum(a, neighbours) for a in q]) + density
        q[here] = np.exp(logit - logsumexp(logit, axis=0))[here]
    np.testing.assert_allclose(padded[form._inside], q, atol=1e-12)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("neighbours", [4, 8])
@pytest.mark.parametrize("coupling", [0.0, 0.4, 1.5])
def test_mean_field_is_a_bound_that_is_tight_without_coupling(classes: int, neighbours: int, coupling: float) -> None:
    image = np.random.default_rng(1).normal(size=(3, 3)) + 2 * (np.arange(9).reshape(3, 3) > 4)
    fit = lem.fit(lem.Segmentation(classes, neighbours, coupling, window=1), image)
    form = fit.declaration.form
    density = form.log_density(fit.params["mean"], fit.params["covariance"]).reshape(classes, -1)
    every = np.array(list(product(range(classes), repeat=9)))
    on = every.reshape(-1, 3, 3)
    alike = sum((on[(slice(None), *p.first)] == on[(slice(None), *p.second)]).sum((1, 2)) for p in pairs(2, neighbours))
    log_z = logsumexp(coupling * alike)
    truth = logsumexp(coupling * alike + density[every, np.arange(9)].sum(axis=1)) - log_z
    assert log_partition_bound((3, 3), neighbours, classes, coupling) >= log_z - 1e-9
    assert fit.log_likelihood <= truth + 1e-9
    if coupling == 0:
        assert fit.log_likelihood == pytest.approx(truth, abs=1e-7)
    else:
        assert truth - fit.log_likelihood < 2.5  # nats, of 9 sites
    assert np.diff(fit.trace).min(initial=1.0) > -1e-9


def test_log_partition_is_exact_on_a_chain() -> None:
    # One row: a tree, Z = K (e^b + K - 1)^(n - 1).
    assert log_partition_bound((1, 6), 4, 3, 0.8) == pytest.approx(np.log(3) + 5 * np.log(np.exp(0.8) + 2))


@pytest.mark.parametrize("neighbours", [4, 8])
@pytest.mark.parametrize("coupling", [0.0, 0.3, 1.0])
def test_a_cut_is_the_best_of_all_labels_on_4_x_4(neighbours: int, coupling: float) -> None:
    gain = 1.5 * np.random.default_rng(2).normal(size=(4, 4))
    every = np.array(list(product((0, 1), repeat=16))).reshape(-1, 4, 4)
    value = np.tensordot(every, gain, 2)
    for p in pairs(2, neighbours):
        differ = every[(slice(None), *p.first)] != every[(slice(None), *p.second)]
        value = value - coupling * differ.sum(axis=(1, 2))
    np.testing.assert_array_equal(minimum_cut(gain, neighbours, coupling), every[value.argmax()])


def test_the_noisy_scene() -> None:
    image, truth = scene()
    fit = lem.fit(lem.Segmentation(3, coupling=1.5), image)
    assert accuracy(fit.labels, truth) >= 0.99
    # A probe in JAX, another program, ends at means -.003 1.011 2.014, sd .692 .683 .696.
    np.testing.assert_allclose(fit.params["mean"].ravel(), [-0.003, 1.011, 2.014], atol=2e-3)
    np.testing.assert_allclose(np.sqrt(fit.params["covariance"].ravel()), [0.692, 0.683, 0.696], atol=2e-3)
    assert np.diff(fit.trace).min() > 0
    assert fit.status is lem.Status.approximate and fit.status.ok
    assert "bound" in fit.notes[0]
    plain = lem.fit(lem.GaussianMixture(3), image.ravel(), key=jax.random.key(0), max_iterations=300, polish=False)
    assert accuracy(plain.predict().reshape(truth.shape), truth) < 0.8


def test_graph_cut_and_mean_field_agree_where_both_apply() -> None:
    image, truth = scene()
    image, truth = image[:, :60], truth[:, :60]  # the disc only
    a, b = (lem.fit(lem.Segmentation(2, coupling=1.2, e_step=e), image) for e in ("mean field", "graph cut"))
    assert (a.labels == b.labels).mean() > 0.99
    assert (b.labels == truth).mean() > 0.97
    assert b.status is lem.Status.approximate
    assert set(np.unique(b.probabilities())) == {0.0, 1.0}
    assert "biased" in b.notes[0]


def test_colours_and_volumes() -> None:
    rng = np.random.default_rng(3)
    truth = np.zeros((24, 24), int)
    truth[6:18, 6:18] = 1
    colour = np.array([[0.0, 0.0, 0.0], [1.0, -1.0, 0.5]])[truth] + 0.8 * rng.normal(size=(24, 24, 3))
    fit = lem.fit(lem.Segmentation(2, neighbours=8, coupling=0.6), colour)
    assert fit.params["covariance"].shape == (2, 3, 3)
    assert accuracy(fit.labels, truth, 2) > 0.97
    solid = np.zeros((10, 12, 12), int)
    solid[3:7, 3:9, 3:9] = 1
    volume = solid + 0.35 * rng.normal(size=solid.shape)
    for neighbours in (6, 26):
        fit = lem.fit(lem.Segmentation(2, neighbours, coupling=0.5 if neighbours == 6 else 0.12, window=3), volume)
        assert accuracy(fit.labels, solid, 2) > 0.95


def test_coupling_of_a_simulated_field_is_found() -> None:
    rng = np.random.default_rng(4)
    for true in (0.4, 0.8):
        label = rng.integers(0, 3, (48, 48))
        flat = np.zeros((3, 48, 48))
        for _ in range(60):
            label, _ = draw(label, flat, 4, true, rng)
        assert most_plausible(label, 3, 4) == pytest.approx(true, abs=0.12)


def test_estimated_coupling_is_told() -> None:
    image, truth = scene(64)
    fit = lem.fit(lem.Segmentation(3, coupling="estimated"), image)
    assert 0.8 < float(fit.params["coupling"]) < 2.0
    assert accuracy(fit.labels, truth) > 0.97
    assert any("coupling" in note and "simulated" in note for note in fit.notes)


def test_foreground_from_a_rectangle() -> None:
    rng = np.random.default_rng(5)
    truth = np.zeros((40, 40), bool)
    truth[12:28, 14:26] = True
    image = np.where(truth[..., None], [200.0, 60.0, 60.0], [70.0, 90.0, 160.0]) + 25 * rng.normal(size=(40, 40, 3))
    for e_step in ("mean field", "graph cut"):
        fit = lem.fit(lem.Segmentation(2, 8, 0.8, e_step=e_step, rectangle=(8, 10, 32, 30)), image)
        assert (fit.foreground() == truth).mean() > 0.99
        assert not fit.foreground()[:8].any()


#: scikit-learn 1.9.1, GaussianMixture on all pixels of the images that scikit-image brings.
HISTOGRAMS = {
    "coins": (2, -611344.4035201578, [48.63539088813259, 127.61819392702141]),
    "camera": (3, -1351286.7619279423, [25.28994537606036, 156.86448242279147, 205.1984210101568]),
}


@pytest.mark.parametrize("name", HISTOGRAMS)
def test_thresholds_from_a_histogram_by_weights(name: str) -> None:
    from skimage import data

    classes, value, means = HISTOGRAMS[name]
    counts = np.bincount(getattr(data, name)().ravel(), minlength=256).astype(float)
    grey = np.arange(256.0)
    start = {
        "weights": np.full(classes, 1 / classes),
        "components": {"mean": np.array(means)[:, None] + 5, "covariance": np.full((classes, 1, 1), 400.0)},
    }
    fit = lem.fit(lem.GaussianMixture(classes), grey, weights=counts, initial=start, polish=False, tolerance=1e-13)
    assert fit.log_likelihood == pytest.approx(value, abs=1e-3)
    np.testing.assert_allclose(np.sort(fit.params["components"]["mean"].ravel()), means, atol=5e-4)


def test_background_that_changes_little_and_what_moves() -> None:
    rng = np.random.default_rng(0)
    background = Background()
    base = rng.uniform(50, 200, (20, 20))
    for n in range(80):
        frame = base + 3 * rng.normal(size=base.shape)
        square = slice(n % 15, n % 15 + 4)
        if n >= 40:
            frame[square, 5:9] = 255 - frame[square, 5:9] + 40
        moving = background.update(frame)
    truth = np.zeros((20, 20), bool)
    truth[square, 5:9] = True
    assert (moving == truth).mean() > 0.97
    with pytest.raises(ValueError, match="expected \\(20, 20\\), as before"):
        background.update(base[:5])


def test_save_and_load(tmp_path: Path) -> None:
    image, _ = scene(24)
    fit = lem.fit(lem.Segmentation(2, coupling=0.5), image)
    again = lem.load(fit.save(tmp_path / "fit"), model=lem.Segmentation(2, coupling=0.5), data=image)
    np.testing.assert_array_equal(again.labels, fit.labels)
    further = lem.fit(lem.Segmentation(2, coupling=0.5), image, initial=fit.params, max_iterations=3)
    assert further.log_likelihood >= fit.log_likelihood


GREY = scene(16)[0]
HOLE = np.where(np.arange(16) == 3, np.nan, GREY)
CASES: list[tuple[Any, str]] = [
    (lambda: lem.fit(lem.Segmentation(2), HOLE), r"image\[0, 3\] = nan, one of 16: expected finite numbers"),
    (lambda: lem.fit(lem.Segmentation(2), np.zeros((8, 8, 4))), r"transparency \(alpha\)"),
    (lambda: lem.fit(lem.Segmentation(2), "image.png"), "expected an array of numbers"),
    (lambda: lem.fit(lem.Segmentation(2), np.zeros(9)), r"image has shape \(9,\)"),
    (lambda: lem.fit(lem.Segmentation(2), np.ones((5, 5))), "image is 1 everywhere"),
    (lambda: lem.fit(lem.Segmentation(2, neighbours=6), GREY), "neighbours=6 on a lattice of 2 dimensions"),
    (lambda: lem.fit(lem.Segmentation(2), GREY, weights=GREY), "Segmentation takes none"),
    (lambda: lem.fit(lem.Segmentation(2), GREY, method=lem.SQUAREM()), "climbs by lem.Plain"),
    (lambda: lem.fit(lem.Segmentation(2), GREY, initial={"mean": [0.0]}), 'expected {"mean"'),
    (lambda: lem.fit(lem.Segmentation(2, rectangle=(0, 0, 99, 9)), GREY), "expected a part of the image"),
    (lambda: lem.Segmentation(1), "expected an integer >= 2"),
    (lambda: lem.Segmentation(2, coupling=-1.0), "expected a number >= 0, or 'estimated'"),
    (lambda: lem.Segmentation(3, e_step="graph cut"), "expected 2, background and foreground"),
    (lambda: lem.Segmentation(2, e_step="gibbs"), "expected 'mean field' or 'graph cut'"),
    (lambda: lem.fit(lem.Segmentation(3), GREY).foreground(), "use labels"),
    (lambda: Background(rate=0.0), "above 0 and up to 1"),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_refusals_are_one_line(case: int) -> None:
    act, told = CASES[case]
    with pytest.raises(ValueError, match=told) as caught:
        act()
    assert "\n" not in str(caught.value)
