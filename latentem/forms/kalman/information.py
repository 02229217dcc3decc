"""Filter and smoother of one sequence from quadratics: the information filter, and back (Rauch, Tung, Striebel).

log p(z, x | previous) = constant + slope' w + w' curvature w / 2 with w = (z, previous), at every step; the previous
state is integrated out going forwards, and follows from the one after it going backwards (Anderson and Moore 1979).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

LOG_TWO_PI = float(np.log(2 * np.pi))


class Quadratic(NamedTuple):
    """constant + slope' w + w' curvature w / 2."""

    constant: Float[Array, "*n"]
    slope: Float[Array, "*n m"]
    curvature: Float[Array, "*n m m"]


class Pairs(NamedTuple):
    """Posterior of w = (z, previous) at every step of padded sequences; previous is 0 at a first step.

    Args:
        mean: (N, T, 2 d).
        root: (N, T, 2 d, 2 d), a square root of the covariance.
    """

    mean: Float[Array, "N T m"]
    root: Float[Array, "N T m m"]


def forwards(quadratic: Quadratic, there: Bool[Array, " T"]) -> tuple[Float[Array, ""], Any]:
    """(log p of the sequence, what `backwards` needs); steps that are not `there` are padding at the end."""
    d = quadratic.slope.shape[-1] // 2

    def one(carry: Any, x: Any) -> Any:
        information, pull, constant = carry
        (c, g, h), there = x
        middle = information - h[d:, d:]
        solved = jnp.linalg.solve(middle, jnp.concatenate([h[d:, :d], (pull + g[d:])[:, None]], axis=1))
        back, short = solved[:, :d], solved[:, d]
        new = (
            -h[:d, :d] - h[:d, d:] @ back,
            g[:d] + h[:d, d:] @ short,
            constant + c + 0.5 * ((pull + g[d:]) @ short - jnp.linalg.slogdet(middle)[1] + d * LOG_TWO_PI),
        )
        new = jax.tree.map(lambda a, b: jnp.where(there, a, b), new, carry)
        return new, (jnp.linalg.inv(middle), back, short)

    begin = (-quadratic.curvature[0, :d, :d], quadratic.slope[0, :d], quadratic.constant[0])
    rest = (jax.tree.map(lambda a: a[1:], quadratic), there[1:])
    (information, pull, constant), kept = jax.lax.scan(one, begin, rest)
    mean = jnp.linalg.solve(information, pull)
    sign, logs = jnp.linalg.slogdet(information)
    logs = jnp.where(sign > 0, logs, jnp.nan)
    return constant + 0.5 * (pull @ mean - logs + d * LOG_TWO_PI), (mean, jnp.linalg.inv(information), kept)


def backwards(found: Any, there: Bool[Array, " T"]) -> Pairs:
    """The posterior of every step and the one before it."""
    mean, covariance, kept = found
    d = mean.shape[0]

    def one(carry: Any, x: Any) -> Any:
        (mean, covariance), ((left, back, short), there) = carry, x
        before = short + back @ mean
        cross = covariance @ back.T
        spread = left + back @ cross
        pair = jnp.block([[covariance, cross], [cross.T, spread]])
        new = jax.tree.map(lambda a, b: jnp.where(there, a, b), (before, spread), carry)
        return new, (jnp.concatenate([mean, before]), jnp.linalg.cholesky(pair))

    first, (means, roots) = jax.lax.scan(one, (mean, covariance), (kept, there[1:]), reverse=True)
    root = jnp.zeros((2 * d, 2 * d), mean.dtype).at[:d, :d].set(jnp.linalg.cholesky(first[1]))
    opened = jnp.concatenate([first[0], jnp.zeros(d, mean.dtype)])
    return Pairs(jnp.concatenate([opened[None], means]), jnp.concatenate([root[None], roots]))
