"""The driver: `fit(model, data)` validates at the door, runs the compiled loop in chunks, polishes, and returns a Fit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from latentem import data as door
from latentem.accelerate import SQUAREM, Method
from latentem.em import evaluate, row_log_prob
from latentem.forms import Form, Prepared, RowForm
from latentem.initial import initial_params
from latentem.loop import (
    CHUNK_ITERATIONS,
    CONVERGED,
    DECREASED,
    NON_FINITE,
    RUNNING,
    LoopState,
    Start,
    Stopping,
    advance,
    begin,
)
from latentem.model import Model
from latentem.mstep import resolve
from latentem.polish import Polished
from latentem.polish import polish as polish_params
from latentem.prepare import choose_form
from latentem.progress import Progress
from latentem.result import Fit
from latentem.status import Status

#: A polish costs about P evaluations of the E-step per Newton step; it is done where that stays below this many cells.
LARGEST_POLISH = 500
POLISH_BUDGET = 2e9


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
    method: Method | None = None,
    m_step: Any = "auto",
    tolerance: float = 1e-10,
    step_tolerance: float = 0.0,
    max_iterations: int = 10_000,
    polish: bool | None = None,
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
        starts: how many starts; they run as one vmapped program and the best is returned.
        method: `SQUAREM()` (default), `Anderson(window)` or `Plain()`.
        m_step: "auto", "closed", "newton", "gradient", `lem.Newton(...)` or `lem.Gradient(optimizer, steps)`.
        tolerance: a start has converged when one iteration changes the objective by less than
            `tolerance * max(N, |objective|)`, N being the sum of the weights.
        step_tolerance: also stop when a plain EM step of the raveled params is shorter than this (Euclidean length).
        max_iterations: of each start.
        polish: finish with Newton on the observed-data objective, to rounding level. None: where its cost is small.
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
    declared, observations = declare(model, data)
    read = door.read(observations, weights)
    check_declaration(declared, read.observations)
    with jax.enable_x64(dtype == "float64"):
        rows = jax.tree.map(jnp.asarray, door.cast(read.observations, dtype))
        row_weights = jnp.asarray(read.weights, dtype=dtype)
        form, prepared = choose_form(declared, read.observations, rows, row_weights)
        setup = Start(form, resolve(m_step, form), SQUAREM() if method is None else method)
        params = initial_params(form, prepared, (rows, row_weights), initial, key, starts, dtype)
        stop = Stopping(jnp.asarray(tolerance, dtype), jnp.asarray(step_tolerance, dtype), jnp.asarray(0))
        run = _run(setup, params, prepared, stop, max_iterations, Progress(progress), callback)
        best = int(np.argmax(np.where(np.isfinite(run.objectives), run.objectives, -np.inf)))
        if not np.isfinite(run.objectives[best]):
            raise ValueError(_where_impossible(declared, jax.tree.map(lambda a: a[0], params), rows, row_weights))
        outcome = Outcome.of(run, best)
        if polish if polish is not None else _worth_polishing(form, prepared, outcome.status):
            outcome = _polished(outcome, form, prepared)
        log_likelihood, log_prior = (float(a) for a in evaluate(form, outcome.params, prepared))
        final = jax.tree.map(lambda a: np.asarray(a, dtype=np.float64), outcome.params)
        status = outcome.status
        if status is Status.converged and any(np.any(a) for a in jax.tree.leaves(declared.space.boundary(final))):
            status = Status.boundary
    return Fit(
        params=final,
        log_likelihood=log_likelihood,
        log_prior=log_prior,
        status=status,
        iterations=outcome.iterations,
        evaluations=outcome.evaluations + 1,
        seconds=time.perf_counter() - began,
        n_observations=float(np.sum(np.asarray(read.weights, dtype=np.float64))),
        n_parameters=declared.space.size,
        trace=outcome.trace,
        starts=run.objectives,
        dtype=dtype,
        name=declared.name,
        gradient=outcome.gradient,
        model=declared,
        declaration=model,
        data=read,
        form=form,
    )


def declare(model: Any, data: Any) -> tuple[Model, Any]:
    """(the Model for these data, the observations as it wants them). A ready model fills in what the data fix, such as a
    dimension, in `declare(data)`, and states itself as a `Model` in `model()`.

    Raises:
        TypeError: `model` is neither a Model nor a ready model.
    """
    if not hasattr(model, "declare"):
        raise TypeError(f"model = {model!r}: expected lem.Model(...) or a ready model such as lem.GaussianMixture(3)")
    declared, observations = model.declare(data)
    return (declared if isinstance(declared, Model) else declared.model()), observations


@dataclass
class Run:
    """What the loop over chunks left, one entry per start."""

    state: LoopState
    unravel: Callable[[Any], Any]
    objectives: np.ndarray
    traces: list[np.ndarray]
    interrupted: bool


def _run(
    setup: Start, params: Any, prepared: Prepared, stop: Stopping, limit: int, progress: Progress, callback: Any
) -> Run:
    example = jax.tree.map(lambda a: a[0], params)
    _, unravel = jax.flatten_util.ravel_pytree(example)
    state = begin(setup, params)
    cells = prepared.weights.shape[0] * max(1, setup.form.model.space.size) * state.outcome.shape[0]
    chunk = CHUNK_ITERATIONS if cells < 1e6 else 4
    done, traces, interrupted = 0, [], False
    progress.begin(setup.form.model.name, limit)
    try:
        while done < limit:
            chunk = min(chunk, CHUNK_ITERATIONS, limit - done)
            before = time.perf_counter()
            state = advance(setup, state, example, prepared, stop._replace(iterations=jnp.asarray(chunk)))
            outcomes = np.asarray(state.outcome)
            traces.append(np.asarray(state.trace)[:, :chunk])
            done += chunk
            running = int(np.sum(outcomes == RUNNING))
            objectives = np.asarray(state.objective)
            progress.show(done, float(np.nanmax(objectives)), running)
            if callback is not None and callback(_snapshot(state, unravel, done, running)):
                interrupted = True
                break
            if running == 0:
                break
            # Come back to Python about three times a second, so that progress and Ctrl-C stay alive.
            elapsed = max(time.perf_counter() - before, 1e-6)
            chunk = int(np.clip(0.3 / elapsed * chunk, 1, CHUNK_ITERATIONS)) if done > chunk else CHUNK_ITERATIONS
    except KeyboardInterrupt:
        interrupted = True
    finally:
        progress.end()
    return Run(state, unravel, np.asarray(state.objective, dtype=np.float64), traces, interrupted)


def _snapshot(state: LoopState, unravel: Callable[[Any], Any], done: int, running: int) -> Snapshot:
    objectives = np.asarray(state.objective)
    best = int(np.nanargmax(objectives))
    params = jax.tree.map(np.asarray, unravel(state.safe[best]))
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

    @classmethod
    def of(cls, run: Run, best: int) -> Outcome:
        """The outcome of start `best`."""
        code = int(run.state.outcome[best])
        status = {
            RUNNING: Status.interrupted if run.interrupted else Status.max_iterations,
            CONVERGED: Status.converged,
            DECREASED: Status.decreased,
            NON_FINITE: Status.non_finite,
        }[code]
        trace = np.concatenate([t[best] for t in run.traces]) if run.traces else np.zeros(0)
        return cls(
            run.unravel(run.state.safe[best]),
            status,
            int(run.state.iterations[best]),
            int(run.state.evaluations[best]),
            trace[~np.isnan(trace)],
        )


def _worth_polishing(form: Form, prepared: Prepared, status: Status) -> bool:
    size = form.model.space.size
    nodes = form.model.latent.nodes()
    cells = prepared.weights.shape[0] * (16 if nodes is None else len(nodes[1])) * float(size) ** 2
    hard = getattr(form.model.latent, "hard", False)
    return status is Status.converged and not hard and 0 < size <= LARGEST_POLISH and cells <= POLISH_BUDGET


def _polished(outcome: Outcome, form: Form, prepared: Prepared) -> Outcome:
    result: Polished = jax.tree.map(np.asarray, polish_params(form, outcome.params, prepared))
    if not np.isfinite(result.objective):
        return outcome
    status = outcome.status
    if result.is_saddle:
        status = Status.saddle
    return Outcome(
        result.params,
        status,
        outcome.iterations + int(result.iterations),
        outcome.evaluations + int(result.evaluations),
        np.append(outcome.trace, result.objective),
        float(result.gradient),
    )


def _check_options(tolerance: float, step_tolerance: float, max_iterations: int, starts: int) -> None:
    for name, value in (("tolerance", tolerance), ("step_tolerance", step_tolerance)):
        if not value >= 0:
            raise ValueError(f"{name}={value!r}: expected a number >= 0")
    for name, value in (("max_iterations", max_iterations), ("starts", starts)):
        if not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name}={value!r}: expected an integer >= 1")


def check_declaration(model: Model, observations: Any) -> None:
    """Raise in one line when log p(x, z) of the first observation is not a floating scalar."""
    shapes = tuple((a.shape[1:], str(a.dtype)) for a in jax.tree.leaves(observations))
    _check_shapes(model, jax.tree.structure(observations), shapes)


@lru_cache(maxsize=256)
def _check_shapes(model: Model, structure: Any, shapes: tuple[tuple[tuple[int, ...], str], ...]) -> None:
    leaves = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in shapes]
    x = jax.tree.unflatten(structure, leaves)
    z = model.latent.example()
    params = jax.eval_shape(model.space.constrain, jax.ShapeDtypeStruct((model.space.size,), "float32"))
    try:
        out = jax.eval_shape(model.complete_log_likelihood, params, x, jax.ShapeDtypeStruct(z.shape, z.dtype))
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise TypeError(
            f"complete_log_likelihood(params, x, z) failed for one observation: {type(error).__name__}: {first}"
        ) from error
    if not hasattr(out, "shape"):
        raise TypeError(f"complete_log_likelihood returned {type(out).__name__}: expected one number per observation and z")
    if out.shape != ():
        raise ValueError(
            f"complete_log_likelihood returned an array of shape {out.shape}: expected a scalar for ONE observation x and "
            "ONE latent value z; sum over the parts of x"
        )
    if not jnp.issubdtype(out.dtype, jnp.floating):
        raise TypeError(f"complete_log_likelihood returned dtype {out.dtype}: expected a real log-density")


def _where_impossible(model: Model, params: Any, rows: Any, weights: Any) -> str:
    values = np.asarray(row_log_prob(RowForm(model), params, Prepared((), rows, weights)))
    bad = np.flatnonzero(~np.isfinite(values) & (np.asarray(weights) > 0))
    if len(bad) == 0:
        return f"{model.name}: the objective is not finite at the initial params; check the prior, or pass initial="
    n = int(bad[0])
    return (
        f"log p(x) is {values[n]} at the initial params for observation {n} ({len(bad)} of {len(values)} rows): check that "
        "row, or pass initial= params under which every observation is possible"
    )
