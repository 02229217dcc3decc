"""Poisson counts through a linear operator: y_i ~ Poisson((A x)_i + b_i), x >= 0.

What pixel j emits into bin i is the latent count; its expectation, x_j A_ij y_i / (A x + b)_i, summed over the bins is
the E-step, x * A'(y / (A x + b)). Divided by the sensitivity A'1 it is the M-step (Shepp and Vardi 1982; Lange and
Carson 1984); Richardson-Lucy deconvolution and the unfolding of histograms are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import gammaln

from latentem.forms.host import HostForm
from latentem.numerics.operators import Operator

Vector = Float[np.ndarray, " P"]


@dataclass(eq=False)
class Measured:
    """Counts and how they come about, for all bins or for a subset of them.

    Args:
        operator: (M, P).
        counts: (M,), y.
        background: (M,), b.
        sensitivity: (P,), A'1 over all bins that could have counted, those outside the list included.
        background_total: sum of b over the same bins.
    """

    operator: Operator
    counts: Vector
    background: Vector | float
    sensitivity: Vector
    background_total: float
    constant: float = 0.0
    #: 1 / sensitivity, 0 for what no bin sees.
    inverse: Vector = field(init=False)

    def __post_init__(self) -> None:
        seen = self.sensitivity > 0
        self.inverse = np.divide(1.0, self.sensitivity, out=np.zeros_like(self.sensitivity), where=seen)

    def mean(self, x: Vector) -> Vector:
        """A x + b, (M,)."""
        mean = self.operator.forward(x)
        mean += self.background
        return mean

    def ratio(self, mean: Vector) -> Vector:
        """y / mean, 0 where nothing was counted."""
        if mean.min() > 0:
            return self.counts / mean
        return np.divide(self.counts, mean, out=np.zeros_like(mean), where=(self.counts > 0) & (mean > 0))

    def expected(self, x: Vector, mean: Vector) -> Vector:
        """E-step: expected counts that come from each x, (P,)."""
        back = self.operator.adjoint(self.ratio(mean))
        back *= x
        return back

    def log_likelihood(self, x: Vector, mean: Vector) -> float:
        """sum over bins of y log(mean) - mean - log y!."""
        if mean.min() > 0:
            logs = float(self.counts @ np.log(mean))
        else:
            some = self.counts > 0
            with np.errstate(divide="ignore"):
                logs = float(self.counts[some] @ np.log(np.maximum(mean[some], 0.0)))
        return logs - float(self.sensitivity @ x) - self.background_total - self.constant


def log_factorials(counts: Vector) -> float:
    """sum of log y!."""
    return float(gammaln(counts + 1).sum())


@dataclass(eq=False)
class CountsForm(HostForm):
    """MLEM, or MAP-EM with a prior of the image; ordered subsets where there are several.

    Args:
        measured: all bins.
        subsets: the bins in parts, for OSEM (Hudson and Larkin 1994), one pass through which is one update.
        shape: of the image, for the prior and for params.
        prior: with `log_prob(image)` and `maximize(counts, sensitivity, image)`.
        stopping: (measured, x, iterations) -> why to stop, or None.
    """

    measured: Measured
    shape: tuple[int, ...]
    subsets: tuple[Measured, ...] = ()
    prior: Any = None
    stopping: Callable[[Measured, Vector, int], str | None] | None = None

    def __post_init__(self) -> None:
        self.ascends = not self.subsets
        #: of one subset: a share of the prior, so that a pass applies it once
        share = self.prior and replace(self.prior, strength=self.prior.strength / max(1, len(self.subsets)))
        self.share = share if self.subsets else self.prior
        self.n_parameters = int(np.sum(self.measured.sensitivity > 0))
        self.n_observations = float(len(self.measured.counts))

    def start(self, rng: np.random.Generator, first: bool) -> Vector:
        """Ones, so that a path is the same for everybody; other starts are random around them."""
        size = len(self.measured.sensitivity)
        ones = np.ones(size) if first else rng.exponential(size=size)
        return np.where((self.measured.sensitivity > 0) | (self.prior is not None), ones, 0.0)

    def update(self, theta: Vector) -> tuple[Vector, float]:
        mean = self.measured.mean(theta)
        objective = self.measured.log_likelihood(theta, mean) + self._log_prior(theta)
        if not self.subsets:
            return self._step(self.measured, theta, mean), objective
        for part in self.subsets:
            theta = self._step(part, theta, part.mean(theta))
        return theta, objective

    def _step(self, part: Measured, x: Vector, mean: Vector) -> Vector:
        expected = part.expected(x, mean)
        if self.prior is None:
            if part is self.measured:
                expected *= part.inverse
                return expected
            return np.where(part.sensitivity > 0, expected * part.inverse, x)
        images = (a.reshape(self.shape) for a in (expected, part.sensitivity, x))
        return (self.prior if part is self.measured else self.share).maximize(*images).ravel()

    def _log_prior(self, x: Vector) -> float:
        return 0.0 if self.prior is None else self.prior.log_prob(x.reshape(self.shape))

    def values(self, theta: Vector) -> tuple[float, float]:
        return self.measured.log_likelihood(theta, self.measured.mean(theta)), self._log_prior(theta)

    def params(self, theta: Vector) -> Any:
        return {"image": theta.reshape(self.shape).copy()}

    def theta(self, params: Any) -> Vector:
        try:
            image = np.asarray(params["image"], np.float64)
        except (KeyError, TypeError, ValueError, IndexError):
            raise ValueError('initial: expected {"image": array}') from None
        if image.size != np.prod(self.shape):
            raise ValueError(f"initial image has shape {image.shape}: expected {self.shape}")
        if not (np.isfinite(image).all() and (image >= 0).all()):
            raise ValueError("initial image has entries that are negative or not finite: expected numbers >= 0")
        return np.where(image.ravel() > 0, image.ravel(), 0.0)

    def stop(self, theta: Vector, iterations: int) -> str | None:
        return None if self.stopping is None else self.stopping(self.measured, theta, iterations)

    def remarks(self, theta: Vector) -> tuple[str, ...]:
        blind = int(np.sum(self.measured.sensitivity <= 0))
        if not blind or self.prior is not None:
            return ()
        return (f"{blind} of {len(theta)} pixels are seen by no bin: they stay 0 and are no parameters",)
