"""How a sequence begins: what of the first state is unknown, and the distribution of one that has always run."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.forms.kalman.readings import Told

#: Doublings of the sum over the past, 2^32 steps of it.
DOUBLINGS = 32


def stationary(transition: Float[Array, "d d"], process: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """The covariance P = A P A' + Q of a chain that has always run; not finite where A explodes.

    Source: Anderson and Moore (1979), Optimal Filtering, section 6.7: doubling.
    """

    def double(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        covariance, power = carry
        return (covariance + power @ covariance @ power.T, power @ power), None

    return jax.lax.scan(double, (process, transition), None, length=DOUBLINGS)[0][0]


class Opened(NamedTuple):
    """What the readings of N sequences say of their first states, along the directions that the start leaves unknown.

    Args:
        log_prob: (N,), log p of each sequence.
        columns: (N, c, m), from columns of a mean to those with the unknown filled in: its estimate, and spread.
    """

    log_prob: Float[Array, " N"]
    columns: Float[Array, "N c m"]


def opened(told: Told, integrated: bool) -> Opened:
    """From sums over each sequence, (N,) and (c, c, N).

    Sources: de Jong (1991), Annals of Statistics 19: the diffuse likelihood is the integral over what is unknown;
    or its largest value, where what is unknown is a constant.
    """
    gram = jnp.moveaxis(told.gram, -1, 0)
    plain = told.logs - 0.5 * gram[:, 0, 0]
    q = gram.shape[1] - 1
    if q == 0:
        return Opened(plain, jnp.ones_like(gram))
    # Cholesky, so that a sequence that says nothing of some direction is not a number, and not merely inaccurate.
    factor = jnp.linalg.cholesky(gram[:, 1:, 1:])
    inverse = jax.vmap(lambda f: jax.scipy.linalg.solve_triangular(f, jnp.eye(q, dtype=f.dtype), lower=True))(factor)
    short = jnp.einsum("nij,nj->ni", inverse, -gram[:, 1:, 0])
    best = jnp.einsum("nji,nj->ni", inverse, short)
    log_prob = plain + 0.5 * jnp.sum(short**2, axis=1)
    first = jnp.concatenate([jnp.ones_like(best[:, :1]), best], axis=1)[..., None]
    if not integrated:
        return Opened(log_prob, first)
    logs = jnp.sum(jnp.log(jnp.diagonal(factor, axis1=1, axis2=2)), axis=1)
    log_prob = log_prob - logs + 0.5 * q * float(np.log(2 * np.pi))
    spread = jnp.swapaxes(inverse, 1, 2)
    spread = jnp.concatenate([jnp.zeros_like(spread[:, :1]), spread], axis=1)
    return Opened(log_prob, jnp.concatenate([first, spread], axis=2))
