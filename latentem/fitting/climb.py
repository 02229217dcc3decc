"""From starts to where the best of them ends: the compiled loop in chunks, the choice among starts, Newton."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from latentem.ascent import optima
from latentem.ascent.acceleration import Method
from latentem.ascent.loop import (
    CHUNK_ITERATIONS,
    RUNNING,
    STATUS,
    STOPPED,
    LoopState,
    Setup,
    Stopping,
    advance,
    begin,
)
from latentem.ascent.mstep import resolve
from latentem.ascent.polish import ahead as polishing
from latentem.ascent.status import Status
from latentem.constraints import ParameterSpace
from latentem.fitting.cores import spread
from latentem.fitting.outcome import Outcome, polished, why_no_start
from latentem.fitting.progress import Progress
from latentem.forms import Form, Prepared
from latentem.forms.choose import Problem

#: A polish costs about P evaluations of the E-step per Newton step; it is done where that stays below this many cells.
LARGEST_POLISH = 500
POLISH_BUDGET = 2e9
#: Iterations after which EM that has not converged is taken to creep, towards an edge say: Newton goes on.
CREPT = 1000
#: A fall of the objective that may be rounding, relative to max(N, |objective|): Newton says whether there is a way up.
ROUNDED = 1e-7
#: Iterations after which starts that lag behind are looked at.
CHUNK_OF_STARTS = 12


@dataclass(frozen=True)
class Snapshot:
    """What a callback sees between chunks of iterations.

    Args:
        iterations: of the start that has run longest.
        objective: best over the starts.
        params: of the best start, NumPy arrays.
        running: starts still running.
    """

    iterations: int
    objective: float
    params: Any
    running: int


class Options(NamedTuple):
    """How a fit climbs; the arguments of `fit` of the same names."""

    method: Method
    m_step: Any
    tolerance: float
    step_tolerance: float
    max_iterations: int
    polish: bool | None
    dtype: str
    exclude_degenerate: bool
    devices: Any = None


def climb(
    problem: Problem, starts: Any, options: Options, line: Progress, callback: Any, interrupted: bool = False
) -> Outcome:
    """Where the best start ended, after Newton where that pays.

    Ctrl-C, or a callback that returns True, ends it with the best params so far; where it was `interrupted` before it
    began, with the first start.
    """
    form, prepared = problem.form, problem.prepared
    number = jax.tree.leaves(starts)[0].shape[0]
    nothing = Outcome.of_start(first_of(starts), number)
    if interrupted:
        return nothing
    setup = Setup(form, resolve(options.m_step, form), options.method)
    affordable = _polish_is_affordable(form, prepared) if options.polish is None else options.polish
    affordable = affordable and form.model.space.size > 0
    stop = Stopping(
        np.asarray(options.tolerance, options.dtype),
        np.asarray(options.step_tolerance, options.dtype),
        np.asarray(0, np.int32),
    )
    run, prepared = None, spread(form, prepared, options.devices)
    try:
        with polishing(form, starts, prepared) if affordable else nullcontext():
            run = _run(setup, starts, prepared, stop, options.max_iterations, line, callback)
    except KeyboardInterrupt:
        if run is None:
            return nothing
        run.interrupted = True
    if not np.any(np.isfinite(run.objectives)):
        if run.interrupted:
            return nothing
        why = why_no_start(form, first_of(starts), problem.prepared)
        return replace(nothing, status=Status.non_finite, no_start=why)
    try:

        def again(params: Any) -> Run:
            one = jax.tree.map(lambda a: np.asarray(a, options.dtype)[None], params)
            return _run(setup, one, prepared, stop, options.max_iterations, line, callback)

        return _settled(run, problem, prepared, options, affordable, again)
    except KeyboardInterrupt:
        best = int(np.argmax(np.where(np.isfinite(run.objectives), run.objectives, -np.inf)))
        return replace(_of(run, best), status=Status.interrupted)


def _settled(
    run: Run,
    problem: Problem,
    spread: Prepared,
    options: Options,
    affordable: bool,
    again: Callable[[Any], Run],
) -> Outcome:
    """The start that is chosen, polished on the devices that the data are spread over. One that was given up on the way
    is run to its end first, by `again`."""
    form, prepared = problem.form, problem.prepared
    best, reason, notes = _chosen(run, form, prepared, options)
    while not run.interrupted and int(np.asarray(run.state.outcome)[best]) == STOPPED:
        run = run.joined(best, again(run.params(best)))
        best, reason, notes = _chosen(run, form, prepared, options)
    outcome = replace(_of(run, best), notes=notes)
    crept = outcome.status is Status.max_iterations and outcome.iterations >= CREPT
    scale = max(float(np.sum(np.asarray(prepared.weights))), abs(float(run.objectives[best])))
    rounded = outcome.status is Status.decreased and float(np.asarray(run.state.fell)[best]) < ROUNDED * scale
    wanted = (
        crept
        or rounded
        or outcome.status is Status.converged
        or (options.polish is not None and outcome.status is not Status.interrupted)
    )
    # On a spike Newton would only climb on, without end; and it is not to climb onto one.
    if affordable and wanted and not reason:
        try:
            further = polished(outcome, form, spread)
        except KeyboardInterrupt:
            return replace(outcome, status=Status.interrupted)
        outcome = outcome if optima.spurious(form, prepared, further.params) else further
    if reason and (outcome.status.ok or outcome.status is Status.decreased):
        # On the way into a spike the floor under it lets the objective fall.
        outcome = replace(outcome, status=Status.boundary)
    return outcome


def _chosen(run: Run, form: Form, prepared: Prepared, options: Options) -> tuple[int, str, tuple[str, ...]]:
    outcomes = np.asarray(run.state.outcome)
    why = partial(_spurious, form, prepared, run.space, np.asarray(run.state.safe))
    return optima.choose(run.objectives, outcomes, why, options.exclude_degenerate)


def _spurious(form: Form, prepared: Prepared, space: ParameterSpace, theta: np.ndarray, start: int) -> str:
    return optima.spurious(form, prepared, optima.unravel(space, theta[start]))


@dataclass
class Run:
    """What the loop over chunks left, one entry per start."""

    state: LoopState
    space: ParameterSpace
    objectives: np.ndarray
    traces: list[np.ndarray]
    interrupted: bool

    def params(self, start: int) -> Any:
        """The params that a start reached."""
        return optima.unravel(self.space, np.asarray(self.state.safe)[start])

    def joined(self, start: int, one: Run) -> Run:
        """The same with `start` as far as `one`, a run from where it was left."""

        def put(whole: Any, part: Any) -> np.ndarray:
            whole = np.array(whole)
            whole[start] = np.asarray(part)[0]
            return whole

        state = self.state
        moved = state._replace(
            safe=put(state.safe, one.state.safe),
            outcome=put(state.outcome, one.state.outcome),
            objective=put(state.objective, one.state.objective),
            iterations=put(state.iterations, np.asarray(one.state.iterations) + np.asarray(state.iterations)[start]),
            evaluations=put(
                state.evaluations, np.asarray(one.state.evaluations) + np.asarray(state.evaluations)[start]
            ),
        )
        others = len(self.objectives)
        traces = [np.where(np.arange(others)[:, None] == start, t, np.nan) for t in one.traces]
        return Run(moved, self.space, put(self.objectives, one.objectives), [*self.traces, *traces], one.interrupted)


def _run(
    setup: Setup,
    params: Any,
    prepared: Prepared,
    stop: Stopping,
    limit: int,
    progress: Progress,
    callback: Any,
) -> Run:
    # What is looked at between chunks is NumPy: each operation on a device array would compile a program of its own.
    example, space = first_of(params), setup.form.model.space
    state = begin(setup, params)
    work = max(prepared.weights.shape[0], setup.form.cost(prepared) // 16)
    cells = work * max(1, setup.form.model.space.size) * state.outcome.shape[0]
    most = CHUNK_ITERATIONS if state.outcome.shape[0] == 1 else CHUNK_OF_STARTS
    chunk = most if cells < 1e6 else 4
    done, traces, interrupted = 0, [], False
    try:
        while done < limit:
            chunk = min(chunk, most, limit - done)
            before = time.perf_counter()
            state = advance(setup, state, example, prepared, stop._replace(iterations=np.asarray(chunk, np.int32)))
            outcomes = np.asarray(state.outcome)
            traces.append(np.asarray(state.trace)[:, :chunk])
            done = int(np.max(np.asarray(state.iterations)))
            running = int(np.sum(outcomes == RUNNING))
            objectives = np.asarray(state.objective)
            if len(outcomes) > 1 and 0 < running < len(outcomes):
                why = partial(_spurious, setup.form, prepared, space, np.asarray(state.safe))
                given_up = optima.losers(outcomes, objectives, traces[-1], why)
                state = state._replace(outcome=np.where(given_up, np.int32(STOPPED), outcomes))
                running -= int(np.sum(given_up))
            progress.show(done, float(np.nanmax(objectives)), running)
            if callback is not None and callback(_snapshot(state, space, done, running)):
                interrupted = True
                break
            if running == 0:
                break
            if len(traces) > 1:  # the first chunk was slow because it was compiled
                # Come back to Python about three times a second, so that progress and Ctrl-C stay alive.
                elapsed = max(time.perf_counter() - before, 1e-6)
                chunk = int(np.clip(0.3 / elapsed * chunk, 1, most))
    except KeyboardInterrupt:
        interrupted = True
    return Run(state, space, np.asarray(state.objective, dtype=np.float64), traces, interrupted)


def first_of(params: Any) -> Any:
    """Params of the first start, NumPy arrays."""
    return jax.tree.map(lambda a: np.asarray(a)[0], params)


def _snapshot(state: LoopState, space: ParameterSpace, done: int, running: int) -> Snapshot:
    objectives = np.asarray(state.objective)
    best = int(np.nanargmax(objectives))
    params = optima.unravel(space, np.asarray(state.safe)[best])
    return Snapshot(done, float(objectives[best]), params, running)


def _of(run: Run, best: int) -> Outcome:
    """The outcome of start `best`."""
    state = jax.tree.map(np.asarray, run.state)
    code = int(state.outcome[best])
    trace = np.concatenate([t[best] for t in run.traces]) if run.traces else np.zeros(0)
    return Outcome(
        run.params(best),
        Status.interrupted if run.interrupted and np.any(state.outcome == RUNNING) else STATUS[code],
        int(state.iterations[best]),
        int(state.evaluations[best]),
        trace[~np.isnan(trace)],
        run.objectives,
        ends=optima.Ends(np.asarray(state.safe), np.asarray(state.outcome)),
    )


def _polish_is_affordable(form: Form, prepared: Prepared) -> bool:
    size = form.model.space.size
    cells = form.cost(prepared) * float(size) ** 2
    return not form.can("information") and 0 < size <= LARGEST_POLISH and cells <= POLISH_BUDGET
