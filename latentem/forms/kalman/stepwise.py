"""What an E-step leaves where matrices change from step to step: smoothed states of every step, no sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.forms.kalman.lanes import Rows
from latentem.forms.kalman.moments import Regression, gaussian
from latentem.forms.kalman.smoother import Smoothed
from latentem.model.gaussian_chain import LinearGaussian, System
from latentem.numerics.chunks import weighted


class Stepwise(NamedTuple):
    """Expectations at every step, on lanes.

    Args:
        mean, square: (S, L, d, B) and (S, L, d, d, B), E[z_t] and E[z_t z_t'].
        after, after_square: the same of the step after it.
        pair: (S, L, d, d, B), E[z_(t+1) z_t'].
    """

    mean: Float[Array, "S L d B"]
    square: Float[Array, "S L d d B"]
    after: Float[Array, "S L d B"]
    after_square: Float[Array, "S L d d B"]
    pair: Float[Array, "S L d d B"]


def stepwise(smoothed: Smoothed) -> Stepwise:
    """From the smoothed states of all stretches."""
    mean = smoothed.mean[:, :, :, 0]
    square = smoothed.covariance + jnp.sum(smoothed.mean[:, :, :, None] * smoothed.mean[:, :, None], axis=4)
    return Stepwise(mean, square, _after(mean), _after(square), smoothed.pair)


def _after(a: Float[Array, "S L *d B"]) -> Float[Array, "S L *d B"]:
    """Of the step after, where lanes lie end to end."""
    in_time = jnp.moveaxis(a, -1, 0)
    flat = in_time.reshape(-1, *a.shape[2:-1])
    return jnp.moveaxis(jnp.roll(flat, -1, axis=0).reshape(in_time.shape), 0, -1)


def expected_stepwise(
    factors: LinearGaussian, params: Any, found: Stepwise, rows: Rows, weights: Float[Array, " N"]
) -> Float[Array, ""]:
    """E[log p(readings, states)]: what an M-step maximises."""
    one = jnp.ones((), weights.dtype)
    opening, moving = (np.array(which, np.int32) for which in (factors.opening, factors.noisy))

    def first(system: System, mean: Array, square: Array) -> Array:
        if not len(opening):
            return 0.0 * one
        spread = Regression(one, one[None, None], mean[:, None], square).spread(system.mean[:, None])
        return gaussian(one, spread[opening][:, opening], system.covariance[opening][:, opening])

    def move(system: System, u: Array, step: Any) -> Array:
        if not len(moving):
            return 0.0 * one
        mean, square, after, after_square, pair = step
        cross = jnp.outer(mean, u)
        xx = jnp.block([[square, cross], [cross.T, jnp.outer(u, u)]])
        sums = Regression(one, xx, jnp.concatenate([pair, jnp.outer(after, u)], axis=1), after_square)
        spread = sums.spread(jnp.concatenate([system.transition, system.inputs], axis=1))
        return gaussian(one, spread[moving][:, moving], system.process[moving][:, moving])

    def reading(system: System, x: Rows, mean: Array, square: Array) -> Array:
        noisy = np.setdiff1d(np.arange(x.y.shape[0]), factors.exact).astype(np.int32)
        seen, noise = system.observation[noisy], system.noise[noisy]
        off = x.y[noisy] - seen @ mean - system.offset[noisy] @ x.at
        spread = off**2 + jnp.einsum("pd,de,pe->p", seen, square - jnp.outer(mean, mean), seen)
        there = x.there[noisy].astype(spread.dtype)
        logs = jnp.log(noise) + float(np.log(2 * np.pi))
        return -0.5 * jnp.sum(weighted(there, logs) + weighted(there, spread / noise))

    def of_step(x: Rows, step: Stepwise) -> Array:
        system = factors.system(params, {"u": x.into, "v": x.at})
        begun = jnp.where(x.begins, first(system, step.mean, step.square), 0.0)
        moved = jnp.where(x.ends, 0.0, move(system, x.into, step))
        return begun + moved + reading(system, x, step.mean, step.square)

    each: Callable[..., Array] = jax.vmap(jax.vmap(jax.vmap(of_step, in_axes=-1, out_axes=-1)))
    w = jnp.concatenate([weights, jnp.zeros(1, weights.dtype)])[rows.sequence]
    return jnp.sum(weighted(w, each(rows, found)))
