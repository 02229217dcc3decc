"""The loop of forms that run on the host: EM as it is, or SQUAREM that keeps ascending, in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from latentem.ascent.acceleration import SQUAREM, Plain
from latentem.ascent.status import Status
from latentem.forms.host import HostForm

Vector = Float[np.ndarray, " D"]

#: An objective that falls by less than this, relative to its size, fell by rounding.
ROUNDING = 64 * np.finfo(float).eps


class Seen(NamedTuple):
    """What one iteration reports.

    Args:
        theta: the best point whose objective is known, with that objective.
        ahead: the point that the next iteration begins at.
        evaluations: EM maps evaluated so far.
        fell: by how much the objective of a plain EM step fell.
    """

    theta: Vector
    objective: float
    ahead: Vector
    evaluations: int
    fell: float


def plain(form: HostForm, theta: Vector) -> Iterator[Seen]:
    """EM as it is. The first report is of the start."""
    last, evaluations = -np.inf, 0
    while True:
        new, objective = form.update(theta)
        evaluations += 1
        yield Seen(theta, objective, new, evaluations, max(0.0, last - objective))
        theta, last = new, objective


def squarem(form: HostForm, theta: Vector, method: SQUAREM) -> Iterator[Seen]:
    """SQUAREM (Varadhan and Roland 2008): two EM steps, an extrapolation, an EM step from there. Where the objective of
    what comes out turns out lower than after the first of them, the two plain steps are kept in its place. The first
    report is of the start."""
    fallback, floor, longest, shorter = theta, -np.inf, method.longest, method.longest
    evaluations = 0
    while True:
        once, here = form.update(theta)
        evaluations += 1
        if not (here >= floor - method.slack - ROUNDING * abs(floor) or floor == -np.inf):
            theta, longest, floor = fallback, shorter, -np.inf
            continue
        twice, at_once = form.update(once)
        evaluations += 1
        yield Seen(theta, here, twice, evaluations, max(0.0, here - at_once))
        origin = form.coordinates(theta)
        r = form.coordinates(once) - origin
        v = form.coordinates(twice) - origin - 2 * r
        size, bend = float(np.linalg.norm(r)), float(np.linalg.norm(v))
        fallback, floor = twice, at_once
        if not bend > np.finfo(float).eps * size:
            theta, shorter = twice, longest
            continue
        length = min(max(size / bend, 1.0), longest)
        at_bound = size / bend >= longest
        shorter = max(method.longest, longest / method.growth) if at_bound else longest
        longest = longest * method.growth if at_bound else longest
        tried = form.from_coordinates(origin + 2 * length * r + length**2 * v)
        new, at_tried = form.update(tried)
        evaluations += 1
        usable = np.isfinite(at_tried) and bool(np.isfinite(new).all())
        theta, longest = (new, longest) if usable else (twice, shorter)


@dataclass(frozen=True)
class HostEnd:
    """Where one start ended."""

    theta: Vector
    objective: float
    status: Status
    iterations: int
    evaluations: int
    trace: np.ndarray
    note: str | None = None


def climb(
    form: HostForm,
    theta: Vector,
    method: Plain | SQUAREM,
    tolerance: float,
    max_iterations: int,
    watch: Callable[[int, float, Vector], bool],
) -> HostEnd:
    """Iterate until one iteration changes the objective by less than `tolerance * max(N, |objective|)`.

    Args:
        form: what is climbed on.
        theta: the start.
        method: `Plain()` or `SQUAREM()`.
        tolerance: of the objective, relative.
        max_iterations: of them.
        watch: (iterations, objective, theta) -> whether to stop here.
    """
    steps = squarem(form, theta, method) if isinstance(method, SQUAREM) else plain(form, theta)
    trace: list[float] = []
    seen: Any = None
    status, note = Status.max_iterations if form.ascends else Status.subsets, None
    try:
        for done, now in enumerate(steps):
            if not np.isfinite(now.objective):
                seen = seen or now
                status = Status.non_finite
                break
            before, seen = seen, now
            trace.append(now.objective)
            size = max(form.n_observations, abs(now.objective))
            if form.ascends and now.fell > max(ROUNDING * size, 1e-9 * abs(now.objective)):
                status = Status.decreased
                break
            if form.ascends and before is not None and now.objective - before.objective < tolerance * size:
                status = Status.converged if form.exact else Status.approximate
                break
            note = form.stop(now.theta, done)
            if note is not None:
                status = Status.stopped
                break
            if watch(done, now.objective, now.theta):
                status = Status.interrupted
                break
            if done + 1 >= max_iterations:
                break
    except KeyboardInterrupt:
        status = Status.interrupted
    if seen is None:
        return HostEnd(theta, -np.inf, Status.interrupted, 0, 0, np.zeros(0))
    end, objective = seen.theta, seen.objective
    if status in (Status.max_iterations, Status.subsets, Status.converged, Status.approximate):
        # What the last step led to is known but for its objective.
        later = form.objective(seen.ahead)
        if np.isfinite(later) and (later >= objective or not form.ascends or isinstance(method, Plain)):
            end, objective = seen.ahead, later
            trace.append(later)
    return HostEnd(end, objective, status, len(trace) - 1, seen.evaluations, np.array(trace[1:]), note)
