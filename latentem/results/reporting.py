"""A Fit as text and as plain numbers. Methods of `Fit`."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from latentem.forms.choose import choose_form
from latentem.results import text

#: Reports leave standard errors out above this many parameters, or this many cells (rows, latent values, parameters^2).
LARGEST_REPORTED = 500
REPORT_BUDGET = 2e9


def summary(fit: Any) -> str:
    """Estimates with standard errors and intervals, log-likelihood, criteria and status as text."""
    return text.summary(fit)


def to_dict(fit: Any) -> dict[str, Any]:
    """Plain Python numbers and lists, ready for JSON. `standard_errors` is shaped like `parameters`, with None for
    those that are not there; None where there are none at all."""
    errors = fit._errors[0]
    return {
        **facts(fit),
        "parameters": jax.tree.map(lambda a: np.asarray(a).tolist(), fit.params),
        "standard_errors": None if errors is None else jax.tree.map(_without_nan, errors),
        "notes": list(fit.notes),
    }


def facts(fit: Any) -> dict[str, Any]:
    """The numbers of a fit but for its params, by name."""
    return {
        "model": fit.name,
        "n_observations": _number(fit.n_observations),
        "n_parameters": fit.n_parameters,
        "log_likelihood": fit.log_likelihood,
        "log_prior": fit.log_prior,
        "aic": None if np.isnan(fit.aic) else fit.aic,
        "bic": None if np.isnan(fit.bic) else fit.bic,
        "status": fit.status.name,
        "iterations": fit.iterations,
        "evaluations": fit.evaluations,
        "seconds": fit.seconds,
        **({} if fit.quadrature is None else {"quadrature": fit.quadrature.difference}),
    }


def errors_of(fit: Any) -> tuple[Any, tuple[str, ...]]:
    """(standard errors or None, why they are not there or not all): for reports, which must not fail over them."""
    if fit.model is None or fit.data is None:
        return None, ()
    if not fit.status.ok:
        return None, ("no standard errors away from a maximum",)
    cells = _cost(fit) * float(fit.n_parameters) ** 2
    if fit.n_parameters > LARGEST_REPORTED or cells > REPORT_BUDGET:
        return None, ("standard errors are not computed unasked for a problem of this size: fit.standard_errors()",)
    try:
        return fit.standard_errors(), fit.error_notes()
    except Exception as error:
        reason = str(error).strip().splitlines()
        return None, (reason[0] if reason else type(error).__name__,)


def _cost(fit: Any) -> int:
    """(observation, latent value) pairs of an E-step."""
    if fit.problem is not None:
        return fit.problem.form.cost(fit.problem.prepared)
    with fit.computing():
        form, prepared = choose_form(fit.model, fit.data, fit.dtype)
        return form.cost(prepared)


def _without_nan(a: Any) -> Any:
    """Nested lists with None in place of NaN."""
    return [_without_nan(b) for b in a] if np.ndim(a) else (float(a) if np.isfinite(a) else None)


def _number(x: float) -> int | float:
    return int(x) if float(x).is_integer() else float(x)
