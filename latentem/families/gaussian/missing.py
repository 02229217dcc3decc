"""A full-covariance Gaussian that observes only part of a row: exact marginal density and conditional
expectations.

The missing entries are the family's own latent. Statistics are taken about the component's current mean, so
that nothing cancels. Source: Little & Rubin, Statistical Analysis with Missing Data, section on the
multivariate normal sample.
"""

from __future__ import annotations

from typing import NamedTuple

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


class Conditional(NamedTuple):
    """What the observed entries of a row say of the others.

    Args:
        mean: the row with the missing entries at their conditional mean.
        root: a root of the conditional covariance, 0 where entries are observed.
        distance: squared distance of the observed entries from their mean, in their own covariance.
    """

    mean: Float[Array, " D"]
    root: Float[Array, "D D"]
    distance: Float[Array, ""]


def conditional(location: Float[Array, " D"], matrix: Float[Array, "D D"], x: Float[Array, " D"]) -> Conditional:
    """The normal distribution of the missing entries given the observed ones."""
    scale = jnp.sqrt(jnp.diagonal(matrix))
    unit = matrix / (scale[:, None] * scale[None, :])
    seen = ~jnp.isnan(x)
    hidden = ~seen
    factor = _observed_factor(unit, seen)
    error = jnp.where(seen, (jnp.where(seen, x, 0) - location) / scale, 0)
    cross = jnp.where(seen[:, None], unit, 0)
    mean = jnp.where(seen, x, location + scale * (cross.T @ cho_solve((factor, True), error)))
    white = solve_triangular(factor, cross, lower=True)
    both = hidden[:, None] & hidden[None, :]
    rest = jnp.where(both, unit - white.T @ white, jnp.eye(x.shape[0], dtype=unit.dtype))
    # an entry that follows from the others has no spread
    rest = rest + jnp.where(both, 1e-14, 0) * jnp.eye(x.shape[0], dtype=unit.dtype)
    root = jnp.where(hidden[:, None], scale[:, None] * jnp.linalg.cholesky(rest), 0)
    part = solve_triangular(factor, error, lower=True)
    return Conditional(mean, root, part @ part)


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
