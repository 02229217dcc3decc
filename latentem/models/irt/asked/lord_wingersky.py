"""Distribution of the sum score at given ability: the recursion of Lord and Wingersky (1984), extended to items of
several categories by Thissen, Pommerich, Billeaud and Williams (1995)."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from latentem.building import jit


@partial(jit, static_argnames="highest")
def sum_scores(probabilities: Float[Array, "K J C"], highest: int) -> Float[Array, "K S"]:
    """Probability of every sum score at every node.

    Args:
        probabilities: of the categories of every item at every node, 0 for categories that an item does not have.
        highest: the largest sum score, sum over items of (number of categories - 1); S = highest + 1.

    Returns:
        Rows that add up to 1.

    >>> half = np.full((1, 2, 2), 0.5)
    >>> sum_scores(half, 2).tolist()
    [[0.25, 0.5, 0.25]]
    """
    k, _, categories = probabilities.shape
    first = jnp.zeros((k, highest + 1), probabilities.dtype).at[:, 0].set(1.0)

    def add_item(scores: Float[Array, "K S"], item: Float[Array, "K C"]) -> tuple[Float[Array, "K S"], None]:
        padded = jnp.pad(scores, ((0, 0), (categories - 1, 0)))
        parts = [item[:, c, None] * padded[:, categories - 1 - c :][:, : highest + 1] for c in range(categories)]
        return sum(parts, jnp.zeros_like(scores)), None

    return lax.scan(add_item, first, jnp.moveaxis(probabilities, 1, 0))[0]


@partial(jit, static_argnames="highest")
def rest_scores(probabilities: Float[Array, "K J C"], highest: int) -> Float[Array, "J K S"]:
    """The same for the sum of all items but one, for every item in turn. An item left out always scores 0: its highest
    rest scores have probability 0.

    >>> half = np.full((1, 2, 2), 0.5)
    >>> rest_scores(half, 2).tolist()
    [[[0.5, 0.5, 0.0]], [[0.5, 0.5, 0.0]]]
    """
    nothing = jnp.zeros(probabilities.shape[2], probabilities.dtype).at[0].set(1.0)

    def without(item: Array) -> Float[Array, "K S"]:
        return sum_scores(probabilities.at[:, item].set(nothing), highest)

    return lax.map(without, jnp.arange(probabilities.shape[1]))
