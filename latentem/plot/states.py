"""The states of a hidden Markov model along a sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from latentem.plot import look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from latentem.results.fit import Fit


def state_probabilities(
    fit: Fit, *, sequence: int = 0, times: Any = None, labels: tuple[str, str] = ("step", "x")
) -> Figure:
    """A sequence, the mean of its most probable path, and the smoothed probability of every state at each step.

    Args:
        fit: of a hidden Markov model whose observations are one number each.
        sequence: which sequence to draw.
        times: (T,) when the steps were, such as years; 0, 1, ... by default.
        labels: names of time and of what was observed, with units.

    Returns:
        A Figure of two panels. The mean of a state is that of the observations, each weighted by its
        probability of that state.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: another model, several columns, no such sequence, or times of another length.

    Example:
        >>> data = lem.datasets.earthquakes()
        >>> fit = lem.fit(lem.HMM(2, lem.families.Poisson()), data.count, key=jax.random.key(0))
        >>> figure = lem.plot.state_probabilities(fit, times=data.year, labels=("year", "earthquakes"))
        >>> [axes.get_ylabel() for axes in figure.axes]
        ['earthquakes', 'probability']
    """
    if "smooth" not in getattr(fit.declaration, "verbs", ()):
        raise ValueError(f"{fit.name}: expected a fit of a hidden Markov model, lem.HMM")
    x, probabilities, path, means = _of_states(fit, sequence)
    when = np.arange(len(x)) if times is None else np.asarray(times)
    if when.shape != x.shape:
        raise ValueError(f"times have shape {when.shape}: expected {x.shape}, one for each step of the sequence")
    figure = look.new_figure(8.0, 4.6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    above.plot(when, x, color="0.6", linewidth=0.8, zorder=1)
    palette = np.array([look.rgb(look.style(k)[0]) for k in range(len(means))])
    above.scatter(when, x, c=palette[path], s=14, zorder=3)
    above.step(when, means[path], where="mid", color="black", linewidth=1.2, zorder=2)
    bands = below.stackplot(when, probabilities.T, colors=[look.style(k)[0] for k in range(len(means))])
    for k, (band, mean) in enumerate(zip(bands, means, strict=True)):
        band.set_label(f"state {k} (mean {mean:.3g})")
    below.set_ylim(0, 1)
    below.set_ylabel("probability")
    below.set_xlabel(labels[0])
    above.set_ylabel(labels[1])
    above.margins(x=0.01)
    figure.legend(handles=list(bands), loc="outside upper center", ncols=min(len(means), 4), frameon=False)
    for axes in (above, below):
        look.finish(axes)
    return figure


def _of_states(fit: Fit, sequence: int) -> tuple[Any, Float[np.ndarray, "T K"], Any, Float[np.ndarray, " K"]]:
    """(observations (T,) with NaN where there is none, smoothed, Viterbi, mean of each state) of one sequence."""
    series = fit.sequences()
    steps = series.steps
    if isinstance(steps, dict) or np.asarray(steps).reshape(series.total, -1).shape[1] != 1:
        raise ValueError("observations of several columns: expected one; fit and draw one of them")
    if not 0 <= sequence < series.n:
        raise ValueError(f"sequence={sequence}: expected 0 to {series.n - 1}")
    x = np.asarray(steps, dtype=np.float64).reshape(-1)
    x = x if series.observed is None else np.where(series.observed, x, np.nan)
    smoothed, path = fit.smooth(), fit.viterbi()
    every = smoothed if series.single else np.concatenate(smoothed)
    there = ~np.isnan(x)
    weight = every[there]
    means = weight.T @ x[there] / np.maximum(weight.sum(axis=0), np.finfo(float).tiny)
    begin = series.starts[sequence]
    own = slice(begin, begin + series.lengths[sequence])
    return x[own], every[own], path if series.single else path[sequence], means
