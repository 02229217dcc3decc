"""Segmentation: Gaussian classes on a Markov random field."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from latentem.building import CutForm, LatticeForm, pairs, read_image
from latentem.models.segmentation.coupling import estimate_coupling
from latentem.models.segmentation.starts import averaged_classes

E_STEPS = ("mean field", "graph cut")


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Every pixel is of one of K classes, Gaussian in grey value or colour, and neighbours tend to be of one class:
    p(labels) is proportional to exp(coupling * pairs of equal neighbours), a Potts field.

    The posterior of the labels cannot be computed: the E-step is a mean field, or for two classes a graph cut, and the
    status of a fit that converged is `approximate`. The objective is a lower bound of the log-likelihood.

    Args:
        classes: K.
        neighbours: 4 or 8 in two dimensions, 6, 18 or 26 in three; 4 or 6 by default.
        coupling: what one equal neighbour adds to the log odds of a class; 0 is a mixture of equal weights. "estimated"
            takes it from simulated fields.
        e_step: "mean field" or "graph cut" (two classes, hard labels).
        rectangle: (top, left, bottom, right) of two classes: class 0 is all that lies outside, and class 1 what lies
            within and differs from it.
        sweeps: of the mean field in each E-step.
        window: edge of the squares that are averaged for the start.
        channels: whether the last axis of the image is channels; see `latentem.data.lattice.read_image`.
        seed: of the simulated fields.

    >>> image = np.where(np.arange(20) < 10, 0.0, 4.0) + np.random.default_rng(0).normal(size=(20, 20))
    >>> fit = lem.fit(lem.Segmentation(2, coupling=1.0), image)
    >>> fit.labels.sum(axis=0).tolist()[8:12], fit.status.name
    ([0, 0, 20, 20], 'approximate')
    """

    classes: int
    neighbours: int | None = None
    coupling: float | str = 1.0
    e_step: str = "mean field"
    rectangle: tuple[int, int, int, int] | None = None
    sweeps: int = 1
    window: int = 5
    channels: bool | None = None
    seed: int = 0
    form: Any = field(default=None, repr=False)

    figures = ("labels",)
    verbs = ("probabilities", "foreground")

    def __post_init__(self) -> None:
        for name, least in (("classes", 2), ("sweeps", 1), ("window", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name}={value!r}: expected an integer >= {least}")
        if self.coupling != "estimated" and not (
            isinstance(self.coupling, int | float) and 0 <= self.coupling < np.inf
        ):
            raise ValueError(f"coupling={self.coupling!r}: expected a number >= 0, or 'estimated'")
        if self.e_step not in E_STEPS:
            raise ValueError(f"e_step={self.e_step!r}: expected {' or '.join(map(repr, E_STEPS))}")
        if self.classes != 2 and (self.e_step == "graph cut" or self.rectangle is not None):
            which = "e_step='graph cut'" if self.e_step == "graph cut" else "rectangle="
            raise ValueError(f"{which} with {self.classes} classes: expected 2, background and foreground")

    @property
    def name(self) -> str:
        """What summaries and files call the model."""
        return f"segmentation, {self.classes} classes, {self.e_step}"

    def on_host(self, data: Any, weights: Any) -> tuple[Segmentation, np.ndarray, LatticeForm]:
        """(the model with its data, the image, what the driver climbs on)."""
        if weights is not None:
            raise ValueError("weights= of pixels: Segmentation takes none")
        image, _ = read_image(data, self.channels)
        shape = image.shape[:-1]
        if len(np.unique(image[..., 0])) < 2 and image.shape[-1] == 1:
            raise ValueError(f"image is {image.flat[0]:g} everywhere: expected at least two values")
        neighbours = self.neighbours or (4 if len(shape) == 2 else 6)
        pairs(len(shape), neighbours)
        floor = 1e-6 * float(image.reshape(-1, image.shape[-1]).var(axis=0).mean())
        fixed, first = self._begin(image)
        kind = CutForm if self.e_step == "graph cut" else LatticeForm
        coupling = 0.0 if isinstance(self.coupling, str) else float(self.coupling)
        form = kind(image, self.classes, neighbours, coupling, self.sweeps, first, fixed, floor)
        if isinstance(self.coupling, str):
            coupling = estimate_coupling(form, 40, self.seed)
            told = f"coupling {coupling:.3g} is from simulated fields, by pseudo-likelihood: a consistent estimate of"
            told = f"{told} a field that is seen, biased where classes overlap; compare with couplings that you fix"
            form = replace(form, coupling=coupling, note=told)
        return replace(self, neighbours=neighbours, form=form), np.asarray(data), form

    def _begin(self, image: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
        """(known labels or None, responsibilities to begin with)."""
        if self.rectangle is None:
            return None, averaged_classes(image, self.classes, self.window)
        shape = image.shape[:-1]
        if len(shape) != 2 or len(self.rectangle) != 4:
            raise ValueError(f"rectangle={self.rectangle!r}: expected (top, left, bottom, right) of an image")
        top, left, bottom, right = self.rectangle
        inside = 0 <= top < bottom <= shape[0] and 0 <= left < right <= shape[1]
        if not inside or (bottom - top, right - left) == shape:
            raise ValueError(f"rectangle={self.rectangle!r}: expected a part of the image, {shape[0]} x {shape[1]}")
        fixed = np.zeros(shape, np.int64)
        fixed[top:bottom, left:right] = -1
        # What lies within and is as likely under the outside begins as background.
        outside = image[fixed == 0]
        spread = np.cov(outside.T).reshape(image.shape[-1], -1) + 1e-9 * np.eye(image.shape[-1])
        away = image - outside.mean(axis=0)
        distance = np.einsum("...i,ij,...j->...", away, np.linalg.inv(spread), away)
        far = (fixed < 0) & (distance > np.median(distance[fixed < 0]))
        return fixed, np.stack([~far, far]).astype(np.float64)

    def kept(self) -> Segmentation:
        """What a file keeps: the declaration without the image."""
        return replace(self, form=None)

    # --- verbs

    def labels(self, fit: Any) -> np.ndarray:
        """The class of every pixel, integers."""
        return fit.params["probabilities"].argmax(axis=-1)

    def probabilities(self, fit: Any) -> np.ndarray:
        """Approximate posterior probabilities, (*lattice, K); certain after a graph cut."""
        return fit.params["probabilities"]

    def foreground(self, fit: Any) -> np.ndarray:
        """Whether a pixel is of class 1, of two classes."""
        if self.classes != 2:
            raise ValueError(f"foreground: expected 2 classes, not {self.classes}: use labels")
        return fit.labels == 1
