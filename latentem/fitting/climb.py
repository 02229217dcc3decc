"""From starts to where the best of them ends: the compiled loop in chunks, the choice among starts, Newton."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np

from latentem.ascent import optima as restarts
from latentem.ascent.acceleration import Method
from latentem.ascent.iteration import evaluate, row_log_prob
from latentem.ascent.loop import (
    CHUNK_ITERATIONS,
    CONVERGED,
    DECREASED,
    NON_FINITE,
    RUNNING,
    STOPPED,
    LoopState,
    Start,
    Stopping,
    advance,
    begin,
)
from latentem.ascent.mstep import resolve
from latentem.ascent.polish import ahead as polishing
from latentem.ascent.polish import polish as polish_params
from latentem.ascent.status import Status
from latentem.constraints import ParameterSpace
from latentem.fitting.progress import Progress
from latentem.forms import Form, Prepared
from latentem.forms.choose import Problem

#: A polish costs about P evaluations of the E-step per Newton step; it is done where that stays below this many cells.
LARGEST_POLISH = 500
POLISH_BUDGET = 2e9
#: Gain of a polish, relative to the objective, below which it found no way up.
KINK = 1e-9
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


class NoStart(ValueError):
    """The objective is not finite at any start."""


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


def maximize(
    problem: Problem, params: Any, options: Options, line: Progress, callback: Any
) -> tuple[Outcome, np.ndarray]:
    """(where the best start ended, polished where it pays; the objective of every start)."""
    form, prepared = problem.form, problem.prepared
    setup = Start(form, resolve(options.m_step, form), options.method)
    affordable = _polish_is_affordable(form, prepared) if options.polish is None else options.polish
    affordable = affordable and form.model.space.size > 0
    stop = Stopping(
        np.asarray(options.tolerance, options.dtype),
        np.asarray(options.step_tolerance, options.dtype),
        np.asarray(0, np.int32),
    )
    later = polishing(form, params, prepared) if affordable else nullcontext()
    with later:
        run = _run(setup, params, prepared, stop, options.max_iterations, line, callback)
    if not np.any(np.isfinite(run.objectives)):
        raise NoStart(_where_impossible(form, first_of(params), prepared))
    best, reason, notes = restarts.choose(
        run.objectives,
        lambda s: restarts.spurious(form, prepared, run.params(s)),
        options.exclude_degenerate,
    )
    outcome = replace(Outcome.of(run, best), notes=notes)
    wanted = affordable and (options.polish is not None or outcome.status is Status.converged)
    # On a spike Newton would only climb on, without end; and it is not to climb onto one.
    if wanted and not reason:
        polished = _polished(outcome, form, prepared)
        outcome = outcome if restarts.spurious(form, prepared, polished.params) else polished
    if reason and outcome.status.ok:
        outcome = replace(outcome, status=Status.boundary)
    return outcome, run.objectives


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
        return restarts.unravel(self.space, np.asarray(self.state.safe)[start])


def _run(
    setup: Start,
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
    work = max(prepared.weights.shape[0], setup.form.cells(prepared) // 16)
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
                given_up = restarts.losers(outcomes, objectives, traces[-1])
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
    params = restarts.unravel(space, np.asarray(state.safe)[best])
    return Snapshot(done, float(objectives[best]), params, running)


@dataclass(frozen=True)
class Outcome:
    """Where the best start ended."""

    params: Any
    status: Status
    iterations: int
    evaluations: int
    trace: np.ndarray
    gradient: float | None = None
    notes: tuple[str, ...] = ()
    ends: restarts.Ends | None = None
    #: (log-likelihood, log prior) at the params, where they are known.
    values: tuple[float, float] | None = None

    @classmethod
    def of(cls, run: Run, best: int) -> Outcome:
        """The outcome of start `best`."""
        state = jax.tree.map(np.asarray, run.state)
        code = int(state.outcome[best])
        status = {
            RUNNING: Status.interrupted if run.interrupted else Status.max_iterations,
            CONVERGED: Status.converged,
            DECREASED: Status.decreased,
            NON_FINITE: Status.non_finite,
            STOPPED: Status.max_iterations,
        }[code]
        trace = np.concatenate([t[best] for t in run.traces]) if run.traces else np.zeros(0)
        return cls(
            run.params(best),
            status,
            int(state.iterations[best]),
            int(state.evaluations[best]),
            trace[~np.isnan(trace)],
            ends=restarts.Ends(np.asarray(state.safe), np.asarray(state.outcome)),
        )


def _polish_is_affordable(form: Form, prepared: Prepared) -> bool:
    size = form.model.space.size
    cells = form.cells(prepared) * float(size) ** 2
    hard = getattr(form.model.latent, "hard", False)
    return not hard and 0 < size <= LARGEST_POLISH and cells <= POLISH_BUDGET


def _polished(outcome: Outcome, form: Form, prepared: Prepared) -> Outcome:
    result = polish_params(form, outcome.params, prepared)
    if not np.isfinite(result.objective):
        return outcome
    status = outcome.status
    notes = outcome.notes
    if result.is_saddle:
        status = Status.saddle
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


def _where_impossible(form: Form, params: Any, prepared: Prepared) -> str:
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
    return (
        f"log p(x) is {values[bad[0]]} at the initial params for {len(bad)} of {len(values)} distinct rows, the first "
        f"of them row {int(bad[0])}: check it, or pass initial= params under which every observation is possible"
    )
