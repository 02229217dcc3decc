"""Ability as a histogram on the nodes, with mean 0 and variance 1: the scale of the items is that of a normal ability.

Source: Bock and Aitkin (1981); Woods (2007).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from latentem.constraints.base import Constraint
from latentem.constraints.vectors import simplex
from latentem.numerics.newton import newton_ascent

Weights = Float[Array, " K"]


@dataclass(frozen=True)
class Standardised(Constraint):
    """Probabilities of the nodes with mean 0 and variance 1.

    Free coordinates are those of log probabilities that a quadratic in the node does not reach; the quadratic is what
    gives them their moments.

    Args:
        nodes: (K,) of them, at least 4, some on both sides of [-1, 1].
    """

    nodes: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.nodes),)

    @property
    def size(self) -> int:
        return len(self.nodes) - 3

    @property
    def kind(self) -> str:
        return "probabilities of the nodes with mean 0 and variance 1,"

    @property
    def free_indices(self) -> tuple[tuple[int, ...], ...]:
        k = len(self.nodes)
        return tuple((i,) for i in range(k) if i not in (0, k // 2, k - 1))

    def _basis(self) -> np.ndarray:
        """(K, K - 3), orthogonal to 1, the nodes and their squares."""
        return np.linalg.qr(np.vander(self.nodes, 3), mode="complete")[0][:, 3:]

    def _moments(self, dtype: Any) -> Float[Array, "K 2"]:
        x = np.array(self.nodes)
        return jnp.asarray(np.stack([x, x**2 - 1], axis=1), dtype)

    def constrain(self, u: Any) -> Weights:
        u = jnp.asarray(u)
        log_w = jnp.asarray(self._basis(), u.dtype) @ u
        moments = self._moments(u.dtype)

        def slopes(tilt: Array, given: Weights) -> tuple[Array, Array]:
            w = jax.nn.softmax(given + moments @ tilt)
            mean = w @ moments
            away = moments - mean
            return -mean, -(away * w[:, None]).T @ away

        found = newton_ascent(
            lambda tilt: -jax.nn.logsumexp(lax.stop_gradient(log_w) + moments @ tilt),
            lambda tilt: slopes(tilt, lax.stop_gradient(log_w)),
            jnp.zeros(2, u.dtype),
            iterations=100,
            tolerance=float(jnp.finfo(u.dtype).eps),
        )
        tilt = lax.stop_gradient(found.u)
        for _ in range(2):  # steps of length zero that carry the first and second derivative of the solution
            gradient, hessian = slopes(tilt, log_w)
            tilt = tilt - jnp.linalg.solve(hessian, gradient)
        return jax.nn.softmax(log_w + moments @ tilt)

    def unconstrain(self, value: Any) -> Float[Array, " n"]:
        w = jnp.asarray(value)
        logs = jnp.log(jnp.maximum(w, 4 * jnp.finfo(w.dtype).tiny))
        return jnp.asarray(self._basis(), w.dtype).T @ logs

    def contains(self, value: Any) -> Bool[Array, ""]:
        w = jnp.asarray(value)
        near = jnp.abs(w @ self._moments(w.dtype)) <= 1e4 * jnp.finfo(w.dtype).eps
        return simplex(len(self.nodes)).contains(w) & jnp.all(near)

    def boundary(self, value: Any) -> Bool[Array, " K"]:
        return simplex(len(self.nodes)).boundary(value)

    def log_det_jacobian(self, u: Any) -> Float[Array, ""]:
        where = np.array(self.free_indices)[:, 0]
        return jnp.linalg.slogdet(jax.jacfwd(lambda v: self.constrain(v)[where])(jnp.asarray(u)))[1]

    def maximize(self, counts: Weights) -> Weights:
        """The probabilities in the set that maximise sum of counts * log probabilities: an empirical likelihood with
        moment conditions (Owen 1988)."""
        n = counts / jnp.sum(counts)
        moments = self._moments(counts.dtype)

        def value(tilt: Array) -> Array:
            inside = 1 + moments @ tilt
            return jnp.where(jnp.all(inside > 0), n @ jnp.log(jnp.maximum(inside, 1e-300)), -jnp.inf)

        def slopes(tilt: Array) -> tuple[Array, Array]:
            ratio = moments / (1 + moments @ tilt)[:, None]
            return n @ ratio, -(ratio * n[:, None]).T @ ratio

        eps = float(jnp.finfo(counts.dtype).eps)
        found = newton_ascent(value, slopes, jnp.zeros(2, counts.dtype), iterations=100, tolerance=eps)
        return n / (1 + moments @ found.u)
