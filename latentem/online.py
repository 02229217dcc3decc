"""Online EM (Cappe and Moulines 2009, JRSS B 71): batches pass by, running averages of the expected statistics stay.

Each batch's expected statistics, per observation, enter a running average with a decreasing step size, and the M-step
maximises on that average. A density that declares no statistics gets them from anchors: chosen on the first batches,
proved on every batch, and replaced (with the running average carried over exactly) when a batch shows what they cannot
express.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from latentem import data as door
from latentem.compiled import jit
from latentem.data import Data
from latentem.declaration import declare
from latentem.em import evaluate
from latentem.forms import Form, Prepared, SeparableForm
from latentem.initial import initial_params
from latentem.model import Model
from latentem.mstep import Closed, MStep, Newton
from latentem.mstep.step import maximize
from latentem.prepare import Problem, choose_form, prepare
from latentem.result import Fit
from latentem.status import Status
from latentem.sufficiency import anchors as finding
from latentem.sufficiency.compression import Compression, latent_nodes
from latentem.sufficiency.form import compressed_form

#: Rows gathered from the first batches before anchors are chosen.
FIRST_ROWS = 2000


@dataclass(frozen=True)
class PolynomialDecay:
    """Step size (t + 1 + offset) ** -power of batch t = 0, 1, ..."""

    power: float
    offset: float = 0.0

    def __call__(self, t: int) -> float:
        """The step size of batch t."""
        return float((t + 1 + self.offset) ** -self.power)


def polynomial_decay(power: float, offset: float = 0.0) -> PolynomialDecay:
    """Step sizes (t + 1 + offset) ** -power.

    Args:
        power: between 0.5 (exclusive) and 1; about 0.6 forgets the start quickly, 1 averages all batches alike.
        offset: batches that the start counts for.

    >>> lem.polynomial_decay(0.6)(0)
    1.0
    """
    if not 0.5 < power <= 1:
        raise ValueError(f"polynomial_decay({power}): expected a power in (0.5, 1]; 0.6 is a good one")
    if offset < 0:
        raise ValueError(f"polynomial_decay(offset={offset}): expected a number >= 0")
    return PolynomialDecay(power, offset)


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


@partial(jit, static_argnums=0)
def _expected(form: Form, params: Any, prepared: Prepared) -> tuple[Any, Any]:
    """(log-likelihood, expected statistics) of a batch, per unit of weight."""
    total = jnp.sum(prepared.weights)
    log_likelihood, statistics = form.statistics(params, prepared)
    return log_likelihood / total, jax.tree.map(lambda s: s / total, statistics)


@partial(jit, static_argnums=(0, 1))
def _learn(
    form: Form, m_step: MStep, running: Any, new: Any, size: Any, seen: Any, params: Any, prepared: Prepared
) -> tuple[Any, Any]:
    """(running average, params) after one batch; a step that is not finite leaves the params as they were."""
    average = jax.tree.map(lambda a, b: (1 - size) * a + size * b, running, new)
    # The prior weighs against all observations seen so far, so the average is scaled back to their number.
    total = jax.tree.map(lambda a: seen * a, average)
    proposal = maximize(form, m_step, total, params, prepared)
    finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(a)) for a in jax.tree.leaves(proposal)]))
    return average, jax.tree.map(lambda a, b: jnp.where(finite, a, b), proposal, params)


class Stream:
    """The model and its form as batches arrive; chooses anchors when the model declares no statistics."""

    def __init__(self, model: Model, first: Data, dtype: str, centre: Any) -> None:
        self.model, self.dtype = model, dtype
        self.problem = prepare(model, first, dtype, "auto", centre, closed=True)
        form = self.problem.form
        if not form.has_closed_form and not isinstance(form, SeparableForm):
            self.problem = self._anchored(first, centre)
        self.first = self.problem.distinct
        self.form = self.problem.form
        self.m_step: MStep = _closed_or_newton(self.form)

    def _anchored(self, data: Data, centre: Any, provisional: bool = True) -> Problem:
        try:
            return prepare(self.model, data, self.dtype, True, centre, closed=False, provisional=provisional)
        except ValueError as error:
            reason = str(error).split(": ", 2)[-1]
            raise ValueError(
                f"method='online': {self.model.name} has no sufficient statistics to average ({reason}); "
                "use a batch fit"
            ) from None

    def batch(self, data: Data, params: Any, running: Any) -> tuple[Prepared, Any]:
        """(the batch as the form wants it, the running average in the statistics of that form)."""
        found = self.problem.compression
        if found.basis is None:
            form, prepared = choose_form(self.model, data.observations, *self._arrays(data))
            context = self.problem.prepared.context
            return Prepared(context, prepared.rows, prepared.weights), running
        host = jax.tree.map(np.asarray, door.cast(data.observations, "float64"))
        with jax.enable_x64(True):
            covered = _covered(self.model, found, host, params)
        if covered is None:
            running, found = self._widen(host, params, running)
            with jax.enable_x64(True):
                covered = _covered(self.model, found, host, params)
            if covered is None:
                raise ValueError(
                    f"method='online': no anchors express a batch of {self.model.name} to "
                    f"{finding.REQUIRED_ERROR:.0e}; use a batch fit"
                )
        _, prepared = compressed_form(self.model, covered, host, data.weights, self.dtype)
        return prepared, running

    def _arrays(self, data: Data) -> tuple[Any, Any]:
        rows = jax.tree.map(jnp.asarray, door.cast(data.observations, self.dtype))
        return rows, jnp.asarray(data.weights, dtype=self.dtype)

    def _widen(self, host: Any, params: Any, running: Any) -> tuple[Any, Compression]:
        """Anchors from the old anchors, the first rows and this batch together; the running average is re-expressed in
        them exactly."""
        old = self.problem.compression
        together = jax.tree.map(lambda *a: np.concatenate(a), old.anchors, self.first, host)
        count = jax.tree.leaves(together)[0].shape[0]
        self.problem = self._anchored(Data(together, np.ones(count)), params, provisional=False)
        new = self.problem.compression
        if running is not None:
            with jax.enable_x64(True):
                covered = _covered(self.model, new, old.anchors, params)
            if covered is None:
                raise ValueError(f"method='online': {self.model.name} loses digits in new anchors; use a batch fit")
            running = running @ jnp.asarray(covered.coordinates, dtype=self.dtype)
        self.form = self.problem.form
        self.m_step = _closed_or_newton(self.form)
        return running, new


def _closed_or_newton(form: Form) -> MStep:
    return Closed() if form.has_closed_form else Newton()


def _covered(model: Model, found: Compression, host: Any, params: Any) -> Compression | None:
    """The compression with the coordinates of these rows, or None where they fail validation."""
    rng = np.random.default_rng(3)
    nodes = latent_nodes(model, host)
    assert nodes is not None
    exact = jax.tree.map(lambda a: np.asarray(a, dtype=np.float64), params)
    u = np.asarray(model.space.unconstrain(exact))
    fresh = np.stack([u, u + 0.3 * rng.standard_normal(u.shape)])
    try:
        possible = finding.structural(model, nodes, host, found.basis.moderate)
    except finding.Refused:
        return None
    anchor_possible = found.anchor_possible
    n = jax.tree.leaves(host)[0].shape[0]
    if possible is None and found.possible is not None:
        possible = np.ones((n, len(nodes)), dtype=bool)
    if possible is not None and found.possible is None:
        return None
    coordinates = finding.coordinates(found.basis, model, nodes, host, possible)
    error = finding.prediction_error(
        model, nodes, host, possible, fresh, coordinates, found.anchors, anchor_possible, rng
    )
    if not np.max(error) <= finding.REQUIRED_ERROR:
        return None
    return replace(found, coordinates=coordinates, possible=possible, anchor_possible=anchor_possible)


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
            value, new = _expected(stream.form, params, prepared)
            weight += data.total
            total += float(value) * data.total
            size = 1.0 if running is None else step_size(t)
            average = new if running is None else running
            running, params = _learn(stream.form, stream.m_step, average, new, size, weight, params, prepared)
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
