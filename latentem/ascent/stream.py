"""The statistics of a stream (Cappe and Moulines 2009, JRSS B 71): a running average that each batch enters with a
decreasing step size, and the form that the average is kept in, whose anchors are replaced when a batch shows what they
cannot express."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from latentem.ascent.mstep import Closed, MStep, Newton
from latentem.ascent.mstep.step import m_step
from latentem.data import Data, door
from latentem.forms import Form, Prepared, SeparableForm
from latentem.forms.anchors import basis as finding
from latentem.forms.anchors.compression import Compression, latent_nodes
from latentem.forms.anchors.form import compressed_form
from latentem.forms.choose import Problem, Wishes, choose, choose_form
from latentem.model import Model
from latentem.numerics.compiled import jit


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


class StreamState(NamedTuple):
    """What stays of the batches that have passed.

    Args:
        problem: form and context that the average is kept in.
        params: current ones.
        average: running average of the expected statistics per observation; None before the first batch.
        seen: observations learnt from, the sum of their weights.
        batches: learnt from.
    """

    problem: Problem
    params: Any
    average: Any = None
    seen: float = 0.0
    batches: int = 0


class StreamInfo(NamedTuple):
    """What one batch told.

    Args:
        log_likelihood: per observation, before the batch was learnt from.
        weight: observations of the batch.
    """

    log_likelihood: float
    weight: float


@dataclass(frozen=True, eq=False)
class Stream:
    """A model as batches arrive: `state, info = stream.step(state, batch)`. Call it in the precision of `dtype`.

    Args:
        model: the declaration.
        first: observations of the first batches, of which new anchors are chosen, among others.
        dtype: of the fit.
        step_size: batch number -> weight of the batch in the average.
    """

    model: Model
    first: Data
    dtype: str
    step_size: Callable[[int], float]

    def problem(self, centre: Any) -> Problem:
        """Form and data of the first batches; anchors where the model declares no statistics.

        Raises:
            ValueError: no statistics, with the reason.
        """
        found = choose(self.model, self.first, Wishes(self.dtype, centre=centre))
        if why := found.form.can("stream"):
            raise ValueError(f"method='online': {why}")
        if not found.form.has_closed_form and not isinstance(found.form, SeparableForm):
            return self._anchored(self.first, centre)
        return found

    def step(self, state: StreamState, batch: Data) -> tuple[StreamState, StreamInfo]:
        """Learn from one batch.

        Raises:
            ValueError: no anchors express the batch.
        """
        state, prepared = self.take_in(state, batch)
        form, by = state.problem.form, _closed_or_newton(state.problem.form)
        value, new = _expected(form, state.params, prepared)
        seen = state.seen + batch.total
        size = 1.0 if state.average is None else self.step_size(state.batches)
        average = new if state.average is None else state.average
        average, params = _learn(form, by, average, new, size, seen, state.params, prepared)
        return StreamState(state.problem, params, average, seen, state.batches + 1), StreamInfo(
            float(value), batch.total
        )

    def take_in(self, state: StreamState, batch: Data) -> tuple[StreamState, Prepared]:
        """(the state in a form that can express the batch, the batch as that form wants it)."""
        found = state.problem.compression
        if found.basis is None:
            form, prepared = choose_form(self.model, batch, self.dtype)
            if form != state.problem.form:
                told = f"batch {state.batches} of {self.model.name} is computed another way than the first"
                raise ValueError(f"method='online': {told} (missing values?): use a batch fit")
            return state, replace(prepared, context=state.problem.prepared.context)
        host = jax.tree.map(np.asarray, door.cast(batch.observations, "float64"))
        with jax.enable_x64(True):
            covered = _covered(self.model, found, host, state.params)
        if covered is None:
            state = self._widened(state, host)
            with jax.enable_x64(True):
                covered = _covered(self.model, state.problem.compression, host, state.params)
            if covered is None:
                raise ValueError(
                    f"method='online': no anchors express a batch of {self.model.name} to "
                    f"{finding.REQUIRED_ERROR:.0e}; use a batch fit"
                )
        return state, compressed_form(self.model, covered, host, batch.weights, self.dtype)[1]

    def _widened(self, state: StreamState, host: Any) -> StreamState:
        """Anchors from the old anchors, the first rows and this batch together; the running average is re-expressed in
        them exactly."""
        old = state.problem.compression
        together = jax.tree.map(lambda *a: np.concatenate(a), old.anchors, self.first.observations, host)
        count = jax.tree.leaves(together)[0].shape[0]
        problem, average = self._anchored(Data(together, np.ones(count)), state.params, False), state.average
        if average is not None:
            with jax.enable_x64(True):
                covered = _covered(self.model, problem.compression, old.anchors, state.params)
            if covered is None:
                raise ValueError(f"method='online': {self.model.name} loses digits in new anchors; use a batch fit")
            average = average @ jnp.asarray(covered.coordinates, dtype=self.dtype)
        return state._replace(problem=problem, average=average)

    def _anchored(self, data: Data, centre: Any, provisional: bool = True) -> Problem:
        wishes = Wishes(self.dtype, True, centre, closed=False, provisional=provisional)
        try:
            return choose(self.model, data, wishes)
        except ValueError as error:
            reason = str(error).split(": ", 2)[-1]
            raise ValueError(
                f"method='online': {self.model.name} has no sufficient statistics to average ({reason}); "
                "use a batch fit"
            ) from None


@partial(jit, static_argnums=0)
def _expected(form: Form, params: Any, prepared: Prepared) -> tuple[Any, Any]:
    """(log-likelihood, expected statistics) of a batch, per unit of weight."""
    total = jnp.sum(prepared.weights)
    log_likelihood, statistics = form.statistics(params, prepared)
    return log_likelihood / total, jax.tree.map(lambda s: s / total, statistics)


@partial(jit, static_argnums=(0, 1))
def _learn(
    form: Form, by: MStep, running: Any, new: Any, size: Any, seen: Any, params: Any, prepared: Prepared
) -> tuple[Any, Any]:
    """(running average, params) after one batch; a step that is not finite leaves the params as they were."""
    average = jax.tree.map(lambda a, b: (1 - size) * a + size * b, running, new)
    # The prior weighs against all observations seen so far, so the average is scaled back to their number.
    total = jax.tree.map(lambda a: seen * a, average)
    proposal = m_step(form, by, total, params, prepared)
    finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(a)) for a in jax.tree.leaves(proposal)]))
    return average, jax.tree.map(lambda a, b: jnp.where(finite, a, b), proposal, params)


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
