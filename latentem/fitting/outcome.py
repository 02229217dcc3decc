"""Where a climb ended: the best of its starts, after Newton where that paid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from latentem.ascent.iteration import evaluate, row_log_prob
from latentem.ascent.optima import Ends
from latentem.ascent.polish import polish
from latentem.ascent.status import Status
from latentem.forms import Form, Prepared

#: Gain of a polish, relative to the objective, below which it found no way up.
KINK = 1e-9


@dataclass(frozen=True)
class Outcome:
    """Where the best start ended.

    Args:
        params, status, iterations, evaluations, trace: as in a `Fit`.
        starts: objective that each start reached.
        gradient, notes: as in a `Fit`.
        ends: where every start ended.
        values: (log-likelihood, log prior) at the params, where they are known.
        no_start: why the objective is finite at no start; empty where it is at one.
    """

    params: Any
    status: Status
    iterations: int
    evaluations: int
    trace: np.ndarray
    starts: np.ndarray
    gradient: float | None = None
    notes: tuple[str, ...] = ()
    ends: Ends | None = None
    values: tuple[float, float] | None = None
    no_start: str = ""

    @classmethod
    def of_start(cls, params: Any, starts: int) -> Outcome:
        """Nothing has run, or nothing that ran was finite: `params` are a start."""
        objectives = np.full(starts, -np.inf)
        return cls(params, Status.interrupted, 0, 0, np.zeros(0), objectives)

    def after(self, before: Outcome | None, note: str) -> Outcome:
        """This outcome as that of a fit that had come as far as `before`; `note` says why it went on."""
        told = (note,) if note else ()
        if before is None:
            return replace(self, notes=(*self.notes, *told))
        return replace(
            self,
            iterations=before.iterations + self.iterations,
            evaluations=before.evaluations + self.evaluations,
            trace=np.concatenate([before.trace[: _below(before.trace, self.trace)], self.trace]),
            starts=before.starts,
            notes=tuple(dict.fromkeys((*before.notes, *self.notes, *told))),
            ends=before.ends,
        )


def _below(before: np.ndarray, after: np.ndarray) -> int:
    """How many values of a trace come before what another form says of the params it had reached: those above it were
    made of lost digits."""
    above = np.flatnonzero(before > after[0]) if len(after) else np.zeros(0, int)
    return int(above[0]) if len(above) else len(before)


def polished(outcome: Outcome, form: Form, prepared: Prepared) -> Outcome:
    """The outcome after Newton on the observed-data objective; as it is where Newton cannot evaluate it."""
    result = polish(form, outcome.params, prepared)
    if not np.isfinite(result.objective):
        return outcome
    status, notes = outcome.status, outcome.notes
    if result.interrupted:
        status = Status.interrupted
    elif result.is_saddle:
        status = Status.saddle
    elif status in (Status.max_iterations, Status.decreased) and result.is_stationary and result.gradient < np.inf:
        status = Status.converged
    elif status is Status.converged and not result.is_stationary:
        if result.objective - outcome.trace[-1] > KINK * (1 + abs(result.objective)):
            status = Status.max_iterations
        else:
            told = f"EM converged and Newton finds no way up, yet the gradient is {result.gradient:.1e}"
            notes = (*notes, f"{told}: log p has a kink there, or the params are at an edge")
    return replace(
        outcome,
        params=result.params,
        status=status,
        iterations=outcome.iterations + result.iterations,
        evaluations=outcome.evaluations + result.evaluations,
        trace=np.append(outcome.trace, result.objective),
        gradient=result.gradient,
        notes=notes,
        values=(result.log_likelihood, result.log_prior),
    )


def why_no_start(form: Form, params: Any, prepared: Prepared) -> str:
    """Why the objective is not finite at a start, in one line that names a row."""
    values = np.asarray(row_log_prob(form, params, prepared))
    bad = np.flatnonzero(~np.isfinite(values) & (np.asarray(prepared.weights) > 0))
    if len(bad) == 0:
        name = form.model.name
        if np.isfinite(evaluate(form, params, prepared)[1]):
            return (
                f"{name}: the first M-step gave params that are not finite, from a start that is; check log p(x, z) "
                "for derivatives that are NaN, or pass another initial= or m_step="
            )
        return f"{name}: the log prior is not finite at the initial params; check it, or pass initial="
    unit = "distinct rows" if form.unit == "row" else f"{form.unit}s"
    return (
        f"log p(x) is {values[bad[0]]} at the initial params for {len(bad)} of {len(values)} {unit}, the first "
        f"of them {form.unit} {int(bad[0])}: check it, or pass initial= params under which every observation is "
        "possible"
    )
