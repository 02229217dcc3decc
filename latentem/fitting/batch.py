"""The driver: `fit(model, data)` validates at the door, runs the compiled loop in chunks, polishes, returns a Fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from latentem.ascent.acceleration import PX, SQUAREM, AverageInformation, Method
from latentem.ascent.annealing import Annealing, anneal
from latentem.ascent.iteration import evaluate
from latentem.ascent.mstep import resolve
from latentem.ascent.starts import starts_for
from latentem.ascent.status import Status
from latentem.data import Data
from latentem.data.sequences import Sequences
from latentem.fitting.attempt import Attempt, Task
from latentem.fitting.climb import Options, Snapshot, first_of
from latentem.fitting.cores import chosen
from latentem.fitting.digits import as_declared, verdict
from latentem.fitting.edges import at_edges, natural_edges
from latentem.fitting.field import fit_field
from latentem.fitting.host import fit_on_host
from latentem.fitting.online import fit_online, read_batches
from latentem.fitting.options import check as check_options
from latentem.fitting.outcome import Outcome
from latentem.fitting.progress import Progress
from latentem.fitting.remedies import proved, repaired
from latentem.forms.choose import Problem, Wishes, choose
from latentem.model import Model
from latentem.model.advice import traced
from latentem.model.checks import check_declaration, check_quadratic
from latentem.model.declared import declare
from latentem.model.strict import check_declared
from latentem.numerics.compiled import make_room
from latentem.results.fit import Fit

#: Weights that add up to less than this part of the rows are remarked on.
FEW = 0.5


def fit(
    model: Any,
    data: Any,
    *,
    weights: Any = None,
    initial: Any = None,
    key: Any = None,
    starts: int = 1,
    method: Method | PX | AverageInformation | str | None = None,
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
    devices: int | Sequence[Any] | None = None,
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
            iterable of batches (or a function that returns one). Of `Mixed`: `AverageInformation()` (default), `PX()`,
            `SQUAREM()` or `Plain()`.
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
        passes: of online EM over the batches; of ordered subsets over the data.
        dtype: "float64" or "float32", of this fit only; JAX's own setting is left alone.
        devices: of JAX, over which the rows are spread: a number, or a list from `jax.devices()`. None: all, where the
            work is worth it; the cores of a CPU are devices after `lem.use_cores(n)`. Results are the same to rounding.
        progress: show a progress line. None: on long fits in a terminal or notebook.
        callback: called with a `Snapshot` between chunks of iterations; returning True stops the fit.

    Returns:
        A `Fit`. Ctrl-C returns the best params so far with status `interrupted`.

    Raises:
        ValueError, TypeError: in one line, before anything is compiled: data, weights, options or initial params that
            cannot be used, a log-likelihood that is not a finite scalar at the start.
    """
    check_options(
        method=method,
        m_step=m_step,
        tolerance=tolerance,
        step_tolerance=step_tolerance,
        max_iterations=max_iterations,
        starts=starts,
        polish=polish,
        exclude_degenerate=exclude_degenerate,
        annealing=annealing,
        step_size=step_size,
        passes=passes,
        progress=progress,
        callback=callback,
    )
    if hasattr(model, "fit_whole"):  # records that share one latent: nothing adds over rows
        return model.fit_whole(data, **_given(locals()))
    if getattr(getattr(model, "latent", None), "shared", False):
        return fit_field(model, data, **_given(locals()))
    began = time.perf_counter()
    if dtype not in ("float64", "float32"):
        raise ValueError(f"dtype={dtype!r}: expected 'float64' or 'float32'")
    if hasattr(model, "on_host") and method != "online":
        return fit_on_host(
            model,
            data,
            weights=weights,
            initial=initial,
            key=key,
            starts=starts,
            method=method,
            tolerance=tolerance,
            max_iterations=max_iterations,
            passes=passes,
            dtype=dtype,
            progress=progress,
            callback=callback,
            m_step=m_step,
            polish=polish,
            annealing=annealing,
            compress=compress,
            step_size=step_size,
            step_tolerance=step_tolerance,
        )
    if isinstance(method, str):
        if method != "online":
            raise ValueError(
                f"method={method!r}: expected 'online', lem.SQUAREM(), lem.Anderson(window) or lem.Plain()"
            )
        with Progress(progress).of(f"online EM of {getattr(model, 'name', 'a model')}") as line:
            return fit_online(
                model, read_batches(data), initial, key, step_size, passes, dtype, line, weights is not None
            )
    if method is not None and not isinstance(method, Method):
        known = "lem.SQUAREM(), lem.Anderson(window) or lem.Plain()"
        whole = isinstance(method, PX | AverageInformation)
        told = "is a way to climb of lem.Mixed" if whole else f"is a {type(method).__name__}"
        raise ValueError(f"method={method!r} {told}: expected {known}, or 'online'")
    if step_size is not None or passes != 1:
        raise ValueError("step_size and passes belong to online EM: pass method='online', or leave them out")
    make_room()
    declared, observations = declare(model, data)
    read = declared.latent.read(observations, weights)
    with jax.enable_x64(dtype == "float64"):
        check_declaration(declared, read.observations)
    told_of_data = _degenerate(declared, read)
    if initial is None and starts == 1 and hasattr(declared.declaration, "begin"):
        initial = declared.declaration.begin(read.observations, read.weights)
    centre = None if initial is None else declared.space.check(initial)
    wishes = Wishes(dtype, compress, centre, closed=m_step in ("auto", "closed"))
    options = Options(
        method or SQUAREM(),
        m_step,
        tolerance,
        step_tolerance,
        max_iterations,
        polish,
        dtype,
        exclude_degenerate,
        None if devices is None else chosen(devices),
    )
    with traced(declared.name), jax.enable_x64(dtype == "float64"), Progress(progress).of(declared.name) as line:
        problem = choose(declared, read, wishes)
        drawn = starts_for(problem, initial, key, starts, dtype)
        resolve(m_step, problem.form)  # what is wrong with it is said before anything is compiled
        check_quadratic(declared, first_of(drawn), problem.distinct)
        unused = check_declared(declared, first_of(drawn), problem.distinct)
        drawn, stopped = _annealed(annealing, problem, m_step, drawn)
        first = Attempt(Task(declared, read, wishes, options, drawn), problem, drawn)
        attempt = repaired(first.run(line, callback, stopped), line, callback)
        if attempt.no_start:
            raise ValueError(attempt.no_start)
        declared = attempt.task.model
        problem, outcome = proved(attempt), attempt.reached
        known = outcome.values if problem.form == attempt.problem.form else None
        status, (log_likelihood, log_prior) = _valued(problem, replace(outcome, values=known))
        digits, integral, edges, ran_off = None, None, None, ()
        if status is not Status.interrupted:
            try:
                digits, integral = attempt.digits, attempt.integral
                if digits is not None and digits.complete and np.isfinite(digits.declared):
                    log_likelihood = digits.declared
                if status.ok:
                    edges, ran_off = at_edges(problem, outcome.params, log_likelihood + log_prior)
            except KeyboardInterrupt:
                status = Status.interrupted
        final = jax.tree.map(lambda a: np.asarray(a, dtype=np.float64), outcome.params)
        bound = np.asarray(declared.space.locate(final)[1])
        natural, gone = natural_edges(declared, read.observations, bound)
        if status is Status.converged and ((bound & ~natural).any() or edges is not None):
            status = Status.boundary
        status, told = verdict(integral, status)
        notes = (*told_of_data, *outcome.notes, *told, *ran_off, *unused, *_of_size(declared.space.size - gone, read))
        notes = (*notes, *_remarks(declared, outcome.params, read))
        if told_of_data and status not in (Status.interrupted, Status.non_finite):
            status = Status.degenerate
    return Fit(
        params=final,
        log_likelihood=log_likelihood,
        log_prior=log_prior,
        status=status,
        iterations=outcome.iterations,
        evaluations=outcome.evaluations + 1,
        seconds=time.perf_counter() - began,
        n_observations=read.total,
        n_parameters=declared.space.size - gone,
        trace=outcome.trace,
        starts=outcome.starts,
        dtype=dtype,
        name=declared.name,
        gradient=outcome.gradient,
        compression=problem.compression,
        notes=tuple(dict.fromkeys(notes)),
        accuracy=digits,
        quadrature=integral,
        by_formula=as_declared.__name__ not in attempt.tried,
        edges=edges,
        model=declared,
        declaration=model,
        data=read,
        problem=problem,
        ends=outcome.ends,
        given=data,
        weighted=bool(np.any(read.weights != 1.0)),
    )


def _given(arguments: dict[str, Any]) -> dict[str, Any]:
    """The options of `fit` that differ from their defaults."""
    defaults = fit.__kwdefaults__ or {}
    return {name: value for name, value in arguments.items() if name in defaults and value is not defaults[name]}


def _annealed(annealing: Annealing | None, problem: Problem, m_step: Any, starts: Any) -> tuple[Any, bool]:
    """(the starts after annealing, whether Ctrl-C came meanwhile: as they were, then)."""
    if annealing is None:
        return starts, False
    try:
        return anneal(problem.form, resolve(m_step, problem.form), annealing, starts, problem.prepared), False
    except KeyboardInterrupt:
        return starts, True


def _valued(problem: Problem, outcome: Outcome) -> tuple[Status, tuple[float, float]]:
    """(status, (log-likelihood, log prior) at the params reached)."""
    status, values = outcome.status, outcome.values
    try:
        values = values or evaluate(problem.form, outcome.params, problem.prepared)
    except KeyboardInterrupt:
        status, values = Status.interrupted, evaluate(problem.form, outcome.params, problem.prepared)
    log_likelihood, log_prior = (float(a) for a in values)
    return status, (log_likelihood, log_prior)


def _degenerate(model: Model, data: Data) -> tuple[str, ...]:
    """What a ready model finds in the data, before the fit, that leaves it without a maximum."""
    ask, weights = getattr(model.declaration, "degenerate", None), np.asarray(data.weights)
    if ask is None:
        return ()
    rows = data.observations
    if not isinstance(rows, Sequences) and np.any(weights == 0):
        rows = jax.tree.map(lambda a: np.asarray(a)[weights > 0], rows)
    told = ask(rows)
    return (told,) if told else ()


def _of_size(free: int, data: Data) -> tuple[str, ...]:
    """What is said of more params than observations."""
    rows, weights = data.observations, np.asarray(data.weights)
    n = rows.total if isinstance(rows, Sequences) else max(data.total, float(np.sum(weights > 0)))
    told = [f"{free} free params and {n:g} observations: more than these can tell"] if free > n else []
    if np.sum(weights) < FEW * np.sum(weights > 0):
        told.append(
            f"the weights of {np.sum(weights > 0)} rows add up to {np.sum(weights):.4g}: so many observations are what "
            "standard errors and criteria go by; sampling weights are to add up to the number of rows"
        )
    return tuple(told)


def _remarks(model: Model, params: Any, data: Data) -> tuple[str, ...]:
    """What a ready model has to say of these data and params."""
    remarks = getattr(model.declaration, "remarks", None)
    if remarks is None:
        return ()
    return tuple(remarks(jax.tree.map(np.asarray, params), data.observations, np.asarray(data.weights)))
