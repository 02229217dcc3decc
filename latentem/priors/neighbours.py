"""Priors of images: neighbouring pixels are alike. Densities up to a constant, on the host.

Each is -strength times a sum over pairs of neighbours of a potential of their two values, weighted by one over their
distance. Beside `log_prob` an image prior has what MAP-EM and its errors need:

- `maximize(counts, sensitivity, image)`: the M-step, pixel by pixel, of a separable surrogate that touches the prior
  at `image` and lies below it elsewhere (De Pierro 1995, IEEE Trans. Med. Imaging 14), so that MAP-EM ascends;
- `curvature(image)`: the Hessian of minus the log density, as a function v -> H v, and its diagonal.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from latentem.numerics.lattice import Pairs, pairs

Image = Float[np.ndarray, "*lattice"]
#: Pixels below this are 0.
TINY = 1e-100


@dataclass(frozen=True)
class ImagePrior(ABC):
    """A Gibbs density of an image.

    Args:
        neighbours: 4 or 8 in two dimensions; 6, 18 or 26 in three; 2 in one.
        strength: factor of the sum of potentials, >= 0.
    """

    neighbours: int = 8
    strength: float = 1.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.strength) and self.strength >= 0):
            raise ValueError(f"{type(self).__name__}(strength={self.strength!r}): expected a number >= 0")

    def pairs(self, image: Image) -> tuple[Pairs, ...]:
        """Pairs of neighbours of this image."""
        return pairs(image.ndim, self.neighbours)

    @abstractmethod
    def potential(self, a: Any, b: Any) -> Any:
        """What a pair of values costs; 0 where they are equal."""

    @abstractmethod
    def maximize(self, counts: Image, sensitivity: Image, image: Image) -> Image:
        """argmax over x >= 0 of counts log x - sensitivity x + the surrogate of the log prior at `image`."""

    @abstractmethod
    def second(self, a: Any, b: Any) -> tuple[Any, Any, Any]:
        """Second derivatives of the potential: aa, ab, bb."""

    def log_prob(self, image: Image) -> float:
        """Log density of an image, up to a constant."""
        found = (np.sum(self.potential(image[p.first], image[p.second])) / p.distance for p in self.pairs(image))
        return -self.strength * float(sum(found))

    def curvature(self, image: Image) -> tuple[Callable[[Image], Image], Image]:
        """(v -> H v, diagonal of H), H the Hessian of minus the log density."""
        of_pairs = []
        diagonal = np.zeros_like(image)
        for p in self.pairs(image):
            aa, ab, bb = (self.strength / p.distance * h for h in self.second(image[p.first], image[p.second]))
            of_pairs.append((p, aa, ab, bb))
            diagonal[p.first] += aa
            diagonal[p.second] += bb

        def apply(v: Image) -> Image:
            out = np.zeros_like(v)
            for p, aa, ab, bb in of_pairs:
                out[p.first] += aa * v[p.first] + ab * v[p.second]
                out[p.second] += ab * v[p.first] + bb * v[p.second]
            return out

        return apply, diagonal


class _HalfQuadratic(ImagePrior):
    """Potentials of the difference with psi'(d) / d falling in |d|: weighted squares lie above them."""

    @abstractmethod
    def weight(self, d: Any) -> Any:
        """psi'(d) / d."""

    def maximize(self, counts: Image, sensitivity: Image, image: Image) -> Image:
        total, pull = np.zeros_like(image), np.zeros_like(image)
        for p in self.pairs(image):
            a, b = image[p.first], image[p.second]
            w = self.strength / p.distance * self.weight(a - b)
            both = w * (a + b)
            total[p.first] += w
            total[p.second] += w
            pull[p.first] += both
            pull[p.second] += both
        # counts / x = sensitivity + 2 total x - pull
        linear = sensitivity - pull
        root = np.sqrt(linear**2 + 8 * total * counts)
        rises = linear > 0
        below = np.where(rises, linear + root, 4 * total)
        above = np.where(rises, 2 * counts, root - linear)
        return np.divide(above, below, out=np.zeros_like(image), where=below > 0)


@dataclass(frozen=True)
class Quadratic(_HalfQuadratic):
    """Squared differences of neighbours: log p(x) = -strength sum over pairs of (x_j - x_k)^2 / (2 distance).

    >>> lem.priors.Quadratic(4, strength=2.0).log_prob(np.array([[0.0, 1.0], [0.0, 1.0]]))
    -2.0
    """

    def potential(self, a: Any, b: Any) -> Any:
        return 0.5 * (a - b) ** 2

    def weight(self, d: Any) -> Any:
        return np.ones_like(d)

    def second(self, a: Any, b: Any) -> tuple[Any, Any, Any]:
        one = np.ones_like(a)
        return one, -one, one


@dataclass(frozen=True)
class Huber(_HalfQuadratic):
    """Squares for differences below `threshold`, linear beyond: edges are kept.

    The potential is d^2 / 2 up to |d| = threshold, and threshold |d| - threshold^2 / 2 beyond (Huber 1964).
    """

    threshold: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (np.isfinite(self.threshold) and self.threshold > 0):
            raise ValueError(f"Huber(threshold={self.threshold!r}): expected a number > 0, in units of the image")

    def potential(self, a: Any, b: Any) -> Any:
        d = np.abs(a - b)
        return np.where(d <= self.threshold, 0.5 * d**2, self.threshold * (d - 0.5 * self.threshold))

    def weight(self, d: Any) -> Any:
        return self.threshold / np.maximum(np.abs(d), self.threshold)

    def second(self, a: Any, b: Any) -> tuple[Any, Any, Any]:
        inside = (np.abs(a - b) <= self.threshold).astype(np.float64)
        return inside, -inside, inside


@dataclass(frozen=True)
class RelativeDifference(ImagePrior):
    """Differences relative to the values: (a - b)^2 / (a + b + edge |a - b|) (Nuyts et al. 2002, IEEE Trans. Nucl.
    Sci. 49), the prior of clinical scanners.

    Args:
        edge: gamma; large values keep edges.
        floor: added to the denominator, so that it is positive where the image is 0; in units of the image.
    """

    edge: float = 2.0
    floor: float = 1e-9

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (np.isfinite(self.edge) and self.edge >= 0 and self.floor > 0):
            told = f"RelativeDifference(edge={self.edge!r}, floor={self.floor!r})"
            raise ValueError(f"{told}: expected edge >= 0 and floor > 0")

    def _relative(self, a: Any, b: Any) -> tuple[Any, Any, Any]:
        """(d / u, u, sign of d)."""
        d = a - b
        u = a + b + self.edge * np.abs(d) + self.floor
        return d / u, u, np.sign(d)

    def potential(self, a: Any, b: Any) -> Any:
        r, u, _ = self._relative(a, b)
        return r * r * u

    def second(self, a: Any, b: Any) -> tuple[Any, Any, Any]:
        r, u, s = self._relative(a, b)
        of_a, of_b = 1 - r * (1 + self.edge * s), 1 + r * (1 - self.edge * s)
        return 2 * of_a**2 / u, -2 * of_a * of_b / u, 2 * of_b**2 / u

    def maximize(self, counts: Image, sensitivity: Image, image: Image) -> Image:
        # The surrogate of a convex pair at (a, b): half f(2 x_a - a, b) + half f(a, 2 x_b - b). Its slope in x falls,
        # so Newton's method in a bracket finds the root; below image / 2 the potential is not defined.
        low, high = 0.5 * image, image.copy()
        for p in self.pairs(image):
            between = 0.5 * (image[p.first] + image[p.second])
            high[p.first] = np.maximum(high[p.first], between)
            high[p.second] = np.maximum(high[p.second], between)
        seen = sensitivity > 0
        high = np.maximum(high, np.divide(counts, sensitivity, out=np.zeros_like(image), where=seen))
        size = float(high.max())
        high = np.where(self._slope(low, counts, sensitivity, image)[0] > 0, high, low)
        x = np.clip(image, low, high)
        for _ in range(60):
            slope, bend = self._slope(x, counts, sensitivity, image)
            low, high = np.where(slope > 0, x, low), np.where(slope > 0, high, x)
            # Newton's step for x * slope, which is nearly linear where slope itself is counts / x.
            below = x * bend - slope
            step = np.divide(x * slope, below, out=np.zeros_like(x), where=below > 0)
            inside = (below > 0) & (x + step >= low) & (x + step <= high)
            new = np.where(inside, x + step, 0.5 * (low + high))
            if np.all(np.abs(new - x) <= 1e-12 * (np.abs(new) + size)):
                x = new
                break
            x = new
        return x

    def _slope(self, x: Image, counts: Image, sensitivity: Image, image: Image) -> tuple[Image, Image]:
        """Derivative of the surrogate in each pixel, and minus its derivative."""
        some = x > TINY
        quotient = np.divide(counts, x, out=np.zeros_like(x), where=some)
        slope = quotient - sensitivity
        bend = np.divide(quotient, x, out=np.zeros_like(x), where=some)
        for p in self.pairs(image):
            w = self.strength / p.distance
            for here, there in ((p.first, p.second), (p.second, p.first)):
                r, u, s = self._relative(2 * x[here] - image[here], image[there])
                slope[here] -= w * r * (2 - r * (1 + self.edge * s))
                bend[here] += 4 * w * (1 - r * (1 + self.edge * s)) ** 2 / u
        return slope, bend
