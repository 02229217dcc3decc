"""Nodes and weights of the rules that integrate over a continuous latent value."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from latentem import posterior as posteriors
from latentem.numerics.newton import newton_ascent

Cll = Callable[[Any], Array]


@lru_cache(maxsize=32)
def grid(dim: int, method: str, size: int, bounds: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Product nodes (K, dim), or (K,) for one dimension, and log(weight / standard normal density) (K,)."""
    if method == "grid":
        points = np.linspace(*bounds, size)
        log_density = -0.5 * points**2 - 0.5 * np.log(2 * np.pi)
        log_weights = np.full(size, -np.log(np.sum(np.exp(log_density))))
    else:
        points, weights = np.polynomial.hermite_e.hermegauss(size)
        log_density = -0.5 * points**2 - 0.5 * np.log(2 * np.pi)
        log_weights = np.log(weights / weights.sum()) - log_density
    if dim == 1:
        return points, log_weights
    return np.array(list(product(points, repeat=dim))), np.array([sum(w) for w in product(log_weights, repeat=dim)])


@lru_cache(maxsize=32)
def sobol(dim: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Normal quantiles of a scrambled Sobol sequence (size, dim), and log(weight / density) (size,)."""
    from scipy.stats import norm, qmc  # comes with JAX

    points = norm.ppf(qmc.Sobol(dim, scramble=True, rng=0).random(size))
    log_density = np.sum(norm.logpdf(points), axis=1)
    return (points[:, 0] if dim == 1 else points), -np.log(size) - log_density


def laplace(cll: Cll, dim: int) -> posteriors.Gaussian:
    """Exact posterior where cll is quadratic in z: precision is minus its Hessian, mean one Newton step from zero."""
    vector_cll = _of_vector(cll, dim)
    zero = jnp.zeros(dim)
    value, gradient = jax.value_and_grad(vector_cll)(zero)
    precision = -jax.hessian(vector_cll)(zero)
    factor = jnp.linalg.cholesky(0.5 * (precision + precision.T))
    mean = jax.scipy.linalg.cho_solve((factor, True), gradient)
    log_evidence = (
        value + 0.5 * gradient @ mean + 0.5 * dim * jnp.log(2 * jnp.pi) - jnp.sum(jnp.log(jnp.diagonal(factor)))
    )
    covariance = jax.scipy.linalg.cho_solve((factor, True), jnp.eye(dim))
    if dim == 1:
        mean, covariance = mean[0], covariance[0, 0]
    return posteriors.Gaussian(mean, covariance, log_evidence)


def adaptive(cll: Cll, dim: int, size: int) -> posteriors.Weighted:
    """Gauss-Hermite nodes around the mode of exp(cll), spread as its curvature there (Naylor and Smith 1982; Pinheiro
    and Bates 1995). Where the nodes lie is not differentiated: an integral does not depend on it."""
    points, log_weights = grid(dim, "hermite", size, (0.0, 0.0))
    nodes = jnp.asarray(points.reshape(len(points), dim), jnp.result_type(float))
    mode, spread = _peak(_of_vector(cll, dim), jnp.zeros(dim))
    z = mode + nodes @ spread.T
    log_scale = jnp.sum(jnp.log(jnp.diagonal(spread)))
    z = z[:, 0] if dim == 1 else z
    return posteriors.Weighted.from_log_joint(z, jax.vmap(cll)(z) + jnp.asarray(log_weights, nodes.dtype) + log_scale)


def _of_vector(cll: Cll, dim: int) -> Cll:
    return lambda z: cll(z[0] if dim == 1 else z)


def _peak(f: Cll, start: Array) -> tuple[Array, Array]:
    """(mode, Cholesky factor of the inverse of minus the Hessian there), constants to differentiation."""
    f, constants = jax.closure_convert(f, start)
    constants = [lax.stop_gradient(c) for c in constants]

    def value(z: Array) -> Array:
        return f(z, *constants)

    def slopes(z: Array) -> tuple[Array, Array]:
        return jax.grad(value)(z), jax.hessian(value)(z)

    found = newton_ascent(value, slopes, start, iterations=30, tolerance=1e-10)
    curvature = -slopes(found.u)[1]
    factor = jnp.linalg.cholesky(0.5 * (curvature + curvature.T))
    eye = jnp.eye(start.size, dtype=start.dtype)
    # (L L')^-1 = R R' with R = L'^-1, which is triangular the other way: any root will do for the nodes.
    root = lax.linalg.triangular_solve(factor, eye, left_side=True, lower=True, transpose_a=True)
    peaked = jnp.isfinite(found.value) & jnp.all(jnp.isfinite(root))
    return jnp.where(peaked, found.u, start), jnp.where(peaked, root, eye)
