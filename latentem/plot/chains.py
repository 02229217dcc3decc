"""State space models along time: readings with what is smoothed and forecast, components, stabilisation of modes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentem.plot import look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from latentem.results.fit import Fit

#: Half width of an interval in standard deviations.
WIDTH = 1.959963984540054


def smoothed_readings(fit: Fit, *, horizon: int = 0, labels: tuple[str, str] = ("step", "reading")) -> Figure:
    """Readings, their smoothed mean with a band of 95 %, and a forecast behind them; a panel for each column.

    Args:
        fit: of a state space model, of one sequence.
        horizon: steps to forecast, of a model without covariates.
        labels: names of time and of the readings, with units.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: another model, or several sequences.
    """
    y, paths = one_sequence(fit)
    system = fit.matrices()
    centre = paths.mean @ system.observation.T + fit.sequences().steps["v"] @ system.offset.T
    around = np.einsum("pd,tde,pe->tp", system.observation, paths.covariance, system.observation)
    half = WIDTH * np.sqrt(np.maximum(around, 0.0))
    figure = look.new_figure(8.0, 1.4 + 1.8 * y.shape[1])
    panels = figure.subplots(y.shape[1], 1, sharex=True, squeeze=False)[:, 0]
    steps = np.arange(len(y))
    ahead = fit.forecast(horizon) if horizon else None
    for k, axes in enumerate(panels):
        colour = look.style(0)[0]
        axes.plot(steps, y[:, k], ".", color="0.5", markersize=3)
        axes.plot(steps, centre[:, k], color=colour, linewidth=1.2)
        axes.fill_between(steps, centre[:, k] - half[:, k], centre[:, k] + half[:, k], color=look.pale(colour))
        if ahead is not None:
            later = len(y) + np.arange(horizon)
            told = look.style(3)[0]
            axes.plot(later, ahead.mean[:, k], color=told, linestyle="--", linewidth=1.2)
            axes.fill_between(later, ahead.lower[:, k], ahead.upper[:, k], color=look.pale(told))
        axes.set_ylabel(labels[1])
        look.finish(axes)
    panels[-1].set_xlabel(labels[0])
    return figure


def components(fit: Fit, *, labels: tuple[str, str] = ("step", "reading")) -> Figure:
    """The parts of a structural model with bands of 95 %, a panel for each.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: another model, or several sequences.
    """
    if "decompose" not in getattr(fit.declaration, "verbs", ()):
        raise ValueError(f"{fit.name}: expected a fit of a structural model, lem.Structural")
    y, _ = one_sequence(fit)
    parts = fit.decompose()
    figure = look.new_figure(8.0, 1.0 + 1.5 * len(parts))
    panels = figure.subplots(len(parts), 1, sharex=True, squeeze=False)[:, 0]
    steps = np.arange(len(y))
    for k, (axes, (name, (value, spread))) in enumerate(zip(panels, parts.items(), strict=True)):
        colour = look.style(k)[0]
        if name == "level":
            axes.plot(steps, y[:, 0], ".", color="0.6", markersize=3)
        axes.plot(steps, value, color=colour, linewidth=1.2)
        axes.fill_between(steps, value - WIDTH * spread, value + WIDTH * spread, color=look.pale(colour))
        axes.set_ylabel(name)
        look.finish(axes)
    panels[-1].set_xlabel(labels[0])
    return figure


def stabilisation(orders: Any) -> Figure:
    """Frequencies of models with more and more modes, and BIC beside them: filled where the order below has the mode.

    Args:
        orders: what `fit.stabilisation(...)` returned.

    Raises:
        ImportError: matplotlib is not installed.
    """
    figure = look.new_figure(8.0, 4.0)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 1])
    for order in orders:
        for frequency, stable in zip(order.frequency, order.stable, strict=True):
            colour = look.style(0)[0]
            left.plot(frequency, order.modes, "o", color=colour, markerfacecolor=colour if stable else "white")
    right.plot([order.bic for order in orders], [order.modes for order in orders], "o-", color=look.style(3)[0])
    left.set_xlabel("frequency (Hz); filled: stable")
    left.set_ylabel("modes")
    right.set_xlabel("BIC")
    look.count_on(left.yaxis)
    for axes in (left, right):
        look.finish(axes)
    return figure


def one_sequence(fit: Fit) -> tuple[np.ndarray, Any]:
    """(readings (T, p), smoothed states) of the one sequence of a fit."""
    if "impulse_responses" not in getattr(fit.declaration, "verbs", ()):
        raise ValueError(f"{fit.name}: expected a fit of a state space model")
    series = fit.sequences()
    if series.n != 1:
        raise ValueError(f"{series.n} sequences: expected one; pass the data of one to lem.fit, or draw fit.smooth()")
    paths = fit.smooth()
    return series.steps["y"], paths if series.single else paths[0]
