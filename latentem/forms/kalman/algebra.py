"""Small matrices on lanes: products whose minor axis is the lane, so that they run along it."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

#: Up to this inner dimension a product is a sum of as many terms, which XLA fuses into one loop along the lanes.
UNROLLED = 12


def apply(matrix: Float[Array, "m d *B"], x: Float[Array, "d ..."]) -> Float[Array, "m ..."]:
    """One matrix, or one for each lane, times a vector or matrix on every lane."""
    if matrix.ndim == 3:
        return product(matrix, x) if x.ndim == 3 else product(matrix, x[:, None])[:, 0]
    return (matrix @ x.reshape(x.shape[0], -1)).reshape(matrix.shape[0], *x.shape[1:])


def product(a: Float[Array, "m d B"], b: Float[Array, "d n B"]) -> Float[Array, "m n B"]:
    """a b on every lane."""
    if a.shape[1] > UNROLLED:
        return jnp.einsum("ijb,jkb->ikb", a, b)
    total = a[:, 0, None, :] * b[None, 0]
    for j in range(1, a.shape[1]):
        total = total + a[:, j, None, :] * b[None, j]
    return total


def transposed(a: Float[Array, "m n *B"]) -> Float[Array, "n m *B"]:
    """a', on every lane where there are lanes."""
    return jnp.swapaxes(a, 0, 1)


def on_lanes(a: Array, axes: int) -> Array:
    """The same with an axis of lanes behind its `axes`, where it has none."""
    return a[..., None] if a.ndim == axes else a


def symmetric(a: Float[Array, "d d B"]) -> Float[Array, "d d B"]:
    """Without what rounding has added to one side of the diagonal only."""
    return 0.5 * (a + transposed(a))


def along(c: Float[Array, "d ..."], x: Float[Array, "d ..."]) -> Array:
    """c' x, where c is one vector for all lanes, or one for each."""
    if c.ndim == 1:
        return (c @ x.reshape(x.shape[0], -1)).reshape(x.shape[1:])
    return jnp.sum(c.reshape(c.shape[0], *(1,) * (x.ndim - 2), -1) * x, axis=0)


def outer(a: Float[Array, "m B"], b: Float[Array, "n B"]) -> Float[Array, "m n B"]:
    """a b' on every lane."""
    return a[:, None, :] * b[None, :, :]
