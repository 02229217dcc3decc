"""Fit of persons: infit, outfit and the standardised log-likelihood of their answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from latentem.models.irt.checked.deviations import deviations, mean_squares


def person_fit(fit: Any, x: Any = None) -> dict[str, np.ndarray]:
    """Fit of persons at their posterior mean abilities; items somebody did not answer count for nothing.

    Args:
        fit: the fit.
        x: other persons, as the data of the fit; those of the fit by default.

    Returns:
        {"infit", "z_infit", "outfit", "z_outfit" (mean squares and their standard normal transformations), "Zh"
        (standardised log-likelihood: small for improbable answers)}, (N,) each; NaN for persons without answers.

    Source: Wright and Masters (1982); Drasgow, Levine and Williams (1985).
    """
    return mean_squares(deviations(fit, x), None)
