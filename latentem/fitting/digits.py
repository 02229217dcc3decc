"""Remedies of digits: a fit goes on where its form cancels, or its nodes are too few, at the params it reached.

They come after those that make a fit end at all; `latentem.inference.accuracy` measures.
"""

from __future__ import annotations

from dataclasses import replace

from latentem.ascent.status import Status
from latentem.fitting.attempt import Attempt, on_rows
from latentem.forms.choose import Problem
from latentem.forms.rows import RowForm
from latentem.inference.accuracy import Quadrature
from latentem.model import Model
from latentem.model.declared import state
from latentem.model.latents import Continuous

#: Nats by which finer nodes may move the log-likelihood before a fit says so, and before it is no maximum.
NOTED, INACCURATE = 1e-3, 0.1
#: Times a fit is taken up again on finer nodes.
REFINEMENTS = 3


def as_declared(attempt: Attempt) -> Attempt | None:
    """On the rows as declared, where the formula of the fit has lost digits at the params reached."""
    if attempt.failed or as_declared.__name__ in attempt.tried or attempt.task.options.m_step == "closed":
        return None
    if attempt.reached.status is Status.boundary:
        return None  # on a spike, where digits are lost for another reason
    found = attempt.digits
    if found is None or found.holds:
        return None
    problem = attempt.problem
    data = replace(attempt.task.data, observations=problem.distinct, weights=problem.distinct_weights)
    rows = Problem.of(RowForm(_careful(attempt.task.model)), data, problem.compression, attempt.task.wishes.dtype)
    note = (
        f"the formula of the fit lost digits (log-likelihood {found.form:.6f}, as declared {found.declared:.6f}); it "
        "went on row by row"
    )
    return attempt.next(as_declared, rows, note)


def _careful(model: Model) -> Model:
    """The same model with an M-step from statistics that do not cancel, where a ready model knows one."""
    ask = getattr(model.declaration, "careful", None)
    found = None if ask is None else ask()
    return model if found is None else replace(state(found), declaration=found, layout=model.layout)


def on_finer_nodes(attempt: Attempt) -> Attempt | None:
    """With more nodes, and then nodes around each mode, where those of the fit are too few at the params reached."""
    if attempt.failed or attempt.tried.count(on_finer_nodes.__name__) >= REFINEMENTS:
        return None
    found = attempt.integral
    if found is None or found.difference <= INACCURATE:
        return None
    model = attempt.task.model
    assert isinstance(model.latent, Continuous)
    finer = replace(model, latent=_finer(model.latent))
    again = replace(attempt, task=attempt.task._replace(model=finer))
    note = f"{found} with {model.latent.count} nodes; the fit went on with {_told(_finer(model.latent))}"
    problem = on_rows(again)
    if found.difference > 10 * INACCURATE * max(1.0, attempt.task.data.total / 100):
        # What was reached may be a maximum of the rule alone.
        return again.next(on_finer_nodes, problem, note, starts=attempt.task.starts)
    return again.next(on_finer_nodes, problem, note)


def _finer(latent: Continuous) -> Continuous:
    if latent.method == "adaptive":
        return replace(latent, size=2 * latent.count)
    if latent.dim > 3:
        return replace(latent, size=4 * latent.count)
    return replace(latent, method="adaptive", size=21 if latent.dim == 1 else 11, scale=None)


def _told(latent: Continuous) -> str:
    return f"{latent.count} {'adaptive ' if latent.method == 'adaptive' else ''}nodes"


def verdict(found: Quadrature | None, status: Status) -> tuple[Status, tuple[str, ...]]:
    """(the status once the nodes are known to do or not, notes)."""
    if found is None or found.difference <= NOTED:
        return status, ()
    note = f"{found}: use more nodes, method='adaptive', or scale= the param that spreads the latent value"
    return (Status.inaccurate if found.difference > INACCURATE and status.ok else status), (note,)
