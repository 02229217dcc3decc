"""The driver: `fit(model, data)` validates at the door, runs the compiled loop in chunks, polishes, returns a Fit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from latentem.ascent.acceleration import SQUAREM, Method
from latentem.ascent.annealing import Annealing, anneal
from latentem.ascent.iteration import evaluate
from latentem.ascent.mstep import resolve
from latentem.ascent.starts import initial_params
from latentem.ascent.status import Status
from latentem.data import door
from latentem.fitting.climb import NoStart, Options, Outcome, Snapshot, first_of, maximize
from latentem.fitting.field import fit_field
from latentem.fitting.online import fit_online, read_batches
from latentem.fitting.progress import Progress
from latentem.forms.anchors.search import final_error
from latentem.forms.choose import Problem, prepare
from latentem.model import Model
from latentem.model.checks import check_declaration, check_quadratic, declare
from latentem.numerics.compiled import make_room
from latentem.results.fit import Fit

#: Anchors that predict log p at the final params worse than this, relative to its size, are chosen anew.
REQUIRED_FINAL_ERROR = 1e-10


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
    if hasattr(model, "fit_whole"):  # records that share one latent: nothing adds over rows
        return model.fit_whole(data, **_given(locals()))
    if getattr(getattr(model, "latent", None), "shared", False):
        return fit_field(model, data, **_given(locals()))
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
        check_quadratic(declared, first_of(params), problem.distinct)
        with Progress(progress).of(declared.name) as line:
            try:
                outcome, objectives = maximize(problem, params, options, line, callback)
            except NoStart:
                careful = problem.form.careful()
                if problem.compression.basis is not None:
                    problem, outcome, objectives = _uncompressed(params, declared, read, options, line, callback)
                elif careful is not None:
                    problem = replace(problem, form=careful)
                    outcome, objectives = maximize(problem, params, options, line, callback)
                else:
                    raise
            careful = problem.form.careful()
            if outcome.status is Status.non_finite and careful is not None:
                problem = replace(problem, form=careful)
                start = jax.tree.map(lambda a: np.asarray(a)[None], outcome.params)
                later, _ = maximize(problem, start, options, line, callback)
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


def _given(arguments: dict[str, Any]) -> dict[str, Any]:
    """The options of `fit` that differ from their defaults."""
    defaults = fit.__kwdefaults__ or {}
    return {name: value for name, value in arguments.items() if name in defaults and value is not defaults[name]}


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
        later, _ = maximize(problem, start, options, line, callback)
        outcome = _after(outcome, later, note)
    return problem, outcome


def _uncompressed(
    params: Any, model: Model, read: Any, options: Options, line: Progress, callback: Any
) -> tuple[Problem, Outcome, np.ndarray]:
    """(problem, outcome, objectives) of a fit on all rows, where log p overflows on anchors at the starts."""
    problem = prepare(model, read, options.dtype, False, closed=options.m_step in ("auto", "closed"))
    outcome, objectives = maximize(problem, params, options, line, callback)
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


def _check_options(tolerance: float, step_tolerance: float, max_iterations: int, starts: int) -> None:
    for name, value in (("tolerance", tolerance), ("step_tolerance", step_tolerance)):
        if not value >= 0:
            raise ValueError(f"{name}={value!r}: expected a number >= 0")
    for name, value in (("max_iterations", max_iterations), ("starts", starts)):
        if not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name}={value!r}: expected an integer >= 1")
