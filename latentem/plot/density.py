"""The density of a fitted mixture over its data, in one and two dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.model.latents import Finite
from latentem.numerics.compiled import jit
from latentem.plot import look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from latentem.results.fit import Fit

#: A component's contours enclose these shares of its probability.
ENCLOSED = (0.5, 0.95)
#: Points of the grid along each axis, in one and in two dimensions.
LINE, PLANE = 512, 160
MOST_BINS = 100


def mixture_density(
    fit: Fit,
    data: Any = None,
    *,
    labels: str | Sequence[str] | None = None,
    bins: int | None = None,
    discrete: bool | None = None,
) -> Figure:
    """The fitted density of a mixture over the data.

    One dimension: a histogram whose bars are divided among the components by the responsibilities, each
    component's density times its weight, and their sum. Two: the points, each in the mix of the components'
    colours that its responsibilities make, and for each component the contours that enclose 50 and 95 % of
    its probability.

    Args:
        fit: of any model with a finite latent whose observations are one or two numbers, shape (N,), (N, 1)
            or (N, 2).
        data: the observations to draw; by default those of the fit, with their weights.
        labels: names of the axes, with units.
        bins: of the histogram; chosen from the data by default.
        discrete: whether observations are integers with probabilities, not densities; found out by default.

    Returns:
        A Figure. Rows with a missing value are left out of it.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: another latent, other dimensions, another number of labels, or no data.

    Example:
        >>> times = lem.datasets.hasselblad()
        >>> model = lem.Mixture(lem.families.Poisson(), 2)
        >>> fit = lem.fit(model, times.deaths, weights=times.frequency, key=jax.random.key(0))
        >>> lem.plot.mixture_density(fit, labels="deaths per day").axes[0].get_xlabel()
        'deaths per day'
    """
    latent = fit.model and fit.model.latent
    if not isinstance(latent, Finite) or latent.hard:
        told = "was loaded without its model" if fit.model is None else f"has the latent {latent!r}"
        raise ValueError(f"{fit.name} {told}: expected lem.Finite(k), whose components have densities")
    x, weights = _observations(fit, data)
    rows = x.reshape(len(x), -1)
    dimensions = rows.shape[1]
    if x.ndim > 2 or dimensions not in (1, 2):
        raise ValueError(f"observations of shape {x.shape}: expected 1 or 2 columns; fit and draw two of them")
    if labels is None:
        labels = ["x"] if dimensions == 1 else ["x[0]", "x[1]"]
    names = [labels] if isinstance(labels, str) else list(labels)
    if len(names) != dimensions:
        raise ValueError(f"labels = {names}: expected {dimensions}, one for each column")
    whole = ~np.isnan(rows).any(axis=1)
    x, weights = x[whole], weights[whole]
    if len(x) == 0:
        raise ValueError("every row has a missing value: there is nothing to draw")
    if dimensions == 1:
        return _one(fit, x, weights, names[0], bins, _is_discrete(fit, x) if discrete is None else discrete)
    return _two(fit, x, weights, names)


def _one(fit: Fit, x: np.ndarray, weights: np.ndarray, label: str, bins: int | None, discrete: bool) -> Figure:
    figure = look.new_figure(7.0, 4.2)
    axes = figure.subplots()
    values = x.reshape(-1)
    if discrete:
        edges = np.arange(values.min(), values.max() + 3) - 0.5
        grid = edges[:-1] + 0.5
        axes.set_ylabel("share of the observations")
        look.count_on(axes.xaxis)
    else:
        edges = np.histogram_bin_edges(values, bins=bins or _bins(values))
        margin = 0.08 * np.ptp(edges)
        grid = np.linspace(edges[0] - margin, edges[-1] + margin, LINE)
        axes.set_ylabel("density")
    joint = component_densities(fit, grid.reshape(-1, *x.shape[1:]))
    belongs = fit.responsibilities(x) * weights[:, None] / weights.sum()
    top = np.zeros(len(edges) - 1)
    width = 0.86 if discrete else np.diff(edges)
    marker = "o" if discrete and len(grid) <= 60 else ""
    for k in range(joint.shape[1]):
        colour, dash = look.style(k)
        height = np.histogram(values, bins=edges, weights=belongs[:, k])[0] / np.diff(edges)
        axes.bar(edges[:-1] + np.diff(edges) / 2, height, width, top, color=look.pale(colour), linewidth=0)
        top += height
        line = {"color": colour, "linestyle": dash, "linewidth": 2, "marker": marker, "markersize": 5}
        axes.plot(grid, joint[:, k], zorder=4, **line)
        peak = int(np.argmax(joint[:, k]))
        look.number(axes, k, (grid[peak], joint[peak, k]))
    if not discrete:
        axes.stairs(top, edges, color="0.6", linewidth=0.7)
    whole, dash = joint.sum(axis=1), ":" if discrete else "-"
    axes.plot(grid, whole, color="black", linewidth=1.6, linestyle=dash, zorder=3)
    axes.set_ylim(0, 1.1 * max(top.max(), whole.max()))
    axes.set_xlabel(label)
    look.legend(axes, belongs.sum(axis=0), "bars: data by responsibility", mixture=dash)
    axes.set_title(_title(fit), fontsize=11)
    look.finish(axes)
    return figure


def _two(fit: Fit, x: np.ndarray, weights: np.ndarray, labels: Sequence[str]) -> Figure:
    figure = look.new_figure(7.0, 5.4)
    axes = figure.subplots()
    low, high = x.min(axis=0), x.max(axis=0)
    margin = np.where(high > low, 0.15 * (high - low), 1.0)
    side = [np.linspace(low[i] - margin[i], high[i] + margin[i], PLANE) for i in range(2)]
    grid = np.stack(np.meshgrid(*side, indexing="xy"), axis=-1).reshape(-1, 2)
    joint = component_densities(fit, grid)
    responsibilities = fit.responsibilities(x)
    # A row in doubt between two components is drawn in the mixture of their colours.
    palette = np.array([look.rgb(look.style(k)[0]) for k in range(joint.shape[1])])
    colours = np.clip(responsibilities @ palette, 0, 1)
    size = float(np.clip(4e4 / len(x), 6, 26))
    axes.scatter(*x.T, c=colours, s=size, edgecolors="white", linewidths=0.3, zorder=2)
    for k in range(joint.shape[1]):
        colour, dash = look.style(k)
        density = joint[:, k].reshape(PLANE, PLANE)
        levels = enclosing_levels(density)
        if levels:
            axes.contour(*side, density, levels=levels, colors=[colour], linestyles=[dash], zorder=3)
        look.number(axes, k, grid[np.argmax(density)])
    axes.set_xlim(side[0][0], side[0][-1])
    axes.set_ylim(side[1][0], side[1][-1])
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    shares = " and ".join(f"{100 * share:.0f} %" for share in ENCLOSED)
    look.legend(axes, weights @ responsibilities / weights.sum(), f"contours: {shares}")
    axes.set_title(_title(fit), fontsize=11)
    look.finish(axes)
    return figure


def component_densities(fit: Fit, x: np.ndarray) -> Float[np.ndarray, "G K"]:
    """p(x, z = k) at each point: the component's weight times its density.

    Args:
        fit: of a model with a finite latent.
        x: observations, shape (G, ...).
    """
    with jax.enable_x64(fit.dtype == "float64"):
        params = jax.tree.map(lambda a: jnp.asarray(a, dtype=fit.dtype), fit.params)
        return np.asarray(_densities(fit.model, params, jnp.asarray(x, dtype=fit.dtype)))


@partial(jit, static_argnums=0)
def _densities(model: Any, params: Any, x: Array) -> Float[Array, "G K"]:
    of_row = jax.vmap(model.complete_log_likelihood, in_axes=(None, None, 0))
    return jnp.exp(jax.vmap(lambda row: of_row(params, row, jnp.arange(model.latent.size)))(x))


def enclosing_levels(density: np.ndarray) -> list[float]:
    """Levels above which the density, on a regular grid, holds the shares ENCLOSED of its sum; ascending.

    >>> enclosing_levels(np.array([8.0, 4.0, 2.0, 1.0, 1.0]))
    [1.0, 8.0]
    """
    ordered = np.sort(density, axis=None)[::-1]
    inside = np.cumsum(ordered)
    if not inside[-1] > 0:
        return []
    chosen = [int(np.searchsorted(inside, share * inside[-1])) for share in ENCLOSED]
    return sorted({float(ordered[min(i, len(ordered) - 1)]) for i in chosen})


def _observations(fit: Fit, data: Any) -> tuple[np.ndarray, np.ndarray]:
    if data is None and fit.data is None:
        raise ValueError("this Fit holds no data: pass the observations to draw")
    leaves = jax.tree.leaves(fit.data.observations if data is None and fit.data is not None else data)
    if len(leaves) != 1:
        raise ValueError(f"observations of {len(leaves)} arrays: expected one array of 1 or 2 columns")
    x = np.asarray(leaves[0])
    return x, np.ones(len(x)) if data is not None or fit.data is None else np.asarray(fit.data.weights)


def _is_discrete(fit: Fit, x: np.ndarray) -> bool:
    if x.dtype.kind in "biu":
        return True
    if np.any(x != np.floor(x)):
        return False
    # A density of counts is zero between them.
    between = np.unique(x)[:64] + 0.5
    return not component_densities(fit, between.reshape(-1, *x.shape[1:])).any()


def _bins(values: np.ndarray) -> int:
    # NumPy's rules give a far outlier millions of bins.
    quartiles = np.percentile(values, [25, 75])
    width = 2 * np.ptp(quartiles) / len(values) ** (1 / 3)
    wanted = np.ptp(values) / width if width > 0 else 1 + np.log2(len(values))
    return int(np.clip(np.ceil(wanted), 5, MOST_BINS))


def _title(fit: Fit) -> str:
    told = "" if fit.status.ok else f" ({fit.status.name})"
    return f"{fit.name}: log-likelihood {fit.log_likelihood:.2f}{told}"
