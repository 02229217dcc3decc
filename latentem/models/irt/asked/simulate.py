"""Answers simulated from a fit: persons like those of the data, with abilities and answers of their own."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from latentem.building import as_key, jit
from latentem.models.irt.abilities import persons
from latentem.models.irt.declared import Declared


def simulate(fit: Any, key: Any, n: int) -> dict[str, np.ndarray]:
    """Answers of `n` new persons, as columns like those of the data.

    Groups and covariates are those of persons drawn from the data, with replacement; abilities and answers follow
    the fit. Nothing is missing.

    Args:
        fit: the fit.
        key: PRNG key.
        n: how many persons.

    Returns:
        {item: categories (n,)}, and the columns of groups and covariates.
    """
    irt: Declared = fit.model.declaration
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"n={n!r}: expected a positive whole number of persons")
    who, what = jax.random.split(as_key(key, "simulate"))
    beside = {name: np.asarray(a) for name, a in fit.data.observations.items() if name != "answers"}
    if beside:
        shares = fit.data.weights / np.sum(fit.data.weights)
        with jax.enable_x64(True):
            chosen = np.asarray(jax.random.choice(who, len(shares), (n,), p=jnp.asarray(shares)))
        beside = {name: a[chosen] for name, a in beside.items()}
    with jax.enable_x64(True):
        rows = {"answers": jnp.zeros((n, 1), jnp.int8), **{name: jnp.asarray(a) for name, a in beside.items()}}
        codes = np.asarray(_answers(irt, jax.tree.map(jnp.asarray, fit.params), rows, what))
    columns = {name: np.array(irt.seen.labels(j))[codes[:, j]] for j, name in enumerate(irt.seen.names)}
    if irt.group is not None:
        columns[irt.group] = np.array(irt.seen.groups)[beside["group"]]
    for i, name in enumerate(irt.covariates):
        columns[name] = beside["covariates"][:, i]
    return columns


@partial(jit, static_argnums=0)
def _answers(irt: Declared, params: Any, rows: Any, key: Array) -> Array:
    """Codes (n, J)."""
    n = rows["answers"].shape[0]
    of_ability, of_answers = jax.random.split(key)
    if irt.histogram:
        nodes = jax.random.categorical(of_ability, irt.log_weights(params, rows), axis=1)
        theta = jnp.asarray(irt.grid.values)[nodes]
    else:
        mean, covariance = persons.priors(irt, params, rows)
        normal = jax.random.normal(of_ability, mean.shape, mean.dtype)
        theta = mean + jnp.einsum("nde,ne->nd", jnp.linalg.cholesky(covariance), normal)
    return jax.vmap(lambda t, g, k: _answer(irt, params, t, g, k))(
        theta, persons.group_of(rows), jax.random.split(of_answers, n)
    )


def one_person(irt: Declared, params: Any, key: Array) -> dict[str, Any]:
    """Group and answers of one person; every group is as probable.

    Raises:
        ValueError: for latent regression, whose persons have covariates.
    """
    if irt.covariates:
        raise ValueError("simulation of a latent regression needs the persons' covariates")
    draw, answer, which = jax.random.split(key, 3)
    row: dict[str, Any] = {}
    group: Any = 0
    if irt.ability.groups > 1:
        group = jax.random.randint(which, (), 0, irt.ability.groups)
        row["group"] = group
    if irt.histogram:
        node = jax.random.categorical(draw, jnp.log(params["ability"]["weights"][group]))
        theta = jnp.asarray(irt.grid.values)[node]
    else:
        mean, covariance = irt.ability.moments(params.get("ability", {}))
        theta = jax.random.multivariate_normal(draw, mean[group], covariance[group])
    row["answers"] = _answer(irt, params, theta, group, answer)
    return row


def like_person(irt: Declared, params: Any, key: Array, row: Any) -> dict[str, Any]:
    """Answers of one person of the group and with the covariates of another."""
    one = jax.tree.map(lambda a: jnp.asarray(a)[None], row)
    return {**row, "answers": _answers(irt, params, one, key)[0]}


def _answer(irt: Declared, params: Any, theta: Float[Array, " D"], group: Any, key: Array) -> Int[Array, " J"]:
    """Codes drawn at one ability."""
    answers = jnp.zeros(len(irt.seen.names), jnp.int8)
    for block, own in zip(irt.blocks, jax.random.split(key, len(irt.blocks)), strict=True):
        table = block.log_probabilities(params[block.name], theta[None])[0]
        table = table[group] if block.own else table[0]
        drawn = jax.random.categorical(own, table, axis=-1).astype(jnp.int8)
        answers = answers.at[np.asarray(block.items)].set(drawn)
    return answers
