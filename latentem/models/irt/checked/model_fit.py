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

import latentem as lem
from latentem.building import jit
from latentem.models.irt.declared import Declared

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


def model_fit(fit: Any, kind: str | None = None) -> dict[str, float]:
    """Fit of the model from one- and two-way margins, and from all patterns where none is missing.

    M2 of Maydeu-Olivares and Joe (2005); with more than two categories in the form of Cai and Hansen (2013), from
    means and mean products of the answers (codes 0, 1, ...); C2 of Cai and Monro (2014) keeps the proportion of
    every category beside the mean products. Missing answers count as missing completely at random: every margin is
    that of the persons who have it, and the covariance of two margins shrinks with their overlap.

    Args:
        fit: the fit.
        kind: "M2" or "C2"; M2 where it has degrees of freedom left, else C2, when left out.

    Returns:
        {"M2" or "C2", "df", "p", "RMSEA", "RMSEA_5", "RMSEA_95" (90% interval), "SRMSR" (of each group, where there
        are several), "TLI", "CFI" (against independent items); "G2", "df_G2", "p_G2" where no answer is missing}.

    Raises:
        ValueError: no degrees of freedom are left, or two items have no persons in common.

    >>> from latentem import datasets
    >>> data = datasets.lsat7()
    >>> items = [f"item_{j}" for j in range(1, 6)]
    >>> fit = lem.fit(lem.IRT("2pl"), data.matrix(*items), weights=data.frequency)
    >>> round(fit.model_fit()["M2"], 4)
    11.9384
    """
    irt: Declared = fit.model.declaration
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


def _limited(fit: Any, irt: Declared, kind: str) -> dict[str, float] | None:
    from scipy.special import chdtrc  # only here: importing it takes a third as long as importing jax

    by_category = kind == "C2"
    rows, weights = fit.data.observations, np.asarray(fit.data.weights)
    group = np.asarray(rows.get("group", np.zeros(len(weights), int)))
    every = [_margins(irt, rows["answers"][group == g], weights[group == g], by_category) for g in np.unique(group)]
    n = sum(margins.persons for margins in every)
    with jax.enable_x64(True):
        u = fit.model.space.locate(fit.params)[0]
        (table, of_nodes), moved = jax.tree.map(np.asarray, _nodes_and_slopes(irt, u, dict(rows), weights))
    means, slopes = _expected(irt, by_category, table, of_nodes, *moved)
    spread = [_spread(irt, by_category, *group) for group in zip(table, of_nodes, strict=True)]
    slopes = slopes.reshape(-1, slopes.shape[-1])
    statistic, df = _quadratic([(m, means[g], spread[g]) for g, m in enumerate(every)], slopes)
    if df < 1:
        return None
    null, null_df = _independence(irt, every, by_category)
    rmsea, low, high = rmsea_interval(statistic, df, n)
    residuals = [_correlation_residuals(m, *_implied(table[g], of_nodes[g])) for g, m in enumerate(every)]
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


def _sizes(irt: Declared) -> np.ndarray:
    return np.array([len(values) for values in irt.seen.categories])


# --- what is observed


def _margins(irt: Declared, answers: np.ndarray, weights: np.ndarray, by_category: bool) -> Margins:
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


def _nodes(irt: Declared, u: Any, rows: Any, weights: Any) -> tuple[Float[Array, "G K J C"], Float[Array, "G K"]]:
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


def _cells(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(item, category) of every category but the first of each item."""
    return np.repeat(np.arange(len(sizes)), sizes - 1), np.concatenate([np.arange(1, c) for c in sizes])


def _given(irt: Declared, by_category: bool, table: Any) -> Any:
    """Margins given ability (..., M), from the probabilities of the categories (..., J, C)."""
    sizes = _sizes(irt)
    i, j = _pairs(len(sizes))
    mean = table @ np.arange(int(sizes.max()), dtype=float)
    single = table[(..., *_cells(sizes))] if by_category else mean
    return np.concatenate([single, mean[..., i] * mean[..., j]], axis=-1)


@partial(jit, static_argnums=0)
def _nodes_and_slopes(irt: Declared, u: Any, rows: Any, weights: Any) -> tuple[Any, Any]:
    """(what `_nodes` gives, its derivatives in u: arrays with a last axis of P)."""

    def both(v: Float[Array, " P"]) -> tuple[Any, Any]:
        found = _nodes(irt, v, rows, weights)
        return found, found

    moved, found = jax.jacfwd(both, has_aux=True)(u)
    return found, moved


def _expected(
    irt: Declared,
    by_category: bool,
    table: Float[np.ndarray, "G K J C"],
    of_nodes: Float[np.ndarray, "G K"],
    moved_table: Float[np.ndarray, "G K J C P"],
    moved_nodes: Float[np.ndarray, "G K P"],
) -> tuple[Float[np.ndarray, "G M"], Float[np.ndarray, "G M P"]]:
    """Expected margins of every group, and their derivatives."""
    sizes = _sizes(irt)
    i, j = _pairs(len(sizes))
    code = np.arange(table.shape[3], dtype=float)
    means, slopes = [], []
    for one, w, of_one, of_w in zip(table, of_nodes, moved_table, moved_nodes, strict=True):
        given = _given(irt, by_category, one)
        mean, of_mean = one @ code, np.einsum("kjcp,c->kjp", of_one, code)
        single = of_one[:, *_cells(sizes)] if by_category else of_mean
        product = np.tensordot(w[:, None] * mean, of_mean, (0, 0))  # of the row's item as it is, the column's moved
        moved = np.concatenate([np.tensordot(w, single, 1), product[i, j] + product[j, i]])
        means.append(w @ given)
        slopes.append(moved + given.T @ of_w)
    return np.stack(means), np.stack(slopes)


def _spread(
    irt: Declared, by_category: bool, table: Float[np.ndarray, "K J C"], of_nodes: Float[np.ndarray, " K"]
) -> Float[np.ndarray, "M M"]:
    """Covariance matrix of the margins of one person: given ability they are linear in the deviations of single items,
    but for products of two."""
    sizes = _sizes(irt)
    items = len(sizes)
    i, j = _pairs(items)
    item, which = _cells(sizes)
    code = np.arange(table.shape[2])
    margins = _given(irt, by_category, table)
    size, first = margins.shape[1], margins.shape[1] - len(i)
    total, rows = np.zeros((size, size)), np.arange(len(i))
    for one, own, weight in zip(table, margins, of_nodes, strict=True):
        mean = one @ code
        variance = one @ code**2 - mean**2
        lean = np.zeros((len(i), items))
        lean[rows, i], lean[rows, j] = mean[j], mean[i]
        within, cross = np.diag(variance), np.diag(variance)
        if by_category:
            p = one[item, which]
            within = np.where(item[:, None] == item, np.diag(p) - p[:, None] * p, 0.0)
            cross = np.where(item[:, None] == np.arange(items), (p * (which - mean[item]))[:, None], 0.0)
        covariance = np.empty((size, size))
        covariance[:first, :first] = within
        covariance[:first, first:] = cross @ lean.T
        covariance[first:, :first] = covariance[:first, first:].T
        covariance[first:, first:] = (lean * variance) @ lean.T + np.diag(variance[i] * variance[j])
        total += weight * (covariance + own[:, None] * own)
    overall = of_nodes @ margins
    return total - overall[:, None] * overall


def _implied(
    table: Float[np.ndarray, "K J C"], of_nodes: Float[np.ndarray, " K"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mean, second moment, mean product) of the answers that the model expects of a group."""
    code = np.arange(table.shape[2])
    i, j = _pairs(table.shape[1])
    mean = table @ code
    return of_nodes @ mean, of_nodes @ (table @ code**2), of_nodes @ (mean[:, i] * mean[:, j])


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
    # A param near its edge hardly moves the margins, in the coordinates of the fit: it is a param all the same.
    lengths = np.linalg.norm(slopes, axis=0)
    left, values, _ = np.linalg.svd(slopes / np.where(lengths > 0, lengths, 1.0), full_matrices=True)
    rank = int(np.sum(values > RANK * values.max(initial=0.0)))
    free = left[:, rank:]
    if free.shape[1] == 0:
        return 0.0, 0
    rotated = free.T @ residual
    return float(rotated @ np.linalg.solve(free.T @ covariance @ free, rotated)), free.shape[1]


def _independence(irt: Declared, every: list[Margins], by_category: bool) -> tuple[float, int]:
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
    from scipy.special import chdtr, chndtrinc

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


def _full_table(fit: Any, irt: Declared) -> dict[str, float]:
    """G2 against the observed proportions of all patterns, where no answer is missing and there are no covariates."""
    from scipy.special import chdtrc

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
