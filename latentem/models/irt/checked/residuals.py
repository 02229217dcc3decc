"""Local dependence of pairs of items: Q3 (Yen 1984) and chi-square of their tables (Chen and Thissen 1997)."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.building import chunked_map, jit
from latentem.models.irt.abilities import persons
from latentem.models.irt.checked.deviations import deviations
from latentem.models.irt.declared import Declared

KINDS = ("Q3", "LD")


def residuals(fit: Any, kind: str = "Q3") -> np.ndarray:
    """What the abilities leave unexplained of pairs of items, over the persons who answered both.

    Args:
        fit: the fit.
        kind: "Q3" (correlations of the residuals at posterior mean abilities) or "LD" (below the diagonal the
            chi-square of every two-way table against its expectation, above it Cramer's V, negative where the
            items are associated less than expected; NaN on the diagonal).

    Returns:
        (J, J).

    Raises:
        ValueError: another kind.

    Source: Yen (1984); Chen and Thissen (1997).
    """
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r}: expected one of {', '.join(map(repr, KINDS))}")
    return _q3(fit) if kind == "Q3" else _local_dependence(fit)


def _q3(fit: Any) -> Float[np.ndarray, "J J"]:
    found = deviations(fit)
    a, r, w = found.answered, found.residual, fit.data.weights[:, None]
    # Correlations over the persons who answered both items.
    n = a.T @ (w * a)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = r.T @ (w * a) / n  # of the residual of the row's item
        square = (r**2).T @ (w * a) / n - mean**2
        covariance = r.T @ (w * r) / n - mean * mean.T
        return np.where(np.eye(len(n)) > 0, 1.0, covariance / np.sqrt(square * square.T))


def _local_dependence(fit: Any) -> Float[np.ndarray, "J J"]:
    irt: Declared = fit.model.declaration
    answers, weights = fit.data.observations["answers"], fit.data.weights
    with jax.enable_x64(True):
        params = jax.tree.map(jnp.asarray, fit.params)
        table = np.exp(np.asarray(_table(irt, params)))  # (K, G, J, C)
        prior = np.asarray(_priors(irt, params, jax.tree.map(jnp.asarray, fit.data.observations)))
    groups = irt.ability.groups
    group = np.asarray(persons.group_of(fit.data.observations))
    j = answers.shape[1]
    out = np.full((j, j), np.nan)
    sizes = [len(categories) for categories in irt.seen.categories]
    for one in range(j):
        for two in range(one + 1, j):
            both = (answers[:, one] >= 0) & (answers[:, two] >= 0)
            cells = answers[both, one].astype(np.intp) * sizes[two] + answers[both, two]
            observed = np.bincount(cells, weights[both], sizes[one] * sizes[two]).reshape(sizes[one], sizes[two])
            expected = np.zeros_like(observed)
            for g in range(groups):
                here = both & (group == g)
                mass = weights[here] @ prior[here] if irt.covariates else weights[here].sum() * prior[g]
                p = table[:, g if table.shape[1] > 1 else 0]
                expected += (p[:, one, : sizes[one]] * mass[:, None]).T @ p[:, two, : sizes[two]]
            out[two, one], out[one, two] = _compared(observed, expected)
    return out


def _compared(observed: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """(chi-square, Cramer's V with the sign of the excess of association); NaN where nobody answered both items."""
    n = observed.sum()
    if n == 0:
        return np.nan, np.nan
    seen = expected > 0
    chi_square = float(np.sum((observed - expected)[seen] ** 2 / expected[seen]))
    excess = _gamma(observed) - _gamma(expected)
    sign = np.nan if np.isnan(excess) else (-1.0 if excess < 0 else 1.0)
    return chi_square, sign * float(np.sqrt(chi_square / (n * (min(observed.shape) - 1))))


def _gamma(table: np.ndarray) -> float:
    """Goodman and Kruskal's gamma: (concordant - discordant pairs) / (their sum)."""
    after = table[::-1, ::-1].cumsum(0).cumsum(1)[::-1, ::-1]  # sums of the cells from here on
    before = table[::-1].cumsum(0).cumsum(1)[::-1]
    concordant = float(np.sum(table[:-1, :-1] * after[1:, 1:]))
    discordant = float(np.sum(table[:-1, 1:] * before[1:, :-1]))
    total = concordant + discordant
    return (concordant - discordant) / total if total > 0 else np.nan


@partial(jit, static_argnums=0)
def _table(irt: Declared, params: Any) -> Float[Array, "K G J C"]:
    return irt.table(params, jnp.asarray(irt.grid.values, jnp.result_type(float)))


@partial(jit, static_argnums=0)
def _priors(irt: Declared, params: Any, rows: Any) -> Float[Array, "m K"]:
    """Weights of the nodes before any answer: of every group, or of every person where there are covariates."""
    if not irt.covariates:
        groups = irt.ability.groups
        rows = {"answers": jnp.zeros((groups, 1), jnp.int8), "group": jnp.arange(groups, dtype=jnp.int32)}
    n = rows["answers"].shape[0]
    return chunked_map(lambda part: jax.nn.softmax(irt.log_weights(params, part), axis=1), rows, n, persons.chunk(irt))
