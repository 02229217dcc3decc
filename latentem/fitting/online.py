"""Online EM (Cappe and Moulines 2009, JRSS B 71): batches pass by, running averages of the expected statistics stay.

Each batch's expected statistics, per observation, enter a running average with a decreasing step size, and the M-step
maximises on that average. A density that declares no statistics gets them from anchors: chosen on the first batches,
proved on every batch, and replaced (with the running average carried over exactly) when a batch shows what they cannot
express.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from latentem.ascent.iteration import evaluate
from latentem.ascent.starts import starts_for
from latentem.ascent.status import Status
from latentem.ascent.stream import Stream, StreamInfo, StreamState, polynomial_decay
from latentem.data import Data
from latentem.forms.choose import as_declared, choose_form
from latentem.model import Model
from latentem.model.declared import read
from latentem.results.fit import Fit

#: Rows gathered from the first batches before anchors are chosen.
FIRST_ROWS = 2000


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

    done = _run(model, start_pass, passes, step_size or polynomial_decay(0.6), initial, key, dtype, line)
    state, trace = done.state, np.array([info.log_likelihood for info in done.told])
    declared = state.problem.form.model
    if again:
        log_likelihood = sum(_batch_log_likelihood(model, batch, state.params, dtype) for batch in start_pass())
        n = state.seen / passes
    else:
        log_likelihood, n = sum(info.log_likelihood * info.weight for info in done.told), state.seen
    with jax.enable_x64(dtype == "float64"):
        log_prior = float(declared.log_prior(state.params))
    return Fit(
        params=jax.tree.map(lambda a: np.asarray(a, dtype=np.float64), state.params),
        log_likelihood=float(log_likelihood),
        log_prior=log_prior,
        status=Status.interrupted if done.interrupted else Status.passed,
        iterations=state.batches,
        evaluations=state.batches,
        seconds=time.perf_counter() - began,
        n_observations=n,
        n_parameters=declared.space.size,
        trace=trace,
        starts=np.array([log_likelihood + log_prior]),
        dtype=dtype,
        name=declared.name,
        compression=state.problem.compression,
        model=declared,
        declaration=model,
    )


def _batch_log_likelihood(model: Any, batch: Any, params: Any, dtype: str) -> float:
    declared, data = read(model, batch)
    with jax.enable_x64(dtype == "float64"):
        form, prepared = choose_form(declared, data, dtype)
        return float(evaluate(form, params, prepared)[0])


class _Done(NamedTuple):
    """Where the passes ended, and what each batch told."""

    state: StreamState
    told: list[StreamInfo]
    interrupted: bool


def _run(
    model: Any,
    start_pass: Callable[[], Iterable[Any]],
    passes: int,
    step_size: Callable[[int], float],
    initial: Any,
    key: Any,
    dtype: str,
    line: Any,
) -> _Done:
    """The passes, one batch after the other; Ctrl-C ends them where they are."""
    batches = _checked(model, start_pass, passes)
    first = _first(batches)
    told: list[StreamInfo] = []
    with jax.enable_x64(dtype == "float64"):
        stream = Stream(first[0][0], _together([data for _, data in first]), dtype, step_size)
        problem = stream.problem(initial)
        stream = replace(stream, first=Data(problem.distinct, problem.distinct_weights))
        start = starts_for(problem, initial, key, 1, dtype)
    state = StreamState(problem, jax.tree.map(lambda a: a[0], start))
    try:
        for _, data in itertools.chain(first, batches):
            with jax.enable_x64(dtype == "float64"):
                state, info = stream.step(state, data)
            told.append(info)
            line.show(state.batches, info.log_likelihood, 1)
    except KeyboardInterrupt:
        return _Done(state, told, True)
    return _Done(state, told, False)


def _checked(model: Any, start_pass: Callable[[], Iterable[Any]], passes: int) -> Iterator[tuple[Model, Data]]:
    """Every batch of every pass, declared and checked."""
    first: Model | None = None
    for number, batch in enumerate(batch for _ in range(passes) for batch in start_pass()):
        declared, data = read(model, batch)
        if first is None and (why := as_declared(declared).can("stream")):
            raise ValueError(f"method='online': {why}")
        first = first or declared
        if declared != first:
            raise ValueError(f"batch {number} declares another model than the first: give its shape")
        yield first, data


def _first(batches: Iterator[tuple[Model, Data]]) -> list[tuple[Model, Data]]:
    """The first batches, as many as anchors are chosen on."""
    gathered: list[tuple[Model, Data]] = []
    for batch in batches:
        gathered.append(batch)
        if sum(data.n for _, data in gathered) >= FIRST_ROWS:
            break
    if not gathered:
        raise ValueError("method='online': no batches: expected an iterable of observations")
    return gathered


def _together(batches: list[Data]) -> Data:
    rows = jax.tree.map(lambda *a: np.concatenate(a), *[data.observations for data in batches])
    return Data(rows, np.concatenate([np.asarray(data.weights) for data in batches]))
