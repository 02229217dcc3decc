"""Generalised linear mixed models: counts and proportions, by Laplace's approximation of the likelihood, or by adaptive
quadrature where there is one grouping with one effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem.building import Climb, climb
from latentem.field import Bound, Effect, FieldPoint, NotPositiveDefinite, Records, Structure, records_of
from latentem.models.mixed.declare import Design
from latentem.models.mixed.families import FAMILIES
from latentem.models.mixed.quadrature import Quadrature


@dataclass(frozen=True)
class Known(Structure):
    """A structure that is bound already."""

    bound: Bound

    def bind(self, seen: Any, name: str) -> Bound:
        return self.bound


@dataclass(frozen=True)
class Predictor:
    """log p(y | z) of one record with linear predictor x'beta + sum of z'Lambda u; a value, so that it compiles
    once."""

    family: str
    sizes: tuple[int, ...]

    def __call__(self, params: Any, x: Any, z: Any) -> Array:
        return FAMILIES[self.family].log_density(x["y"], self.linear(params, x, z))

    def linear(self, params: Any, x: Any, z: Any) -> Array:
        """The linear predictor."""
        eta = x["x"] @ params["fixed"]
        for i, r in enumerate(self.sizes):
            root = jnp.zeros((r, r)).at[np.tril_indices(r)].set(params[f"root{i:02d}"])
            eta = eta + x[f"z{i:02d}"] @ (root @ z[f"effect{i:02d}"])
        return eta


@dataclass(frozen=True, eq=False)
class Approximated:
    """A generalised linear mixed model at parameters; the attributes of `estimate.Solved` that its tables need.

    Args:
        design, records: the data.
        theta: Cholesky rows of the effects.
        beta: fixed effects.
        joint: information of fixed effects and Cholesky rows together.
        evidence: log-likelihood, approximate.
    """

    design: Design
    records: Records
    beta: Float[np.ndarray, " p"]
    theta: Float[np.ndarray, " P"]
    joint: Float[np.ndarray, "D D"]
    evidence: float
    residual: bool = False

    @property
    def parts(self) -> tuple[Effect, ...]:
        """What Cholesky rows there are of."""
        return self.design.effects

    def unpack(self, theta: np.ndarray) -> tuple[list[np.ndarray], None]:
        """(Lambda of each effect, no residual)."""
        roots, at = [], 0
        for effect in self.parts:
            low = np.tril_indices(effect.r)
            root = np.zeros((effect.r, effect.r))
            root[low] = theta[at : at + len(low[0])]
            roots.append(root)
            at += len(low[0])
        return roots, None

    @property
    def roots(self) -> list[np.ndarray]:
        """Lambda of each effect."""
        return self.unpack(self.theta)[0]

    @property
    def covariances(self) -> list[np.ndarray]:
        """Lambda Lambda' of each effect."""
        return [root @ root.T for root in self.roots]

    @property
    def scales(self) -> Float[np.ndarray, " P"]:
        """A typical size of each parameter."""
        return np.ones(len(self.theta))

    @cached_property
    def point(self) -> FieldPoint:
        """Laplace's approximation there."""
        with jax.enable_x64(True):
            return self.records.at(np.concatenate([self.beta, self.theta]))

    @property
    def eta(self) -> Float[np.ndarray, " n"]:
        """Linear predictor of each record, the random effects at their modes."""
        value = self.design.x @ self.beta
        for effect, b in zip(self.design.effects, self.random, strict=True):
            value = value + effect.of_records(b)
        return value

    @cached_property
    def random(self) -> list[np.ndarray]:
        """Conditional modes of the random effects, (r, q)."""
        found, at = [], 0
        for effect, root in zip(self.design.effects, self.roots, strict=True):
            found.append(root @ self.point.mode[at : at + effect.size].reshape(effect.r, -1))
            at += effect.size
        return found

    def prediction_error(self, i: int) -> Float[np.ndarray, "q r r"]:
        """Conditional covariance of each level of effect i, given the parameters."""
        effect, root = self.design.effects[i], self.roots[i]
        begin = sum(e.size for e in self.design.effects[:i])
        q = effect.bound.size
        at = begin + np.arange(effect.r)[None, :] * q + np.arange(q)[:, None]
        rows = np.broadcast_to(at[:, :, None], (q, effect.r, effect.r))
        inverse = self.point.factor.inverse[self.records.symbolic.entries(rows, rows.transpose(0, 2, 1))]
        return root @ inverse @ root.T

    @cached_property
    def _covariance(self) -> np.ndarray:
        return np.linalg.pinv(self.joint, hermitian=True)

    @property
    def fixed_covariance(self) -> Float[np.ndarray, "p p"]:
        """Of the fixed effects."""
        p = len(self.beta)
        return self._covariance[:p, :p]

    def covariance(self, kind: str = "observed") -> Float[np.ndarray, "P P"]:
        """Of the Cholesky rows."""
        if kind != "observed":
            raise ValueError(f"kind={kind!r}: a generalised model has 'observed' information only")
        p = len(self.beta)
        found = self._covariance[p:, p:].copy()
        edge = np.abs(self.theta) < 1e-6
        found[edge] = found[:, edge] = np.nan
        return found


def approximate(design: Design, family: str, nodes: int | None, start: Any, limit: int) -> tuple[Approximated, Any]:
    """The maximum of the approximate likelihood, and how the climb to it ended.

    Raises:
        ValueError: quadrature for more than one effect of one grouping of independent levels; no value at the start.
    """
    effects = design.effects
    if nodes is not None and (len(effects) != 1 or effects[0].r != 1 or not effects[0].bound.independent):
        raise ValueError(
            "nodes: quadrature takes one grouping of independent levels with one effect; leave nodes out (Laplace)"
        )
    with jax.enable_x64(True):
        return maximum_of(design, records_for(design, family), family, nodes, start, limit)


def records_for(design: Design, family: str) -> Records:
    """The records with their declaration."""
    effects, p = design.effects, design.x.shape[1]
    sizes = tuple(effect.r for effect in effects)
    field = lem.Field(
        {f"effect{i:02d}": Known(effect.bound) for i, effect in enumerate(effects)},
        {f"effect{i:02d}": effect.r for i, effect in enumerate(effects)},
    )
    space = {"fixed": lem.real(p), **{f"root{i:02d}": lem.real(r * (r + 1) // 2) for i, r in enumerate(sizes)}}
    model = lem.Model(Predictor(family, sizes), field, space)
    rows = {"y": design.y, "x": design.x}
    for i, effect in enumerate(effects):
        rows[f"z{i:02d}"] = effect.z
        rows[f"effect{i:02d}"] = effect.bound.names[effect.codes]
    return records_of(model, rows, design.frequencies, quadratic=False)


def climbed_on(records: Records, nodes: int | None) -> Callable[[np.ndarray], Any]:
    """Parameters -> the model there, by Laplace's approximation or on nodes."""
    return records.at if nodes is None else (lambda theta: Quadrature(records, np.asarray(theta), nodes))


def maximum_of(
    design: Design, records: Records, family: str, nodes: int | None, start: Any, limit: int
) -> tuple[Approximated, Climb]:
    """The same on records that are there already, in float64."""
    first, p = _start(design, family) if start is None else start, design.x.shape[1]
    try:
        found = climb(climbed_on(records, nodes), first, np.ones(len(first)), em_steps=0, max_iterations=limit)
    except NotPositiveDefinite as error:
        raise ValueError(f"the likelihood has no value at the start ({error}): pass initial=") from None
    theta, signs = found.theta[p:].copy(), []
    probe = Approximated(design, records, found.theta[:p], theta, found.information, found.point.evidence)
    for root in probe.roots:
        sign = np.where(np.diagonal(root) < 0, -1.0, 1.0)
        signs.append(np.broadcast_to(sign, root.shape)[np.tril_indices(len(root))])
    flips = np.concatenate([np.ones(p), *signs])
    joint = found.information * np.outer(flips, flips)
    return Approximated(design, records, probe.beta, theta * flips[p:], joint, found.point.evidence), found


def _start(design: Design, family: str) -> np.ndarray:
    beta = np.linalg.lstsq(design.x, FAMILIES[family].link(design.y), rcond=None)[0]
    roots = [0.5 * np.eye(e.r)[np.tril_indices(e.r)] for e in design.effects]
    return np.concatenate([beta, *roots])
