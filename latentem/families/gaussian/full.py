"""Gaussians with a full covariance matrix.

The statistics are [1, y, upper triangle of y y^T] with y = (x - centre) / scale.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from latentem.families.base import Params
from latentem.families.gaussian import symmetric
from latentem.families.gaussian.diagonal import LOG_TWO_PI


def log_prob(params: Params, x: Float[Array, " D"]) -> Float[Array, ""]:
    """Log density of an observation without missing entries."""
    factor = jnp.linalg.cholesky(params["covariance"])
    error = solve_triangular(factor, x - params["mean"], lower=True)
    log_det = jnp.sum(jnp.log(jnp.diagonal(factor)))
    return -0.5 * (x.shape[0] * LOG_TWO_PI + error @ error) - log_det


def features(x: Float[Array, " D"], context: tuple[Array, Array, Array]) -> Float[Array, " S"]:
    """The statistics of one observation without missing entries."""
    centre, scale, _ = context
    y = (x - centre) / scale
    return jnp.concatenate([jnp.ones(1, x.dtype), y, *symmetric.products(y)])


def natural(params: Params, context: tuple[Array, Array, Array]) -> Float[Array, " S"]:
    """The coordinates dual to `features`."""
    centre, scale, _ = context
    dim = scale.shape[0]
    mean = (params["mean"] - centre) / scale
    factor = jnp.linalg.cholesky(params["covariance"] / (scale[:, None] * scale[None, :]))
    root = solve_triangular(factor, jnp.eye(dim, dtype=factor.dtype), lower=True)
    precision = root.T @ root
    white = root @ mean
    log_det = jnp.sum(jnp.log(jnp.diagonal(factor))) + jnp.sum(jnp.log(scale))
    constant = -0.5 * (dim * LOG_TWO_PI + white @ white) - log_det
    return jnp.concatenate([constant[None], root.T @ white, -0.5 * symmetric.dual(precision)])
