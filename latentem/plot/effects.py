"""Random effects of a mixed model, and the profile of a parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentem.plot import look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Levels whose names are written beside their points.
NAMED = 60


def random_effects(fit: Any, group: str | None = None, *, level: float = 0.95) -> Figure:
    """Predicted random effects in order of size, with intervals: a caterpillar for each coordinate.

    Args:
        fit: of `lem.Mixed`.
        group: the grouping; the first by default.
        level: of the intervals, from the prediction error variance.

    Returns:
        A Figure with a panel for each coordinate.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: another model, or no such grouping.

    Example:
        >>> fit = lem.fit(lem.Mixed("diameter ~ 1 + (1 | plate) + (1 | sample)"), lem.datasets.penicillin())
        >>> figure = lem.plot.random_effects(fit, "sample")
        >>> figure.axes[0].get_xlabel()
        'Intercept'
    """
    from scipy.special import ndtri

    if not hasattr(type(fit), "random_effects"):
        raise ValueError(f"{fit.name}: expected a fit of a mixed model, lem.Mixed")
    tables = fit.random_effects()
    group = next(iter(tables)) if group is None else group
    if group not in tables:
        raise ValueError(f"group={group!r}: expected one of {', '.join(tables)}")
    table = tables[group]
    names = [name for name in table if f"{name}_se" in table]
    q = len(table["level"])
    figure = look.new_figure(1 + 3.2 * len(names), min(9.0, 1.4 + 0.16 * q))
    reach = float(ndtri(0.5 + level / 2))
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
        order = np.argsort(table[name], kind="stable")
        value, error = table[name][order], reach * table[f"{name}_se"][order]
        axes.hlines(np.arange(q), value - error, value + error, color=look.COLOURS[0], linewidth=1)
        axes.plot(value, np.arange(q), "o", color=look.COLOURS[0], markersize=3)
        axes.axvline(0, color="0.6", linewidth=0.8, zorder=0)
        axes.set_xlabel(name)
        axes.set_yticks(np.arange(q) if q <= NAMED else [], table["level"][order] if q <= NAMED else [])
        axes.tick_params(axis="y", labelsize=7)
        look.finish(axes)
    figure.suptitle(f"{group}: predicted effects", fontsize=10)
    return figure


def profile(found: Any) -> Figure:
    """The signed root of what the log-likelihood loses along a parameter; a straight line where a Wald interval would
    do.

    Args:
        found: what `fit.profile(name)` returned.

    Raises:
        ImportError: matplotlib is not installed.

    Example:
        >>> fit = lem.fit(lem.Mixed("grams ~ 1 + (1 | batch)"), lem.datasets.dyestuff())
        >>> lem.plot.profile(fit.profile("batch")).axes[0].get_ylabel()
        'zeta'
    """
    figure = look.new_figure(4.6, 3.4)
    axes = figure.subplots()
    axes.plot(found.value, found.zeta, "-o", color=look.COLOURS[0], markersize=3)
    axes.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    for end in (found.lower, found.upper):
        axes.axvline(end, color=look.COLOURS[3], linewidth=0.8, linestyle="--")
    axes.set_xlabel(found.name)
    axes.set_ylabel("zeta")
    look.finish(axes)
    return figure


def residuals(fit: Any) -> Figure:
    """Residuals of a linear mixed model against fitted values, and their normal quantiles.

    Args:
        fit: of `lem.Mixed`.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: another model.

    Example:
        >>> fit = lem.fit(lem.Mixed("grams ~ 1 + (1 | batch)"), lem.datasets.dyestuff())
        >>> [axes.get_xlabel() for axes in lem.plot.residuals(fit).axes]
        ['fitted', 'normal quantile']
    """
    from scipy.special import ndtri

    if not hasattr(type(fit), "residuals"):
        raise ValueError(f"{fit.name}: expected a fit of a linear mixed model, lem.Mixed")
    left, fitted = fit.residuals("standardised"), fit.predict()
    figure = look.new_figure(7.4, 3.4)
    one, two = figure.subplots(1, 2)
    one.plot(fitted, left, "o", color=look.COLOURS[0], markersize=3)
    one.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    one.set_xlabel("fitted")
    one.set_ylabel("standardised residual")
    quantiles = ndtri((np.arange(len(left)) + 0.5) / len(left))
    two.plot(quantiles, np.sort(left), "o", color=look.COLOURS[0], markersize=3)
    two.plot(quantiles, quantiles, color="0.6", linewidth=0.8, zorder=0)
    two.set_xlabel("normal quantile")
    for axes in (one, two):
        look.finish(axes)
    return figure
