"""Densities of covariance matrices."""

from __future__ import annotations

import math
import reprlib
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import multigammaln
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from latentem.priors.base import Prior, as_float, total


@dataclass(frozen=True)
class InverseWishart(Prior):
    """Inverse Wishart density of covariance matrices (..., d, d), proportional to
    |X|^(-(df + d + 1) / 2) exp(-trace(scale X^-1) / 2).

    Args:
        df: above d - 1.
        scale: a symmetric positive definite matrix (d, d), or a positive number times the identity.

    >>> round(float(InverseWishart(3, 1).log_prob(np.eye(2))), 4)
    -3.531
    """

    df: Any
    scale: Any

    def __post_init__(self) -> None:
        self._store(df="positive", scale="finite")
        scale = np.asarray(self.scale)
        label = f"InverseWishart(df={self.df!r}, scale={reprlib.repr(self.scale)})"
        if np.ndim(self.df):
            raise ValueError(f"{label}: expected one number as df")
        matrix = np.atleast_2d(scale) if scale.ndim in (0, 2) else np.zeros((0, 1))
        square = matrix.shape[0] == matrix.shape[1]
        if not (square and np.allclose(matrix, matrix.T, 1e-9, 0) and np.linalg.eigvalsh(matrix)[0] > 0):
            raise ValueError(f"{label}: expected a symmetric positive definite matrix, or a positive number, as scale")
        self._check_df(len(matrix))

    def permuted(self, order: np.ndarray, axes: tuple[int, ...], ndim: int) -> Prior:
        return self  # its scale is one matrix for all

    def log_prob(self, value: ArrayLike) -> Float[Array, ""]:
        x = as_float(value)
        d, scale = x.shape[-1], np.asarray(self.scale)
        if x.ndim < 2 or x.shape[-2] != d or scale.shape not in ((), (d, d)):
            raise ValueError(f"{self}: expected square matrices of its size, got a parameter of shape {x.shape}")
        self._check_df(d)
        psi = jnp.asarray(scale if scale.ndim else scale * np.eye(d), x.dtype)
        eye = jnp.eye(d, dtype=x.dtype)

        def one(matrix: Array) -> tuple[Array, Array]:
            still = jax.lax.stop_gradient(matrix)
            symmetric = jnp.all(jnp.abs(still - still.T) <= 1e-6 * jnp.max(jnp.abs(still)))
            inside = symmetric & jnp.all(jnp.isfinite(jnp.linalg.cholesky(still)))
            factor = jnp.linalg.cholesky(jnp.where(inside, matrix, eye))
            half_log_det = jnp.sum(jnp.log(jnp.diagonal(factor)))
            trace = jnp.trace(jax.scipy.linalg.cho_solve((factor, True), psi))
            return -(self.df + d + 1) * half_log_det - 0.5 * trace, inside

        terms, inside = jax.vmap(one)(x.reshape(-1, d, d))
        half = jnp.asarray(0.5 * self.df, x.dtype)
        constant = half * jnp.linalg.slogdet(psi)[1] - half * d * math.log(2.0) - multigammaln(half, d)
        return total(terms, inside, terms.shape[0] * constant)

    def _check_df(self, d: int) -> None:
        if self.df <= d - 1:
            raise ValueError(f"InverseWishart(df={self.df!r}) of {d} by {d} matrices: expected df above {d - 1}")
