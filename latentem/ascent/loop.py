"""The loop: accelerated iterations until one rule says stop; for one start or, vmapped, for many.

It is the only loop over EM in the package: a fit, refits of replicates, `lem.accelerate`, `lem.solve` and the checks of
`lem.check` run `iterate`, each with its `Stopping`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util, lax
from jaxtyping import Array, Float

from latentem.ascent.acceleration import EMMap, Method
from latentem.ascent.iteration import em_map
from latentem.ascent.mstep import MStep
from latentem.ascent.status import Status
from latentem.forms import Form, Prepared
from latentem.numerics.compiled import jit

RUNNING, CONVERGED, DECREASED, NON_FINITE, STOPPED = range(5)

#: What a loop that was left with each of these codes is called.
STATUS = {
    RUNNING: Status.max_iterations,
    CONVERGED: Status.converged,
    DECREASED: Status.decreased,
    NON_FINITE: Status.non_finite,
    STOPPED: Status.max_iterations,
}

#: Iterations of one compiled chunk; Python looks in between them for progress, callbacks and Ctrl-C.
CHUNK_ITERATIONS = 50


class Stopping(NamedTuple):
    """When a loop ends.

    Args:
        gain: the change of the objective in one iteration, relative to max(N, |objective|), below which it converged.
        step: the Euclidean length of a plain EM step below which it converged.
        iterations: iterations allowed in this chunk.
        fall: the fall of the objective in a plain EM step, relative likewise, above which it ended as `decreased`.
    """

    gain: Array | np.ndarray | float
    step: Array | np.ndarray | float
    iterations: Array | np.ndarray | int
    fall: Array | np.ndarray | float = 1e-10


class LoopState(NamedTuple):
    """What the loop carries for one start.

    Args:
        method: what the accelerator carries.
        safe: the last params that were finite, raveled.
        outcome: RUNNING, or how it ended.
        objective: the last one that was finite.
        iterations, evaluations: so far.
        fell: the largest fall of the objective in a plain EM step.
        trace: objective after each iteration of the last chunk.
    """

    method: Any
    safe: Float[Array, " D"]
    outcome: Array
    objective: Float[Array, ""]
    iterations: Array
    evaluations: Array
    fell: Float[Array, ""]
    trace: Float[Array, " chunk"]


def at(method: Method, theta: Float[Array, " D"]) -> LoopState:
    """The state of a loop that begins at theta."""
    zero = jnp.zeros((), jnp.int32)
    nothing = jnp.zeros((), theta.dtype)
    trace = jnp.full((CHUNK_ITERATIONS,), jnp.nan, theta.dtype)
    return LoopState(method.init(theta), theta, zero, nothing - jnp.inf, zero, zero, nothing, trace)


def iterate(method: Method, em: EMMap, state: LoopState, stop: Stopping, total: Any) -> LoopState:
    """Up to `stop.iterations` more iterations; only the first CHUNK_ITERATIONS of them are traced.

    Args:
        method: the accelerator.
        em: the map it accelerates.
        state: from `at`, or from an earlier call.
        stop: when to end.
        total: N, the sum of the weights.
    """
    eps = jnp.finfo(state.objective.dtype).eps

    def body(c: tuple[LoopState, Array]) -> tuple[LoopState, Array]:
        s, i = c
        carried, info = method.step(em, s.method, jnp.asarray(stop.step))
        scale = jnp.maximum(total, jnp.abs(info.objective))
        gain = info.objective - s.objective
        finite = jnp.isfinite(info.objective) & jnp.all(jnp.isfinite(carried.theta))
        small = (jnp.abs(gain) < jnp.maximum(stop.gain, 4 * eps * (stop.gain > 0)) * scale) | (info.step < stop.step)
        small = small & ~info.refused
        outcome = jnp.where(small, CONVERGED, RUNNING)
        outcome = jnp.where(info.fell > jnp.maximum(stop.fall, 100 * eps) * scale, DECREASED, outcome)
        outcome = jnp.where(finite, outcome, NON_FINITE).astype(jnp.int32)
        new = LoopState(
            carried,
            jnp.where(finite, carried.theta, s.safe),
            outcome,
            jnp.where(finite, info.objective, s.objective),
            s.iterations + 1,
            s.evaluations + info.evaluations,
            jnp.fmax(s.fell, info.fell),
            s.trace.at[i].set(info.accepted),
        )
        return new, i + 1

    def proceed(c: tuple[LoopState, Array]) -> Array:
        return (c[0].outcome == RUNNING) & (c[1] < stop.iterations)

    fresh = state._replace(trace=jnp.full_like(state.trace, jnp.nan))
    return lax.while_loop(proceed, body, (fresh, jnp.zeros((), jnp.int32)))[0]


# --- of a form on data


class Setup(NamedTuple):
    """What `begin` and `advance` compile for: everything static about a fit."""

    form: Form
    m_step: MStep
    method: Method


def begin_one(setup: Setup, params: Any) -> LoopState:
    """Loop state of one start."""
    return at(setup.method, flatten_util.ravel_pytree(params)[0])


def advance_one(setup: Setup, state: LoopState, example: Any, prepared: Prepared, stop: Stopping) -> LoopState:
    """Up to `stop.iterations` more iterations of one start; `example` unravels params."""
    em, _ = em_map(setup.form, setup.m_step, prepared, example)
    return iterate(setup.method, em, state, stop, jnp.sum(prepared.weights))


@partial(jit, static_argnums=0)
def begin(setup: Setup, params: Any) -> LoopState:
    """Loop state of every start; `params` has a leading axis over starts."""
    return jax.vmap(partial(begin_one, setup))(params)


@partial(jit, static_argnums=0)
def advance(setup: Setup, state: LoopState, example: Any, prepared: Prepared, stop: Stopping) -> LoopState:
    """Up to `stop.iterations` more iterations of every start that has not ended; `example` unravels params."""
    if state.outcome.shape[0] == 1:
        # A single start runs without vmap, so that its conditionals stay conditionals.
        one = advance_one(setup, jax.tree.map(lambda a: a[0], state), example, prepared, stop)
        return jax.tree.map(lambda a: a[None], one)
    together = replace(prepared, lanes=state.outcome.shape[0])
    return jax.vmap(lambda s: advance_one(setup, s, example, together, stop))(state)
