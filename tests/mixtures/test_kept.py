"""Fits of every kind of mixture, saved and loaded alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import latentem as lem
from latentem import families as F

RNG = np.random.default_rng(0)
X = np.r_[RNG.normal(0, 1, (30, 3)), RNG.normal(5, 2, (30, 3))]
TABLE = {"y": X[:, 0], "age": X[:, 1]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "data"),
    [
        (lem.Mixture(F.Gaussian(), 2, gate="age"), TABLE),
        (lem.GaussianMixture(2, "EEV"), X),
        (lem.GaussianMixture(1, "VII", noise=True), X),
        (lem.FactorAnalysis(1, noise="spherical"), X),
        (lem.Mixture(F.Truncated(F.Gaussian(), lower=-10.0), 1), TABLE["y"]),
    ],
    ids=["gate", "structure", "noise", "factors", "truncated"],
)
def test_a_fit_loaded_alone_scores_and_fills_in(model: Any, data: Any, tmp_path: Path) -> None:
    fit = lem.fit(model, data, key=0)
    again = lem.load(fit.save(tmp_path / "fit"))
    np.testing.assert_allclose(again.log_prob(data), fit.log_prob(), rtol=1e-12)
    if isinstance(data, np.ndarray) and data.ndim == 2:
        holes = data.copy()
        holes[::7, 1] = np.nan
        assert not np.isnan(again.impute(x=holes)).any()
