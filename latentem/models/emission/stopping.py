"""Rules that end MLEM early, as a way to keep noise out of an image."""

from __future__ import annotations

from typing import Any

import numpy as np


def discrepancy(measured: Any, x: np.ndarray, iterations: int) -> str | None:
    """Stop when the counts lie as far from their means as Poisson counts do (Morozov's discrepancy principle; Hebert,
    Leahy and Singh 1988): Pearson's chi-square, whose expectation at the true image is the number of bins.

    Args:
        measured: counts and operator.
        x: the image, (P,).
        iterations: so far.
    """
    mean = measured.mean(x)
    seen = mean > 0
    found, bins = float(np.sum((measured.counts[seen] - mean[seen]) ** 2 / mean[seen])), int(seen.sum())
    if found > bins:
        return None
    told = f"chi-square {found:.1f} of {bins} bins is what Poisson counts have"
    return f"stopped after {iterations} iterations: {told}"


RULES = {"discrepancy": discrepancy}
