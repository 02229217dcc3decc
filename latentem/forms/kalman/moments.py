"""What an E-step leaves for an M-step: sums of expected products, which add over steps, lanes and sequences."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from latentem.forms.kalman.lanes import Rows
from latentem.forms.kalman.smoother import Smoothed
from latentem.model.gaussian_chain import LinearGaussian, System
from latentem.numerics.chunks import weighted


class Regression(NamedTuple):
    """Sums for a regression of y on x = (state, covariates).

    Args:
        n: number of terms, weighted.
        xx: (m, m), E[x x'].
        yx: (r, m), E[y x'].
        yy: (r, r), E[y y'].
    """

    n: Float[Array, "*g"]
    xx: Float[Array, "*g m m"]
    yx: Float[Array, "*g r m"]
    yy: Float[Array, "*g r r"]

    def spread(self, coefficients: Float[Array, "r m"]) -> Float[Array, "*g r r"]:
        """Sum of E[(y - coefficients x)(y - coefficients x)']."""
        cross = self.yx @ coefficients.T
        return self.yy - cross - jnp.swapaxes(cross, -1, -2) + coefficients @ self.xx @ coefficients.T


class Moments(NamedTuple):
    """Expected sums of the complete data.

    Args:
        first: of the first states, y = z_1 on x = 1.
        move: y = z_t on x = (z_(t-1), covariates).
        reading: y = reading on x = (z_t, covariates): of each of p readings where their noise is independent, r = 1;
            of each set of readings that occurs, r = p with 0 for missing ones, where it is not.
    """

    first: Regression
    move: Regression
    reading: Regression


def moments(rows: Rows, smoothed: Smoothed, weights: Float[Array, " N"], sets: Any) -> Moments:
    """Of one stretch.

    Args:
        rows: (L, ..., B), readings as they were given.
        smoothed: their states.
        weights: of the sequences.
        sets: (M, p) booleans where noise is correlated, else None.
    """
    z = smoothed.mean[:, :, 0]
    square = smoothed.covariance + jnp.sum(smoothed.mean[:, :, None] * smoothed.mean[:, None], axis=3)
    w = jnp.concatenate([weights, jnp.zeros(1, weights.dtype)])[rows.sequence]
    begins, moves, comes = w * rows.begins, w * ~rows.ends, w * ~rows.begins
    total = jnp.sum(begins)
    first = Regression(
        total,
        total[None, None],
        jnp.einsum("lb,ldb->d", begins, z)[:, None],
        jnp.einsum("lb,ldeb->de", begins, square),
    )
    uz = jnp.einsum("lb,lkb,ldb->kd", moves, rows.into, z)
    uu = jnp.einsum("lb,lkb,lhb->kh", comes, rows.here, rows.here)
    xx = _blocks(jnp.einsum("lb,ldeb->de", moves, square), uz, uu)
    pair = jnp.einsum("lb,ldeb->de", moves, smoothed.pair)
    move = Regression(
        jnp.sum(comes),
        xx,
        jnp.concatenate([pair, jnp.einsum("lb,ldb,lkb->dk", comes, z, rows.here)], axis=1),
        jnp.einsum("lb,ldeb->de", comes, square),
    )
    if sets is None:
        return Moments(first, move, _one_by_one(rows, z, square, w))
    return Moments(first, move, _by_set(rows, z, square, w, sets))


def _blocks(zz: Array, uz: Array, uu: Array) -> Array:
    """(..., d + k, d + k) from its blocks."""
    top = jnp.concatenate([zz, jnp.swapaxes(uz, -1, -2)], axis=-1)
    return jnp.concatenate([top, jnp.concatenate([uz, uu], axis=-1)], axis=-2)


def _one_by_one(rows: Rows, z: Array, square: Array, w: Array) -> Regression:
    there = rows.there * w[:, None]
    read = rows.y * there
    return Regression(
        jnp.sum(there, axis=(0, 2)),
        _blocks(
            jnp.einsum("lpb,ldeb->pde", there, square),
            jnp.einsum("lpb,lvb,ldb->pvd", there, rows.at, z),
            jnp.einsum("lpb,lvb,lhb->pvh", there, rows.at, rows.at),
        ),
        jnp.concatenate([jnp.einsum("lpb,ldb->pd", read, z), jnp.einsum("lpb,lvb->pv", read, rows.at)], axis=1)[
            :, None
        ],
        jnp.sum(read * rows.y, axis=(0, 2))[:, None, None],
    )


def _by_set(rows: Rows, z: Array, square: Array, w: Array, sets: Bool[np.ndarray, "M p"]) -> Regression:
    # A step without any reading tells nothing, and is no term.
    some = jnp.asarray(sets.any(axis=1))[rows.pattern] * w
    of_set = jax.nn.one_hot(rows.pattern, len(sets), axis=1, dtype=w.dtype) * some[:, None]
    return Regression(
        jnp.sum(of_set, axis=(0, 2)),
        _blocks(
            jnp.einsum("lmb,ldeb->mde", of_set, square),
            jnp.einsum("lmb,lvb,ldb->mvd", of_set, rows.at, z),
            jnp.einsum("lmb,lvb,lhb->mvh", of_set, rows.at, rows.at),
        ),
        jnp.concatenate(
            [
                jnp.einsum("lmb,lpb,ldb->mpd", of_set, rows.y, z),
                jnp.einsum("lmb,lpb,lvb->mpv", of_set, rows.y, rows.at),
            ],
            axis=2,
        ),
        jnp.einsum("lmb,lpb,lqb->mpq", of_set, rows.y, rows.y),
    )


def completed_readings(reading: Regression, system: System, sets: Bool[np.ndarray, "M p"]) -> Regression:
    """The sums with missing readings filled in by their expectation given the others and the state, over all sets.

    Source: Shumway and Stoffer (2017), Time Series Analysis and Its Applications, section 6.4.
    """
    coefficients = jnp.concatenate([system.observation, system.offset], axis=1)

    def of_set(there: Array, n: Array, xx: Array, yx: Array, yy: Array) -> Regression:
        both = there[:, None] & there[None]
        eye = jnp.eye(len(there), dtype=xx.dtype)
        own = jnp.where(both, system.noise, jnp.where(eye > 0, 1.0, 0.0))
        # Rows of those that are missing: their regression on those that are there.
        on_others = jnp.where(there[:, None] | ~there[None], 0.0, system.noise) @ jnp.linalg.inv(own)
        of_y = jnp.where(there[:, None], eye, on_others)
        of_x = jnp.where(there[:, None], 0.0, (eye - on_others) @ coefficients)
        left = jnp.where(there[:, None] | there[None], 0.0, system.noise - on_others @ system.noise)
        cross = of_y @ yx @ of_x.T
        filled = of_y @ yy @ of_y.T + cross + cross.T + of_x @ xx @ of_x.T + n * left
        return Regression(n, xx, of_y @ yx + of_x @ xx, filled)

    each = jax.vmap(of_set)(jnp.asarray(sets), *reading)
    return jax.tree.map(lambda a: jnp.sum(a, axis=0), each)


def expected_log_density(factors: LinearGaussian, system: System, found: Moments, sets: Any) -> Float[Array, ""]:
    """E[log p(readings, states)] under the expectations of an E-step: what an M-step maximises."""
    value = jnp.zeros((), found.move.n.dtype)
    if factors.opening:
        rows = np.array(factors.opening, np.int32)
        spread = found.first.spread(system.mean[:, None])
        value = value + gaussian(found.first.n, spread[rows][:, rows], system.covariance[rows][:, rows])
    if factors.noisy:
        rows = np.array(factors.noisy, np.int32)
        spread = found.move.spread(jnp.concatenate([system.transition, system.inputs], axis=1))
        value = value + gaussian(found.move.n, spread[rows][:, rows], system.process[rows][:, rows])
    coefficients = jnp.concatenate([system.observation, system.offset], axis=1)
    if sets is None:
        spread = jax.vmap(lambda part, c: part.spread(c[None])[0, 0])(found.reading, coefficients)
        noisy = np.setdiff1d(np.arange(spread.shape[0]), factors.exact).astype(np.int32)
        spread, n, noise = spread[noisy], found.reading.n[noisy], system.noise[noisy]
        logs = jnp.log(noise) + float(np.log(2 * np.pi))
        return value - 0.5 * jnp.sum(weighted(n, logs) + weighted(spread, 1.0 / noise))

    def of_set(there: Array, part: Regression) -> Array:
        both = there[:, None] & there[None]
        eye = jnp.eye(len(there), dtype=part.xx.dtype)
        noise = jnp.where(both, system.noise, jnp.where(eye > 0, 1.0 / (2 * np.pi), 0.0))
        return gaussian(part.n, jnp.where(both, part.spread(coefficients), 0.0), noise)

    return value + jnp.sum(jax.vmap(of_set)(jnp.asarray(sets), found.reading))


def gaussian(n: Array, spread: Float[Array, "r r"], covariance: Float[Array, "r r"]) -> Float[Array, ""]:
    """Sum over n vectors of their log density, from the sum of their products."""
    if covariance.shape[0] == 1:
        v = covariance[0, 0]
        return -0.5 * (n * (float(np.log(2 * np.pi)) + jnp.log(v)) + spread[0, 0] / v)
    factor = jnp.linalg.cholesky(covariance)
    half = jax.scipy.linalg.solve_triangular(factor, spread, lower=True)
    trace = jnp.trace(jax.scipy.linalg.solve_triangular(factor, half.T, lower=True))
    logs = len(covariance) * float(np.log(2 * np.pi)) + 2 * jnp.sum(jnp.log(jnp.diagonal(factor)))
    return -0.5 * (n * logs + trace)
