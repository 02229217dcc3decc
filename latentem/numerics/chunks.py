"""Sums over rows in cache-sized chunks: memory of an E-step does not grow with the number of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh

from latentem.numerics import devices

#: Bytes of intermediate results that one chunk may make; about what the last-level cache of one core holds.
CHUNK_BYTES = 2**22
SMALLEST_CHUNK, LARGEST_CHUNK = 256, 4096


def chunk_rows(bytes_per_row: int) -> int:
    """Rows per chunk such that the intermediate results of a chunk stay in cache: a power of two from 256 to 4096."""
    rows = min(max(SMALLEST_CHUNK, CHUNK_BYTES // max(1, bytes_per_row)), LARGEST_CHUNK)
    return 1 << (rows.bit_length() - 1)


def weighted(weight: jax.Array, value: jax.Array) -> jax.Array:
    """`weight * value` where a row of weight zero counts for nothing, even when its value is infinite.

    Safe to differentiate: the value of an unused row is replaced before it is multiplied.
    """
    used = weight != 0
    return jnp.where(used, weight * jnp.where(used, value, 0), 0)


def _slice(tree: Any, start: jax.Array, size: int) -> Any:
    return jax.tree.map(lambda a: lax.dynamic_slice_in_dim(a, start, size), tree)


def chunked_sum(
    f: Callable[[Any, jax.Array], Any], rows: Any, weights: jax.Array, size: int, mesh: Mesh | None = None
) -> Any:
    """Sum over chunks of `f(rows_chunk, weights_chunk)`, a pytree of arrays that add over rows.

    Args:
        f: a function of `size` rows and their weights; rows of weight zero must count for nothing.
        rows: pytree of arrays with leading axis N.
        weights: (N,).
        size: rows per chunk. Nothing is padded or copied: the last chunk overlaps the one before it, and the rows
            that were already counted get weight zero.
        mesh: the devices that rows and weights were split over; None for one.

    Returns:
        The sum, in the shapes `f` returns. In float32 the sum over chunks is compensated (Neumaier 1974).
        Reverse-mode differentiation recomputes each chunk and stores none of its intermediate results.
    """
    if mesh is not None:
        return devices.summed(lambda part: chunked_sum(f, part[0], part[1], size), (rows, weights), mesh)
    n = weights.shape[0]
    if n <= size:
        return f(rows, weights)

    @jax.checkpoint
    def part(i: jax.Array) -> Any:
        start = jnp.minimum(i * size, n - size)
        w = lax.dynamic_slice_in_dim(weights, start, size)
        return f(_slice(rows, start, size), jnp.where(start + jnp.arange(size) >= i * size, w, 0))

    shapes = jax.eval_shape(part, jax.ShapeDtypeStruct((), jnp.int32))
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    compensate = any(s.dtype == jnp.float32 for s in jax.tree.leaves(shapes))

    def body(carry: tuple[Any, Any], i: jax.Array) -> tuple[tuple[Any, Any], None]:
        total, lost = carry
        new = part(i)
        added = jax.tree.map(jnp.add, total, new)
        if compensate:
            lost = jax.tree.map(_lost_digits, total, new, added, lost)
        return (added, lost), None

    (total, lost), _ = lax.scan(body, (zeros, zeros if compensate else ()), jnp.arange(-(-n // size), dtype=jnp.int32))
    return jax.tree.map(jnp.add, total, lost) if compensate else total


def _lost_digits(total: jax.Array, new: jax.Array, added: jax.Array, lost: jax.Array) -> jax.Array:
    """Neumaier's running compensation; an infinite sum has nothing to compensate."""
    larger, smaller = (
        jnp.where(jnp.abs(total) >= jnp.abs(new), total, new),
        jnp.where(jnp.abs(total) >= jnp.abs(new), new, total),
    )
    digits = (larger - added) + smaller
    return lost + jnp.where(jnp.isfinite(added), digits, 0)


def chunked_map(f: Callable[[Any], Any], rows: Any, n: int, size: int) -> Any:
    """`f` of all rows, chunk by chunk: like `f(rows)` for a function that treats rows independently.

    `f` maps a pytree of `size` rows to a pytree of results with the same leading axis.
    """
    if n <= size:
        return f(rows)
    shapes = jax.eval_shape(f, jax.tree.map(lambda a: jax.ShapeDtypeStruct((size, *a.shape[1:]), a.dtype), rows))
    empty = jax.tree.map(lambda s: jnp.zeros((n, *s.shape[1:]), s.dtype), shapes)

    def body(whole: Any, i: jax.Array) -> tuple[Any, None]:
        # The last chunk overlaps the one before it, and every result is written to its place: nothing is copied.
        start = jnp.minimum(i * size, n - size)
        part = f(_slice(rows, start, size))
        put = lax.dynamic_update_slice_in_dim
        return jax.tree.map(lambda a, b: put(a, b, start, 0), whole, part), None

    return lax.scan(body, empty, jnp.arange(-(-n // size), dtype=jnp.int32))[0]
