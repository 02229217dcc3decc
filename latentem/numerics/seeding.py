"""k-means++ seeding (Arthur and Vassilvitskii 2007): rows far from each other, drawn in proportion to squared
distance."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

#: Seeding looks at this many rows at most, evenly spaced; a start needs no more.
SEEDING_ROWS = 20_000


def thin(observations: Any, weights: Float[Array, " N"], limit: int = SEEDING_ROWS) -> tuple[Any, Float[Array, " n"]]:
    """At most `limit` evenly spaced rows and their weights."""
    stride = max(1, weights.shape[0] // limit)
    return jax.tree.map(lambda a: a[::stride], observations), weights[::stride]


def thin_known(
    observations: Any, label: Int[Array, " N"], weights: Float[Array, " N"], limit: int = SEEDING_ROWS
) -> tuple[Any, Int[Array, " n"], Float[Array, " n"]]:
    """At most `limit` rows, their labels and weights: half of them evenly spaced among the rows whose component is
    known, half among the others."""
    if weights.shape[0] <= limit:
        return observations, label, weights
    known = label >= 0
    mass = known / jnp.maximum(jnp.sum(known), 1) + ~known / jnp.maximum(jnp.sum(~known), 1)
    upto = jnp.cumsum(mass)
    chosen = jnp.searchsorted(upto, upto[-1] * (jnp.arange(limit) + 0.5) / limit)
    return jax.tree.map(lambda a: a[chosen], observations), label[chosen], weights[chosen]


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


def beside_known(
    key: Array, rows: Float[Array, "N d"], weights: Float[Array, " N"], label: Int[Array, " N"], k: int
) -> tuple[Float[Array, "N k"], Float[Array, " k"]]:
    """(parts of the rows in k components, some of whose rows are known; which components are).

    A component with known rows has these and no others. The others share the rest of the rows, by k-means++ seeds far
    from each other and from the means of the known ones.

    Args:
        label: the component of each row, -1 where it is not known; one is known at least.
    """
    each = jax.nn.one_hot(label, k, dtype=rows.dtype)
    size = weights @ each
    known, free = size > 0, jnp.where(label < 0, weights, 0.0)
    mean = (weights[:, None] * each).T @ rows / jnp.where(known, size, 1.0)[:, None]
    distance = jnp.sum((rows[:, None] - mean) ** 2, axis=2)

    def next_seed(nearest: Array, x: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        key, mean, known = x
        mass = free * nearest
        mass = jnp.where(jnp.sum(mass) > 0, mass, weights)
        seed = jnp.where(known, mean, rows[jax.random.categorical(key, jnp.log(mass))])
        return jnp.minimum(nearest, jnp.sum((rows - seed) ** 2, axis=1)), seed

    nearest = jnp.min(jnp.where(known, distance, jnp.inf), axis=1)
    _, seeds = jax.lax.scan(next_seed, nearest, (jax.random.split(key, k), mean, known))
    rest = jnp.where((label < 0)[:, None] & ~known, assigned(rows, seeds), 0.0)
    return jnp.where(known, each, rest), known


def coordinates(x: Any) -> Float[Array, "N d"]:
    """Observations as columns of numbers, for seeding only."""
    columns = [jnp.reshape(a, (a.shape[0], -1)).astype(jnp.result_type(float)) for a in jax.tree.leaves(x)]
    return jnp.concatenate(columns, axis=1)


def near(rows: Float[Array, "N d"], weights: Float[Array, " N"], seeds: Float[Array, "k d"]) -> Float[Array, "N k"]:
    """How near each row is to each seed: 1 up to ten times the typical distance of a row to its own, less beyond. Rows
    that are farther would blow up whatever they have a part in."""
    distance = jnp.sum((rows[:, None] - seeds) ** 2, axis=2)
    typical = weights @ jnp.min(distance, axis=1) / jnp.sum(weights)
    return jnp.where(typical > 0, 1 / jnp.maximum(1.0, distance / (100 * jnp.where(typical > 0, typical, 1.0))), 1.0)


def assigned(rows: Float[Array, "N d"], seeds: Float[Array, "k d"]) -> Float[Array, "N k"]:
    """One-hot assignment of each row to its nearest seed."""
    distance = jnp.sum(seeds**2, axis=1) - 2 * rows @ seeds.T
    return jax.nn.one_hot(jnp.argmin(distance, axis=1), seeds.shape[0], dtype=rows.dtype)
