"""Estimates at an edge that no bound marks: moved on towards it, they change nothing.

A scale that goes to zero, a guessing parameter of 1e-8, degrees of freedom of 1e9: logarithms and logits never reach
the edge, so that curvature there is an artefact of the coordinates. What tells is the objective: it is the same
some factors of e nearer to the edge.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from latentem.ascent.iteration import evaluate
from latentem.constraints.base import Batched, Constraint
from latentem.constraints.elementwise import Interval, Positive, Real
from latentem.forms.choose import Problem
from latentem.model import Model

#: Distance from an edge, relative to the width of an interval or to other entries, below which one is looked at.
NEAR = 1e-3
#: A positive number alone is looked at below and above these.
SMALL, LARGE = 1e-2, 1e4
#: So is a coefficient beyond this, on either side.
FAR = 15.0
#: How much nearer to zero it is moved, and farther from it, as powers of e; the change that is none, in nats. Nearer to
#: zero rounding grows; farther out a likelihood levels off slowly.
NEARER, FURTHER, NOTHING = 3.0, 10.0, 1e-3
#: Entries that are looked at, at most.
MOST = 20


def at_edges(problem: Problem, params: Any, objective: float) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """((D,) raveled params that lie at an edge or None where none does, notes of those that ran off without bound).

    Args:
        problem: form and data of the fit; call it inside its precision.
        params: where the fit ended.
        objective: there.
    """
    space = problem.form.model.space
    leaves = [np.asarray(a) for a in space.treedef.flatten_up_to(params)]
    found, told, looked, offset = [], [], 0, 0
    for name, constraint, value in zip(space.names, space.constraints, leaves, strict=True):
        for index, moved in _candidates(constraint, value, problem.form.has_closed_form):
            looked += 1
            if looked > MOST:
                break
            there = value.copy()
            there[index] = moved
            others = [there if a is value else a for a in leaves]
            with np.errstate(all="ignore"):
                values = evaluate(problem.form, jax.tree.unflatten(space.treedef, others), problem.prepared)
            if abs(float(sum(values)) - objective) <= NOTHING * (1 + 1e-6 * abs(objective)):
                entry = np.ravel_multi_index(index, value.shape) if index else 0
                found.append(offset + int(entry))
                if abs(moved) > abs(value[index]) and isinstance(_inner(constraint), Positive | Real):
                    label = name + (f"[{','.join(map(str, index))}]" if index else "")
                    told.append(f"{label} ran off to {value[index]:.3g}: any larger value is as likely")
        offset += value.size
    if not found:
        return None, ()
    edges = np.zeros(offset, bool)
    edges[found] = True
    return edges, tuple(told)


def natural_edges(model: Model, observations: Any, bound: np.ndarray) -> tuple[np.ndarray, int]:
    """((D,) raveled params whose edge is no boundary of the model, how many of the free params are none).

    Where a sequence begins is certain once it is long; a category that was never seen has probability zero, and is
    nothing that was estimated.

    Args:
        model: declared.
        observations: as checked.
        bound: (D,) which params lie on an edge.
    """
    certain = getattr(model.declaration, "certain", ())
    count = getattr(model.declaration, "uncounted", None)
    ask = getattr(model.declaration, "never_seen", None)
    never = {} if ask is None else ask(observations)
    natural, gone = np.zeros(len(bound), bool), 0 if count is None else count(observations)
    offset = 0
    for name, constraint in zip(model.space.names, model.space.constraints, strict=True):
        size = int(np.prod(constraint.shape))
        here = slice(offset, offset + size)
        if name in certain:
            natural[here] = True
        if name in never and constraint.size:
            mask = np.broadcast_to(never[name], constraint.shape).ravel() & bound[here]
            natural[here] |= mask
            gone += int(mask.sum())
            # A category is certain where it is the only one seen.
            whole = np.broadcast_to(np.sum(~never[name], axis=-1, keepdims=True) == 1, constraint.shape).ravel()
            natural[here] |= whole
        offset += size
    return natural, gone


def _inner(constraint: Constraint) -> Constraint:
    return constraint.inner if isinstance(constraint, Batched) else constraint


def _candidates(constraint: Constraint, value: np.ndarray, closed: bool) -> list[tuple[tuple[int, ...], float]]:
    """(index, value nearer to the edge) of the entries close to one. What an M-step in closed form finds are means,
    which do not run off, however large."""
    inner = _inner(constraint)
    if constraint.size == 0:
        return []
    if isinstance(inner, Interval):
        width = inner.high - inner.low
        near = {inner.low: value - inner.low, inner.high: inner.high - value}
        return [
            (index, edge + (1 if edge == inner.low else -1) * gap[index] * np.exp(-NEARER))
            for edge, gap in near.items()
            for index in np.ndindex(*value.shape)
            if 0 < gap[index] < NEAR * width
        ]
    if isinstance(inner, Real) and not closed:
        far = [i for i in np.ndindex(*value.shape) if abs(value[i]) > FAR]
        return [(i, value[i] * np.exp(FURTHER)) for i in far]
    if not isinstance(inner, Positive):
        return []
    typical = float(np.median(value))
    small = [i for i in np.ndindex(*value.shape) if value[i] < (NEAR * typical if value.size > 1 else SMALL)]
    large = [i for i in np.ndindex(*value.shape) if value[i] > LARGE]
    return [(i, value[i] * np.exp(-NEARER)) for i in small] + [(i, value[i] * np.exp(FURTHER)) for i in large]
