"""What each observation does to the estimates, by implicit differentiation (Cook 1986)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from latentem.inference.errors import errors
from latentem.inference.estimate import Estimate
from latentem.inference.scores import scores_by_parts


class Influence(NamedTuple):
    """What dropping each observation would do, to first order.

    Args:
        params: pytree shaped like params with a leading axis N: params without observation n minus params.
        displacement: (N,) twice the log-likelihood lost at the params refitted without the observation.
    """

    params: Any
    displacement: Float[np.ndarray, " N"]


def influence(estimate: Estimate) -> Influence:
    """Change of the estimates when an observation, with all its weight, is dropped: -(information)^-1 w_n s_n, carried
    to the params. Params at an edge do not move.

    Raises:
        ValueError: params that are not identified: their change is not determined.
    """
    covariance = errors(estimate)
    free = covariance.free
    settled = estimate.on_edge | estimate.is_fixed
    if np.isnan(np.diagonal(covariance.natural)[~settled]).any():
        raise ValueError(f"influence: {'; '.join(covariance.notes)}")
    weights = np.asarray(estimate.data.weights, np.float64)
    inverse = np.nan_to_num(free)
    params = np.empty((len(weights), len(estimate.jacobian)))
    displacement = np.empty(len(weights))
    for part, scores in scores_by_parts(estimate):
        w = weights[part]
        moved = np.where(w[:, None] > 0, scores, 0.0) * w[:, None]
        change = -moved @ inverse
        np.matmul(change, estimate.jacobian.T, out=params[part])
        displacement[part] = np.einsum("np,np->n", change, -moved)
    return Influence(estimate.as_tree(params), displacement)
