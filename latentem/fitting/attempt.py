"""One climb of a fit, and what all of its climbs have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import jax
import numpy as np

from latentem.ascent.status import Status
from latentem.data import Data
from latentem.fitting.climb import Options, climb
from latentem.fitting.outcome import Outcome
from latentem.fitting.progress import Progress
from latentem.forms.anchors.coordinates import final_error
from latentem.forms.choose import Problem, Wishes, choose
from latentem.inference.accuracy import Accuracy, Quadrature, accuracy, quadrature_error
from latentem.model import Model


class Task(NamedTuple):
    """What all attempts of a fit have in common.

    Args:
        model, data: declared and checked.
        wishes: what the fit asks of its form.
        options: how it climbs.
        starts: params with a leading axis, where the first attempt began.
    """

    model: Model
    data: Data
    wishes: Wishes
    options: Options
    starts: Any


@dataclass(frozen=True)
class Attempt:
    """One climb of a fit: on what, from where, why, and where it ended.

    Args:
        task: what all attempts of the fit have in common.
        problem: form and data.
        starts: params it begins at, with a leading axis.
        tried: remedies that led here.
        before: where earlier attempts had come to.
        note: what the Fit says about why it went on.
        outcome: where it ended, earlier attempts included; None before it has run.
    """

    task: Task
    problem: Problem
    starts: Any
    tried: tuple[str, ...] = ()
    before: Outcome | None = None
    note: str = ""
    outcome: Outcome | None = None

    @property
    def reached(self) -> Outcome:
        """Where it ended."""
        assert self.outcome is not None
        return self.outcome

    @property
    def no_start(self) -> str:
        """Why the objective is finite at no start; empty where it is at one."""
        return self.reached.no_start

    @property
    def failed(self) -> bool:
        """Whether the objective was lost: finite at no start, or not on the way."""
        return bool(self.no_start) or self.reached.status is Status.non_finite

    @cached_property
    def error(self) -> float:
        """Largest relative error of log p on anchors at the params reached."""
        return final_error(self.problem, self.reached.params)

    @cached_property
    def digits(self) -> Accuracy | None:
        """The log-likelihood at the params reached, by the form and as declared; anchors are proved by `error`."""
        if self.problem.compression.basis is not None:
            return None
        return accuracy(self.problem.form, self._params, self.problem.prepared)

    @cached_property
    def integral(self) -> Quadrature | None:
        """How far finer nodes move the log-likelihood at the params reached; a ready model looks after its own."""
        model, problem = self.task.model, self.problem
        if model.declaration is not None:
            return None
        return quadrature_error(model, self._params, problem.distinct, problem.distinct_weights)

    @property
    def _params(self) -> Any:
        return jax.tree.map(lambda a: np.asarray(a, self.task.options.dtype), self.reached.params)

    def run(self, line: Progress, callback: Any, interrupted: bool = False) -> Attempt:
        """The same, run. Where it cannot begin, what earlier attempts had reached stays."""
        outcome = climb(self.problem, self.starts, self.task.options, line, callback, interrupted)
        again = self.starts is self.task.starts
        if self.before is not None and not len(outcome.trace) and not (again and outcome.no_start):
            status = Status.non_finite if outcome.no_start else outcome.status
            return replace(self, outcome=replace(self.before, status=status))
        return replace(self, outcome=outcome.after(self.before, self.note))

    def next(self, remedy: Callable[..., Any], problem: Problem, note: str, **changed: Any) -> Attempt:
        """The attempt that a remedy makes of this one: from the params reached, or from the same starts."""
        before = None if self.no_start else self.reached
        if before is not None and "starts" not in changed:
            changed["starts"] = jax.tree.map(lambda a: np.asarray(a)[None], before.params)
        tried = (*self.tried, remedy.__name__)
        return replace(self, problem=problem, tried=tried, before=before, note=note, outcome=None, **changed)


def on_rows(attempt: Attempt, centre: Any = None, closed: bool = False) -> Problem:
    wishes = replace(attempt.task.wishes, compress=False, centre=centre, closed=closed, provisional=False)
    return choose(attempt.task.model, attempt.task.data, wishes)
