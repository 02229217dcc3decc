"""The objective of a fit, iteration by iteration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from latentem.plot import look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from latentem.results.fit import Fit


def log_likelihood_trace(fit: Fit) -> Figure:
    """The objective after each iteration, and how far each lies below the last one.

    Args:
        fit: any fit; one that was loaded will do.

    Returns:
        A Figure of two panels. On the right one, logarithmic, a straight line is linear convergence, as EM
        has it, and a steep end is the Newton polish.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the fit has no iterations to draw.

    Example:
        >>> fit = lem.fit(lem.GaussianMixture(1), np.arange(9.0), key=jax.random.key(0))
        >>> figure = lem.plot.log_likelihood_trace(fit)
        >>> [axes.get_xlabel() for axes in figure.axes]
        ['iteration', 'iteration']
    """
    trace = np.asarray(fit.trace, dtype=float)
    if trace.size == 0:
        raise ValueError("the fit has an empty trace: expected at least one iteration")
    figure = look.new_figure(8.0, 3.4)
    left, right = figure.subplots(1, 2)
    iterations = np.arange(1, len(trace) + 1)
    name = "log-likelihood" if fit.log_prior == 0 else "log-likelihood + log prior"
    points = {"color": look.COLOURS[0], "marker": "o" if len(trace) <= 60 else "", "markersize": 4}
    left.plot(iterations, trace, **points)
    left.set_ylabel(f"{name} (nats)")
    left.ticklabel_format(axis="y", useOffset=False)
    below = fit.objective - trace
    # What is left at rounding level says nothing, and the last difference is 0.
    known = below > 4 * np.finfo(float).eps * max(1.0, abs(fit.objective))
    right.plot(iterations[known], below[known], **points)
    right.set_ylabel("nats below the last value")
    if known.any():
        right.set_yscale("log")
        right.minorticks_off()
    else:
        told = "at its last value\nfrom the first iteration"
        right.text(0.5, 0.5, told, ha="center", va="center", transform=right.transAxes)
        right.set_yticks([])
    for axes in (left, right):
        axes.set_xlabel("iteration")
        axes.set_xlim(0.5, len(trace) + 0.5)
        look.count_on(axes.xaxis)
        look.finish(axes)
    figure.suptitle(f"{fit.name}: {fit.status.name}, {name} {fit.objective:.4f}", fontsize=11)
    return figure
