"""Where a segmentation begins: k-means of the locally averaged image, whose noise is low enough for grey values."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.ndimage import uniform_filter

#: k-means looks at so many pixels at most, evenly spaced, from so many starts.
PIXELS, STARTS = 20_000, 8


def averaged_classes(
    image: Float[np.ndarray, "*lattice D"], classes: int, window: int
) -> Float[np.ndarray, " K *lattice"]:
    """Responsibilities: 0.9 for the class of the nearest centre, the rest shared; classes in the order of their means.

    Args:
        image: with channels last.
        classes: K.
        window: edge of the square that is averaged.
    """
    shape = image.shape[:-1]
    size: Any = (*(window for _ in shape), 1)
    smooth = uniform_filter(image, size=size, mode="nearest").reshape(-1, image.shape[-1])
    some = smooth[:: max(1, len(smooth) // PIXELS)]
    centres = kmeans(some, classes, np.random.default_rng(0))
    label = nearest(smooth, centres)
    q = np.full((classes, len(smooth)), 0.1 / classes)
    q[label, np.arange(len(smooth))] += 0.9
    return q.reshape(classes, *shape)


def nearest(x: Float[np.ndarray, "n D"], centres: Float[np.ndarray, "K D"]) -> np.ndarray:
    """Number of the nearest centre of every row."""
    best, label = np.full(len(x), np.inf), np.zeros(len(x), np.int64)
    for k, centre in enumerate(centres):
        distance = np.sum((x - centre) ** 2, axis=1)
        closer = distance < best
        best[closer], label[closer] = distance[closer], k
    return label


def kmeans(x: Float[np.ndarray, "n D"], k: int, rng: np.random.Generator) -> Float[np.ndarray, "K D"]:
    """Centres of the best of several runs of Lloyd's algorithm from k-means++ seeds, in lexical order."""
    best, found = np.inf, x[:k]
    for _ in range(STARTS):
        centres = x[rng.integers(len(x))][None]
        while len(centres) < k:
            distance = np.min(((x[:, None] - centres[None]) ** 2).sum(axis=2), axis=1)
            total = distance.sum()
            pick = rng.choice(len(x), p=distance / total) if total > 0 else rng.integers(len(x))
            centres = np.vstack([centres, x[pick]])
        for _ in range(100):
            label = nearest(x, centres)
            new = np.array([x[label == j].mean(axis=0) if (label == j).any() else centres[j] for j in range(k)])
            if np.allclose(new, centres):
                break
            centres = new
        cost = float(np.sum((x - centres[nearest(x, centres)]) ** 2))
        if cost < best:
            best, found = cost, centres
    return found[np.lexsort(found.T[::-1])]
