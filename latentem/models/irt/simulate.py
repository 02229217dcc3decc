"""Answers simulated from a fit: persons like those of the data, with abilities and answers of their own."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from latentem.models.irt import persons


def simulate(fit: Any, key: Any, n: int) -> dict[str, np.ndarray]:
    """See `Verbs.simulate`."""
    irt = fit.model.declaration
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"n={n!r}: expected a positive whole number of persons")
    who, what = jax.random.split(key)
    beside = {name: np.asarray(a) for name, a in fit.data.observations.items() if name != "answers"}
    if beside:
        shares = fit.data.weights / np.sum(fit.data.weights)
        with jax.enable_x64(True):
            chosen = np.asarray(jax.random.choice(who, len(shares), (n,), p=jnp.asarray(shares)))
        beside = {name: a[chosen] for name, a in beside.items()}
    with jax.enable_x64(True):
        rows = {"answers": jnp.zeros((n, 1), jnp.int8), **{name: jnp.asarray(a) for name, a in beside.items()}}
        codes = np.asarray(_answers(irt, jax.tree.map(jnp.asarray, fit.params), rows, what))
    columns = {
        name: np.array(categories)[codes[:, j]]
        for j, (name, categories) in enumerate(zip(irt.seen.names, irt.seen.categories, strict=True))
    }
    if irt.group is not None:
        columns[irt.group] = np.array(irt.seen.groups)[beside["group"]]
    for i, name in enumerate(irt.covariates):
        columns[name] = beside["covariates"][:, i]
    return columns


@partial(jax.jit, static_argnums=0)
def _answers(irt: Any, params: Any, rows: Any, key: Array) -> Array:
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
    return jax.vmap(lambda t, g, k: irt.answer(params, t, g, k))(
        theta, persons.group_of(rows), jax.random.split(of_answers, n)
    )
