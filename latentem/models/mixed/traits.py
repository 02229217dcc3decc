"""Several responses in one linear mixed model: random effects and residuals are correlated among them, and a record may
lack some of them.

The declaration is one record's log-density on a `lem.Field`; under REML the fixed effects are a field with a flat
prior, whose integral is the restricted likelihood.

References:
    Henderson, C. R. and Quaas, R. L. (1976). Multiple trait evaluation using relatives' records. Journal of Animal
    Science 43, 1188-1197.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem.building import Climb, climb
from latentem.field import Effect, NotPositiveDefinite, Records, records_of
from latentem.models.mixed.declare import Design
from latentem.models.mixed.generalised import Approximated, Known


@dataclass(frozen=True)
class SeveralTraits:
    """log p(y | z) of one record of t traits; a value, so that it compiles once.

    Args:
        traits: t.
        sizes: coordinates of each effect, t times its columns, those of a trait together.
        restricted: fixed effects are a field.
    """

    traits: int
    sizes: tuple[int, ...]
    restricted: bool

    def __call__(self, params: Any, x: Any, z: Any) -> Array:
        t = self.traits
        fixed = z["fixed"] if self.restricted else params["fixed"]
        mean = fixed.reshape(t, -1) @ x["x"]
        for i, r in enumerate(self.sizes):
            b = lower(params[f"root{i:02d}"], r) @ z[f"effect{i:02d}"]
            mean = mean + b.reshape(t, -1) @ x[f"z{i:02d}"]
        there = ~jnp.isnan(x["y"])
        off = jnp.where(there, jnp.where(there, x["y"], 0.0) - mean, 0.0)
        root = lower(params[f"root{len(self.sizes):02d}"], t)
        own = jnp.where(there[:, None] & there, root @ root.T, jnp.eye(t))
        factor = jnp.linalg.cholesky(own)
        white = jax.scipy.linalg.solve_triangular(factor, off, lower=True)
        logs = 2 * jnp.sum(jnp.log(jnp.diagonal(factor))) + jnp.sum(there) * float(np.log(2 * np.pi))
        return -0.5 * (logs + jnp.sum(white**2))


def lower(entries: Float[Array, " m"], r: int) -> Float[Array, "r r"]:
    """A lower triangle from its entries by rows."""
    return jnp.zeros((r, r), entries.dtype).at[np.tril_indices(r)].set(entries)


@dataclass(frozen=True, eq=False)
class Traits(Approximated):
    """A model of several traits at parameters; `theta` ends with the residual's Cholesky rows.

    Args:
        traits: names of the responses.
        plain: the design before its columns were repeated for every trait.
    """

    traits: tuple[str, ...] = ()
    plain: Any = None

    @property
    def parts(self) -> tuple[Effect, ...]:
        t = len(self.traits)
        left = replace(self.design.effects[0], name="Residual", coordinates=self.traits, z=np.ones((1, t)))
        return (*self.design.effects, left)

    @property
    def restricted(self) -> bool:
        """Whether the fixed effects are integrated out."""
        return "fixed" in self.records.bounds

    @cached_property
    def point(self) -> Any:
        with jax.enable_x64(True):
            return self.records.at(self.theta if self.restricted else np.concatenate([self.beta, self.theta]))

    @cached_property
    def random(self) -> list[np.ndarray]:
        found, at = [], 0
        for effect, root in zip(self.design.effects, self.roots[:-1], strict=True):
            found.append(root @ self.point.mode[at : at + effect.size].reshape(effect.r, -1))
            at += effect.size
        return found

    @property
    def fixed_covariance(self) -> Float[np.ndarray, "p p"]:
        p = len(self.beta)
        if not self.restricted:
            return self._covariance[:p, :p]
        at = self.records.offsets["fixed"] + np.arange(p)
        rows = np.broadcast_to(at[:, None], (p, p))
        return self.point.factor.inverse[self.records.symbolic.entries(rows, rows.T)]

    def covariance(self, kind: str = "observed") -> Float[np.ndarray, "P P"]:
        if kind != "observed":
            raise ValueError(f"kind={kind!r}: a model of several responses has 'observed' information only")
        at = 0 if self.restricted else len(self.beta)
        return self._covariance[at:, at:]


def maximum(design: Design, restricted: bool, start: Any, limit: int) -> tuple[Traits, Climb]:
    """The maximum of the (restricted) likelihood, and how the climb to it ended.

    Args:
        design: y (n, t), NaN where a trait is missing.
        restricted: REML.
        start: a vector of parameters, or None.
        limit: of Newton steps.

    Raises:
        ValueError: no value at the start.
    """
    t, p = design.y.shape[1], design.x.shape[1]
    restricted = restricted and p > 0
    records = _records(design, restricted)
    first, scales = _start(design, restricted)
    with jax.enable_x64(True):
        try:
            found = climb(records.at, first if start is None else start, scales, em_steps=0, max_iterations=limit)
        except NotPositiveDefinite as error:
            raise ValueError(f"the likelihood has no value at the start ({error}): pass initial=") from None
    at = 0 if restricted else t * p
    wide = expanded(design)
    solved = Traits(
        wide, records, found.theta[:at], found.theta[at:], found.information, found.point.evidence,
        traits=design.responses, plain=design,
    )  # fmt: skip
    signs = [np.where(np.diagonal(root) < 0, -1.0, 1.0) for root in solved.roots]
    flips = np.concatenate([np.broadcast_to(s, (len(s),) * 2)[np.tril_indices(len(s))] for s in signs])
    whole = np.concatenate([np.ones(at), flips])
    solved = replace(solved, theta=solved.theta * flips, joint=found.information * np.outer(whole, whole))
    if restricted:
        begin = records.offsets["fixed"]
        solved = replace(solved, beta=found.point.mode[begin : begin + t * p])
    return solved, found


def expanded(design: Design) -> Design:
    """The design with names, and columns of the effects, once for every trait."""
    traits = design.responses
    effects = tuple(
        replace(
            e,
            coordinates=tuple(f"{trait}: {c}" for trait in traits for c in e.coordinates),
            z=np.concatenate([e.z] * len(traits), axis=1),
        )
        for e in design.effects
    )
    names = tuple(f"{trait}: {name}" for trait in traits for name in design.names)
    return replace(design, effects=effects, names=names)


def vector(design: Design, restricted: bool, params: Any) -> np.ndarray:
    """The vector of parameters of params."""
    t, p = design.y.shape[1], design.x.shape[1]
    sizes = {e.name: t * e.r for e in design.effects}
    try:
        roots = [np.asarray(params["effects"][n], np.float64).reshape(r, r) for n, r in sizes.items()]
        roots.append(np.asarray(params["residual"], np.float64).reshape(t, t))
        parts = [root[np.tril_indices(len(root))] for root in roots]
        if not (restricted and p):
            parts.insert(0, np.asarray(params["fixed"], np.float64).reshape(t * p))
    except (KeyError, TypeError, ValueError):
        told = ", ".join(f"{n!r}: ({r}, {r})" for n, r in sizes.items())
        raise ValueError(
            f"params: expected 'effects' {{{told}}}, 'residual' ({t}, {t}) and 'fixed' ({t}, {p})"
        ) from None
    return np.concatenate(parts)


def _records(design: Design, restricted: bool) -> Records:
    t, p = design.y.shape[1], design.x.shape[1]
    sizes = tuple(t * e.r for e in design.effects)
    structures: dict[str, Any] = {f"effect{i:02d}": Known(e.bound) for i, e in enumerate(design.effects)}
    dims = {f"effect{i:02d}": r for i, r in enumerate(sizes)}
    space = {f"root{i:02d}": lem.real(r * (r + 1) // 2) for i, r in enumerate((*sizes, t))}
    if restricted:
        structures["fixed"], dims["fixed"] = lem.flat(), t * p
    else:
        space["fixed"] = lem.real(t * p)
    model = lem.Model(SeveralTraits(t, sizes, restricted), lem.Field(structures, dims), space)
    rows: dict[str, Any] = {"y": design.y, "x": design.x}
    for i, effect in enumerate(design.effects):
        rows[f"z{i:02d}"] = effect.z
        rows[f"effect{i:02d}"] = effect.bound.names[effect.codes]
    with jax.enable_x64(True):
        return records_of(model, rows, design.frequencies)


def _start(design: Design, restricted: bool) -> tuple[np.ndarray, np.ndarray]:
    """(where to begin: half of each variance to the residual, the rest shared; a typical size of each parameter)."""
    beta, spread = [], []
    for y in design.y.T:
        there = ~np.isnan(y)
        found = np.linalg.lstsq(design.x[there], y[there], rcond=None)[0]
        beta.append(found)
        spread.append(float(np.std(y[there] - design.x[there] @ found)))
    deviations = np.array(spread)
    if not np.all(deviations > 1e-10 * np.nanmax(np.abs(design.y), axis=0)):
        name = design.responses[int(np.argmin(deviations))]
        raise ValueError(f"the fixed effects explain the response {name} entirely: nothing is left to be random")
    first, scales = [], []
    for effect in (*design.effects, None):
        unit = np.ones(1) if effect is None else np.sqrt(np.mean(effect.z**2, axis=0))
        size = np.outer(deviations, 1 / np.where(unit > 0, unit, 1.0)).ravel()
        share = np.sqrt(0.5 if effect is None else 0.5 / len(design.effects))
        low = np.tril_indices(len(size))
        first.append(np.diag(share * size)[low])
        scales.append(np.repeat(size[:, None], len(size), axis=1)[low])
    if not restricted:
        unit = np.sqrt(np.mean(design.x**2, axis=0))
        first.insert(0, np.concatenate(beta))
        scales.insert(0, np.outer(deviations, 1 / np.where(unit > 0, unit, 1.0)).ravel())
    return np.concatenate(first), np.concatenate(scales)
