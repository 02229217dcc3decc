"""From a design to a fit: of one response, of counts and proportions, of several responses."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

import latentem as lem
from latentem.building import Climb
from latentem.models.mixed import traits
from latentem.models.mixed.declare import Design
from latentem.models.mixed.estimate import Solved, build, maximum, scales_of, start_of
from latentem.models.mixed.expectation import by_em
from latentem.models.mixed.fit import GeneralisedFit, MixedFit
from latentem.models.mixed.generalised import approximate
from latentem.models.mixed.traits_fit import TraitsFit
from latentem.models.mixed.vectors import params_of, theta_of, vector_of

if TYPE_CHECKING:
    from latentem.models.mixed.mixed import Mixed


def linear(model: Mixed, table: Any, design: Design, options: Any, limit: int, began: float) -> MixedFit:
    """Of one response with normal residuals."""
    system, offset, spread = build(design, model.reml)
    initial = options.get("initial")
    start = start_of(system, spread) if initial is None else theta_of(system, initial)
    watch = _Watcher(options.get("callback"))
    scales, method = scales_of(system, spread), options.get("method") or lem.AverageInformation()
    if isinstance(method, lem.AverageInformation):
        steps = method.em_steps
        solved, climbed = maximum(design, system, offset, start, scales, limit, watch, em_steps=steps)
    elif isinstance(method, lem.PX | lem.SQUAREM | lem.Plain):
        solved, climbed = by_em(design, system, offset, start, scales, method, options, watch)
    else:
        known = "lem.AverageInformation(), lem.PX(), lem.SQUAREM() or lem.Plain()"
        raise ValueError(f"method={method!r}: a linear mixed model climbs by {known}")
    status, notes = _ended(solved, climbed, watch)
    if design.missing:
        notes.append(f"{design.missing} records with missing values were left out")
    found = MixedFit(
        params=params_of(solved),
        log_likelihood=solved.point.log_likelihood,
        log_prior=0.0,
        status=status,
        iterations=len(climbed.trace) - 1,
        evaluations=climbed.evaluations,
        seconds=time.perf_counter() - began,
        n_observations=design.n,
        n_parameters=len(solved.beta) + len(solved.theta),
        trace=climbed.trace,
        starts=np.array([solved.point.log_likelihood]),
        name=model.name,
        gradient=float(np.max(np.abs(solved.point.score * solved.scales))),
        notes=tuple(notes),
        declaration=model,
        frame=table,
        weights=options.get("weights"),
    )
    found.__dict__["solved"] = solved
    return found


def generalised(model: Mixed, table: Any, design: Design, options: Any, limit: int, began: float) -> GeneralisedFit:
    """Of counts and proportions."""
    initial = options.get("initial")
    start = None if initial is None else vector_of(design, initial)
    solved, climbed = approximate(design, model.family, model.nodes, start, limit)
    how = "Laplace's approximation" if model.nodes is None else f"adaptive quadrature on {model.nodes} nodes"
    notes = [f"approximate: the log-likelihood is {how}"]
    edge = [
        e.name for e, root in zip(design.effects, solved.roots, strict=True) if np.min(np.abs(np.diagonal(root))) < 1e-4
    ]
    notes += [f"{name}: its covariance is singular" for name in edge]
    if design.missing:
        notes.append(f"{design.missing} records with missing values were left out")
    plain = lem.Status.approximate if model.nodes is None else lem.Status.converged
    status = lem.Status.boundary if edge else plain
    names = [e.name for e in design.effects]
    found = GeneralisedFit(
        params={"fixed": solved.beta, "effects": dict(zip(names, solved.roots, strict=True))},
        log_likelihood=solved.evidence,
        log_prior=0.0,
        status=status if climbed.converged else lem.Status.max_iterations,
        iterations=len(climbed.trace) - 1,
        evaluations=climbed.evaluations,
        seconds=time.perf_counter() - began,
        n_observations=design.n,
        n_parameters=len(solved.beta) + len(solved.theta),
        trace=climbed.trace,
        starts=np.array([solved.evidence]),
        name=model.name,
        notes=tuple(notes),
        declaration=model,
        frame=table,
        weights=options.get("weights"),
    )
    found.__dict__["solved"] = solved
    return found


def several(model: Mixed, table: Any, design: Design, options: Any, limit: int, began: float) -> TraitsFit:
    """Of several responses."""
    initial = options.get("initial")
    start = None if initial is None else traits.vector(design, model.reml, initial)
    solved, climbed = traits.maximum(design, model.reml, start, limit)
    notes = [f"{design.missing} records with missing values were left out"] if design.missing else []
    t, names = len(solved.traits), [e.name for e in design.effects]
    found = TraitsFit(
        params={
            "fixed": solved.beta.reshape(t, -1),
            "effects": dict(zip(names, solved.roots[:-1], strict=True)),
            "residual": solved.roots[-1],
        },
        log_likelihood=solved.evidence,
        log_prior=0.0,
        status=lem.Status.converged if climbed.converged else lem.Status.max_iterations,
        iterations=len(climbed.trace) - 1,
        evaluations=climbed.evaluations,
        seconds=time.perf_counter() - began,
        n_observations=float((~np.isnan(design.y)).sum(axis=1) @ design.frequencies),
        n_parameters=len(solved.beta) + len(solved.theta),
        trace=climbed.trace,
        starts=np.array([solved.evidence]),
        name=model.name,
        notes=tuple(notes),
        declaration=model,
        frame=table,
        weights=options.get("weights"),
    )
    found.__dict__["solved"] = solved
    return found


class _Watcher:
    """Hands snapshots to a callback, and remembers whether it stopped the fit."""

    def __init__(self, callback: Any) -> None:
        self._callback, self.stopped = callback, False

    def __call__(self, iterations: int, value: float) -> bool:
        if self._callback is not None:
            self.stopped = self._callback(lem.Snapshot(iterations, value, None, 1)) is True
        return self.stopped


def _ended(solved: Solved, climbed: Climb, watch: _Watcher) -> tuple[lem.Status, list[str]]:
    notes = []
    for effect, singular, covariance in zip(solved.design.effects, solved.singular, solved.covariances, strict=True):
        if singular:
            zero = [c for c, v in zip(effect.coordinates, np.diagonal(covariance), strict=True) if v == 0]
            told = f"the variance of {', '.join(zero)} is 0" if zero else "its coordinates are correlated by 1 or -1"
            notes.append(f"{effect.name}: {told}: the records show less than the residual alone would, leave it out")
    if watch.stopped:
        return lem.Status.interrupted, notes
    if not climbed.converged and not any(solved.singular):
        return lem.Status.max_iterations, notes
    return (lem.Status.boundary if any(solved.singular) else lem.Status.converged), notes
