"""What a fit does about a climb that ended badly: a table of remedies, of which the first that applies is run next.

A remedy is a function `(attempt) -> attempt to run next, or None`. To add one: such a function, its place in
`REMEDIES`, and a test with data that need it. It must not apply to what it has made, or only so often: `tried` says
what has led here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from latentem.ascent.iteration import evaluate
from latentem.ascent.status import Status
from latentem.fitting.attempt import Attempt, on_rows
from latentem.fitting.digits import as_declared, on_finer_nodes
from latentem.fitting.progress import Progress
from latentem.forms.choose import Problem, choose

#: Anchors that predict log p at the final params worse than this, relative to its size, are chosen anew.
REQUIRED_FINAL_ERROR = 1e-10


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
    problem = on_rows(attempt, closed=attempt.task.wishes.closed)
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
        problem = on_rows(attempt, reached)
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
REMEDIES: tuple[Callable[[Attempt], Attempt | None], ...] = (
    without_anchors,
    in_logarithms,
    anchors_chosen_anew,
    as_declared,
    on_finer_nodes,
)


def proved(attempt: Attempt) -> Problem:
    """What a Fit keeps of what it ran on: anchors that hold at the params reached are provisional no longer; where the
    fit was interrupted before others could take the place of those that do not hold, the rows are."""
    found = attempt.problem.compression
    if found.basis is None:
        return attempt.problem
    if attempt.failed or attempt.error > REQUIRED_FINAL_ERROR:
        return on_rows(attempt, attempt.reached.params)
    if not found.provisional:
        return attempt.problem
    reason = "log p(x, z) separates, to full precision around the params reached"
    return replace(attempt.problem, compression=replace(found, verdict=True, reason=reason))
