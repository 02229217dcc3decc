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

#: Largest sum whose distribution is computed.
FARTHEST = 10_000


def eap_of_sums(irt: Declared, params: Any, rows: Any) -> tuple[Float[np.ndarray, "N D"], Float[np.ndarray, "N D"]]:
    """(means, variances) of ability given the group, the covariates and the sum over the items a person answered.

    Args:
        irt: as declared for the data.
        params: of the fit, in float64.
        rows: persons; each set of items that somebody answered gets a distribution of sums of its own.
    """
    answered, sums = np.asarray(rows["answers"]) >= 0, raw_sums(irt, rows["answers"])
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
    table = _by_value(irt, jnp.exp(irt.table(params, jnp.asarray(irt.grid.values, jnp.result_type(float)))))
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


def values_of(irt: Declared) -> list[np.ndarray]:
    """What each category of each item adds to a sum: its number less the smallest of the item; gaps in the numbers
    count."""
    return [np.asarray(categories) - categories[0] for categories in irt.seen.categories]


def raw_sums(irt: Declared, answers: Any) -> Int[np.ndarray, " N"]:
    """Sum of what each person answered, in these units."""
    codes = np.asarray(answers)
    sums = np.zeros(len(codes), np.intp)
    for j, values in enumerate(values_of(irt)):
        sums += np.append(values, 0)[codes[:, j]]  # -1, no answer, is the last
    return sums


def highest(irt: Declared) -> int:
    """The largest of these sums.

    Raises:
        ValueError: categories so far apart that nobody can list their sums.
    """
    found = int(sum(values[-1] for values in values_of(irt)))
    if found > FARTHEST:
        far = max(range(len(irt.seen.names)), key=lambda j: values_of(irt)[j][-1])
        told = f"item {irt.seen.names[far]!r} has categories {list(irt.seen.categories[far])}"
        raise ValueError(f"sum scores: {told}: expected sums up to {FARTHEST}; number its categories from 0")
    return found


def _reachable(irt: Declared, size: int) -> np.ndarray:
    """Which sums some answers add up to, (S,) booleans."""
    found = np.arange(size) == 0
    for values in values_of(irt):
        found = np.any([np.append(np.zeros(v, bool), found[: size - v]) for v in values], axis=0)
    return found


def _by_value(irt: Declared, table: Float[Array, "K G J C"]) -> Float[Array, "K G J V"]:
    """Probabilities of what an item adds to the sum, in place of those of its categories."""
    values = values_of(irt)
    width = 1 + max(int(v[-1]) for v in values)
    if all((v == np.arange(len(v))).all() for v in values):
        return table
    place = np.zeros((*table.shape[2:], width))
    for j, v in enumerate(values):
        place[j, np.arange(len(v)), v] = 1.0
    return jnp.einsum("kgjc,jcv->kgjv", table, jnp.asarray(place, table.dtype))


def sum_scores(fit: Any) -> dict[str, np.ndarray]:
    """Every sum score: ability given it, and how often it was observed and is expected. Sums that no answers add up to,
    where the numbers of categories have gaps, are left out.

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
    sums = raw_sums(irt, rows["answers"][complete])
    observed = np.bincount(sums, weights[complete], highest(irt) + 1)
    with jax.enable_x64(True):
        params = jax.tree.map(jnp.asarray, fit.params)
        likelihood = of_sets(irt, params, jnp.ones((1, rows["answers"].shape[1]), bool))[0, 0]  # (K, S)
        one = {"answers": jnp.asarray(rows["answers"][:1])}
        shares = np.asarray(jax.nn.softmax(irt.log_weights(params, one), axis=1)[0] @ likelihood)
        row = {"answers": jnp.broadcast_to(one["answers"], (len(shares), one["answers"].shape[1]))}
        theta, variance = (persons.squeezed(irt, a) for a in _moments(irt, params, row, likelihood.T))
    lowest = sum(categories[0] for categories in irt.seen.categories)
    there = _reachable(irt, len(shares))
    found = {
        "sum_score": lowest + np.arange(len(shares)),
        "theta": theta,
        "se": np.sqrt(variance),
        "observed": observed,
        "expected": observed.sum() * shares,
    }
    return {name: column[there] for name, column in found.items()}
