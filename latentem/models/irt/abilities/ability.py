"""The distribution of ability on the nodes: normal, by group, on covariates, correlated, or a histogram."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

import latentem as lem
from latentem.constraints import Standardised

Params = dict[str, Any]


class Grid(NamedTuple):
    """Nodes of the quadrature.

    Args:
        values: (K, D).
        log_weights: log(weight / standard normal density) of each node, (K,).
    """

    values: Float[np.ndarray, "K D"]
    log_weights: Float[np.ndarray, " K"]


@dataclass(frozen=True)
class Ability:
    """Normal distributions of ability.

    Args:
        dimensions: D.
        groups: G, the reference first.
        means: of how many groups the mean is free, the last ones; it is 0 in the others.
        variances: of how many groups the variance is free, the last ones; it is 1 in the others.
        correlated: abilities correlate.
        covariates: number of covariates that the mean depends on linearly; the residual variance is that above.
        histogram: the weights of the nodes themselves are free (Bock and Aitkin 1981).
        nodes: of a histogram whose mean is 0 and variance 1; empty where known items fix its scale.
        exact: densities are normal over all abilities, not only over the nodes.
        general: the first ability is a general one, beside which the others have mean 0 in all groups.
    """

    dimensions: int = 1
    groups: int = 1
    means: int = 0
    variances: int = 0
    correlated: bool = False
    covariates: int = 0
    histogram: bool = False
    nodes: tuple[float, ...] = ()
    exact: bool = False
    general: bool = False

    def constraints(self, nodes: int) -> Params:
        """Constraints of the free params; empty for a standard normal ability."""
        d = self.dimensions
        tail = () if d == 1 else (d,)
        lead = (lambda free: ()) if self.groups == 1 else (lambda free: (free,))
        tree: Params = {}
        if self.histogram:
            weights = Standardised(self.nodes) if self.nodes else lem.simplex(nodes)
            return {"weights": weights.batched(self.groups)}
        if self.means:
            tree["mean"] = lem.real((*lead(self.means), *(() if self.general else tail)))
        if self.variances:
            tree["variance"] = lem.positive((*lead(self.variances), *tail))
        if self.correlated:
            tree["correlation"] = lem.correlation(d)
        if self.covariates:
            tree["coefficients"] = lem.real((self.covariates, *tail))
        return tree

    def start(self, nodes: Grid | None, dtype: Any) -> Params:
        """Standard normal abilities."""
        made: Params = {}
        for name, constraint in self.constraints(0 if nodes is None else len(nodes.values)).items():
            if name == "weights" and nodes is not None:
                normal = np.exp(nodes.log_weights + _standard(nodes.values))
                made[name] = jnp.broadcast_to(jnp.asarray(normal / normal.sum(), dtype), constraint.shape)
            elif name == "correlation":
                made[name] = jnp.eye(self.dimensions, dtype=dtype)
            else:
                made[name] = jnp.full(constraint.shape, 1.0 if name == "variance" else 0.0, dtype)
        return made

    def moments(self, params: Params) -> tuple[Float[Array, "G D"], Float[Array, "G D D"]]:
        """(means, covariance matrices) of the groups; of the residual where there are covariates."""
        d = self.dimensions
        dtype = jnp.result_type(*jax.tree.leaves(params)) if params else jnp.result_type(float)
        mean = jnp.zeros((self.groups, d), dtype)
        variance = jnp.ones((self.groups, d), dtype)
        if "mean" in params:
            own = 1 if self.general else d
            mean = mean.at[self.groups - self.means :, :own].set(params["mean"].reshape(self.means, own))
        if "variance" in params:
            variance = variance.at[self.groups - self.variances :].set(params["variance"].reshape(self.variances, d))
        scale = jnp.sqrt(variance)
        correlation = params.get("correlation", jnp.eye(d, dtype=dtype))
        return mean, scale[:, :, None] * correlation * scale[:, None, :]

    def width(self) -> int:
        """Number of features of a person: one for each group, or 1, covariates and their products."""
        p = self.covariates
        return self.groups if not p else 1 + p + p * (p + 1) // 2

    def features(self, rows: Any, dtype: Any) -> Float[Array, "n L"]:
        """What the log-density of ability is linear in; the first `groups` of them add up to 1."""
        n = rows["answers"].shape[0]
        if self.covariates:
            w = rows["covariates"].astype(dtype)
            i, j = np.triu_indices(self.covariates)
            return jnp.concatenate([jnp.ones((n, 1), dtype), w, w[:, i] * w[:, j]], axis=1)
        if self.groups > 1:
            return jax.nn.one_hot(rows["group"], self.groups, dtype=dtype)
        return jnp.ones((n, 1), dtype)

    def natural(self, params: Params, nodes: Grid) -> Float[Array, "K L"]:
        """Coefficients of `features`: log p(ability) at each node. Without covariates the weights of the nodes add up
        to one exactly, as in Bock and Aitkin (1981)."""
        if self.histogram:
            weights = params["weights"].T
            log_weights = jnp.log(jnp.maximum(weights, jnp.finfo(weights.dtype).tiny))
            return log_weights - jnp.asarray(nodes.log_weights, weights.dtype)[:, None]
        if self.covariates:
            return self._regression(params, nodes)
        return self._density(params, nodes) - self._total(params, nodes)

    def _regression(self, params: Params, nodes: Grid) -> Float[Array, "K L"]:
        _, covariance = self.moments(params)
        precision, log_det = (a[0] for a in _inverse(covariance))
        theta = jnp.asarray(nodes.values, precision.dtype)
        beta = params["coefficients"].reshape(self.covariates, self.dimensions)
        square = jnp.einsum("kd,de,ke->k", theta, precision, theta)
        constant = -0.5 * (square + log_det + self.dimensions * jnp.log(2 * jnp.pi))
        i, j = np.triu_indices(self.covariates)
        of_means = -0.5 * jnp.where(i == j, 1.0, 2.0) * (beta @ precision @ beta.T)[i, j]
        parts = [constant[:, None], theta @ precision @ beta.T, jnp.broadcast_to(of_means, (len(theta), len(i)))]
        return jnp.concatenate(parts, axis=1)

    def each(self, params: Params, nodes: Grid) -> Float[Array, "D G K"]:
        """Log weights of the nodes (K, 1) of every ability by itself in every group, where abilities do not correlate;
        the weights add up to one exactly."""
        mean, covariance = self.moments(params)
        variance = jnp.diagonal(covariance, axis1=1, axis2=2)
        away = jnp.asarray(nodes.values[:, 0], mean.dtype) - mean.T[:, :, None]
        log_weights = -0.5 * away**2 / variance.T[:, :, None] + jnp.asarray(nodes.log_weights, mean.dtype)
        return jax.nn.log_softmax(log_weights, axis=2)

    def maximize_each(self, expected: Float[Array, "D G K"], params: Params, nodes: Grid, newton: Any) -> Params:
        """The params that maximise `expected . each`: expected persons at the nodes of every ability."""
        if not params:
            return params
        space = lem.ParameterSpace.of(self.constraints(len(nodes.values)))

        def q(u: Float[Array, " P"]) -> Float[Array, ""]:
            return jnp.sum(expected * self.each(space.constrain(u), nodes))

        return space.constrain(newton(q, space.unconstrain(params)))

    def log_prob(self, params: Params, nodes: Grid, row: Any, z: Any) -> Float[Array, ""]:
        """log p(ability z) of ONE person."""
        one = jax.tree.map(lambda a: a[None], row)
        here = Grid(jnp.reshape(z, (1, -1)), np.zeros(1))  # pyright: ignore[reportArgumentType]
        if self.histogram:
            nearest = jnp.argmin(jnp.sum((jnp.asarray(nodes.values) - here.values) ** 2, axis=1))
            natural = self.natural(params, nodes)[nearest][None]
        elif self.covariates:
            natural = self._regression(params, here)
        else:
            natural = self._density(params, here) - self._total(params, nodes)
        return jnp.sum(natural * self.features(one, natural.dtype))

    def _density(self, params: Params, nodes: Grid) -> Float[Array, "K G"]:
        mean, covariance = self.moments(params)
        precision, _ = _inverse(covariance)
        away = jnp.asarray(nodes.values, mean.dtype)[:, None] - mean
        return -0.5 * jnp.einsum("kgd,gde,kge->kg", away, precision, away)

    def _total(self, params: Params, nodes: Grid) -> Float[Array, " G"]:
        if self.exact:
            _, covariance = self.moments(params)
            return 0.5 * (_inverse(covariance)[1] + self.dimensions * jnp.log(2 * jnp.pi))
        density = self._density(params, nodes)
        return jax.nn.logsumexp(density + jnp.asarray(nodes.log_weights, density.dtype)[:, None], axis=0)

    def maximize(self, expected: Float[Array, "K L"], params: Params, nodes: Grid, newton: Any) -> Params:
        """The params that maximise `expected . natural`."""
        if not params:
            return params
        if self.histogram:
            if self.nodes:
                return {"weights": jax.vmap(Standardised(self.nodes).maximize)(expected.T)}
            return {"weights": (expected / jnp.sum(expected, axis=0)).T}
        space = lem.ParameterSpace.of(self.constraints(len(nodes.values)))

        def q(u: Float[Array, " P"]) -> Float[Array, ""]:
            return jnp.sum(expected * self.natural(space.constrain(u), nodes))

        return space.constrain(newton(q, space.unconstrain(params)))


def _standard(values: np.ndarray) -> np.ndarray:
    return -0.5 * np.sum(values**2, axis=1)


def _inverse(covariance: Float[Array, "G D D"]) -> tuple[Float[Array, "G D D"], Float[Array, " G"]]:
    """(precision matrices, log determinants of the covariances)."""
    if covariance.shape[-1] == 1:
        return 1.0 / covariance, jnp.log(covariance[:, 0, 0])
    factor = jnp.linalg.cholesky(covariance)
    eye = jnp.broadcast_to(jnp.eye(covariance.shape[-1], dtype=covariance.dtype), covariance.shape)
    half = lax.linalg.triangular_solve(factor, eye, left_side=True, lower=True)
    log_det = 2 * jnp.sum(jnp.log(jnp.diagonal(factor, axis1=1, axis2=2)), axis=1)
    return jnp.einsum("gji,gjk->gik", half, half), log_det
