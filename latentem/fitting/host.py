"""The driver of models that climb on the host: the door, the starts, the loop, a Fit."""

from __future__ import annotations

import time
from typing import Any

import jax
import numpy as np

from latentem.ascent.acceleration import SQUAREM, Plain
from latentem.ascent.host import HostEnd, climb
from latentem.ascent.status import Status
from latentem.data.door import Data
from latentem.fitting.climb import Snapshot
from latentem.fitting.progress import Progress
from latentem.forms.host import HostForm
from latentem.numerics.keys import as_key
from latentem.results.fit import Fit

#: What `lem.fit` takes, and these models do not: option -> what it is when nobody asked for it.
ABSENT = {
    "m_step": "auto",
    "polish": None,
    "annealing": None,
    "compress": "auto",
    "step_size": None,
    "step_tolerance": 0.0,
}


def fit_on_host(
    model: Any,
    data: Any,
    *,
    weights: Any,
    initial: Any,
    key: Any,
    starts: int,
    method: Any,
    tolerance: float,
    max_iterations: int,
    passes: int,
    dtype: str,
    progress: bool | None,
    callback: Any,
    **others: Any,
) -> Fit:
    """The Fit of a ready model that has `on_host(data, weights) -> (declared model, data, form)`, as of `fit`.

    Raises:
        ValueError: in one line: options that do not apply, and whatever the model refuses.
    """
    began = time.perf_counter()
    name = type(model).__name__
    for option, default in ABSENT.items():
        if option in others and others[option] is not default and others[option] != default:
            raise ValueError(f"{option}= does not apply to {name}: its E-step runs on the host; leave it out")
    if dtype != "float64":
        raise ValueError(f"dtype={dtype!r} does not apply to {name}: it computes in float64")
    declared, read, form = model.on_host(data, weights)
    if form.ascends and passes != 1:
        raise ValueError("passes= belongs to ordered subsets, Emission(..., subsets=6): give max_iterations=")
    chosen = _method(method, form, name)
    limit = max_iterations if form.ascends else passes
    begin = [form.theta(initial)] if initial is not None else []
    rng = np.random.default_rng(0 if key is None else np.asarray(jax.random.key_data(as_key(key))).ravel())
    ends: list[HostEnd] = []
    with Progress(progress).of(declared.name) as line:

        def watch(done: int, objective: float, theta: Any) -> bool:
            line.show(done, objective, 1)
            if callback is None:
                return False
            return bool(callback(Snapshot(done, objective, form.params(theta), 1)))

        for s in range(starts):
            theta = begin[s] if s < len(begin) else form.start(rng, s == 0)
            ends.append(climb(form, theta, chosen, max(tolerance, form.tolerance), limit, watch))
            if ends[-1].status is Status.interrupted:
                break
    objectives = np.array([end.objective for end in ends])
    if not np.isfinite(objectives).any():
        told = "check it, or pass initial= under which every observation is possible"
        raise ValueError(f"{name}: the objective is not finite at the start: {told}")
    best = ends[int(np.nanargmax(objectives))]
    log_likelihood, log_prior = form.values(best.theta)
    return Fit(
        params=form.params(best.theta),
        log_likelihood=log_likelihood,
        log_prior=log_prior,
        status=best.status,
        iterations=best.iterations,
        evaluations=best.evaluations,
        seconds=time.perf_counter() - began,
        n_observations=form.n_observations,
        n_parameters=form.n_parameters,
        trace=best.trace,
        starts=objectives,
        name=declared.name,
        notes=(*((best.note,) if best.note else ()), *form.remarks(best.theta)),
        declaration=declared,
        data=Data(read, np.ones(1)),
    )


def _method(method: Any, form: HostForm, name: str) -> Plain | SQUAREM:
    if method is None:
        return SQUAREM() if form.extrapolates and form.accelerated and form.ascends else Plain()
    if isinstance(method, Plain):
        return method
    if isinstance(method, SQUAREM) and form.ascends and form.extrapolates:
        return method
    known = "lem.SQUAREM() or lem.Plain()" if form.ascends and form.extrapolates else "lem.Plain()"
    raise ValueError(f"method={method!r}: {name} climbs by {known}")
