"""Fit of the model from one- and two-way margins: M2 (Maydeu-Olivares and Joe 2005), its form for polytomous items
(Cai and Hansen 2013), C2 (Cai and Monro 2014), and the indices that follow; G2 on the full table of patterns.

Margins are means of the answers (codes 0, 1, ...), or indicators of their categories, and of products of two answers.
Given ability, answers are independent, so the covariance matrix of the margins needs two moments of each item only.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import chdtr, chdtrc, chndtrinc

import latentem as lem

#: Singular values of a derivative below this, relative to the largest, are zero.
RANK = 1e-9


class Margins(NamedTuple):
    """Of one group.

    Args:
        observed: mean of every margin, (M,).
        inflation: N N_ab / (N_a N_b) of every two margins, all 1 where no answer is missing, (M, M).
        persons: N, the sum of weights.
        moments: mean, second moment and mean product of answers, for correlations: (J,), (J,), (J(J-1)/2,).
    """

    observed: Float[np.ndarray, " M"]
    inflation: Float[np.ndarray, "M M"]
    persons: float
    moments: tuple[np.ndarray, np.ndarray, np.ndarray]


def model_fit(fit: Any, kind: str | None) -> dict[str, float]:
    """See `Verbs.model_fit`."""
    irt = fit.model.declaration
    if kind not in (None, "M2", "C2"):
        raise ValueError(f"kind={kind!r}: expected 'M2' or 'C2'")
    if kind is None:
        found = _limited(fit, irt, "M2")
        kind = "M2" if found is not None else "C2"
    else:
        found = None
    found = found or _limited(fit, irt, kind)
    if found is None:
        raise ValueError(f"{kind} has no degrees of freedom left: {irt.name} has more params than margins of that kind")
    return {**found, **_full_table(fit, irt)}


def _limited(fit: Any, irt: Any, kind: str) -> dict[str, float] | None:
    by_category = kind == "C2"
    rows, weights = fit.data.observations, np.asarray(fit.data.weights)
    group = np.asarray(rows.get("group", np.zeros(len(weights), int)))
    every = [_margins(irt, rows["answers"][group == g], weights[group == g], by_category) for g in np.unique(group)]
    n = sum(margins.persons for margins in every)
    with jax.enable_x64(True):
        u = fit.model.space.unconstrain(jax.tree.map(jnp.asarray, fit.params))
        device = {name: jnp.asarray(a) for name, a in rows.items() if name != "answers"}
        device["answers"] = jnp.asarray(rows["answers"])
        inputs = (device, jnp.asarray(weights))
        means = np.asarray(_means(irt, by_category, u, *inputs))
        slopes = np.asarray(_slopes(irt, by_category, u, *inputs)).reshape(-1, u.size)
        spread = np.asarray(_spread(irt, by_category, u, *inputs))
    statistic, df = _quadratic([(m, means[g], spread[g]) for g, m in enumerate(every)], slopes)
    if df < 1:
        return None
    null, null_df = _independence(irt, every, by_category)
    rmsea, low, high = rmsea_interval(statistic, df, n)
    residuals = [_correlation_residuals(m, *_implied(irt, fit, g)) for g, m in enumerate(every)]
    excess, null_excess = max(statistic - df, 0.0), max(null - null_df, 0.0)
    srmsr = [float(np.sqrt(np.mean(r**2))) for r in residuals]
    each = (
        {"SRMSR": srmsr[0]}
        if len(every) == 1
        else {f"SRMSR_{g}": s for g, s in zip(irt.seen.groups, srmsr, strict=True)}
    )
    return {
        kind: statistic,
        "df": df,
        "p": float(chdtrc(df, statistic)),
        "RMSEA": rmsea,
        "RMSEA_5": low,
        "RMSEA_95": high,
        **each,
        "TLI": (null / null_df - statistic / df) / (null / null_df - 1),
        "CFI": 1 - excess / max(excess, null_excess) if max(excess, null_excess) > 0 else 1.0,
    }


def _pairs(items: int) -> tuple[np.ndarray, np.ndarray]:
    return np.tril_indices(items, -1)


def _sizes(irt: Any) -> np.ndarray:
    return np.array([len(values) for values in irt.seen.categories])


# --- what is observed


def _margins(irt: Any, answers: np.ndarray, weights: np.ndarray, by_category: bool) -> Margins:
    sizes = _sizes(irt)
    i, j = _pairs(len(sizes))
    there = answers >= 0
    codes = np.where(there, answers, 0).astype(float)
    if by_category:
        single = np.concatenate([(answers[:, [m]] == np.arange(1, c)) for m, c in enumerate(sizes)], axis=1).astype(
            float
        )
        known = np.repeat(there, sizes - 1, axis=1)
    else:
        single, known = codes, there
    values = np.concatenate([single, codes[:, i] * codes[:, j]], axis=1)
    seen = np.concatenate([known, there[:, i] & there[:, j]], axis=1).astype(float)
    count = weights @ seen
    if (count <= 0).any():
        raise ValueError("two items were answered by nobody together: their margin is not known; leave one out")
    n = float(weights.sum())
    both = (seen * weights[:, None]).T @ seen
    product = (weights @ (codes[:, i] * codes[:, j])) / (weights @ (there[:, i] & there[:, j]))
    answered = weights @ there
    moments = ((weights @ codes) / answered, (weights @ codes**2) / answered, product)
    return Margins((weights @ values) / count, n * both / np.outer(count, count), n, moments)


# --- what the model expects


def _nodes(irt: Any, u: Any, rows: Any, weights: Any) -> tuple[Float[Array, "G K J C"], Float[Array, "G K"]]:
    """(probabilities of the categories at every node, weights of the nodes) of every group."""
    params = lem.ParameterSpace.of(irt.constraints()).constrain(u)
    table = jnp.exp(irt.table(params, jnp.asarray(irt.grid.values, u.dtype)))
    groups = irt.ability.groups
    if irt.covariates:
        each = jax.nn.softmax(irt.log_weights(params, rows), axis=1)
        of_nodes = ((weights @ each) / jnp.sum(weights))[None]
    else:
        one = {"answers": jnp.zeros((groups, 1), jnp.int8), "group": jnp.arange(groups)}
        of_nodes = jax.nn.softmax(irt.log_weights(params, one), axis=1)
    table = jnp.broadcast_to(table, (table.shape[0], groups, *table.shape[2:]))
    return jnp.moveaxis(table, 1, 0), of_nodes


def _at_node(irt: Any, by_category: bool, table: Float[Array, "J C"]) -> tuple[Array, Array, Array]:
    """(margins given ability (M,), their covariance (M, M), answers (J,))."""
    sizes = _sizes(irt)
    items, most = len(sizes), int(sizes.max())
    i, j = _pairs(items)
    code = jnp.arange(most, dtype=table.dtype)
    mean, second = table @ code, table @ code**2
    variance = second - mean**2
    pairs = mean[i] * mean[j]
    rows = jnp.arange(len(i))
    # Margins are linear in the deviations of single items but for the products of two of them.
    lean = jnp.zeros((len(i), items), table.dtype).at[rows, i].set(mean[j]).at[rows, j].set(mean[i])
    corner = (lean * variance) @ lean.T + jnp.diag(variance[i] * variance[j])
    if not by_category:
        top = jnp.concatenate([jnp.diag(variance), variance[:, None] * lean.T], axis=1)
        whole = jnp.concatenate([top, jnp.concatenate([(variance[:, None] * lean.T).T, corner], axis=1)])
        return jnp.concatenate([mean, pairs]), whole, mean
    item = np.repeat(np.arange(items), sizes - 1)
    which = np.concatenate([np.arange(1, c) for c in sizes])
    single = table[item, which]
    same = jnp.asarray(item[:, None] == item)
    within = jnp.where(same, jnp.diag(single) - single[:, None] * single, 0.0)
    # Cov(1{x = c}, x) of the item that the indicator belongs to.
    cross = jnp.where(item[:, None] == np.arange(items), (single * (which - mean[item]))[:, None], 0.0)
    side = cross @ lean.T
    whole = jnp.concatenate([jnp.concatenate([within, side], axis=1), jnp.concatenate([side.T, corner], axis=1)])
    return jnp.concatenate([single, pairs]), whole, mean


def _expected(irt: Any, by_category: bool, u: Any, rows: Any, weights: Any) -> Float[Array, "G M"]:
    table, of_nodes = _nodes(irt, u, rows, weights)
    margins = jax.vmap(jax.vmap(lambda t: _at_node(irt, by_category, t)[0]))(table)
    return jnp.einsum("gk,gkm->gm", of_nodes, margins)


_means = partial(jax.jit, static_argnums=(0, 1))(_expected)


@partial(jax.jit, static_argnums=(0, 1))
def _slopes(irt: Any, by_category: bool, u: Any, rows: Any, weights: Any) -> Float[Array, "G M P"]:
    return jax.jacfwd(lambda v: _expected(irt, by_category, v, rows, weights))(u)


@partial(jax.jit, static_argnums=(0, 1))
def _spread(irt: Any, by_category: bool, u: Any, rows: Any, weights: Any) -> Float[Array, "G M M"]:
    """Covariance matrix of the margins of one person."""
    table, of_nodes = _nodes(irt, u, rows, weights)

    def of_group(tables: Any, w: Any) -> Float[Array, "M M"]:
        def add(total: tuple[Array, Array], x: Any) -> tuple[tuple[Array, Array], None]:
            margins, covariance, _ = _at_node(irt, by_category, x[0])
            second = covariance + margins[:, None] * margins
            return (total[0] + x[1] * margins, total[1] + x[1] * second), None

        size = jax.eval_shape(lambda t: _at_node(irt, by_category, t)[0], tables[0]).shape[0]
        zero = jnp.zeros(size, tables.dtype), jnp.zeros((size, size), tables.dtype)
        (mean, second), _ = jax.lax.scan(add, zero, (tables, w))
        return second - mean[:, None] * mean

    return jax.lax.map(lambda x: of_group(*x), (table, of_nodes))


def _implied(irt: Any, fit: Any, g: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mean, second moment, mean product) of the answers that the model expects of a group."""
    rows, weights = fit.data.observations, np.asarray(fit.data.weights)
    with jax.enable_x64(True):
        u = fit.model.space.unconstrain(jax.tree.map(jnp.asarray, fit.params))
        table, of_nodes = (
            np.asarray(a)[g] for a in _nodes_of(irt, u, jax.tree.map(jnp.asarray, rows), jnp.asarray(weights))
        )
    code = np.arange(table.shape[2])
    i, j = _pairs(table.shape[1])
    mean, second = table @ code, table @ code**2
    return of_nodes @ mean, of_nodes @ second, of_nodes @ (mean[:, i] * mean[:, j])


_nodes_of = partial(jax.jit, static_argnums=0)(_nodes)


# --- statistics


def _quadratic(
    groups: list[tuple[Margins, np.ndarray, np.ndarray]], slopes: Float[np.ndarray, "M P"]
) -> tuple[float, int]:
    """(quadratic form in the part of the residuals that the params leave free, its degrees of freedom)."""
    residual = np.concatenate([margins.observed - mean for margins, mean, _ in groups])
    size = len(residual)
    covariance = np.zeros((size, size))
    at = 0
    for margins, mean, spread in groups:
        own = slice(at, at + len(mean))
        covariance[own, own] = spread * margins.inflation / margins.persons
        at += len(mean)
    left, values, _ = np.linalg.svd(slopes, full_matrices=True)
    rank = int(np.sum(values > RANK * values.max(initial=0.0)))
    free = left[:, rank:]
    if free.shape[1] == 0:
        return 0.0, 0
    rotated = free.T @ residual
    return float(rotated @ np.linalg.solve(free.T @ covariance @ free, rotated)), free.shape[1]


def _independence(irt: Any, every: list[Margins], by_category: bool) -> tuple[float, int]:
    """The same of the model in which items are independent, at its maximum: the observed proportions."""
    sizes = _sizes(irt)
    i, j = _pairs(len(sizes))
    total, df = 0.0, 0
    for margins in every:
        mean, second, product = margins.moments
        variance = second - mean**2
        # Only the products are not fitted. What the means leave of their deviations is the product of two.
        residual = product - mean[i] * mean[j]
        inflation = np.diagonal(margins.inflation)[-len(i) :]
        total += float(np.sum(margins.persons * residual**2 / (variance[i] * variance[j] * inflation)))
        df += len(i)
    return total, df


def rmsea_interval(statistic: float, df: int, n: float) -> tuple[float, float, float]:
    """(RMSEA, ends of its 90% interval)."""

    def end(level: float) -> float:
        if chdtr(df, statistic) < level:
            return 0.0
        return float(np.sqrt(chndtrinc(statistic, df, level) / (n * df)))

    return float(np.sqrt(max(statistic - df, 0.0) / (df * (n - 1)))), end(0.95), end(0.05)


def _correlation_residuals(margins: Margins, mean: np.ndarray, second: np.ndarray, product: np.ndarray) -> np.ndarray:
    i, j = _pairs(len(mean))

    def correlations(m: np.ndarray, s: np.ndarray, p: np.ndarray) -> np.ndarray:
        spread = np.sqrt(s - m**2)
        return (p - m[i] * m[j]) / (spread[i] * spread[j])

    return correlations(*margins.moments) - correlations(mean, second, product)


def _full_table(fit: Any, irt: Any) -> dict[str, float]:
    """G2 against the observed proportions of all patterns, where no answer is missing and there are no covariates."""
    rows, weights = fit.data.observations, np.asarray(fit.data.weights)
    cells = float(np.prod(_sizes(irt).astype(float))) * irt.ability.groups
    df = cells - irt.ability.groups - fit.n_parameters
    if irt.covariates or not irt.seen.complete or not 0 < df < 1e15:
        return {}
    group = np.asarray(rows.get("group", np.zeros(len(weights), int)))
    keys = np.concatenate([group[:, None], rows["answers"]], axis=1)
    patterns, which = np.unique(keys, axis=0, return_inverse=True)
    count = np.bincount(which.ravel(), weights, len(patterns))
    used = count > 0
    size = np.bincount(patterns[:, 0][used].astype(int), count[used])
    saturated = float(np.sum(count[used] * np.log(count[used] / size[patterns[used, 0].astype(int)])))
    statistic = 2 * (saturated - fit.log_likelihood)
    return {"G2": statistic, "df_G2": int(df), "p_G2": float(chdtrc(df, statistic))}
