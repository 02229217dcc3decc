"""Emission: an image, spectrum or histogram behind a linear operator, from Poisson counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from latentem.building import Callables, CountsForm, Measured, Operator, operator
from latentem.models.emission.measured import measured
from latentem.models.emission.paths import Path, bias_variance
from latentem.models.emission.regions import Region, region
from latentem.models.emission.stopping import RULES


@dataclass(frozen=True, eq=False)
class Emission:
    """Poisson counts y_i of mean attenuation_i (A x)_i + background_i, with an image x >= 0 to be found.

    Positron emission tomography, Richardson-Lucy deconvolution (A a blur) and unfolding (A a response matrix) are
    this model. Without a prior the fit is MLEM (Shepp and Vardi 1982), accelerated by SQUAREM in a way that keeps
    ascending; with `method=lem.Plain()` it is MLEM step by step.

    Args:
        operator: what `lem.operator` takes or gives, (M, P).
        shape: of the image; (P,) by default.
        background: expected counts per bin that do not come from the image (randoms, scatter): a number or an array.
        attenuation: fraction of each bin that comes through, 0 to 1.
        prior: `lem.priors.Quadratic`, `Huber` or `RelativeDifference` of the image, for MAP.
        subsets: number of ordered subsets (OSEM, Hudson and Larkin 1994): subset s has the rows s, s + subsets, ... of
            the first axis of the counts, the angles of a sinogram. Fast at first, but it does not ascend: the status
            is `subsets`. Say how often to go through the data, `lem.fit(..., passes=4)`.
        sensitivity: (P,), of list-mode data: the operator's rows are the events of the list, and this is A'1 over all
            bins that could have counted. Counts are then ones.
        stopping: "discrepancy" ends MLEM where chi-square equals the number of bins.

    >>> blur = np.array([[0.8, 0.2, 0.0], [0.2, 0.6, 0.2], [0.0, 0.2, 0.8]])
    >>> fit = lem.fit(lem.Emission(blur), np.array([20.0, 60.0, 20.0]))
    >>> fit.image.round(3).tolist(), fit.status.name
    ([0.0, 100.0, 0.0], 'converged')
    """

    operator: Any
    shape: Any = None
    background: Any = 0.0
    attenuation: Any = None
    prior: Any = None
    subsets: int = 1
    sensitivity: Any = None
    stopping: str | None = None
    measured: Measured | None = field(default=None, repr=False)

    figures = ("image",)
    verbs = ("expected_counts", "residuals", "region", "bias_variance")

    def __post_init__(self) -> None:
        if not isinstance(self.subsets, int) or self.subsets < 1:
            raise ValueError(f"subsets={self.subsets!r}: expected an integer >= 1")
        if self.prior is not None and not hasattr(self.prior, "maximize"):
            told = "lem.priors.Quadratic, lem.priors.Huber or lem.priors.RelativeDifference"
            raise ValueError(f"prior={self.prior!r}: expected {told}")
        if self.stopping is not None and self.stopping not in RULES:
            raise ValueError(f"stopping={self.stopping!r}: expected {' or '.join(map(repr, RULES))}")

    @property
    def name(self) -> str:
        """What summaries and files call the model."""
        rows, columns = ("?", "?") if self.operator is None else self.operator.shape
        how = "MLEM" if self.prior is None else f"MAP-EM, {type(self.prior).__name__}"
        how = f"OSEM, {self.subsets} subsets" if self.subsets > 1 else how
        return f"emission ({how}): {rows} bins, {columns} pixels"

    def on_host(self, data: Any, weights: Any) -> tuple[Emission, np.ndarray, CountsForm]:
        """(the model with what the data fix, the counts, what the driver climbs on).

        Args:
            data: counts, any shape with M entries; NaN where a bin was not measured.
            weights: of the bins, the same shape.
        """
        if self.operator is None:
            raise ValueError("this Emission was loaded without its operator: pass model= beside data=")
        system = operator(self.operator)
        shape = self._shape(system)
        if self.prior is not None:
            self.prior.pairs(np.empty(shape))
        declared = replace(self, operator=system, shape=shape)
        found, counts = measured(declared, data, weights)
        stopping = None if self.stopping is None else RULES[self.stopping]
        form = CountsForm(found, shape, self._parts(found, counts), self.prior, stopping)
        return replace(declared, measured=found), counts, form

    def _shape(self, system: Operator) -> tuple[int, ...]:
        """Of the image."""
        known = system.domain if isinstance(system, Callables) else (system.shape[1],)
        if self.shape is None:
            return known
        shape = (self.shape,) if isinstance(self.shape, int) else tuple(int(n) for n in self.shape)
        if int(np.prod(shape)) != system.shape[1]:
            raise ValueError(f"shape={self.shape!r}: expected {system.shape[1]} pixels in all, the operator's columns")
        return shape

    def _parts(self, whole: Measured, counts: np.ndarray) -> tuple[Measured, ...]:
        """The ordered subsets; none where there is one."""
        if self.subsets == 1:
            return ()
        if self.sensitivity is not None:
            raise ValueError("subsets= of a list of events: expected counts per bin; leave subsets= out")
        if self.subsets > len(counts):
            raise ValueError(f"subsets={self.subsets}: expected at most {len(counts)}, the rows of the counts")
        row = np.arange(counts.size).reshape(counts.shape)
        background = np.broadcast_to(whole.background, whole.counts.shape)
        parts = []
        for s in range(self.subsets):
            index = row[s :: self.subsets].ravel()
            part = whole.operator.rows(index)
            b = background[index]
            parts.append(Measured(part, whole.counts[index], b, np.asarray(part.sensitivity), float(b.sum())))
        return tuple(parts)

    def kept(self) -> Emission:
        """What a file keeps: all but the operator and the arrays of the bins, which `model=` gives again."""
        return replace(self, operator=None, background=0.0, attenuation=None, sensitivity=None, measured=None)

    # --- verbs

    def image(self, fit: Any) -> np.ndarray:
        """The estimate, in the image's shape."""
        return fit.params["image"]

    def expected_counts(self, fit: Any) -> np.ndarray:
        """Mean of every bin at the estimate, in the shape of the counts."""
        return self.known.mean(fit.params["image"].ravel()).reshape(fit.data.observations.shape)

    def residuals(self, fit: Any) -> np.ndarray:
        """Pearson's residuals, (y - mean) / sqrt(mean), in the shape of the counts; NaN where nothing is expected."""
        mean = self.expected_counts(fit)
        y = self.known.counts.reshape(mean.shape)
        return np.divide(y - mean, np.sqrt(mean), out=np.full_like(mean, np.nan), where=mean > 0)

    def region(self, fit: Any, weights: Any, level: float = 0.95) -> Region:
        """The sum of weights * image (a mask: the sum over a region) with standard error and interval.

        Args:
            fit: at its maximum.
            weights: array of the image's shape.
            level: of the interval.

        Raises:
            ValueError: the fit is no maximum, or the counts do not identify the region.
        """
        return region(fit, weights, level)

    def bias_variance(
        self,
        fit: Any,
        regions: Any,
        iterations: Sequence[int] = (1, 2, 5, 10, 20, 50),
        *,
        truth: Any = None,
        simulations: int = 50,
        seed: int = 0,
    ) -> Path:
        """Bias and standard deviation of regions after so many iterations of MLEM, by simulation.

        Args:
            fit: its image is simulated from.
            regions: weights of linear functions, (R, *shape) or (*shape).
            iterations: where to look.
            truth: an image to simulate from in its place.
            simulations: how many.
            seed: of them.
        """
        image = fit.params["image"] if truth is None else np.asarray(truth, np.float64)
        if image.shape != self.shape:
            raise ValueError(f"truth has shape {image.shape}: expected {self.shape}")
        return bias_variance(self, image, regions, iterations, simulations, seed)

    @property
    def known(self) -> Measured:
        """What the data say about it."""
        if self.measured is None:
            told = "a fit that was loaded needs lem.load(path, model=..., data=...) for this"
            raise ValueError(f"this Emission has seen no data: ask a fit of it; {told}")
        return self.measured
