"""Pictures: what they show agrees with the fit, and what cannot be drawn is refused in one line."""

import sys
from functools import cache
from pathlib import Path

import jax
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import latentem as lem
from latentem import datasets, plot
from latentem.plot import density, look

X = datasets.old_faithful().matrix()


@cache
def geyser() -> lem.Fit:
    return lem.fit(lem.GaussianMixture(2), X, key=jax.random.key(0))


@cache
def times() -> lem.Fit:
    data = datasets.hasselblad()
    model = lem.Mixture(lem.families.Poisson(), 2)
    return lem.fit(model, data.deaths, weights=data.frequency, key=jax.random.key(0))


@cache
def waits() -> lem.Fit:
    return lem.fit(lem.GaussianMixture(2), X[:, 1], key=jax.random.key(0))


def saved(figure: Figure, folder: Path) -> int:
    path = folder / "picture.png"
    figure.savefig(path)
    assert path.read_bytes().startswith(b"\x89PNG")
    return path.stat().st_size


def test_trace(tmp_path: Path) -> None:
    fit = times()
    left, right = plot.log_likelihood_trace(fit).axes
    np.testing.assert_array_equal(left.lines[0].get_ydata(), fit.trace)
    np.testing.assert_array_equal(left.lines[0].get_xdata(), np.arange(1, len(fit.trace) + 1))
    below = np.asarray(right.lines[0].get_ydata())
    assert (below > 0).all() and right.get_yscale() == "log"
    assert left.get_ylabel() == "log-likelihood (nats)"
    assert saved(plot.log_likelihood_trace(fit), tmp_path) > 5000


def test_trace_of_a_fit_that_was_there_from_the_start(tmp_path: Path) -> None:
    model = lem.Mixture(lem.families.Poisson(), 1)
    fit = lem.fit(model, [1, 2, 6], key=jax.random.key(0))
    assert saved(plot.log_likelihood_trace(fit), tmp_path) > 5000


def test_counts_are_drawn_as_shares_by_component(tmp_path: Path) -> None:
    fit, data = times(), datasets.hasselblad()
    figure = plot.mixture_density(fit, labels="deaths per day")
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("deaths per day", "share of the observations")
    first, second = (np.array([bar.get_height() for bar in bars]) for bars in axes.containers)
    share = data.frequency / data.frequency.sum()
    np.testing.assert_allclose((first + second)[:10], share, rtol=1e-12)
    # np.histogram takes differences of running sums, hence the rounding of 1.
    np.testing.assert_allclose(first[:10], share * fit.responsibilities()[:, 0], rtol=1e-12, atol=1e-15)
    lines = [line for line in axes.lines if len(np.asarray(line.get_xdata()))]
    whole = np.asarray(lines[-1].get_ydata())[:10]
    np.testing.assert_allclose(whole, np.exp(fit.log_prob(data.deaths)), rtol=1e-12)
    assert saved(figure, tmp_path) > 5000


def test_a_density_is_drawn_over_a_histogram_of_unit_area(tmp_path: Path) -> None:
    figure = plot.mixture_density(waits(), bins=20)
    (axes,) = figure.axes
    areas = [bar.get_height() * bar.get_width() for bars in axes.containers for bar in bars]
    assert len(areas) == 2 * 20
    assert sum(areas) == pytest.approx(1, rel=1e-12)
    lines = [line for line in axes.lines if len(np.asarray(line.get_xdata()))]
    grid = np.asarray(lines[-1].get_xdata())
    np.testing.assert_allclose(lines[-1].get_ydata(), np.exp(waits().log_prob(grid)), rtol=1e-9)
    assert np.trapezoid(np.asarray(lines[-1].get_ydata()), grid) == pytest.approx(1, abs=0.01)
    assert saved(figure, tmp_path) > 5000


def test_points_have_the_colours_of_their_responsibilities(tmp_path: Path) -> None:
    fit = geyser()
    figure = plot.mixture_density(fit, labels=["eruption", "wait"])
    (axes,) = figure.axes
    colours = np.asarray(axes.collections[0].get_facecolor())[:, :3]
    palette = np.array([to_rgb(look.COLOURS[0]), to_rgb(look.COLOURS[1])])
    np.testing.assert_allclose(colours, fit.responsibilities() @ palette, atol=1e-12)
    assert {text.get_text() for text in axes.texts} == {"0", "1"}
    assert saved(figure, tmp_path) > 5000


def test_contours_enclose_what_they_say() -> None:
    """Of a normal in the plane, 95 % lie within a squared distance of 5.991 and 50 % within 1.386."""
    side = np.linspace(-6, 6, 601)
    squared = side[:, None] ** 2 + side**2
    low, high = density.enclosing_levels(np.exp(-0.5 * squared))
    np.testing.assert_allclose(-2 * np.log([low, high]), [5.991465, 1.386294], rtol=2e-3)
    assert density.enclosing_levels(np.zeros((3, 3))) == []


def test_rows_with_missing_values_are_left_out(tmp_path: Path) -> None:
    x = X[:40].copy()
    x[:5, 0] = np.nan
    figure = plot.mixture_density(geyser(), x)
    assert len(np.asarray(figure.axes[0].collections[0].get_offsets())) == 35
    with pytest.raises(ValueError, match="every row has a missing value"):
        plot.mixture_density(geyser(), x[:5])


def test_a_custom_model_of_one_column(tmp_path: Path) -> None:
    x = np.array([-1.0, 0.0, 1.0, 8.0, 9.0, 10.0])[:, None]
    fit = lem.fit(lem.GaussianMixture(2, "spherical"), x, key=jax.random.key(0))
    assert saved(plot.mixture_density(fit), tmp_path) > 5000


def test_a_far_outlier_does_not_make_millions_of_bins() -> None:
    figure = plot.mixture_density(waits(), np.append(X[:, 1], 1e9))
    assert len(figure.axes[0].containers[0].patches) <= density.MOST_BINS


def test_more_components_than_colours_differ_in_their_lines() -> None:
    styles = {look.style(k) for k in range(4 * len(look.COLOURS))}
    assert len(styles) == 4 * len(look.COLOURS)


def test_what_cannot_be_drawn() -> None:
    attitude = datasets.attitude().matrix("rating", "raises", "advance")
    three = lem.fit(lem.GaussianMixture(1, "spherical"), attitude, key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"shape \(30, 3\): expected 1 or 2 columns"):
        plot.mixture_density(three)
    clusters = lem.fit(lem.KMeans(2), X, key=jax.random.key(0))
    with pytest.raises(ValueError, match="hard=True.*expected lem.Finite"):
        plot.mixture_density(clusters)
    with pytest.raises(ValueError, match="labels = .'a'.: expected 2, one for each column"):
        plot.mixture_density(geyser(), labels=["a"])
    with pytest.raises(ValueError, match="observations of 2 arrays"):
        plot.mixture_density(geyser(), {"a": X[:, 0], "b": X[:, 1]})


def test_a_loaded_fit(tmp_path: Path) -> None:
    path = geyser().save(tmp_path / "fit")
    bare = lem.load(path)
    assert saved(plot.log_likelihood_trace(bare), tmp_path) > 5000
    with pytest.raises(ValueError, match="holds no data: pass the observations"):
        plot.mixture_density(bare)
    whole = lem.load(path, model=lem.GaussianMixture(2), data=X)
    assert saved(plot.mixture_density(whole), tmp_path) > 5000


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"latentem\[plot\]"):
        plot.log_likelihood_trace(geyser())


def test_importing_latentem_does_not_import_matplotlib() -> None:
    import subprocess

    code = "import sys, latentem; assert 'matplotlib' not in sys.modules; latentem.plot, latentem.datasets"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(lem.__file__).parent.parent)
