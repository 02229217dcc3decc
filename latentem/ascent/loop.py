"""The compiled EM loop: a chunk of accelerated iterations for one start or, vmapped, for many."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util, lax
from jaxtyping import Array, Float

from latentem.ascent.acceleration import Method
from latentem.ascent.iteration import em_map
from latentem.ascent.mstep import MStep
from latentem.forms import Form, Prepared
from latentem.numerics.compiled import jit

RUNNING, CONVERGED, DECREASED, NON_FINITE, STOPPED = range(5)

#: Iterations of one compiled chunk; Python looks in between them for progress, callbacks and Ctrl-C.
CHUNK_ITERATIONS = 50


class Stopping(NamedTuple):
    """When a loop ends.

    Args:
        gain: the change of the objective in one iteration, relative to max(N, |objective|), below which it converged.
        step: the Euclidean length of a plain EM step below which it converged.
        iterations: iterations allowed in this chunk.
    """

    gain: Array | np.ndarray
    step: Array | np.ndarray
    iterations: Array | np.ndarray


class LoopState(NamedTuple):
    """What the loop carries for one start."""

    method: Any
    safe: Float[Array, " D"]
    outcome: Array
    objective: Float[Array, ""]
    iterations: Array
    evaluations: Array
    trace: Float[Array, " chunk"]


class Start(NamedTuple):
    """What `begin` and `advance` compile for: everything static about a fit."""

    form: Form
    m_step: MStep
    method: Method


def begin_one(setup: Start, params: Any) -> LoopState:
    """Loop state of one start."""
    theta = flatten_util.ravel_pytree(params)[0]
    zero = jnp.zeros((), jnp.int32)
    lowest = jnp.full((), -jnp.inf, theta.dtype)
    trace = jnp.full((CHUNK_ITERATIONS,), jnp.nan, theta.dtype)
    return LoopState(setup.method.init(theta), theta, zero, lowest, zero, zero, trace)


def advance_one(setup: Start, state: LoopState, example: Any, prepared: Prepared, stop: Stopping) -> LoopState:
    """Up to `stop.iterations` more iterations of one start; only the first CHUNK_ITERATIONS of them are traced."""
    em, _ = em_map(setup.form, setup.m_step, prepared, example)
    total = jnp.sum(prepared.weights)
    eps = jnp.finfo(state.objective.dtype).eps

    def body(c: tuple[LoopState, Array]) -> tuple[LoopState, Array]:
        s, i = c
        method, info = setup.method.step(em, s.method, jnp.asarray(stop.step))
        scale = jnp.maximum(total, jnp.abs(info.objective))
        gain = info.objective - s.objective
        finite = jnp.isfinite(info.objective) & jnp.all(jnp.isfinite(method.theta))
        small = (jnp.abs(gain) < jnp.maximum(stop.gain, 4 * eps * (stop.gain > 0)) * scale) | (info.step < stop.step)
        small = small & ~info.refused
        fell = info.fell > jnp.maximum(1e-10, 100 * eps) * scale
        outcome = jnp.where(small, CONVERGED, RUNNING)
        outcome = jnp.where(fell, DECREASED, outcome)
        outcome = jnp.where(finite, outcome, NON_FINITE).astype(jnp.int32)
        new = LoopState(
            method,
            jnp.where(finite, method.theta, s.safe),
            outcome,
            jnp.where(finite, info.objective, s.objective),
            s.iterations + 1,
            s.evaluations + info.evaluations,
            s.trace.at[i].set(info.accepted),
        )
        return new, i + 1

    def proceed(c: tuple[LoopState, Array]) -> Array:
        return (c[0].outcome == RUNNING) & (c[1] < stop.iterations)

    fresh = state._replace(trace=jnp.full_like(state.trace, jnp.nan))
    return lax.while_loop(proceed, body, (fresh, jnp.zeros((), jnp.int32)))[0]


@partial(jit, static_argnums=0)
def begin(setup: Start, params: Any) -> LoopState:
    """Loop state of every start; `params` has a leading axis over starts."""
    return jax.vmap(partial(begin_one, setup))(params)


@partial(jit, static_argnums=0)
def advance(setup: Start, state: LoopState, example: Any, prepared: Prepared, stop: Stopping) -> LoopState:
    """Up to `stop.iterations` more iterations of every start that has not ended; `example` unravels params."""
    if state.outcome.shape[0] == 1:
        # A single start runs without vmap, so that its conditionals stay conditionals.
        one = advance_one(setup, jax.tree.map(lambda a: a[0], state), example, prepared, stop)
        return jax.tree.map(lambda a: a[None], one)
    together = replace(prepared, lanes=state.outcome.shape[0])
    return jax.vmap(lambda s: advance_one(setup, s, example, together, stop))(state)
