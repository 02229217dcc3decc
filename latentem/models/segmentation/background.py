"""What moves in a film: a Gaussian mixture of every pixel, updated frame by frame (Stauffer and Grimson 1999)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from latentem.building import read_image


@dataclass
class Background:
    """Online EM of a mixture per pixel; `update(frame)` says what is in front.

    Args:
        components: of every mixture.
        rate: step size of the online EM; a thing that stands still for about 1 / rate frames becomes background.
        share: of the time, that the background components of a pixel take together.
        distance: standard deviations within which a value belongs to a component.
        deviation: of a new component, in units of the image.

    >>> rng = np.random.default_rng(0)
    >>> film = 10 + rng.normal(size=(60, 8, 8))
    >>> film[-1, 2:4, 2:4] += 30
    >>> background = lem.models.segmentation.Background()
    >>> moving = [background.update(frame) for frame in film][-1]
    >>> int(moving.sum()), bool(moving[2:4, 2:4].all())
    (4, True)
    """

    components: int = 3
    rate: float = 0.05
    share: float = 0.7
    distance: float = 3.5
    deviation: float = 3.0
    state: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.components, int) or self.components < 1:
            raise ValueError(f"components={self.components!r}: expected an integer >= 1")
        for name in ("rate", "share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)!r}: expected a number above 0 and up to 1")

    def update(self, frame: Any) -> np.ndarray:
        """Learn one frame, and return whether each pixel belongs to none of its background components, (H, W) bools."""
        x, _ = read_image(frame)
        if self.state is None:
            weights = np.zeros((self.components, *x.shape[:-1]))
            weights[0] = 1.0
            means = np.repeat(x[None], self.components, axis=0)
            self.state = weights, means, np.full(weights.shape, self.deviation**2)
            return np.zeros(x.shape[:-1], bool)
        weights, means, variances = self.state
        if means.shape[1:] != x.shape:
            raise ValueError(f"frame has shape {x.shape[:-1]}: expected {means.shape[1:-1]}, as before")
        apart = np.sum((x - means) ** 2, axis=-1)
        fits = (apart < self.distance**2 * variances * x.shape[-1]) & (weights > 0)
        chosen = np.where(fits, weights / np.sqrt(variances), -1.0).argmax(axis=0)
        known = fits.any(axis=0)
        chosen = np.where(known, chosen, weights.argmin(axis=0))
        at = (chosen[None] == np.arange(self.components).reshape(-1, 1, *(1,) * (x.ndim - 2))).reshape(weights.shape)
        fresh, old = at & ~known, at & known
        weights = (1 - self.rate) * weights + self.rate * at
        step = np.where(old, np.minimum(1.0, self.rate / np.maximum(weights, 1e-12)), 0.0)
        means = np.where(fresh[..., None], x, means + step[..., None] * (x - means))
        target = apart / x.shape[-1]
        variances = np.where(fresh, self.deviation**2, variances + step * (target - variances))
        weights = np.where(fresh, self.rate, weights)
        weights = weights / weights.sum(axis=0)
        self.state = weights, means, np.maximum(variances, 1e-3 * self.deviation**2)
        return ~self._is_background(chosen)

    def _is_background(self, chosen: np.ndarray) -> np.ndarray:
        """Whether the component of every pixel is among the heaviest that together take `share` of the time."""
        weights, _, variances = self.state
        order = np.argsort(-weights / np.sqrt(variances), axis=0)
        before = np.cumsum(np.take_along_axis(weights, order, 0), axis=0) - np.take_along_axis(weights, order, 0)
        among = np.zeros(weights.shape, bool)
        np.put_along_axis(among, order, before < self.share, axis=0)
        return np.take_along_axis(among, chosen[None], 0)[0]
