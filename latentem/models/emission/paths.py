"""Bias and standard deviation of regions along the iterations of MLEM, by simulation from a fit or a known image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float


class Path(NamedTuple):
    """What early stopping costs and gains.

    Args:
        iterations: (I,) where it was looked.
        truth: (R,) regions of the image simulated from.
        bias, standard_deviation: (I, R) of the regions of the images reconstructed.
    """

    iterations: np.ndarray
    truth: Float[np.ndarray, " R"]
    bias: Float[np.ndarray, "I R"]
    standard_deviation: Float[np.ndarray, "I R"]


def bias_variance(
    emission: Any, image: np.ndarray, regions: Any, iterations: Sequence[int], simulations: int, seed: int
) -> Path:
    """Reconstruct data that are simulated from an image, all at once, and compare.

    Args:
        emission: declared, with its data.
        image: what is simulated from.
        regions: (R, *shape) or one region, weights of linear functions.
        iterations: where to look, increasing.
        simulations: how many data sets.
        seed: of the simulation.

    Raises:
        ValueError: regions or iterations that cannot be.
    """
    measured, shape = emission.known, emission.shape
    of = np.asarray(regions, np.float64)
    of = of[None] if of.shape == shape else of
    if of.shape[1:] != shape:
        raise ValueError(f"regions have shape {of.shape}: expected {shape}, or (R, {', '.join(map(str, shape))})")
    looks = np.asarray(iterations, int)
    if looks.ndim != 1 or not len(looks) or looks[0] < 1 or (np.diff(looks) <= 0).any():
        raise ValueError(f"iterations={list(iterations)}: expected increasing whole numbers >= 1")
    if emission.prior is not None:
        raise ValueError("bias_variance: expected an Emission without prior=, which iterations regularise")
    flat = of.reshape(len(of), -1)
    counts = np.random.default_rng(seed).poisson(
        measured.mean(image.ravel())[:, None], (len(measured.counts), simulations)
    )
    background = np.broadcast_to(measured.background, measured.counts.shape)[:, None]
    x = np.ones((flat.shape[1], simulations)) * (measured.inverse > 0)[:, None]
    found = []
    for done in range(1, int(looks[-1]) + 1):
        mean = measured.operator.forward(x) + background
        ratio = np.divide(counts, mean, out=np.zeros_like(mean), where=mean > 0)
        x *= measured.operator.adjoint(ratio) * measured.inverse[:, None]
        if done in looks:
            found.append(flat @ x)
    seen, truth = np.array(found), flat @ image.ravel()
    return Path(looks, truth, seen.mean(axis=2) - truth, seen.std(axis=2, ddof=1))
