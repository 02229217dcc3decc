"""A structural series taken apart: what each part was, given all readings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentem.kalman import matrices, smoothed

if TYPE_CHECKING:
    from latentem.models.statespace.structural import Structural


def components(model: Structural, fit: Any, data: Any) -> dict[str, tuple[Any, Any]]:
    """See `Structural.decompose`."""
    system = matrices(fit.model, fit.params)
    paths, split = smoothed(fit.model, fit.params, data), data.observations.split
    found: dict[str, tuple[Any, Any]] = {}

    def part(name: str, i: int) -> np.ndarray:
        sd = np.sqrt(np.maximum(paths.covariance[:, i, i], 0.0))
        found[name] = split(paths.mean[:, i]), split(sd)
        return paths.mean[:, i]

    total = np.zeros(len(paths.mean))
    for name, own in model.parts.items():
        total = total + part(name, own.start)
    if model.trend:
        part("trend", model.parts["level"].start + 1)
    if model.regressors:
        regression = data.observations.steps["v"] @ system.offset[0]
        found["regression"] = split(regression), split(np.zeros_like(regression))
        total = total + regression
    left = data.observations.steps["y"][:, 0] - total
    around = np.einsum("i,tij,j->t", system.observation[0], paths.covariance, system.observation[0])
    found["noise"] = split(left), split(np.where(np.isnan(left), np.nan, np.sqrt(np.maximum(around, 0.0))))
    return found
