"""The statistics of a stream (Cappe and Moulines 2009, JRSS B 71): a running average that each batch enters with a
decreasing step size, and the form that the average is kept in, whose anchors are replaced when a batch shows what they
cannot express."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from latentem.ascent.mstep import Closed, MStep, Newton
from latentem.ascent.mstep.step import maximize
from latentem.data import Data, door
from latentem.forms import Form, Prepared, SeparableForm
from latentem.forms.anchors import basis as finding
from latentem.forms.anchors.form import compressed_form
from latentem.forms.anchors.search import Compression, latent_nodes
from latentem.forms.choose import Problem, choose_form, prepare
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


@partial(jit, static_argnums=0)
def expected(form: Form, params: Any, prepared: Prepared) -> tuple[Any, Any]:
    """(log-likelihood, expected statistics) of a batch, per unit of weight."""
    total = jnp.sum(prepared.weights)
    log_likelihood, statistics = form.statistics(params, prepared)
    return log_likelihood / total, jax.tree.map(lambda s: s / total, statistics)


@partial(jit, static_argnums=(0, 1))
def learn(
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
