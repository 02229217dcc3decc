"""What a Fit says of its estimates: information, standard errors, intervals, tests. Methods of `Fit`, each of which
hands on to the function of `latentem.inference` that computes it."""

from __future__ import annotations

from typing import Any

import numpy as np

from latentem.inference.errors import errors
from latentem.inference.errors import standard_errors as _standard_errors
from latentem.inference.influence import Influence
from latentem.inference.influence import influence as _influence
from latentem.inference.information import information as _information
from latentem.inference.intervals import Bounds, WaldTest
from latentem.inference.intervals import confidence_intervals as _confidence_intervals
from latentem.inference.intervals import wald_test as _wald_test
from latentem.inference.rate import Rate
from latentem.inference.rate import rate as _rate
from latentem.inference.scores import scores_per_observation as _scores_per_observation
from latentem.inference.sensitivity import Sensitivity
from latentem.inference.sensitivity import sensitivity as _sensitivity
from latentem.model.declared import declare


def information(
    fit: Any, kind: Any = "observed", *, coordinates: str = "free", key: Any = None, draws: int = 10_000
) -> np.ndarray:
    """Information matrix (P, P) at the params: see `latentem.inference.information.information`.

    Args:
        kind: "observed" (Oakes' identity), "complete", "score" or "expected" (by simulation). Abilities, of an item
            response model: information about ability there, its `test_information`.
        coordinates: "free" (the vector of `model.space`) or "natural" (the params that `free_names` names).
        key, draws: of the simulation for "expected".
    """
    if not isinstance(kind, str) and "test_information" in getattr(fit.declaration, "verbs", ()):
        return fit.test_information(kind)
    return _information(fit._estimate, kind, coordinates, key, draws)


def standard_errors(fit: Any, kind: str = "observed") -> Any:
    """Standard errors, a pytree shaped like params, by the delta method.

    Args:
        kind: "observed", "score" or "sandwich".

    Returns:
        NaN for fixed params, for params at the edge of their set and for those that the data do not identify;
        `error_notes` says which and why.

    Raises:
        ValueError: the fit has not converged, or the information cannot be computed.

    >>> x = np.array([0.0, 1.0, 1.0, 2.0, 3.0, 2.0])
    >>> fit = lem.fit(lem.Mixture(lem.families.Poisson(), 1), x, key=jax.random.key(0))
    >>> np.round(fit.standard_errors()["components"]["rate"], 6)
    array([0.5])
    """
    return _standard_errors(fit._maximum("standard_errors"), kind)


def error_notes(fit: Any, kind: str = "observed") -> tuple[str, ...]:
    """Why standard errors are NaN, one sentence for each reason; empty where all are there."""
    return errors(fit._maximum("error_notes"), kind).notes


def covariance(fit: Any, kind: str = "observed", *, coordinates: str = "natural") -> np.ndarray:
    """Covariance matrix of the estimates: of the raveled params (D, D), in the order of
    `model.space.natural_names`, or of the free vector (P, P) with `coordinates="free"`; NaN where there is no
    standard error."""
    if coordinates not in ("free", "natural"):
        raise ValueError(f"coordinates={coordinates!r}: expected 'free' or 'natural'")
    both = errors(fit._maximum("covariance"), kind)
    return both.natural if coordinates == "natural" else both.free


def confidence_intervals(fit: Any, level: float = 0.95, *, kind: str = "observed", scale: str = "natural") -> Bounds:
    """(lower, upper) of Wald intervals, two pytrees shaped like params.

    Args:
        level: confidence.
        kind: of standard error.
        scale: "natural": estimate -+ z standard errors; "free": the same on the log or logit scale and carried
            back, so that no interval leaves the set of the parameter.
    """
    return _confidence_intervals(fit._maximum("confidence_intervals"), level, kind, scale)


def wald_test(fit: Any, hypothesis: Any, value: Any = 0.0, *, kind: str = "observed") -> WaldTest:
    """Wald test that params have given values: names, {name: value}, a matrix of contrasts, or a function of params
    (which equals `value` under the hypothesis)."""
    return _wald_test(fit._maximum("wald_test"), hypothesis, value, kind)


def rate(fit: Any) -> Rate:
    """Linear rate of plain EM at the params, with the fractions of missing information it comes from."""
    return _rate(fit._maximum("rate"))


def scores_per_observation(fit: Any) -> np.ndarray:
    """Gradient of log p(x_n | params) in the free vector, (N, P); weights are not applied."""
    return _scores_per_observation(fit._estimate)


def influence(fit: Any) -> Influence:
    """Change of the params when each observation is dropped, to first order, without refitting."""
    return _influence(fit._maximum("influence"))


def sensitivity(fit: Any, model: Any) -> Sensitivity:
    """What another declaration of the same params would change: the log-likelihood at the params, and the params by
    one Newton step, without refitting.

    Args:
        model: a `Model`, such as this one with another prior or other nodes; or the declaration of a ready model
            that has seen data, `fit.model.declaration`, with something replaced.

    Raises:
        ValueError: this fit is no maximum, or the other model has other params.
    """
    estimate = fit._maximum("sensitivity")
    declared, _ = declare(model, estimate.data.observations)
    return _sensitivity(estimate, declared, fit.log_likelihood if fit.dtype == "float64" else None)
