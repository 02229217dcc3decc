"""k-means++ seeding (Arthur and Vassilvitskii 2007): rows far from each other, drawn in proportion to squared
distance."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

#: Seeding looks at this many rows at most, evenly spaced; a start needs no more.
SEEDING_ROWS = 20_000


def thin(observations: Any, weights: Float[Array, " N"], limit: int = SEEDING_ROWS) -> tuple[Any, Float[Array, " n"]]:
    """At most `limit` evenly spaced rows and their weights."""
    stride = max(1, weights.shape[0] // limit)
    return jax.tree.map(lambda a: a[::stride], observations), weights[::stride]


def standardised(columns: Float[Array, "N d"], weights: Float[Array, " N"]) -> Float[Array, "N d"]:
    """Columns with mean 0 and variance 1; a missing entry becomes the mean."""
    seen = ~jnp.isnan(columns)
    filled = jnp.where(seen, columns, 0)
    total = jnp.maximum(weights @ seen.astype(columns.dtype), 1e-30)
    mean = weights @ filled / total
    centred = jnp.where(seen, filled - mean, 0)
    deviation = jnp.sqrt(weights @ centred**2 / total)
    return centred / jnp.where(deviation > 0, deviation, 1)


def plus_plus(key: Array, rows: Float[Array, "N d"], weights: Float[Array, " N"], k: int) -> Float[Array, "k d"]:
    """k seeds among the rows; each new one is the best of a few candidates (greedy k-means++)."""
    candidates = 2 + max(1, k).bit_length()
    first_key, *keys = jax.random.split(key, k)
    first = rows[jax.random.categorical(first_key, jnp.log(weights))]
    nearest = jnp.sum((rows - first) ** 2, axis=1)
    seeds = [first]

    def next_seed(nearest: Array, key: Array) -> tuple[Array, Array]:
        mass = weights * nearest
        # All rows coincide with a seed: any row will do.
        mass = jnp.where(jnp.sum(mass) > 0, mass, weights)
        chosen = jax.random.categorical(key, jnp.log(mass), shape=(candidates,))
        distance = jnp.minimum(
            nearest,
            jnp.sum(rows**2, axis=1) - 2 * rows[chosen] @ rows.T + jnp.sum(rows[chosen] ** 2, axis=1)[:, None],
        )
        distance = jnp.maximum(distance, 0)
        best = jnp.argmin(distance @ weights)
        return distance[best], rows[chosen[best]]

    if not keys:
        return jnp.stack(seeds)
    _, others = jax.lax.scan(next_seed, nearest, jnp.stack(keys))
    return jnp.concatenate([first[None], others])


def assigned(rows: Float[Array, "N d"], seeds: Float[Array, "k d"]) -> Float[Array, "N k"]:
    """One-hot assignment of each row to its nearest seed."""
    distance = jnp.sum(seeds**2, axis=1) - 2 * rows @ seeds.T
    return jax.nn.one_hot(jnp.argmin(distance, axis=1), seeds.shape[0], dtype=rows.dtype)
