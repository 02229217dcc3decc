"""Whether a state space model foresees its readings, and what a shock does to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from latentem.plot import look
from latentem.plot.chains import WIDTH, one_sequence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from latentem.results.fit import Fit


def innovations(fit: Fit, *, lags: int = 20, names: tuple[str, ...] = ()) -> Figure:
    """Standardised surprises along time, and their autocorrelations with the band of 95 % of noise; a row a column.

    Args:
        fit: of a state space model, of one sequence.
        lags: autocorrelations to show; fewer in a short sequence.
        names: of the columns.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: another model, or several sequences.
    """
    y, _ = one_sequence(fit)
    residuals = fit.residuals()
    residuals = residuals if isinstance(residuals, np.ndarray) else residuals[0]
    lags = min(lags, len(y) - 1)
    found = fit.autocorrelations(lags)
    figure = look.new_figure(8.0, 0.8 + 1.7 * y.shape[1])
    panels = figure.subplots(y.shape[1], 2, squeeze=False, width_ratios=[3, 2])
    for k, (left, right) in enumerate(panels):
        colour, name = look.style(0)[0], names[k] if names else f"column {k}" if y.shape[1] > 1 else "surprise"
        left.plot(np.arange(len(y)), residuals[:, k], ".", color=colour, markersize=3)
        left.axhspan(-WIDTH, WIDTH, color=look.pale(colour), zorder=0)
        left.set_ylabel(name)
        half = WIDTH / np.sqrt((~np.isnan(residuals[:, k])).sum())
        right.axhspan(-half, half, color=look.pale(colour), zorder=0)
        right.vlines(np.arange(1, lags + 1), 0.0, found[:, k], color=colour)
        right.axhline(0.0, color="0.6", linewidth=0.8)
        right.set_ylabel("autocorrelation")
        for axes in (left, right):
            look.finish(axes)
    panels[-1, 0].set_xlabel("step")
    panels[-1, 1].set_xlabel("lag")
    return figure


def impulse_responses(fit: Fit, horizon: int = 20, *, names: tuple[str, ...] = ()) -> Figure:
    """Readings after a shock of one standard deviation to each state that is shocked; a panel for each column.

    Args:
        fit: of a state space model.
        horizon: steps to show.
        names: of the columns.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: another model.
    """
    if "impulse_responses" not in getattr(fit.declaration, "verbs", ()):
        raise ValueError(f"{fit.name}: expected a fit of a state space model")
    found = fit.impulse_responses(horizon)
    shocked = np.flatnonzero(np.abs(found).max(axis=(0, 1)) > 0)
    figure = look.new_figure(8.0, 0.8 + 1.7 * found.shape[1])
    panels = figure.subplots(found.shape[1], 1, sharex=True, squeeze=False)[:, 0]
    for k, axes in enumerate(panels):
        for j in shocked:
            colour, dashes = look.style(int(j))
            axes.plot(np.arange(horizon + 1), found[:, k, j], color=colour, linestyle=dashes, label=f"state {j}")
        axes.axhline(0.0, color="0.6", linewidth=0.8)
        axes.set_ylabel(names[k] if names else f"column {k}" if len(panels) > 1 else "reading")
        look.finish(axes)
    if len(shocked) > 1:
        panels[0].legend(fontsize=8, frameon=False)
    panels[-1].set_xlabel("steps after the shock")
    return figure


def mode_shapes(fit: Fit) -> Figure:
    """The shape of each mode of a structure, sensor by sensor: real parts, with bars of 95 %.

    Args:
        fit: of `lem.Modal`.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: another model.
    """
    if "stabilisation" not in getattr(fit.declaration, "verbs", ()):
        raise ValueError(f"{fit.name}: expected a fit of a structure, lem.Modal")
    modes = fit.modes()
    figure = look.new_figure(1.0 + 2.2 * len(modes), 3.2)
    for k, (axes, mode) in enumerate(zip(figure.subplots(1, len(modes), squeeze=False)[0], modes, strict=True)):
        colour, sensors = look.style(k)[0], np.arange(len(mode.shape))
        axes.errorbar(mode.shape.real, sensors, xerr=WIDTH * mode.shape_error.real, color=colour, marker="o")
        axes.axvline(0.0, color="0.6", linewidth=0.8)
        axes.set_xlabel(f"{mode.frequency:.4g} Hz, damping {mode.damping:.3f}")
        axes.set_ylabel("sensor" if k == 0 else "")
        look.count_on(axes.yaxis)
        look.finish(axes)
    return figure
