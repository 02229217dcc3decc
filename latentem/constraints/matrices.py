"""Constraints on matrices: covariance and correlation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from latentem.constraints.base import (
    EDGE,
    Constraint,
    Index,
    Shape,
    as_count,
    as_float,
    as_shape,
    tiny,
    tolerance,
)


@dataclass(frozen=True)
class Covariance(Constraint):
    """Symmetric positive definite matrices; see `covariance`."""

    d: int

    @property
    def shape(self) -> Shape:
        return (self.d, self.d)

    @property
    def size(self) -> int:
        return self.d * (self.d + 1) // 2

    @property
    def kind(self) -> str:
        return "symmetric positive definite matrices"

    @property
    def free_indices(self) -> tuple[Index, ...]:
        return _pairs(np.tril_indices(self.d))

    def constrain(self, u: ArrayLike) -> Float[Array, "d d"]:
        u = as_float(u)
        rows, columns = np.tril_indices(self.d)
        diagonal = rows == columns
        # The inner where keeps a large off-diagonal entry from overflowing in the branch not taken.
        entries = jnp.where(diagonal, jnp.exp(jnp.where(diagonal, u, 0.0)), u)
        factor = jnp.zeros(self.shape, u.dtype).at[rows, columns].set(entries)
        return factor @ factor.T

    def unconstrain(self, value: ArrayLike) -> Float[Array, " n"]:
        v = as_float(value)
        # Scaling to a unit diagonal first makes the step inside relative to each variable. The factor does
        # not depend on the scale, so no derivative goes through it.
        floor = tiny(v.dtype) / float(jnp.finfo(v.dtype).eps)
        scale = jax.lax.stop_gradient(jnp.sqrt(jnp.maximum(jnp.diagonal(v), floor)))
        factor = _cholesky_inside(v / scale[:, None] / scale[None, :])
        rows, columns = np.tril_indices(self.d)
        diagonal = rows == columns
        entries = factor[rows, columns]
        logs = jnp.log(jnp.where(diagonal, entries, 1.0)) + jnp.log(scale)[rows]
        return jnp.where(diagonal, logs, entries * scale[rows])

    def contains(self, value: ArrayLike) -> Bool[Array, ""]:
        v = as_float(value)
        return _symmetric(v) & _positive_definite(v)

    def boundary(self, value: ArrayLike) -> Bool[Array, "d d"]:
        return _singular(as_float(value))

    def log_det_jacobian(self, u: ArrayLike) -> Float[Array, ""]:
        rows, columns = np.tril_indices(self.d)
        logs = as_float(u)[np.flatnonzero(rows == columns)]
        powers = np.arange(self.d + 1, 1, -1).astype(logs.dtype)
        return self.d * float(np.log(2.0)) + jnp.sum(powers * logs)


@dataclass(frozen=True)
class Correlation(Constraint):
    """Positive definite matrices with a diagonal of ones; see `correlation`."""

    d: int

    @property
    def shape(self) -> Shape:
        return (self.d, self.d)

    @property
    def size(self) -> int:
        return self.d * (self.d - 1) // 2

    @property
    def kind(self) -> str:
        return "correlation matrices (symmetric, positive definite, ones on the diagonal)"

    @property
    def free_indices(self) -> tuple[Index, ...]:
        return _pairs(np.tril_indices(self.d, -1))

    def constrain(self, u: ArrayLike) -> Float[Array, "d d"]:
        partial, before = self._partials(as_float(u))
        # exp of half a sum of logs, not the root of a product: the root has no derivative once the product
        # underflows.
        factor = (partial + jnp.eye(self.d, dtype=partial.dtype)) * jnp.exp(0.5 * before)
        product = factor @ factor.T
        return jnp.where(np.eye(self.d, dtype=bool), jnp.ones_like(product), product)

    def unconstrain(self, value: ArrayLike) -> Float[Array, " n"]:
        factor = _cholesky_inside(as_float(value))
        rest = jnp.cumsum(factor[:, ::-1] ** 2, axis=1)[:, ::-1]
        rows, columns = np.tril_indices(self.d, -1)
        # arctanh of the partial correlation, written so that nothing cancels when that is near 1.
        return jnp.arcsinh(factor[rows, columns] / jnp.sqrt(rest[rows, columns + 1]))

    def contains(self, value: ArrayLike) -> Bool[Array, ""]:
        v = as_float(value)
        ones = jnp.all(jnp.abs(jnp.diagonal(v) - 1.0) <= tolerance(v.dtype))
        return ones & _symmetric(v) & _positive_definite(v)

    def boundary(self, value: ArrayLike) -> Bool[Array, "d d"]:
        return _singular(as_float(value))

    def log_det_jacobian(self, u: ArrayLike) -> Float[Array, ""]:
        u = as_float(u)
        _, before = self._partials(u)
        rows, columns = np.tril_indices(self.d, -1)
        # u -> partial correlations -> rows of the factor -> entries of the matrix: three triangular maps.
        powers = np.arange(self.d - 1, -1, -1).astype(u.dtype)
        return (
            jnp.sum(_log_sech_squared(u))
            + 0.5 * jnp.sum(before[rows, columns])
            + 0.5 * jnp.sum(powers * jnp.diagonal(before))
        )

    def _partials(self, u: Array) -> tuple[Array, Array]:
        """Return the partial correlations below the diagonal, and for each entry the sum over the entries
        before it in its row of log(1 - partial ** 2)."""
        where = np.tril_indices(self.d, -1)
        empty = jnp.zeros(self.shape, u.dtype)
        logs = empty.at[where].set(_log_sech_squared(u))
        return empty.at[where].set(jnp.tanh(u)), jnp.cumsum(logs, axis=1) - logs


def covariance(d: int, batch: int | Sequence[int] = ()) -> Constraint:
    """Symmetric positive definite d by d matrices.

    Args:
        d: the number of variables.
        batch: leading axes, a whole number or a tuple; values then have shape `batch + (d, d)`.

    Returns:
        A constraint; the free coordinates are the lower triangle of the Cholesky factor, row by row, with
        the log of its diagonal.

    Raises:
        ValueError: for d below 1, or a batch that is not made of whole numbers.

    >>> covariance(2).constrain(jnp.zeros(3)).tolist()
    [[1.0, 0.0], [0.0, 1.0]]

    Source: Pinheiro and Bates (1996), Statistics and Computing 6: the log-Cholesky parametrisation.
    """
    return Covariance(as_count(d, "d", least=1)).batched(*as_shape(batch, "batch"))


def correlation(d: int, batch: int | Sequence[int] = ()) -> Constraint:
    """Positive definite d by d matrices with ones on the diagonal.

    Args:
        d: the number of variables.
        batch: leading axes, a whole number or a tuple; values then have shape `batch + (d, d)`.

    Returns:
        A constraint; the free coordinates are the inverse hyperbolic tangents of the canonical partial
        correlations, row by row below the diagonal.

    Raises:
        ValueError: for d below 1, or a batch that is not made of whole numbers.

    >>> correlation(3).size
    3

    Source: Lewandowski, Kurowicka and Joe (2009), Journal of Multivariate Analysis 100, 1989-2001.
    """
    return Correlation(as_count(d, "d", least=1)).batched(*as_shape(batch, "batch"))


def _pairs(indices: tuple[np.ndarray, np.ndarray]) -> tuple[Index, ...]:
    return tuple(zip(*(axis.tolist() for axis in indices), strict=True))


def _log_sech_squared(u: Array) -> Array:
    """Return log(1 - tanh(u) ** 2)."""
    return 2.0 * (float(np.log(2.0)) - jnp.logaddexp(u, -u))


def _cholesky_inside(matrix: Array) -> Array:
    """Return the Cholesky factor of a matrix of unit diagonal, shifted as little as makes it exist.

    The last shift makes any finite matrix diagonally dominant, so the factor is always finite.
    """
    d, eps = matrix.shape[0], float(jnp.finfo(matrix.dtype).eps)
    eye = jnp.eye(d, dtype=matrix.dtype)
    still = jax.lax.stop_gradient(matrix)
    small = [0.0, 8.0 * d * eps, eps**0.5]
    shifts = jnp.stack([jnp.asarray(s, matrix.dtype) for s in small] + [d * jnp.max(jnp.abs(still))])
    works = jax.vmap(lambda shift: jnp.all(jnp.isfinite(jnp.linalg.cholesky(still + shift * eye))))(shifts)
    return jnp.linalg.cholesky(matrix + shifts[jnp.argmax(works)] * eye)


def _symmetric(v: Array) -> Array:
    scale = jnp.sqrt(jnp.abs(jnp.diagonal(v)))
    return jnp.all(jnp.abs(v - v.T) <= tolerance(v.dtype) * scale[:, None] * scale[None, :])


def _positive_definite(v: Array) -> Array:
    return jnp.all(jnp.isfinite(v)) & jnp.all(jnp.isfinite(jnp.linalg.cholesky(v)))


def _singular(v: Array) -> Array:
    # In float32 an eigenvalue of 0 comes out as rounding noise well above 1e-10 of the scale.
    reach = max(EDGE, v.shape[0] * float(jnp.finfo(v.dtype).eps))
    # In units of the standard deviations, so that variables on very different scales are not called singular.
    variance = jnp.diagonal(v)
    unit = jnp.sqrt(jnp.where(variance > 0, variance, 1.0))
    least = jnp.linalg.eigvalsh(v / (unit[:, None] * unit[None, :]))[0]
    return jnp.broadcast_to((least < reach) | ~jnp.all(variance > 0), v.shape)
