"""Online EM (Cappe and Moulines 2009, JRSS B 71): batches pass by, running averages of the expected statistics stay.

Each batch's expected statistics, per observation, enter a running average with a decreasing step size, and the M-step
maximises on that average. A density that declares no statistics gets them from anchors: chosen on the first batches,
proved on every batch, and replaced (with the running average carried over exactly) when a batch shows what they cannot
express.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from latentem.ascent import stream as streams
from latentem.ascent.iteration import evaluate
from latentem.ascent.starts import initial_params
from latentem.ascent.status import Status
from latentem.ascent.stream import Stream, polynomial_decay
from latentem.data import Data, door
from latentem.forms.choose import Problem, choose_form
from latentem.model import Model
from latentem.model.checks import declare
from latentem.results.fit import Fit

#: Rows gathered from the first batches before anchors are chosen.
FIRST_ROWS = 2000


@dataclass(frozen=True)
class OnlineResult:
    """What `run_online` returns: params, the log-likelihood per observation of each batch before it was learnt from."""

    params: Any
    trace: np.ndarray
    total: float
    weight: float
    batches: int
    problem: Problem
    interrupted: bool


def read_batches(batches: Any) -> tuple[Callable[[], Iterable[Any]], bool]:
    """(a function that starts a pass, whether it can be called again).

    Raises:
        TypeError: `batches` is one array or table rather than an iterable of them.
    """
    if callable(batches):
        start: Any = batches
        return start, True
    if hasattr(batches, "shape") or isinstance(batches, dict) or hasattr(batches, "columns"):
        raise TypeError("method='online': expected an iterable of batches; split the data, e.g. np.array_split(x, 200)")
    if isinstance(batches, list | tuple):
        return lambda: batches, True
    return lambda: batches, False


def fit_online(
    model: Any,
    source: tuple[Callable[[], Iterable[Any]], bool],
    initial: Any,
    key: Any,
    step_size: Callable[[int], float] | None,
    passes: int,
    dtype: str,
    line: Any,
    weighted: bool,
) -> Fit:
    """Online EM of `lem.fit(model, batches, method="online")`; `source` is what `read_batches` returned.

    The log-likelihood of the Fit is that of all batches at the final params where they can be read once more, else the
    sum of what each batch scored before it was learnt from.
    """
    began = time.perf_counter()
    start_pass, again = source
    if weighted:
        raise ValueError("method='online': weights are not taken; repeat rows, or use a batch fit")
    if not isinstance(passes, int) or passes < 1:
        raise ValueError(f"passes={passes!r}: expected an integer >= 1")
    if passes > 1 and not again:
        raise ValueError(
            f"passes={passes}: these batches can be read once; give a list, or a function that starts a pass"
        )

    def begin(problem: Problem) -> Any:
        return initial_params(problem, initial, key, 1, dtype)

    done = _run(model, start_pass, begin, step_size or polynomial_decay(0.6), passes, dtype, initial, line)
    declared = done.problem.form.model
    params = jax.tree.map(lambda a: np.asarray(a, dtype=np.float64), done.params)
    if again:
        log_likelihood = sum(_batch_log_likelihood(model, batch, done.params, dtype) for batch in start_pass())
        n = done.weight / passes
    else:
        log_likelihood, n = done.total, done.weight
    with jax.enable_x64(dtype == "float64"):
        log_prior = float(declared.log_prior(done.params))
    return Fit(
        params=params,
        log_likelihood=float(log_likelihood),
        log_prior=log_prior,
        status=Status.interrupted if done.interrupted else Status.passed,
        iterations=done.batches,
        evaluations=done.batches,
        seconds=time.perf_counter() - began,
        n_observations=n,
        n_parameters=declared.space.size,
        trace=done.trace,
        starts=np.array([log_likelihood + log_prior]),
        dtype=dtype,
        name=declared.name,
        compression=done.problem.compression,
        model=declared,
        declaration=model,
    )


def _batch_log_likelihood(model: Any, batch: Any, params: Any, dtype: str) -> float:
    declared, observations = declare(model, batch)
    data = door.read(observations)
    with jax.enable_x64(dtype == "float64"):
        rows = jax.tree.map(jnp.asarray, door.cast(data.observations, dtype))
        form, prepared = choose_form(declared, data.observations, rows, jnp.asarray(data.weights, dtype=dtype))
        return float(evaluate(form, params, prepared)[0])


def _run(
    model: Any,
    start_pass: Callable[[], Iterable[Any]],
    begin: Callable[[Problem], Any],
    step_size: Callable[[int], float],
    passes: int,
    dtype: str,
    centre: Any,
    line: Any,
) -> OnlineResult:
    """Run the passes; `begin(problem)` gives the initial params once the first rows are there."""
    gathered: list[Any] = []
    stream: Stream | None = None
    params, running = None, None
    trace: list[float] = []
    total, weight, t, interrupted = 0.0, 0.0, 0, False
    declared: Model | None = None

    def learn(data: Data) -> None:
        nonlocal params, running, total, weight, t
        assert stream is not None
        with jax.enable_x64(dtype == "float64"):
            prepared, running = stream.batch(data, params, running)
            value, new = streams.expected(stream.form, params, prepared)
            weight += data.total
            total += float(value) * data.total
            size = 1.0 if running is None else step_size(t)
            average = new if running is None else running
            running, params = streams.learn(stream.form, stream.m_step, average, new, size, weight, params, prepared)
            t += 1
            trace.append(float(value))
            line.show(t, float(value), 1)

    try:
        for _ in range(passes):
            for batch in start_pass():
                declared_now, observations = declare(model, batch)
                declared = declared or declared_now
                if declared_now != declared:
                    raise ValueError(f"batch {t + len(gathered)} declares another model than the first: give its shape")
                data = door.read(observations)
                if stream is not None:
                    learn(data)
                    continue
                gathered.append(data)
                if sum(d.n for d in gathered) < FIRST_ROWS:
                    continue
                stream, params = _open(declared, gathered, dtype, centre, begin)
                for waiting in gathered:
                    learn(waiting)
        if stream is None:
            if declared is None:
                raise ValueError("method='online': no batches: expected an iterable of observations")
            stream, params = _open(declared, gathered, dtype, centre, begin)
            for waiting in gathered:
                learn(waiting)
    except KeyboardInterrupt:
        if stream is None:
            raise
        interrupted = True
    return OnlineResult(params, np.array(trace), total, weight, t, stream.problem, interrupted)


def _open(
    declared: Model, gathered: list[Data], dtype: str, centre: Any, begin: Callable[[Problem], Any]
) -> tuple[Stream, Any]:
    together = jax.tree.map(lambda *a: np.concatenate(a), *[d.observations for d in gathered])
    first = Data(together, np.concatenate([np.asarray(d.weights) for d in gathered]))
    with jax.enable_x64(dtype == "float64"):
        stream = Stream(declared, first, dtype, centre)
        return stream, jax.tree.map(lambda a: a[0], begin(stream.problem))
