"""Many starts: which to give up early, which ended where the likelihood is unbounded, and which optima were found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from latentem.ascent.iteration import row_log_prob
from latentem.ascent.loop import CONVERGED, DECREASED, NON_FINITE, RUNNING, STOPPED
from latentem.ascent.polish import polish
from latentem.constraints import ParameterSpace
from latentem.constraints.base import Batched, Constraint
from latentem.constraints.elementwise import Positive
from latentem.constraints.matrices import Covariance
from latentem.constraints.vectors import Simplex
from latentem.forms import Form, Prepared
from latentem.model import Model
from latentem.model.latents import Finite

#: A start is given up only if it is expected to end at least this many nats below the best one.
CLEARLY = 2.0
#: A variance that is this part of the largest of its kind has collapsed; a component of this weight is empty.
COLLAPSED = 1e-8
#: Nats by which the densest observation exceeds the median one where a variance has collapsed on it.
SPIKE = 2.0
#: Optima whose objectives, polished, differ by less than this, relative to 1 + |objective|, are one.
SAME = 1e-8


class Ends(NamedTuple):
    """Where every start ended.

    Args:
        theta: (S, D) raveled params.
        outcomes: (S,) codes of the loop.
    """

    theta: np.ndarray
    outcomes: np.ndarray


@dataclass(frozen=True)
class Optimum:
    """One of the optima that the starts found.

    Args:
        objective: log-likelihood + log prior there.
        params: pytree of NumPy arrays.
        starts: how many starts reached it.
        spurious: why it is no sensible estimate; empty where nothing is wrong.
    """

    objective: float
    params: Any
    starts: int
    spurious: str = ""


def losers(
    outcomes: np.ndarray, objectives: np.ndarray, trace: np.ndarray, why: Callable[[int], str] = lambda s: ""
) -> np.ndarray:
    """Which running starts to give up, (S,) bool: once half of all have ended, those whose projected final objective
    lies clearly below the best one.

    Args:
        outcomes: (S,) codes of the loop.
        objectives: (S,) so far.
        trace: (S, T) objectives of the last chunk of iterations; NaN where a start did not run.
        why: start -> why it is spurious, or ""; such a start, or one that failed, gives up nobody.

    The projection takes the gains of the two halves of the chunk for a geometric series, and three times its rest.
    """
    running = outcomes == RUNNING
    if 2 * np.sum(running) > len(outcomes) or trace.shape[1] < 4:
        return np.zeros(len(outcomes), bool)
    middle = trace.shape[1] // 2
    first = trace[:, middle] - trace[:, 0]
    second = trace[:, -1] - trace[:, middle]
    ratio = np.clip(second / np.where(first > 0, first, np.inf), 0.0, 0.95)
    projected = objectives + 3 * np.maximum(second, 0.0) * ratio / (1 - ratio)
    # A start that speeds up is on its way off a plateau: nothing can be said about where it will end.
    settling = second <= first
    with np.errstate(invalid="ignore"):
        for s in np.argsort(-np.where(np.isfinite(objectives), objectives, -np.inf), kind="stable"):
            behind = running & settling & (projected < objectives[s] - CLEARLY)
            if not behind.any() or (outcomes[s] not in (DECREASED, NON_FINITE) and not why(int(s))):
                return behind
    return np.zeros(len(outcomes), bool)


def unravel(space: ParameterSpace, theta: np.ndarray) -> Any:
    """Params of a raveled vector, as NumPy arrays."""
    ends = np.cumsum([int(np.prod(c.shape)) for c in space.constraints], dtype=int)
    parts = np.split(np.asarray(theta, np.float64), ends[:-1])
    return space.treedef.unflatten([p.reshape(c.shape) for p, c in zip(parts, space.constraints, strict=True)])


def spurious(form: Form, prepared: Prepared, params: Any) -> str:
    """Why these params are a spurious maximum: a component of covariance zero, on which the likelihood is unbounded, or
    one that no observation belongs to. Empty where they are not.

    Args:
        form, prepared: how log p is computed, inside the precision context of the fit.
        params: pytree of arrays.
    """
    model = form.model
    space = model.space
    leaves = [np.asarray(a, np.float64) for a in space.treedef.flatten_up_to(params)]
    told, measured = _told(form, params, prepared.context)
    if told:
        return f"{told[0]} has collapsed"
    suspect = ""
    for name, constraint, value in zip(space.names, space.constraints, leaves, strict=True):
        inner = _inner(constraint)
        if name in measured:
            continue
        if isinstance(inner, Covariance) and _smallest_variance(value) < COLLAPSED:
            return f"{name} has collapsed"
        if isinstance(inner, Simplex) and _are_weights(constraint, model) and np.min(value) < COLLAPSED:
            return f"{name}[{int(np.argmin(value))}] belongs to an empty component"
        if isinstance(inner, Positive) and value.size > 1 and np.min(value) < COLLAPSED * np.max(value):
            suspect = suspect or name
    if suspect and _has_spike(form, prepared, params):
        return f"{suspect} has collapsed"
    return ""


def _told(form: Form, params: Any, context: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(names of params that a ready model says have collapsed, by the floor that its M-step applies; names of those it
    measures)."""
    ready = form.model.declaration
    context = getattr(context, "context", context)  # of steps that are codes
    anchors = getattr(form, "separable", None) not in (None, form.model.separable)
    if not hasattr(ready, "collapsed") or anchors or (isinstance(context, tuple) and not context):
        return (), ()
    return ready.collapsed(params, context), ready.measured


def _inner(constraint: Constraint) -> Constraint:
    return constraint.inner if isinstance(constraint, Batched) else constraint


def _are_weights(constraint: Constraint, model: Model) -> bool:
    """Whether these are the weights of components that have params of their own: one of weight zero has none then."""
    latent = model.latent
    if not isinstance(latent, Finite) or latent.size == 1 or constraint.shape != (latent.size,):
        return False
    return any(c is not constraint and c.size > 0 and c.shape[:1] == (latent.size,) for c in model.space.constraints)


def _smallest_variance(value: np.ndarray) -> float:
    """Smallest variance in any direction, relative to the largest variances of the coordinates in any component."""
    matrices = value.reshape(-1, *value.shape[-2:])
    if not np.all(np.isfinite(matrices)):
        return 0.0
    scale = np.sqrt(np.max(np.diagonal(matrices, axis1=1, axis2=2), axis=0))
    scale = np.where(scale > 0, scale, 1.0)
    return float(np.min(np.linalg.eigvalsh(matrices / scale[:, None] / scale)))


def _has_spike(form: Form, prepared: Prepared, params: Any) -> bool:
    """Some observation is far denser than the median one, and the density is not that of counts, which is bounded."""
    values = np.asarray(row_log_prob(form, params, prepared), np.float64)
    used = values[(np.asarray(prepared.weights) > 0) & ~np.isnan(values)]
    if used.size == 0:
        return False
    top = float(np.max(used))
    discrete = all(np.all(a == np.floor(a)) for a in map(np.asarray, jax.tree.leaves(prepared.rows)))
    return top - float(np.median(used)) > SPIKE and (top > 0 or not discrete)


def choose(
    objectives: np.ndarray, outcomes: np.ndarray, why: Callable[[int], str], exclude: bool
) -> tuple[int, str, tuple[str, ...]]:
    """The best start that did not fail and is not spurious; the best of all where every one is, or where they are not
    excluded.

    Args:
        objectives: (S,), not finite where a start failed.
        outcomes: (S,) codes of the loop; one whose objective fell is chosen only where there is no other.
        why: start -> why it is spurious, or "".
        exclude: whether spurious ones may be chosen only where there is nothing else.

    Returns:
        (start, why it is spurious or "", notes).
    """
    order = [int(s) for s in np.argsort(-np.where(np.isfinite(objectives), objectives, -np.inf), kind="stable")]
    order = [s for s in order if np.isfinite(objectives[s])]
    order.sort(key=lambda s: outcomes[s] in (DECREASED, NON_FINITE))
    reason = why(order[0])
    if not reason:
        return order[0], "", ()
    if not exclude:
        return order[0], reason, (f"spurious maximum: {reason}",)
    passed = [reason]
    for s in order[1:]:
        again = why(s)
        if not again:
            starts = "1 start" if len(passed) == 1 else f"{len(passed)} starts"
            note = (
                f"{starts} with a higher objective left out as spurious ({reason}); exclude_degenerate=False keeps them"
            )
            return s, "", (note,)
        passed.append(again)
    every = "ended" if len(passed) == 1 else "every start ended"
    return order[0], reason, (f"{every} in a spurious maximum: {reason}",)


def optima(form: Form, prepared: Prepared, ends: Ends, objectives: np.ndarray, polished: bool) -> tuple[Optimum, ...]:
    """Distinct optima, best first. Optima of one objective (components renamed, signs flipped) count as one.

    Args:
        form, prepared: how log p is computed, inside the precision context of the fit.
        ends: where every start ended.
        objectives: (S,) there.
        polished: finish with Newton before comparing; else compare to the accuracy of EM.
    """
    reached = [int(s) for s in np.argsort(-objectives, kind="stable") if ends.outcomes[s] == CONVERGED]
    space = form.model.space
    same = SAME if polished else 1e-5
    near: list[list[int]] = []
    for s in reached:
        if near and _equal(objectives[near[-1][0]], objectives[s], 1e-6):
            near[-1].append(s)
        else:
            near.append([s])
    found: list[tuple[float, Any, int]] = []
    for group in near:
        params = unravel(space, ends.theta[group[0]])
        value = float(objectives[group[0]])
        if polished:
            # Those of one objective to six digits end together: Newton has only the last digits to settle.
            end = polish(form, params, prepared)
            if end.objective >= value - same * (1 + abs(value)):
                value = end.objective
                params = jax.tree.map(lambda a: np.asarray(a, np.float64), end.params)
        found.append((value, params, len(group)))
    found.sort(key=lambda f: -f[0])
    merged: list[Optimum] = []
    for value, params, count in found:
        if merged and _equal(merged[-1].objective, value, same):
            last = merged[-1]
            merged[-1] = Optimum(last.objective, last.params, last.starts + count, last.spurious)
        else:
            merged.append(Optimum(value, params, count, spurious(form, prepared, params)))
    return tuple(merged)


def _equal(a: float, b: float, tolerance: float) -> bool:
    return abs(a - b) <= tolerance * (1 + abs(a))


def unfinished(ends: Ends) -> tuple[int, int]:
    """(starts given up early, starts that ended otherwise without converging)."""
    stopped = int(np.sum(ends.outcomes == STOPPED))
    return stopped, int(np.sum(ends.outcomes != CONVERGED)) - stopped
