"""What a fit does about a climb that ended badly: a table of remedies, of which the first that applies is run next.

A remedy is a function `(attempt) -> attempt to run next, or None`. To add one: such a function, its place in
`REMEDIES`, and a test with data that need it. It must not apply to what it has made, or only so often: `tried` says
what has led here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import jax
import numpy as np

from latentem.ascent.iteration import evaluate
from latentem.ascent.status import Status
from latentem.data import Data
from latentem.fitting.climb import Options, climb
from latentem.fitting.outcome import Outcome
from latentem.fitting.progress import Progress
from latentem.forms.anchors.search import final_error
from latentem.forms.choose import Problem, Wishes, choose
from latentem.model import Model

#: Anchors that predict log p at the final params worse than this, relative to its size, are chosen anew.
REQUIRED_FINAL_ERROR = 1e-10


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


def repaired(attempt: Attempt, line: Progress, callback: Any) -> Attempt:
    """The attempt that no remedy applies to any more. Ctrl-C ends it with what has been reached."""
    while attempt.reached.status is not Status.interrupted:
        try:
            following = next((a for remedy in REMEDIES if (a := remedy(attempt)) is not None), None)
        except KeyboardInterrupt:
            return replace(attempt, outcome=replace(attempt.reached, status=Status.interrupted))
        if following is None:
            break
        attempt = following.run(line, callback)
    return attempt


def without_anchors(attempt: Attempt) -> Attempt | None:
    """On all rows, where log p overflows on anchors at the starts."""
    if not attempt.no_start or attempt.problem.compression.basis is None:
        return None
    problem = _on_rows(attempt, closed=attempt.task.wishes.closed)
    note = "log p was not finite on anchors at the start; the fit ran uncompressed"
    return attempt.next(without_anchors, problem, note)


def in_logarithms(attempt: Attempt) -> Attempt | None:
    """In a slower form that keeps digits where numbers underflow."""
    careful = attempt.problem.form.careful()
    if not attempt.failed or careful is None:
        return None
    note = "" if attempt.no_start else "numbers underflowed; the fit went on in logarithms"
    return attempt.next(in_logarithms, replace(attempt.problem, form=careful), note)


def anchors_chosen_anew(attempt: Attempt) -> Attempt | None:
    """On anchors chosen around the params reached, where those of the fit fail there; on all rows where these fail as
    well, or the params reached are impossible: from the starts, then."""
    if attempt.no_start or attempt.problem.compression.basis is None:
        return None
    if not attempt.failed and attempt.error <= REQUIRED_FINAL_ERROR:
        return None
    reached = attempt.reached.params
    if attempt.failed or anchors_chosen_anew.__name__ in attempt.tried:
        problem = _on_rows(attempt, reached)
    else:
        wishes = replace(attempt.task.wishes, compress="auto", centre=reached, seed=1, closed=False, provisional=False)
        problem = choose(attempt.task.model, attempt.task.data, wishes)
    note = "anchors lost digits at the params reached; " + (
        "new ones were chosen there" if problem.compression.verdict else "the fit went on uncompressed"
    )
    if np.isfinite(evaluate(problem.form, reached, problem.prepared)[0]):
        return attempt.next(anchors_chosen_anew, problem, note)
    return attempt.next(anchors_chosen_anew, problem, note, starts=attempt.task.starts)


#: In order. The next attempt is that of the first which applies.
REMEDIES: tuple[Callable[[Attempt], Attempt | None], ...] = (without_anchors, in_logarithms, anchors_chosen_anew)


def proved(attempt: Attempt) -> Problem:
    """What a Fit keeps of what it ran on: anchors that hold at the params reached are provisional no longer; where the
    fit was interrupted before others could take the place of those that do not hold, the rows are."""
    found = attempt.problem.compression
    if found.basis is None:
        return attempt.problem
    if attempt.failed or attempt.error > REQUIRED_FINAL_ERROR:
        return _on_rows(attempt, attempt.reached.params)
    if not found.provisional:
        return attempt.problem
    reason = "log p(x, z) separates, to full precision around the params reached"
    return replace(attempt.problem, compression=replace(found, verdict=True, reason=reason))


def _on_rows(attempt: Attempt, centre: Any = None, closed: bool = False) -> Problem:
    wishes = replace(attempt.task.wishes, compress=False, centre=centre, closed=closed, provisional=False)
    return choose(attempt.task.model, attempt.task.data, wishes)
