"""A phantom and a projector, for examples of tomography: images and matrices that are computed, not loaded."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float

#: Toft's (1996) contrasts on the ellipses of Shepp and Logan (1974): value, half axes, centre, angle in degrees.
ELLIPSES = (
    (1.0, 0.69, 0.92, 0.0, 0.0, 0.0),
    (-0.8, 0.6624, 0.874, 0.0, -0.0184, 0.0),
    (-0.2, 0.11, 0.31, 0.22, 0.0, -18.0),
    (-0.2, 0.16, 0.41, -0.22, 0.0, 18.0),
    (0.1, 0.21, 0.25, 0.0, 0.35, 0.0),
    (0.1, 0.046, 0.046, 0.0, 0.1, 0.0),
    (0.1, 0.046, 0.046, 0.0, -0.1, 0.0),
    (0.1, 0.046, 0.023, -0.08, -0.605, 0.0),
    (0.1, 0.023, 0.023, 0.0, -0.606, 0.0),
    (0.1, 0.023, 0.046, 0.06, -0.605, 0.0),
)


def shepp_logan(size: int, samples: int = 4) -> Float[np.ndarray, "size size"]:
    """The head phantom of Shepp and Logan (1974, IEEE Trans. Nucl. Sci. 21) with Toft's contrasts, from 0 to 1.

    Args:
        size: pixels in each direction.
        samples: each pixel is the mean of samples x samples points in it.

    >>> lem.datasets.tomography.shepp_logan(64).shape
    (64, 64)
    """
    fine = size * samples
    line = (np.arange(fine) + 0.5) / fine * 2 - 1
    x, y = line[None, :], -line[:, None]
    image = np.zeros((fine, fine))
    for value, a, b, cx, cy, degrees in ELLIPSES:
        angle = np.deg2rad(degrees)
        along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        across = -(x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)
        image += value * ((along / a) ** 2 + (across / b) ** 2 <= 1)
    return np.maximum(image, 0.0).reshape(size, samples, size, samples).mean(axis=(1, 3))


def parallel_beam(size: int, angles: int, bins: int | None = None) -> sp.csr_array:
    """A parallel-beam projector: each pixel falls, at each angle, on the two nearest bins, by linear interpolation.

    Args:
        size: the image has size x size pixels; pixels and bins are 1 wide.
        angles: equally spaced from 0 to below 180 degrees.
        bins: of each angle; enough for the diagonal by default.

    Returns:
        (angles * bins, size^2) sparse: row angle * bins + bin, column row * size + column of the image.

    Raises:
        ValueError: fewer bins than the image is wide in some direction.

    >>> lem.datasets.tomography.parallel_beam(64, 60).shape
    (5460, 4096)
    """
    diagonal = int(np.ceil((size - 1) * np.sqrt(2))) + 1
    bins = diagonal + 1 - diagonal % 2 if bins is None else bins
    centre = np.arange(size) - (size - 1) / 2
    down, right = np.meshgrid(centre, centre, indexing="ij")
    angle = np.pi * np.arange(angles) / angles
    place = np.cos(angle)[:, None] * right.ravel() - np.sin(angle)[:, None] * down.ravel() + (bins - 1) / 2
    low = np.floor(place).astype(int)
    if low.min() < 0 or low.max() + 1 >= bins + (place.max() == bins - 1):
        raise ValueError(f"bins={bins} do not hold an image of {size} x {size} pixels: expected at least {diagonal}")
    share = place - low
    row = np.arange(angles)[:, None] * bins + low
    rows = np.concatenate([row.ravel(), np.minimum(row + 1, angles * bins - 1).ravel()])
    columns = np.tile(np.arange(size * size), 2 * angles)
    entries = np.concatenate([(1 - share).ravel(), share.ravel()])
    return sp.csr_array((entries, (rows, columns)), shape=(angles * bins, size * size))
