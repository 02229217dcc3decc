"""What the answers of persons say about their abilities, on the nodes of the grid and at any ability."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from latentem.building import chunk_rows
from latentem.models.irt.declared import Declared

Params = dict[str, Any]

#: Stands for log 0: times the 0 of a category that was not chosen it is 0, where -inf would be NaN.
LOG_ZERO = -1e300


def group_of(rows: Any) -> Int[Array, " n"]:
    """Number of the group of every person; 0 without groups."""
    answers = rows["answers"]
    return rows["group"] if "group" in rows else jnp.zeros(answers.shape[0], jnp.int32)


def at_nodes(irt: Declared, params: Params, rows: Any) -> Float[Array, "n K"]:
    """log p(answers | ability) of every person at every node; answers that are missing count for nothing."""
    nodes = jnp.asarray(irt.grid.values, jnp.result_type(float))
    table = jnp.maximum(irt.table(params, nodes), LOG_ZERO)
    chosen = rows["answers"][:, :, None] == jnp.arange(table.shape[-1], dtype=rows["answers"].dtype)
    by_group = jnp.einsum("njc,kgjc->gnk", chosen.astype(table.dtype), table)
    return by_group[0] if len(by_group) == 1 else by_group[group_of(rows), jnp.arange(len(chosen))]


def log_prob(irt: Declared, params: Params, row: Any, theta: Float[Array, " D"]) -> Float[Array, ""]:
    """log p(answers | ability theta) of ONE person."""
    table = irt.table(params, theta[None])[0]
    table = table[row.get("group", 0)] if len(table) > 1 else table[0]
    answers = row["answers"].astype(jnp.int32)
    picked = jnp.take_along_axis(table, jnp.maximum(answers, 0)[:, None], axis=1)[:, 0]
    return jnp.sum(jnp.where(answers >= 0, picked, 0.0))


def priors(irt: Declared, params: Params, rows: Any) -> tuple[Float[Array, "n D"], Float[Array, "n D D"]]:
    """Mean and covariance matrix of ability of every person before any answer."""
    ability = params.get("ability", {})
    means, covariances = irt.ability.moments(ability)
    group = group_of(rows)
    mean = means[group]
    if irt.covariates:
        slopes = ability["coefficients"].reshape(-1, irt.ability.dimensions)
        mean = mean + rows["covariates"].astype(mean.dtype) @ slopes
    return mean, covariances[group]


def chunk(irt: Declared) -> int:
    """Persons whose likelihoods on all nodes are held at once."""
    nodes, dimensions = irt.grid.values.shape
    return chunk_rows(8 * nodes * (2 + dimensions**2) + 8 * sum(block.categories for block in irt.blocks))


def squeezed(irt: Declared, values: Any) -> np.ndarray:
    """(N, ..., D) without its last axis where there is one ability."""
    values = np.asarray(values, np.float64)
    return values[..., 0] if irt.ability.dimensions == 1 else values
