"""Generalised linear mixed models: counts and proportions, by Laplace's approximation of the likelihood, or by adaptive
quadrature where there is one grouping with one effect.

References:
    Pinheiro, J. C. and Chao, E. C. (2006). Efficient Laplacian and adaptive Gaussian quadrature algorithms for
    multilevel generalized linear mixed models. Journal of Computational and Graphical Statistics 15, 58-81.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jaxtyping import Array, Float

import latentem as lem
from latentem.building import climb, jit
from latentem.field import Bound, FieldPoint, NotPositiveDefinite, Records, Structure, records_of
from latentem.models.mixed.declare import Design


class Family(NamedTuple):
    """How a response depends on the linear predictor: log-density, mean, link of a response (for a start), columns of a
    response."""

    log_density: Any
    mean: Any
    link: Any
    columns: int


def _bernoulli(y: Array, eta: Array) -> Array:
    return y[0] * eta - jax.nn.softplus(eta)


def _binomial(y: Array, eta: Array) -> Array:
    n = y[0] + y[1]
    ways = gammaln(n + 1) - gammaln(y[0] + 1) - gammaln(y[1] + 1)
    return y[0] * eta - n * jax.nn.softplus(eta) + ways


def _poisson(y: Array, eta: Array) -> Array:
    return y[0] * eta - jnp.exp(eta) - gammaln(y[0] + 1)


def _logistic(eta: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-eta))


FAMILIES = {
    "bernoulli": Family(_bernoulli, _logistic, lambda y: np.log((y[:, 0] + 0.5) / (1.5 - y[:, 0])), 1),
    "binomial": Family(_binomial, _logistic, lambda y: np.log((y[:, 0] + 0.5) / (y[:, 1] + 0.5)), 2),
    "poisson": Family(_poisson, np.exp, lambda y: np.log(y[:, 0] + 0.5), 1),
}


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


def refuse_responses(family: str, y: np.ndarray) -> None:
    """ValueError where responses are none of the family."""
    known = FAMILIES[family]
    if y.shape[1] != known.columns:
        told = "cbind(successes, failures)" if known.columns == 2 else "one response"
        raise ValueError(f"family={family!r}: {y.shape[1]} responses: expected {told}")
    if np.any(y < 0) or np.any(y != np.rint(y)) or (family == "bernoulli" and np.any(y > 1)):
        expected = "0 and 1" if family == "bernoulli" else "counts"
        raise ValueError(
            f"family={family!r}: expected {expected}, found {y[(y < 0) | (y != np.rint(y)) | (y > 1)][0]:g}"
        )


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

    def unpack(self, theta: np.ndarray) -> tuple[list[np.ndarray], None]:
        """(Lambda of each effect, no residual)."""
        roots, at = [], 0
        for effect in self.design.effects:
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


class Quadrature:
    """A model of one effect of one grouping at given parameters: each level integrated by itself, on Gauss-Hermite
    nodes around its mode."""

    def __init__(self, records: Records, theta: np.ndarray, nodes: int) -> None:
        laplace = records.at(theta)
        codes = records.seen[:, 0]
        q = records.size
        at = records.symbolic.entries(np.arange(q), np.arange(q))
        spread = np.sqrt(laplace.factor.inverse[at])
        points, weights = np.polynomial.hermite_e.hermegauss(nodes)
        log_weights = np.log(weights) + 0.5 * points**2
        value, self.score = (
            np.asarray(a)
            for a in _by_quadrature(
                records.model, theta, records.rows, records.weights, codes, laplace.mode, spread, points, log_weights
            )
        )
        self.log_likelihood = self.evidence = float(value)
        if not np.isfinite(value):
            raise NotPositiveDefinite("the log-likelihood is not finite")


@partial(jit, static_argnums=0)
def _by_quadrature(
    model: Any, u: Any, rows: Any, weights: Any, codes: Any, mode: Any, spread: Any, points: Any, log_weights: Any
) -> Any:
    """(log-likelihood, its gradient in u); the nodes stay where they are."""
    z = mode[:, None] + spread[:, None] * points  # (q, K)

    def value(v: Any) -> Any:
        params = model.space.constrain(v)

        def of_record(x: Any, nodes: Any) -> Any:
            name = next(iter(model.latent.structures))
            return jax.vmap(lambda s: model.complete_log_likelihood(params, x, {name: s[None]}))(nodes)

        each = weights[:, None] * jax.vmap(of_record)(rows, z[codes])
        summed = jax.ops.segment_sum(each, codes, num_segments=len(mode)) - 0.5 * z**2 + log_weights
        return jnp.sum(jax.scipy.special.logsumexp(summed, axis=1) + jnp.log(spread)) - 0.5 * len(mode) * jnp.log(
            2 * jnp.pi
        )

    return jax.value_and_grad(value)(u)


def approximate(design: Design, family: str, nodes: int | None, start: Any, limit: int) -> tuple[Approximated, Any]:
    """The maximum of the approximate likelihood, and how the climb to it ended.

    Raises:
        ValueError: quadrature for more than one effect of one grouping of independent levels; no value at the start.
    """
    effects, p = design.effects, design.x.shape[1]
    if nodes is not None and (len(effects) != 1 or effects[0].r != 1 or not effects[0].bound.independent):
        raise ValueError(
            "nodes: quadrature takes one grouping of independent levels with one effect; leave nodes out (Laplace)"
        )
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
    with jax.enable_x64(True):
        records = records_of(model, rows, design.frequencies, quadratic=False)
        first = _start(design, family) if start is None else start
        try:
            at = records.at if nodes is None else (lambda theta: Quadrature(records, np.asarray(theta), nodes))
            found = climb(at, first, np.ones(len(first)), em_steps=0, max_iterations=limit)
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
