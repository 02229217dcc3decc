"""An EM step never lowers the objective (Dempster, Laird and Rubin 1977, JRSS B 39, theorem 1)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from latentem.ascent.acceleration import Plain
from latentem.ascent.loop import Setup, Stopping, advance, begin
from latentem.forms import Prepared
from latentem.testing.case import STARTS, Case
from latentem.testing.report import Part

NAME = "objective"
STEPS = 10


def plain_steps(case: Case, prepared: Prepared, starts: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Ten plain EM steps from each start, by the loop of a fit, which is compiled once for both.

    Args:
        case: form and M-step.
        prepared: data of the same shape as those of the case.
        starts: params with a leading axis; those of the case by default.

    Returns:
        The objective at each start and after each step, (starts, 11), NaN from where a loop has ended; and the raveled
        params after the first step, (starts, D).
    """
    starts = case.starts if starts is None else starts
    setup, example = Setup(case.form, case.m_step, Plain()), jax.tree.map(lambda a: a[0], starts)
    never = Stopping(jnp.asarray(0.0, "float64"), jnp.asarray(0.0, "float64"), jnp.asarray(1))
    once = advance(setup, begin(setup, starts), example, prepared, never)
    last = advance(setup, once, example, prepared, never._replace(iterations=jnp.asarray(STEPS)))
    traces = np.concatenate([np.asarray(once.trace)[:, :1], np.asarray(last.trace)[:, :STEPS]], axis=1)
    return traces, np.asarray(once.method.theta)


def objective_part(case: Case) -> Part:
    """Whether ten EM steps from three starts never lower log-likelihood + log prior."""
    traces = plain_steps(case, case.prepared)[0]
    started = np.isfinite(traces[:, 0])
    if not started.any():
        told = f"log p(x) + log prior is {traces[0, 0]} at every start"
        return Part(NAME, False, f"{told}: give the model an initial(key, observations, weights)")
    traces = traces[started]
    with np.errstate(invalid="ignore"):
        falls = np.nan_to_num(-np.diff(traces, axis=1), nan=0.0) / np.maximum(case.total, np.abs(traces[:, :1]))
    start, step = np.unravel_index(np.argmax(falls), falls.shape)
    if falls[start, step] > 1e-10:
        fell = traces[start, step] - traces[start, step + 1]
        told = f"fell by {fell:.6g} in EM step {step + 1} of start {start}"
        return Part(NAME, False, f"{told}: the M-step does not maximise what the E-step expects")
    if not np.isfinite(traces).all():
        step = int(np.argwhere(~np.isfinite(traces))[0][1])
        told = f"not finite after {step} EM steps"
        return Part(NAME, False, f"{told}: correct the M-step, or keep params off the edges with a prior")
    by = type(case.m_step).__name__
    return Part(NAME, True, f"no fall in {STEPS} EM steps from {STARTS} starts, M-step {by}")
