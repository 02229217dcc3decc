"""What another declaration of the same params would change of the estimates, to first order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from latentem.ascent.derivatives import value_and_score
from latentem.inference.errors import errors
from latentem.inference.estimate import Estimate
from latentem.model import Model
from latentem.numerics.compiled import seldom


class Sensitivity(NamedTuple):
    """What another declaration changes.

    Args:
        log_likelihood: its log-likelihood at the params, less that of the fit.
        params: the change of the params by one Newton step of its objective, with the information of the fit; shaped
            like params.
    """

    log_likelihood: float
    params: Any


def sensitivity(estimate: Estimate, model: Model, log_likelihood: float | None = None) -> Sensitivity:
    """Change of the log-likelihood at the params, and of the params by one Newton step, under another declaration of
    the same params: finer nodes, another prior. Params at an edge and those that the data do not identify do not move.

    Args:
        estimate: the maximum and the data.
        model: the other declaration.
        log_likelihood: at the maximum, in float64; computed where it is None.

    Raises:
        ValueError: a declaration of other params.
    """
    if model.space != estimate.space:
        raise ValueError(
            f"sensitivity: {model.name} has other params ({', '.join(model.space.names)}): expected those of the fit "
            f"({', '.join(estimate.space.names)}), with the same constraints"
        )
    if log_likelihood is None:
        log_likelihood = _at(estimate)[0]
    there, score = _at(replace(estimate, model=model, anchored=None, _kept={}))
    step = np.nan_to_num(errors(estimate).free) @ score
    return Sensitivity(there - log_likelihood, estimate.as_tree(estimate.jacobian @ step))


def _at(estimate: Estimate) -> tuple[float, Float[np.ndarray, " P"]]:
    """(log-likelihood, gradient of the objective) at the params."""
    log_likelihood, _, score = estimate.at_data(lambda form, u, prepared: _value_and_score(form, prepared, u))
    return float(log_likelihood), score


_value_and_score = seldom(value_and_score)
