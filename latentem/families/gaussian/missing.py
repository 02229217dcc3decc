"""A full-covariance Gaussian that observes only part of a row: exact marginal density and conditional
expectations.

The missing entries are the family's own latent. Statistics are taken about the component's current mean, so
that nothing cancels. Source: Little & Rubin, Statistical Analysis with Missing Data, section on the
multivariate normal sample.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Bool, Float

from latentem.families.base import Params
from latentem.families.gaussian import symmetric
from latentem.families.gaussian.diagonal import LOG_TWO_PI


def _observed_factor(covariance: Float[Array, "D D"], seen: Bool[Array, " D"]) -> Float[Array, "D D"]:
    """Cholesky factor of the observed block, the identity elsewhere: one shape for all patterns."""
    both = seen[:, None] & seen[None, :]
    return jnp.linalg.cholesky(jnp.where(both, covariance, jnp.eye(seen.size, dtype=covariance.dtype)))


def log_prob(params: Params, x: Float[Array, " D"]) -> Float[Array, ""]:
    """Log density of the observed entries of x; 0 when there are none."""
    seen = ~jnp.isnan(x)
    factor = _observed_factor(params["covariance"], seen)
    error = jnp.where(seen, jnp.where(seen, x, 0) - params["mean"], 0)
    white = solve_triangular(factor, error, lower=True)
    log_det = jnp.sum(jnp.log(jnp.diagonal(factor)))
    return -0.5 * (jnp.sum(seen) * LOG_TWO_PI + white @ white) - log_det


def statistics(params: Params, x: Float[Array, " D"], context: tuple[Array, Array, Array]) -> Float[Array, " S"]:
    """Expected [1, y, upper triangle of y y^T] given the observed entries; y = (x - current mean) / scale."""
    scale = context[1]
    covariance = params["covariance"] / (scale[:, None] * scale[None, :])
    seen = ~jnp.isnan(x)
    hidden = ~seen
    factor = _observed_factor(covariance, seen)
    error = jnp.where(seen, (jnp.where(seen, x, 0) - params["mean"]) / scale, 0)
    # columns of the covariance with the observed entries; regression of everything on them
    cross = jnp.where(seen[:, None], covariance, 0)
    mean = jnp.where(seen, error, cross.T @ cho_solve((factor, True), error))
    white = solve_triangular(factor, cross, lower=True)
    rest = jnp.where(hidden[:, None] & hidden[None, :], covariance - white.T @ white, 0)
    second = mean[:, None] * mean[None, :] + rest
    return jnp.concatenate([jnp.ones(1, mean.dtype), mean, symmetric.pack(second)])
