"""The picture of the states: it shows what the fit says, and what cannot be drawn is refused in one line."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import latentem as lem
from latentem import datasets, plot

QUAKES = datasets.earthquakes()
OPTIONS: Any = {"method": lem.Plain(), "max_iterations": 2, "polish": False}


@cache
def three() -> lem.Fit:
    count = QUAKES.count.astype(float)
    count[3] = np.nan
    series = lem.sequences(count, lengths=[40, 60, 7])
    return lem.fit(lem.HMM(2, lem.families.Poisson()), series, key=jax.random.key(0), **OPTIONS)


def test_states_are_drawn_as_the_fit_has_them(tmp_path: Path) -> None:
    fit = three()
    figure: Any = plot.state_probabilities(fit, times=QUAKES.year[:40], labels=("year", "earthquakes"))
    above, below = figure.axes
    assert (below.get_xlabel(), above.get_ylabel()) == ("year", "earthquakes")
    smoothed, path = fit.smooth()[0], fit.viterbi()[0]
    drawn = np.ma.filled(np.ma.asarray(above.collections[0].get_offsets(), dtype=float), np.nan)
    assert len(drawn) in (39, 40) and np.nansum(drawn[:, 1]) == QUAKES.count[:40].sum() - QUAKES.count[3]
    # A state's mean, at a maximum for Poisson its rate, is that of all its observations with their weight.
    whole, count = np.concatenate(fit.smooth()), np.delete(QUAKES.count, 3)
    weight = np.delete(whole, 3, axis=0)
    means = count @ weight / weight.sum(axis=0)
    np.testing.assert_allclose(above.lines[1].get_ydata(), means[path], rtol=1e-12)
    # The lower band is the probability of state 0.
    corners = below.collections[0].get_paths()[0].vertices
    heights = [corners[corners[:, 0] == year, 1].max() for year in QUAKES.year[1:39]]
    np.testing.assert_allclose(heights, smoothed[1:39, 0], atol=1e-12)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        f"state {k} (mean {means[k]:.3g})" for k in (0, 1)
    ]
    figure.savefig(tmp_path / "states.png")
    assert (tmp_path / "states.png").stat().st_size > 5000
    last: Any = plot.state_probabilities(fit, sequence=2)
    assert len(last.axes[0].lines[0].get_xdata()) == 7


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="sequence=3: expected 0 to 2"):
        plot.state_probabilities(three(), sequence=3)
    with pytest.raises(ValueError, match=r"times have shape \(7,\): expected \(40,\), one for each step"):
        plot.state_probabilities(three(), times=np.arange(7))
    mixture = lem.fit(lem.Mixture(lem.families.Poisson(), 1), [1, 2, 6], key=jax.random.key(0))
    with pytest.raises(ValueError, match="expected a fit of a hidden Markov model"):
        plot.state_probabilities(mixture)
