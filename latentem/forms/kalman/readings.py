"""Readings one by one: what a step tells of the state, filtered and, backwards, smoothed. No matrix is inverted.

A step with p readings is p updates by one number each, so that a missing one is an update that is not made. Readings
with correlated noise are first made independent, by the Cholesky factor of the noise of those that are there.
Source: Durbin and Koopman (2012), Time Series Analysis by State Space Methods, section 6.4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from latentem.forms.kalman.algebra import along, outer, product
from latentem.forms.kalman.lanes import Rows
from latentem.model.gaussian_chain import System

#: Up to this many readings, updates are written out one after the other; more are a loop inside the loop over steps.
WRITTEN_OUT = 4
LOG_TWO_PI = float(np.log(2 * np.pi))


class Readings(NamedTuple):
    """Of one step on B lanes, independent given the state.

    Args:
        y: (p, B), without what covariates explain.
        there: (p, B).
        loading: (p, d), or (p, d, B) where it differs between lanes.
        noise: (p,), variances, or (p, B).
    """

    y: Float[Array, "p B"]
    there: Bool[Array, "p B"]
    loading: Float[Array, "p d *B"]
    noise: Float[Array, " p *B"]


class State(NamedTuple):
    """Of a Gaussian vector on B lanes; c - 1 columns of the mean are its derivatives in what the start leaves unknown.

    Args:
        mean: (d, c, B).
        covariance: (d, d, B).
    """

    mean: Float[Array, "d c B"]
    covariance: Float[Array, "d d B"]


class Reach(NamedTuple):
    """How steps depend on the state z they began from, log p(steps | z) = -z'information z / 2 + z'pull + a constant.

    Args:
        move: (d, d, B), of the mean at the end, in z.
        information: (d, d, B).
        pull: (d, c, B).
    """

    move: Float[Array, "d d B"]
    information: Float[Array, "d d B"]
    pull: Float[Array, "d c B"]


class Told(NamedTuple):
    """What readings say of the model.

    Args:
        logs: (B,), log density of the readings without its exponent.
        gram: (c, c, B), sum of v v' / f over readings, v being surprises and f their variances.
    """

    logs: Float[Array, " B"]
    gram: Float[Array, "c c B"]


class Gains(NamedTuple):
    """Of every reading of a step, leading axis p: what going back needs."""

    gain: Float[Array, "p d B"]
    surprise: Float[Array, "p c B"]
    precision: Float[Array, "p B"]


class Whitening(NamedTuple):
    """What makes correlated readings independent, for each of M sets of readings.

    Args:
        inverse: (M, p, p), of the Cholesky factor of the noise.
        logs: (M,), minus the log determinant of that factor.
    """

    inverse: Float[Array, "M p p"]
    logs: Float[Array, " M"]

    @classmethod
    def of(cls, noise: Float[Array, "p p"], sets: Bool[np.ndarray, "M p"]) -> Whitening:
        """Of this covariance matrix, for readings of which only those in `sets` are there."""
        both = jnp.asarray(sets[:, :, None] & sets[:, None, :])
        eye = jnp.eye(noise.shape[0], dtype=noise.dtype)
        factor = jnp.linalg.cholesky(jnp.where(both, noise, jnp.where(eye > 0, 1.0, 0.0)))
        inverse = jax.vmap(lambda f: jax.scipy.linalg.solve_triangular(f, eye, lower=True))(factor)
        return cls(inverse, -jnp.sum(jnp.log(jnp.diagonal(factor, axis1=1, axis2=2)), axis=1))


def independent(system: System, white: Whitening | None, x: Rows) -> tuple[Readings, Any]:
    """(readings of one step made independent, what that adds to their log density, (B,) or 0)."""
    if white is None:
        return Readings(x.y, x.there, system.observation, system.noise), 0.0
    unit = jnp.ones(x.y.shape[0], x.y.dtype)
    if white.logs.shape[0] == 1:
        y, loading = white.inverse[0] @ x.y, white.inverse[0] @ system.observation
        return Readings(y, x.there, loading, unit), jnp.where(jnp.any(x.there, axis=0), white.logs[0], 0.0)
    inverse = jnp.moveaxis(white.inverse[x.pattern], 0, -1)
    y = product(inverse, x.y[:, None])[:, 0]
    loading = jnp.einsum("ijb,jd->idb", inverse, system.observation)
    return Readings(y, x.there, loading, unit), white.logs[x.pattern]


def each(f: Callable[[Any, Any], Any], carry: Any, entries: Any, reverse: bool = False) -> tuple[Any, Any]:
    """`jax.lax.scan` over the readings of a step, written out where they are few."""
    n = jax.tree.leaves(entries)[0].shape[0]
    if n > WRITTEN_OUT:
        return jax.lax.scan(f, carry, entries, reverse=reverse)
    found = []
    for i in reversed(range(n)) if reverse else range(n):
        carry, out = f(carry, jax.tree.map(lambda a, i=i: a[i], entries))
        found.append(out)
    found = found[::-1] if reverse else found
    return carry, None if found[0] is None else jax.tree.map(lambda *a: jnp.stack(a), *found)


def update(state: State, readings: Readings, reach: Reach | None = None) -> tuple[State, Reach | None, Told, Gains]:
    """The state given the readings of a step too."""
    mean = state.mean
    nothing = Told(jnp.zeros(mean.shape[-1:], mean.dtype), jnp.zeros((mean.shape[1], *mean.shape[1:]), mean.dtype))

    def one(carry: tuple[State, Reach | None, Told], entry: Readings) -> Any:
        (mean, covariance), reach, told = carry
        y, there, c, noise = entry
        seen = along(c, covariance)
        variance = jnp.where(there, along(c, seen) + noise, 1.0)
        surprise = (-along(c, mean)).at[0].add(y)
        precision = jnp.where(there, 1.0 / variance, 0.0)
        gain = seen * precision
        logs = told.logs - jnp.where(there, 0.5 * (LOG_TWO_PI + jnp.log(variance)), 0.0)
        told = Told(logs, told.gram + outer(surprise, surprise * precision))
        if reach is not None:
            felt = along(c, reach.move)
            reach = Reach(
                reach.move - outer(gain, felt),
                reach.information + outer(felt, felt * precision),
                reach.pull + outer(felt, surprise * precision),
            )
        state = State(mean + outer(gain, surprise), covariance - outer(gain, seen))
        return (state, reach, told), Gains(gain, surprise, precision)

    (state, reach, told), gains = each(one, (state, reach, nothing), readings)
    return state, reach, told, gains


def downdate(
    r: Float[Array, "d c B"], n: Float[Array, "d d B"], readings: Readings, gains: Gains
) -> tuple[Float[Array, "d c B"], Float[Array, "d d B"]]:
    """What all readings from this step on say of the state before it was read, from what those after it say.

    The smoothed mean is mean + covariance r, the smoothed covariance is covariance - covariance n covariance.
    """

    def one(carry: tuple[Array, Array], entry: Any) -> Any:
        (r, n), ((_, _, c, _), (gain, surprise, precision)) = carry, entry
        c = c[:, None] if c.ndim == 1 else c
        r = r + outer(c, surprise * precision - along(gain, r))
        felt = along(gain, n)
        both = outer(c, felt)
        return (r, n - both - jnp.swapaxes(both, 0, 1) + outer(c, c * (along(gain, felt) + precision))), None

    return each(one, (r, n), (readings, gains), reverse=True)[0]
