"""Fit of persons: infit, outfit and the standardised log-likelihood of their answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from latentem.models.irt.checked.deviations import deviations, mean_squares


def person_fit(fit: Any, x: Any) -> dict[str, np.ndarray]:
    """See `Verbs.person_fit`."""
    return mean_squares(deviations(fit, x), None)
