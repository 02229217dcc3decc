"""An EM step never lowers the objective (Dempster, Laird and Rubin 1977, JRSS B 39, theorem 1)."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util, lax
from jaxtyping import Array, Float

from latentem.em import em_map
from latentem.forms import Form, Prepared
from latentem.mstep import MStep
from latentem.testing.case import STARTS, Case
from latentem.testing.report import Part

NAME = "objective"
STEPS = 10


@partial(jax.jit, static_argnums=(0, 1))
def plain_steps(
    form: Form, m_step: MStep, starts: Any, prepared: Prepared
) -> tuple[Float[Array, "starts steps"], Float[Array, "starts D"]]:
    """(the objective at each start and after each of ten plain EM steps, raveled params after the first)."""
    em, _ = em_map(form, m_step, prepared, jax.tree.map(lambda a: a[0], starts))

    def climb(params: Any) -> tuple[Array, Array]:
        theta = flatten_util.ravel_pytree(params)[0]

        def step(carry: tuple[Array, Array], i: Array) -> tuple[tuple[Array, Array], Array]:
            current, once = carry
            new, objective = em.update(current)
            return (new, jnp.where(i == 0, new, once)), objective

        (_, once), objectives = lax.scan(step, (theta, theta), jnp.arange(STEPS + 1))
        return objectives, once

    return lax.map(climb, starts)


def objective_part(case: Case) -> Part:
    """Whether ten EM steps from three starts never lower log-likelihood + log prior."""
    traces = np.asarray(plain_steps(case.form, case.m_step, case.starts, case.prepared)[0])
    started = np.isfinite(traces[:, 0])
    if not started.any():
        told = f"log p(x) + log prior is {traces[0, 0]} at every start"
        return Part(NAME, False, f"{told}: give the model an initial(key, observations, weights)")
    traces = traces[started]
    if not np.isfinite(traces).all():
        step = int(np.argwhere(~np.isfinite(traces))[0][1])
        told = f"not finite after {step} EM steps"
        return Part(NAME, False, f"{told}: correct the M-step, or keep params off the edges with a prior")
    size = np.maximum(case.total, np.abs(traces[:, :-1]))
    falls = -np.diff(traces, axis=1)
    start, step = np.unravel_index(np.argmax(falls / size), falls.shape)
    if falls[start, step] <= 1e-10 * size[start, step]:
        by = type(case.m_step).__name__
        return Part(NAME, True, f"no fall in {STEPS} EM steps from {STARTS} starts, M-step {by}")
    told = f"fell by {falls[start, step]:.6g} in EM step {step + 1} of start {start}"
    return Part(NAME, False, f"{told}: the M-step does not maximise what the E-step expects")
