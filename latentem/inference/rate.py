"""How fast EM converges and which fraction of the information is missing (Dempster, Laird and Rubin 1977)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from latentem.inference.errors import tangent
from latentem.inference.estimate import Estimate
from latentem.inference.information import information


class Rate(NamedTuple):
    """The linear rate of EM at a maximum.

    Args:
        rate: largest fraction of missing information: EM divides the distance to the maximum by about 1 / rate in every
            iteration. 1 means that a direction is not identified.
        spectrum: (P,) fractions of missing information, descending: the eigenvalues of complete^-1 missing.
        slowest: (D,) unit vector in the raveled params along which EM comes in last.
    """

    rate: float
    spectrum: Float[np.ndarray, " Q"]
    slowest: Float[np.ndarray, " D"]


def rate(estimate: Estimate) -> Rate:
    """Rate of convergence of plain EM at the params, from the observed and the complete information.

    Raises:
        ValueError: the complete information is singular: even with latent values seen, params are not identified.
    """
    basis = tangent(estimate)
    observed = basis.T @ information(estimate, "observed") @ basis
    complete = basis.T @ information(estimate, "complete") @ basis
    if basis.shape[1] == 0:
        return Rate(0.0, np.zeros(0), np.zeros(len(estimate.theta)))
    try:
        factor = np.linalg.cholesky(0.5 * (complete + complete.T))
    except np.linalg.LinAlgError:
        raise ValueError(
            f"{estimate.model.name}: the complete-data information is singular, so EM has no rate here; fix the params "
            "that no data could identify"
        ) from None
    half = np.linalg.solve(factor, complete - observed)
    missing = np.linalg.solve(factor, half.T)
    fractions, vectors = np.linalg.eigh(0.5 * (missing + missing.T))
    slowest = estimate.jacobian @ basis @ np.linalg.solve(factor.T, vectors[:, -1])
    length = np.linalg.norm(slowest)
    return Rate(float(fractions[-1]), fractions[::-1], slowest / length if length > 0 else slowest)
