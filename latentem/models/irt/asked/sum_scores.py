"""Ability given the sum score alone: posterior moments from the recursion of Lord and Wingersky."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from latentem.building import jit
from latentem.models.irt.abilities import persons
from latentem.models.irt.asked.lord_wingersky import sum_scores as of_sums
from latentem.models.irt.declared import Declared


def eap_of_sums(irt: Declared, params: Any, rows: Any) -> tuple[Float[np.ndarray, "N D"], Float[np.ndarray, "N D"]]:
    """(means, variances) of ability given the group, the covariates and the sum over the items a person answered.

    Args:
        irt: as declared for the data.
        params: of the fit, in float64.
        rows: persons; each set of items that somebody answered gets a distribution of sums of its own.
    """
    answered = np.asarray(rows["answers"]) >= 0
    sums = np.where(answered, rows["answers"], 0).sum(axis=1)
    sets, which = np.unique(answered, axis=0, return_inverse=True)
    likelihood = of_sets(irt, params, jnp.asarray(sets))  # (sets, G, K, S)
    theta, variance = [], []
    for first in range(0, len(sums), 4096):
        part = jax.tree.map(lambda a, first=first: jnp.asarray(a[first : first + 4096]), rows)
        group = np.asarray(persons.group_of(part)) if likelihood.shape[1] > 1 else 0
        mine = likelihood[which.ravel()[first : first + 4096], group, :, sums[first : first + 4096]]
        mean, spread = _moments(irt, params, part, mine)
        theta.append(mean)
        variance.append(spread)
    return np.concatenate(theta), np.concatenate(variance)


@partial(jit, static_argnums=0)
def of_sets(irt: Declared, params: Any, sets: Float[Array, "m J"]) -> Float[Array, "m G K S"]:
    """Probability of every sum over each set of items at every node."""
    table = jnp.exp(irt.table(params, jnp.asarray(irt.grid.values, jnp.result_type(float))))
    nothing = jnp.zeros(table.shape[-1], table.dtype).at[0].set(1.0)
    best = highest(irt)

    def of_set(present: Float[Array, " J"]) -> Float[Array, "G K S"]:
        held = jnp.where(present[:, None], table, nothing)
        return jax.vmap(lambda t: of_sums(t, best), in_axes=1)(held)

    return jax.lax.map(of_set, sets)


@partial(jit, static_argnums=0)
def _moments(irt: Declared, params: Any, rows: Any, likelihood: Any) -> tuple[Float[Array, "n D"], Float[Array, "n D"]]:
    nodes = jnp.asarray(irt.grid.values, likelihood.dtype)
    weights = likelihood * jax.nn.softmax(irt.log_weights(params, rows), axis=1)
    posterior = weights / jnp.sum(weights, axis=1, keepdims=True)
    mean = posterior @ nodes
    return mean, jnp.einsum("nk,nkd->nd", posterior, (nodes[None] - mean[:, None]) ** 2)


def highest(irt: Declared) -> int:
    """The largest sum of codes."""
    return sum(len(categories) - 1 for categories in irt.seen.categories)


def sum_scores(fit: Any) -> dict[str, np.ndarray]:
    """Every sum score: ability given it, and how often it was observed and is expected.

    Returns:
        {"sum_score": (S,), "theta", "se", "observed", "expected"}; counts are of persons who answered every item.

    Raises:
        ValueError: for several groups or latent regression, where ability depends on more than the sum.
    """
    irt: Declared = fit.model.declaration
    if irt.covariates or len(irt.seen.groups) > 1:
        raise ValueError("sum_scores: persons differ in group or covariates; use scores('eapsum')")
    rows, weights = fit.data.observations, fit.data.weights
    complete = np.asarray(rows["answers"] >= 0).all(axis=1)
    sums: Int[np.ndarray, " n"] = rows["answers"][complete].astype(np.intp).sum(axis=1)
    observed = np.bincount(sums, weights[complete], highest(irt) + 1)
    with jax.enable_x64(True):
        params = jax.tree.map(jnp.asarray, fit.params)
        likelihood = of_sets(irt, params, jnp.ones((1, rows["answers"].shape[1]), bool))[0, 0]  # (K, S)
        one = {"answers": jnp.asarray(rows["answers"][:1])}
        shares = np.asarray(jax.nn.softmax(irt.log_weights(params, one), axis=1)[0] @ likelihood)
        row = {"answers": jnp.broadcast_to(one["answers"], (len(shares), one["answers"].shape[1]))}
        theta, variance = (persons.squeezed(irt, a) for a in _moments(irt, params, row, likelihood.T))
    lowest = sum(categories[0] for categories in irt.seen.categories)
    return {
        "sum_score": lowest + np.arange(len(shares)),
        "theta": theta,
        "se": np.sqrt(variance),
        "observed": observed,
        "expected": observed.sum() * shares,
    }
