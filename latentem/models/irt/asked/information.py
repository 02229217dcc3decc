"""Fisher information of items and of the test, reliability, expected scores."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.building import jit
from latentem.models.irt.abilities import persons
from latentem.models.irt.declared import Declared


def of_items(irt: Declared, params: Any, theta: Float[Array, "T D"]) -> Float[Array, "T G J D D"]:
    """Expected information about ability in every item: sum_c P_c (d log P_c)(d log P_c)'."""

    def at(one: Float[Array, " D"]) -> Float[Array, "G J C"]:
        return irt.table(params, one[None])[0]

    def of_one(one: Float[Array, " D"]) -> Float[Array, "G J D D"]:
        log_p = at(one)
        slope = jnp.where(jnp.isfinite(log_p)[..., None], jax.jacfwd(at)(one), 0.0)
        return jnp.einsum("gjc,gjcd,gjce->gjde", jnp.exp(log_p), slope, slope)

    return jax.vmap(of_one)(theta)


def of_answered(items: Float[Array, "T G J D D"], rows: Any) -> Float[Array, "n T D D"]:
    """Information in the items that each person answered."""
    answered = (rows["answers"] >= 0).astype(items.dtype)
    by_group = jnp.einsum("nj,tgjde->gntde", answered, items)
    return by_group[0] if len(by_group) == 1 else by_group[persons.group_of(rows), jnp.arange(len(answered))]


def item_information(fit: Any, theta: Any, group: Any = None) -> np.ndarray:
    """Fisher information about ability in every item.

    Args:
        fit: the fit.
        theta: abilities (T,), or (T, D) for D abilities.
        group: label, where groups have item params of their own; the reference by default.

    Returns:
        (T, J), or matrices (T, J, D, D).
    """
    irt: Declared = fit.model.declaration
    points, g = _points(irt, theta), _group(irt, group)
    with jax.enable_x64(True):
        found = np.asarray(_of_items(irt, _params(fit), jnp.asarray(points)))
    found = found[:, g if found.shape[1] > 1 else 0]
    return found[..., 0, 0] if irt.ability.dimensions == 1 else found


def test_information(fit: Any, theta: Any, group: Any = None) -> np.ndarray:
    """Fisher information about ability in all items together, (T,) or (T, D, D); see `item_information`."""
    return item_information(fit, theta, group).sum(axis=1)


def expected_score(fit: Any, theta: Any, group: Any = None) -> np.ndarray:
    """Expected sum score at abilities theta: (T,), in the categories of the data; see `item_information`."""
    irt: Declared = fit.model.declaration
    points, g = _points(irt, theta), _group(irt, group)
    with jax.enable_x64(True):
        table = np.exp(np.asarray(_table(irt, _params(fit), jnp.asarray(points))))
    table = table[:, g if table.shape[1] > 1 else 0]
    values = np.zeros(table.shape[1:])
    for j, categories in enumerate(irt.seen.categories):
        values[j, : len(categories)] = categories
    return np.einsum("tjc,jc->tj", table, values).sum(axis=1)


def reliability(fit: Any) -> dict[str, Any]:
    """Reliability of the scores.

    Returns:
        {"marginal": the mean of variance / (variance + 1 / information) over the ability of the reference
        population, or of each group (left out for several abilities and latent regression), "empirical": the
        variance of EAP scores / (that variance + their mean squared standard error)}.
    """
    irt: Declared = fit.model.declaration
    eap = fit.scores("eap")
    theta, errors = (a.reshape(len(a), -1) for a in (eap["theta"], eap["se"]))
    weights = fit.data.weights / np.sum(fit.data.weights)
    n = float(np.sum(fit.data.weights))
    between = weights @ (theta - weights @ theta) ** 2 * n / (n - 1)
    empirical = between / (between + weights @ errors**2)
    if irt.ability.dimensions > 1:
        return {"empirical": empirical}
    with jax.enable_x64(True):
        found = np.asarray(_marginal(irt, _params(fit)))
    marginal = float(found[0]) if len(found) == 1 else found
    if irt.covariates:
        return {"empirical": float(empirical[0])}
    return {"marginal": marginal, "empirical": float(empirical[0])}


@partial(jit, static_argnums=0)
def _marginal(irt: Declared, params: Any) -> Float[Array, " G"]:
    """E[variance / (variance + 1 / information)] over the ability of every group."""
    nodes = jnp.asarray(irt.grid.values, jnp.result_type(float))
    info = jnp.sum(of_items(irt, params, nodes)[..., 0, 0], axis=2)
    natural = irt.ability.natural(params.get("ability", {}), irt.grid)[:, : irt.ability.groups]
    weights = jax.nn.softmax(natural + jnp.asarray(irt.grid.log_weights, natural.dtype)[:, None], axis=0)
    mean = jnp.sum(weights * nodes, axis=0)
    variance = jnp.sum(weights * (nodes - mean) ** 2, axis=0)
    return jnp.sum(weights * info * variance / (info * variance + 1), axis=0)


@partial(jit, static_argnums=0)
def _of_items(irt: Declared, params: Any, theta: Any) -> Float[Array, "T G J D D"]:
    return of_items(irt, params, theta)


@partial(jit, static_argnums=0)
def _table(irt: Declared, params: Any, theta: Any) -> Float[Array, "T G J C"]:
    return irt.table(params, theta)


def _params(fit: Any) -> Any:
    return jax.tree.map(jnp.asarray, fit.params)


def _points(irt: Declared, theta: Any) -> Float[np.ndarray, "T D"]:
    """Abilities as (T, D).

    Raises:
        ValueError: of another shape.
    """
    d = irt.ability.dimensions
    points = np.asarray(theta, np.float64)
    points = points.reshape(-1, 1) if d == 1 and points.ndim <= 1 else points
    if points.ndim != 2 or points.shape[1] != d:
        shape = "(T,)" if d == 1 else f"(T, {d})"
        raise ValueError(f"theta has shape {np.shape(theta)}: expected {shape}, one row for each ability")
    return points


def _group(irt: Declared, group: Any) -> int:
    """Number of a group.

    Raises:
        ValueError: an unknown label.
    """
    labels = irt.seen.groups
    if group is None:
        return 0
    if group not in labels:
        told = f"expected one of {', '.join(map(repr, labels))}" if labels else "this fit has no groups"
        raise ValueError(f"group={group!r}: {told}")
    return labels.index(group)
