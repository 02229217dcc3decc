"""Sums over regions of an image, with standard errors: conjugate gradients, nothing of size P x P is formed."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.sparse.linalg import LinearOperator, cg
from scipy.special import ndtri

Vector = Float[np.ndarray, " P"]

#: Pixels below this share of the largest, which the likelihood would have lower still, lie on the edge.
EDGE = 1e-3


class Region(NamedTuple):
    """A linear function of an image.

    Args:
        value: at the estimate.
        standard_error: of the estimator, over repetitions of the measurement.
        lower, upper: of the 95 % interval.
    """

    value: float
    standard_error: float
    lower: float
    upper: float


def region(fit: Any, weights: Any, level: float) -> Region:
    """The sum of weights * image, with its standard error.

    The estimate solves A'(y / (A x + b) - 1) + grad log prior = 0; to first order it moves with the counts by
    H^-1 A' (y - mean) / mean, where H = A' diag(1 / mean) A + minus the prior's Hessian. Its variance is then
    sum over bins of (A u)^2 / mean with H u = weights (Fessler 1996, IEEE Trans. Image Processing 5). Pixels at 0 that
    the likelihood holds there do not move.

    Args:
        fit: of an `Emission`, at its maximum.
        weights: array of the image's shape; a mask is a sum over a region.
        level: of the interval.

    Raises:
        ValueError: the fit is no maximum, or the region is not identified.
    """
    emission = fit.declaration
    if not fit.status.ok:
        raise ValueError(f"region: this fit has status {fit.status.name}, so it is no maximum: {fit.status.advice}")
    shape, measured, prior = emission.shape, emission.known, emission.prior
    c = np.asarray(weights, np.float64)
    if c.shape != shape:
        raise ValueError(f"region has shape {c.shape}: expected {shape}, that of the image")
    x = fit.params["image"].ravel()
    value = float(c.ravel() @ x)
    mean = measured.mean(x)
    inverse = np.divide(1.0, mean, out=np.zeros_like(mean), where=mean > 0)
    free = moving(measured, x, mean) if prior is None else np.ones(len(x), bool)
    target = np.where(free, c.ravel(), 0.0)
    if not target.any():
        return Region(value, 0.0, value, value)
    bent, diagonal = (None, 0.0) if prior is None else prior.curvature(x.reshape(shape))

    def apply(v: Vector) -> Vector:
        v = np.where(free, v.ravel(), 0.0)
        out = measured.operator.adjoint(inverse * measured.operator.forward(v))
        if bent is not None:
            out = out + bent(v.reshape(shape)).ravel()
        return np.where(free, out, 0.0)

    squared = measured.operator.squared()
    scale = (measured.sensitivity if squared is None else squared.adjoint(inverse)) + np.ravel(diagonal)
    scale = np.where(free & (scale > 0), scale, 1.0)
    size = (len(x), len(x))
    system = LinearOperator(size, matvec=apply, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    precondition = LinearOperator(size, matvec=lambda v: v.ravel() / scale, dtype=np.float64)  # pyright: ignore
    u, failed = cg(system, target, rtol=1e-6, maxiter=10 * len(x), M=precondition)
    if failed:
        raise ValueError("region: the counts do not identify it; use a prior=, or a larger region")
    error = float(np.sqrt(np.sum(inverse * measured.operator.forward(u) ** 2)))
    z = float(ndtri(0.5 + 0.5 * level))
    return Region(value, error, value - z * error, value + z * error)


def moving(measured: Any, x: Vector, mean: Vector) -> np.ndarray:
    """Whether a pixel is free to move, and not held at 0 by the likelihood."""
    gradient = measured.operator.adjoint(measured.ratio(mean)) - measured.sensitivity
    held = (x < EDGE * x.max()) & (gradient < -EDGE * measured.sensitivity)
    return (measured.sensitivity > 0) & ~held
