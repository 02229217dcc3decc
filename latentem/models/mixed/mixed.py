"""Mixed: linear mixed models from a formula, with structures of relationship."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.linalg as la

import latentem as lem
from latentem.building import Climb
from latentem.field import Structure
from latentem.models.mixed.declare import Design, declare
from latentem.models.mixed.estimate import Solved, build, maximum, scales_of, start_of
from latentem.models.mixed.fit import GeneralisedFit, MixedFit
from latentem.models.mixed.formula import parse
from latentem.models.mixed.generalised import FAMILIES, approximate, refuse_responses

#: Options of `lem.fit` that say something to a mixed model.
OPTIONS = ("weights", "initial", "max_iterations", "callback", "key", "progress", "tolerance")


@dataclass(frozen=True)
class Mixed:
    """A linear mixed model: y = X beta + sum of Z b + e, fixed effects beta, random effects b of every level of some
    groupings.

    Args:
        formula: as in lme4, "milk ~ lact + log(dim) + (1 | id) + (1 | herd)": (1 | g), (x | g) with correlation, (x ||
            g) without, nested (1 | a/b), crossed, combinations (1 | a:b).
        relationship: grouping -> what is known of its levels: `lem.pedigree(...)`, `lem.relationship(matrix)`,
            `lem.random_walk()`, `lem.neighbours(graph)`; independent levels by default.
        reml: restricted maximum likelihood, fixed effects integrated out; else maximum likelihood.
        precision: name of a column of precision weights: the residual variance of a record is divided by its weight.
            (The `weights` of `lem.fit` are frequencies: they stand for repeated records.)

    The random effects are whitened, so a variance of zero is a point like any other; a few steps of EM are followed by
    Newton's method on the average information, then on the exact one. Needs the library formulae, from the extra
    `mixed`.

    References:
        Bates, D., Maechler, M., Bolker, B. and Walker, S. (2015). Fitting linear mixed-effects models using lme4.
        Journal of Statistical Software 67(1).

    >>> dyes = lem.datasets.dyestuff()
    >>> fit = lem.fit(lem.Mixed("grams ~ 1 + (1 | batch)"), dyes)
    >>> np.round(fit.variance_components()["variance"], 2)
    array([1764.05, 2451.25])
    """

    formula: str
    relationship: Mapping[str, Structure] = field(default_factory=dict, compare=False)
    reml: bool = True
    precision: str | None = None
    family: str = "gaussian"
    nodes: int | None = None

    def __post_init__(self) -> None:
        parse(self.formula)
        if self.family != "gaussian" and self.family not in FAMILIES:
            raise ValueError(f"family={self.family!r}: expected 'gaussian', {', '.join(map(repr, FAMILIES))}")
        if self.nodes is not None and (self.family == "gaussian" or not 2 <= self.nodes <= 100):
            raise ValueError(f"nodes={self.nodes!r}: expected 2 to 100, with a family other than 'gaussian'")
        if self.precision is not None and self.family != "gaussian":
            raise ValueError(f"precision={self.precision!r}: only family='gaussian' has a residual variance to divide")
        for group, structure in self.relationship.items():
            if not isinstance(structure, Structure):
                told = f"relationship of {group!r} is a {type(structure).__name__}"
                raise TypeError(f"{told}: expected lem.pedigree(...), lem.relationship(matrix), ...")

    @property
    def name(self) -> str:
        """What summaries call it."""
        if self.family != "gaussian":
            how = "Laplace's approximation" if self.nodes is None else f"adaptive quadrature, {self.nodes} nodes"
            return f"Generalised linear mixed model ({self.family}) by {how}"
        return f"Linear mixed model by {'REML' if self.reml else 'maximum likelihood'}"

    def design(self, table: Any, weights: Any = None) -> Design:
        """The records as arrays."""
        parsed = parse(self.formula)
        if self.family == "gaussian" and len(parsed.responses) != 1:
            raise ValueError(f"formula {self.formula!r} has {len(parsed.responses)} responses: expected one")
        design = declare(parsed, table, self.relationship, weights, self.precision)
        if self.family != "gaussian":
            refuse_responses(self.family, design.y)
        return design

    def fit_whole(self, table: Any, **options: Any) -> Any:
        """What `lem.fit` calls: the records share one latent, so nothing is done row by row.

        Args:
            table: a table with the columns of the formula.
            options: those of `lem.fit` that were given.
        """
        began = time.perf_counter()
        for name in options:
            if name not in OPTIONS:
                raise ValueError(f"{name}: a mixed model knows {', '.join(OPTIONS)}; leave {name} out")
        design = self.design(table, options.get("weights"))
        limit = options.get("max_iterations", 100)
        if not isinstance(limit, int | np.integer) or limit < 1:
            raise ValueError(f"max_iterations={limit!r}: expected an integer >= 1")
        if self.family != "gaussian":
            return self._generalised(table, design, options, int(limit), began)
        system, offset, spread = build(design, self.reml)
        initial = options.get("initial")
        start = start_of(system, spread) if initial is None else _theta(system, initial)
        watch = _Watcher(options.get("callback"))
        solved, climbed = maximum(design, system, offset, start, scales_of(system, spread), int(limit), watch)
        return self._fit(table, options.get("weights"), solved, climbed, watch, began)

    def _fit(self, table: Any, weights: Any, solved: Solved, climbed: Climb, watch: Any, began: float) -> MixedFit:
        design = solved.design
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
            name=self.name,
            gradient=float(np.max(np.abs(solved.point.score * solved.scales))),
            notes=tuple(notes),
            declaration=self,
            frame=table,
            weights=weights,
        )
        found.__dict__["solved"] = solved
        return found

    def _generalised(self, table: Any, design: Design, options: Any, limit: int, began: float) -> GeneralisedFit:
        initial = options.get("initial")
        start = None if initial is None else _vector(design, initial)
        solved, climbed = approximate(design, self.family, self.nodes, start, limit)
        how = "Laplace's approximation" if self.nodes is None else f"adaptive quadrature on {self.nodes} nodes"
        notes = [f"approximate: the log-likelihood is {how}"]
        edge = [
            e.name
            for e, root in zip(design.effects, solved.roots, strict=True)
            if np.min(np.abs(np.diagonal(root))) < 1e-4
        ]
        notes += [f"{name}: its covariance is singular" for name in edge]
        if design.missing:
            notes.append(f"{design.missing} records with missing values were left out")
        status = lem.Status.boundary if edge else lem.Status.converged
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
            name=self.name,
            notes=tuple(notes),
            declaration=self,
            frame=table,
            weights=options.get("weights"),
        )
        found.__dict__["solved"] = solved
        return found

    def loaded(self, table: Any, **fields: Any) -> Any:
        """A fit that was saved, with its table or None."""
        return (MixedFit if self.family == "gaussian" else GeneralisedFit)(**fields, declaration=self, frame=table)

    def solved_at(self, table: Any, weights: Any, params: Any) -> Any:
        """The arrays behind given params; a generalised model settles there once more."""
        design = self.design(table, weights)
        if self.family != "gaussian":
            return approximate(design, self.family, self.nodes, _vector(design, params), 100)[0]
        system, offset, _ = build(design, self.reml)
        return Solved(design, system, _theta(system, params), offset)


def params_of(solved: Solved) -> dict[str, Any]:
    """Params of a fit."""
    names = [e.name for e in solved.design.effects]
    return {
        "fixed": solved.beta,
        "effects": dict(zip(names, solved.roots, strict=True)),
        "residual": np.array(solved.sigma),
    }


def _theta(system: Any, params: Any) -> np.ndarray:
    """The vector of parameters of params; "effects" may hold standard deviations in place of Cholesky rows."""
    names = [e.name for e in system.layout.effects]
    try:
        effects, sigma = params["effects"], float(np.asarray(params["residual"]))
        roots = []
        for name, r in zip(names, system.shapes(), strict=True):
            root = np.asarray(effects[name], dtype=np.float64)
            root = np.diag(np.broadcast_to(root, (r,))) if root.ndim < 2 else root
            roots.append(
                la.cholesky(root @ root.T + 1e-300 * np.eye(r), lower=True) if np.triu(root, 1).any() else root
            )
            if root.shape != (r, r):
                raise ValueError
    except (KeyError, TypeError, ValueError, la.LinAlgError):
        told = ", ".join(f"{n!r}: ({r}, {r})" for n, r in zip(names, system.shapes(), strict=True))
        raise ValueError(
            f"params: expected a dict with 'residual' and 'effects', {{{told}}} or standard deviations"
        ) from None
    if not sigma > 0 or not all(np.isfinite(root).all() for root in roots):
        raise ValueError(f"params: residual {sigma:g}: expected finite numbers, a residual standard deviation above 0")
    return system.pack(roots, sigma)


def _vector(design: Design, params: Any) -> np.ndarray:
    """Fixed effects and Cholesky rows of params of a generalised model."""
    try:
        fixed = np.asarray(params["fixed"], dtype=np.float64).reshape(design.x.shape[1])
        roots = [np.asarray(params["effects"][e.name], dtype=np.float64).reshape(e.r, e.r) for e in design.effects]
    except (KeyError, TypeError, ValueError):
        told = ", ".join(f"{e.name!r}: ({e.r}, {e.r})" for e in design.effects)
        raise ValueError(f"params: expected 'fixed' ({design.x.shape[1]},) and 'effects' {{{told}}}") from None
    return np.concatenate([fixed, *(root[np.tril_indices(len(root))] for root in roots)])


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
