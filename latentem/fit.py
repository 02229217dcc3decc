"""The driver: `fit(model, data)` validates at the door, runs the compiled loop in chunks, polishes, returns a Fit."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np

from latentem import data as door
from latentem import restarts
from latentem.accelerate import SQUAREM, Method
from latentem.annealing import Annealing, anneal
from latentem.compiled import make_room
from latentem.constraints import ParameterSpace
from latentem.declaration import check_declaration, check_quadratic, declare
from latentem.em import evaluate, row_log_prob
from latentem.forms import Form, Prepared
from latentem.initial import initial_params
from latentem.loop import (
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
from latentem.model import Model
from latentem.mstep import resolve
from latentem.online import fit_online, read_batches
from latentem.polish import ahead as polishing
from latentem.polish import polish as polish_params
from latentem.prepare import Problem, prepare
from latentem.progress import Progress
from latentem.result import Fit
from latentem.status import Status
from latentem.sufficiency.compression import final_error

#: Anchors that predict log p at the final params worse than this, relative to its size, are chosen anew.
REQUIRED_FINAL_ERROR = 1e-10
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


def fit(
    model: Any,
    data: Any,
    *,
    weights: Any = None,
    initial: Any = None,
    key: Any = None,
    starts: int = 1,
    method: Method | str | None = None,
    m_step: Any = "auto",
    tolerance: float = 1e-10,
    step_tolerance: float = 0.0,
    max_iterations: int = 10_000,
    polish: bool | None = None,
    exclude_degenerate: bool = True,
    annealing: Annealing | None = None,
    compress: Any = "auto",
    step_size: Callable[[int], float] | None = None,
    passes: int = 1,
    dtype: str = "float64",
    progress: bool | None = None,
    callback: Callable[[Snapshot], Any] | None = None,
) -> Fit:
    """Maximum-likelihood or MAP fit of a latent-variable model by EM.

    Args:
        model: a `Model`, or a ready model such as `GaussianMixture(3)`.
        data: pytree of arrays with one leading axis of N observations, or a table.
        weights: (N,) frequency or sampling weights >= 0; equivalent to repeating rows.
        initial: params of the first start; drawn from the data or at random when left out.
        key: typed PRNG key for random starts.
        starts: how many starts; they run as one vmapped program and the best is returned. Once half have converged,
            those that are projected to end more than 2 nats below the best are given up.
        method: `SQUAREM()` (default), `Anderson(window)` or `Plain()`; "online" for online EM, where `data` is an
            iterable of batches (or a function that returns one).
        m_step: "auto", "closed", "newton", "gradient", `lem.Newton(...)` or `lem.Gradient(optimizer, steps)`.
        tolerance: a start has converged when one iteration changes the objective by less than
            `tolerance * max(N, |objective|)`, N being the sum of the weights.
        step_tolerance: also stop when a plain EM step of the raveled params is shorter than this (Euclidean length).
        max_iterations: of each start.
        polish: finish with Newton on the observed-data objective, to rounding level. None: where its cost is small.
        exclude_degenerate: choose a spurious maximum (a covariance that collapsed, an empty component) only where every
            start ended in one; the status is then `boundary`.
        annealing: `lem.Annealing()` leads the starts through deterministic annealing before EM.
        compress: "auto" runs densities that separate on sufficient statistics (see `lem.sufficiency`) where that pays;
            True insists and raises with the reason when it cannot; False evaluates the declaration on every row.
        step_size: of online EM, batch number -> step; `lem.polynomial_decay(0.6)` by default.
        passes: of online EM over the batches.
        dtype: "float64" or "float32", of this fit only; JAX's own setting is left alone.
        progress: show a progress line. None: on long fits in a terminal or notebook.
        callback: called with a `Snapshot` between chunks of iterations; returning True stops the fit.

    Returns:
        A `Fit`. Ctrl-C returns the best params so far with status `interrupted`.

    Raises:
        ValueError, TypeError: in one line, before anything is compiled: data, weights, options or initial params that
            cannot be used, a log-likelihood that is not a finite scalar at the start.
    """
    began = time.perf_counter()
    if dtype not in ("float64", "float32"):
        raise ValueError(f"dtype={dtype!r}: expected 'float64' or 'float32'")
    _check_options(tolerance, step_tolerance, max_iterations, starts)
    if isinstance(method, str):
        if method != "online":
            raise ValueError(
                f"method={method!r}: expected 'online', lem.SQUAREM(), lem.Anderson(window) or lem.Plain()"
            )
        with Progress(progress).of(f"online EM of {getattr(model, 'name', 'a model')}") as line:
            return fit_online(
                model, read_batches(data), initial, key, step_size, passes, dtype, line, weights is not None
            )
    if step_size is not None or passes != 1:
        raise ValueError("step_size and passes belong to online EM: pass method='online', or leave them out")
    make_room()
    declared, observations = declare(model, data)
    read = door.read(observations, weights)
    check_declaration(declared, read.observations)
    centre = None if initial is None else declared.space.check(initial)
    options = Options(
        method or SQUAREM(), m_step, tolerance, step_tolerance, max_iterations, polish, dtype, exclude_degenerate
    )
    with jax.enable_x64(dtype == "float64"):
        problem = prepare(declared, read, dtype, compress, centre, closed=m_step in ("auto", "closed"))
        params = initial_params(problem, initial, key, starts, dtype)
        if annealing is not None:
            params = anneal(problem.form, resolve(m_step, problem.form), annealing, params, problem.prepared)
        check_quadratic(declared, _first(params), problem.distinct)
        with Progress(progress).of(declared.name) as line:
            try:
                outcome, objectives = _maximize(problem, params, options, line, callback)
            except NoStart:
                careful = problem.form.careful()
                if problem.compression.basis is not None:
                    problem, outcome, objectives = _uncompressed(params, declared, read, options, line, callback)
                elif careful is not None:
                    problem = replace(problem, form=careful)
                    outcome, objectives = _maximize(problem, params, options, line, callback)
                else:
                    raise
            careful = problem.form.careful()
            if outcome.status is Status.non_finite and careful is not None:
                problem = replace(problem, form=careful)
                start = jax.tree.map(lambda a: np.asarray(a)[None], outcome.params)
                later, _ = _maximize(problem, start, options, line, callback)
                outcome = _after(outcome, later, "numbers underflowed; the fit went on in logarithms")
            problem, outcome = _revalidated(problem, params, outcome, declared, read, options, line, callback)
        values = outcome.values or evaluate(problem.form, outcome.params, problem.prepared)
        log_likelihood, log_prior = (float(a) for a in values)
        final = jax.tree.map(lambda a: np.asarray(a, dtype=np.float64), outcome.params)
        status = outcome.status
        if status is Status.converged and np.asarray(declared.space.locate(final)[1]).any():
            status = Status.boundary
    return Fit(
        params=final,
        log_likelihood=log_likelihood,
        log_prior=log_prior,
        status=status,
        iterations=outcome.iterations,
        evaluations=outcome.evaluations + 1,
        seconds=time.perf_counter() - began,
        n_observations=read.total,
        n_parameters=declared.space.size,
        trace=outcome.trace,
        starts=objectives,
        dtype=dtype,
        name=declared.name,
        gradient=outcome.gradient,
        compression=problem.compression,
        notes=(*outcome.notes, *_remarks(declared, outcome.params, observations)),
        model=declared,
        declaration=model,
        data=read,
        problem=problem,
        ends=outcome.ends,
    )


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


def _maximize(
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
        raise NoStart(_where_impossible(form, _first(params), prepared))
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


def _remarks(model: Model, params: Any, observations: Any) -> tuple[str, ...]:
    """What a ready model has to say of these data and params."""
    remarks = getattr(model.declaration, "remarks", None)
    return () if remarks is None else tuple(remarks(jax.tree.map(np.asarray, params), observations))


def _revalidated(
    problem: Problem,
    params: Any,
    outcome: Outcome,
    model: Model,
    read: Any,
    options: Options,
    line: Progress,
    callback: Any,
) -> tuple[Problem, Outcome]:
    """The same, once the anchors have been proved again at the params reached: where they fail there, sufficiency is
    looked for anew around those params, and where that fails the fit goes on uncompressed; from `params`, the starts,
    where the params reached are impossible."""
    for attempt in ("anchors", "rows"):
        found = problem.compression
        if found.basis is None:
            break
        broken = outcome.status is Status.non_finite
        if not broken and final_error(problem, outcome.params) <= REQUIRED_FINAL_ERROR:
            if found.provisional:
                reason = "log p(x, z) separates, to full precision around the params reached"
                problem = replace(problem, compression=replace(found, verdict=True, reason=reason))
            break
        again = "auto" if attempt == "anchors" and not broken else False
        problem = prepare(model, read, options.dtype, again, outcome.params, seed=1, closed=False, provisional=False)
        note = "anchors lost digits at the params reached; " + (
            "new ones were chosen there" if problem.compression.verdict else "the fit went on uncompressed"
        )
        start = jax.tree.map(lambda a: np.asarray(a)[None], outcome.params)
        if not np.isfinite(evaluate(problem.form, outcome.params, problem.prepared)[0]):
            start = params
        later, _ = _maximize(problem, start, options, line, callback)
        outcome = _after(outcome, later, note)
    return problem, outcome


def _uncompressed(
    params: Any, model: Model, read: Any, options: Options, line: Progress, callback: Any
) -> tuple[Problem, Outcome, np.ndarray]:
    """(problem, outcome, objectives) of a fit on all rows, where log p overflows on anchors at the starts."""
    problem = prepare(model, read, options.dtype, False, closed=options.m_step in ("auto", "closed"))
    outcome, objectives = _maximize(problem, params, options, line, callback)
    note = "log p was not finite on anchors at the start; the fit ran uncompressed"
    return problem, replace(outcome, notes=(*outcome.notes, note)), objectives


def _after(before: Outcome, later: Outcome, note: str) -> Outcome:
    return replace(
        later,
        iterations=before.iterations + later.iterations,
        evaluations=before.evaluations + later.evaluations,
        trace=np.concatenate([before.trace, later.trace]),
        notes=(*dict.fromkeys((*before.notes, *later.notes, note)),),
        ends=before.ends,
    )


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
    example, space = _first(params), setup.form.model.space
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


def _first(params: Any) -> Any:
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


def _check_options(tolerance: float, step_tolerance: float, max_iterations: int, starts: int) -> None:
    for name, value in (("tolerance", tolerance), ("step_tolerance", step_tolerance)):
        if not value >= 0:
            raise ValueError(f"{name}={value!r}: expected a number >= 0")
    for name, value in (("max_iterations", max_iterations), ("starts", starts)):
        if not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name}={value!r}: expected an integer >= 1")


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
