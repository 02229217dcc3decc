"""Fit of items: S-X2 (Orlando and Thissen 2000; Kang and Chen 2008 for several categories), infit, outfit, Zh."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from latentem.building import jit
from latentem.models.irt.asked.lord_wingersky import rest_scores
from latentem.models.irt.checked.deviations import deviations, mean_squares
from latentem.models.irt.declared import Declared

#: Cells of a smaller expectation are collapsed.
SMALLEST = 1.0
Table = Float[np.ndarray, "S C"]


def item_fit(fit: Any) -> dict[str, np.ndarray]:
    """Fit of items: S-X2, infit, outfit and the standardised log-likelihood.

    S-X2 (Orlando and Thissen 2000; Kang and Chen 2008) compares the answers at every sum score with their
    expectation, over the persons who answered every item; cells of an expectation below 1 are collapsed. Infit,
    outfit and Zh are over all who answered the item, at their posterior mean abilities.

    Returns:
        {"item", "S_X2", "df_S_X2", "RMSEA_S_X2", "p_S_X2", "infit", "z_infit", "outfit", "z_outfit", "Zh"}, a row
        for every item; S-X2 is NaN where no degrees of freedom are left, or nobody answered every item.

    Raises:
        ValueError: several groups or covariates, whose sum scores do not add up.

    >>> from latentem import datasets
    >>> data = datasets.lsat7()
    >>> items = [f"item_{j}" for j in range(1, 6)]
    >>> fit = lem.fit(lem.IRT("2pl"), data.matrix(*items), weights=data.frequency)
    >>> fit.item_fit()["S_X2"].round(4)
    array([ 4.7505, 14.4535,  1.2727,  5.2365,  0.9409])
    """
    names = np.array(fit.model.declaration.seen.names)
    return {"item": names, **s_x2(fit), **mean_squares(deviations(fit), np.asarray(fit.data.weights))}


def s_x2(fit: Any) -> dict[str, np.ndarray]:
    """{"S_X2", "df_S_X2", "RMSEA_S_X2", "p_S_X2"} of every item: see `item_fit`."""
    from scipy.special import chdtrc  # only here: importing it takes a third as long as importing jax

    irt: Declared = fit.model.declaration
    sizes = [len(values) for values in irt.seen.categories]
    tables = _tables(fit)
    spent = _parameters(irt)
    found = []
    for j, categories in enumerate(sizes):
        if tables is None:
            found.append((np.nan, 0, np.nan))
            continue
        observed, expected, n = tables
        own = collapsed(observed[j][:, :categories], expected[j][:, :categories])
        cells = ~np.isnan(own[1])
        statistic = float(np.sum((own[0][cells] - own[1][cells]) ** 2 / own[1][cells]))
        found.append((statistic, int(cells.sum()) - len(cells) - spent[j], n))
    statistic, df, n = (np.array(column, dtype=float) for column in zip(*found, strict=True))
    statistic = np.where(df > 0, statistic, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        rmsea = np.sqrt(np.maximum(statistic - df, 0.0) / (df * (n - 1)))
    return {
        "S_X2": statistic,
        "df_S_X2": df.astype(int),
        "RMSEA_S_X2": np.where(df > 0, rmsea, np.nan),
        "p_S_X2": np.where(df > 0, chdtrc(np.maximum(df, 1), statistic), np.nan),
    }


def _parameters(irt: Declared) -> list[int]:
    """Free params that bear on each item: its own, those it shares, and those of ability."""
    spent = [0] * len(irt.seen.names)
    for block in irt.blocks:
        held = dict(block.fixed)
        each = sum(c.size for name, c in dict(block.model.params).items() if name not in held)
        for j in block.items:
            spent[j] = each
    of_ability = sum(c.size for c in irt.ability.constraints(len(irt.grid.values)).values())
    return [own + of_ability for own in spent]


def _tables(fit: Any) -> tuple[Float[np.ndarray, "J S C"], Float[np.ndarray, "J S C"], float] | None:
    """(observed, expected number of answers by sum score, persons), over those who answered every item; the lowest and
    the highest sum tell nothing of an item. None where nobody did."""
    irt: Declared = fit.model.declaration
    answers, weights = np.asarray(fit.data.observations["answers"]), np.asarray(fit.data.weights)
    if irt.ability.groups > 1 or irt.covariates:
        raise ValueError("item_fit: sum scores of several groups or of persons with covariates do not add up; fit one")
    whole = (answers >= 0).all(axis=1) & (weights > 0)
    if not whole.any():
        return None
    answers, weights = answers[whole], weights[whole]
    sums, best = answers.sum(axis=1, dtype=int), _highest(irt)
    with jax.enable_x64(True):
        chance = np.asarray(_chances(irt, fit.params))
    items, _, categories = chance.shape
    observed = np.zeros_like(chance)
    for j in range(items):
        np.add.at(observed[j], (sums, answers[:, j]), weights)
    count = np.bincount(sums, weights, best + 1)
    return observed[:, 1:best], (chance * count[:, None])[:, 1:best], float(weights.sum())


@partial(jit, static_argnums=0)
def _chances(irt: Declared, params: Any) -> Float[Any, "J S C"]:
    """Probability of every category of every item given the sum score."""
    table = jnp.exp(irt.table(params, jnp.asarray(irt.grid.values, jnp.result_type(float))))[:, 0]
    one = {"answers": jnp.zeros((1, 1), jnp.int8)}
    weights = jax.nn.softmax(irt.log_weights(params, one)[0])
    best = _highest(irt)
    rest = rest_scores(table, best)  # (J, K, S)

    def of_item(p: Any, others: Any) -> Float[Any, "S C"]:
        joint = jnp.einsum("k,kc,ks->cs", weights, p, others)
        moved = [jnp.roll(row, c).at[:c].set(0.0) for c, row in enumerate(joint)]
        both = jnp.stack(moved, axis=1)
        total = jnp.sum(both, axis=1, keepdims=True)
        return both / jnp.where(total > 0, total, 1.0)

    return jax.vmap(of_item, in_axes=(1, 0))(table, rest)


def _highest(irt: Declared) -> int:
    """The largest sum of codes: categories count as consecutive here, whatever their numbers."""
    return sum(len(categories) - 1 for categories in irt.seen.categories)


def collapsed(observed: Table, expected: Table) -> tuple[Table, Table]:
    """Tables whose cells all have an expectation of at least SMALLEST; a cell that went into its neighbour is NaN.

    Rows are sum scores, columns categories. Scores at which a category cannot occur go to the nearest at which all
    can; scores that nobody has are dropped, one that a single person has goes to the next; of several categories,
    the rarest of a row goes to its rarer neighbour; and what still is below SMALLEST goes, as a row, to the
    neighbouring row of fewer persons.
    """
    o, e = observed.copy(), expected.copy()
    possible = np.flatnonzero((e > 0).all(axis=1))
    if len(possible) == 0:
        return o[:0], e[:0]
    first, last = possible[0], possible[-1]
    for a in (o, e):
        a[first] += a[:first].sum(axis=0)
        a[last] += a[last + 1 :].sum(axis=0)
    o, e = o[first : last + 1], e[first : last + 1]
    there = o.sum(axis=1) > 0
    o, e = o[there], e[there]
    row = 0
    while row < len(o) - 1:
        if o[row].sum() == 1:
            o, e = _joined(o, row, row + 1), _joined(e, row, row + 1)
        else:
            row += 1
    if o.shape[1] > 2:
        for own_o, own_e in zip(o, e, strict=True):
            _collapse_row(own_o, own_e)
    while len(e) > 1:
        small = np.flatnonzero(np.nanmin(np.where(np.isnan(e), np.inf, e), axis=1) < SMALLEST)
        if len(small) == 0:
            break
        row = int(small[0])
        neighbours = [r for r in (row - 1, row + 1) if 0 <= r < len(o)]
        other = min(neighbours, key=lambda r: np.nansum(o[r]))
        o, e = _joined(o, row, other), _joined(e, row, other)
    return o, e


def _joined(a: Table, row: int, other: int) -> Table:
    """Two rows as one, in the place of the second; a cell that one of them lacks has what the other has."""
    both = np.where(np.isnan(a[row]) & np.isnan(a[other]), np.nan, np.nan_to_num(a[row]) + np.nan_to_num(a[other]))
    a = a.copy()
    a[other] = both
    return np.delete(a, row, axis=0)


def _collapse_row(o: Float[np.ndarray, " C"], e: Float[np.ndarray, " C"]) -> None:
    """In place: the smallest expectation goes to its smaller neighbour until none is below SMALLEST."""
    while True:
        left = np.flatnonzero(~np.isnan(e))
        if len(left) < 2 or np.nanmin(e) >= SMALLEST:
            return
        at = int(np.argmin(e[left]))
        neighbours = [n for n in (at - 1, at + 1) if 0 <= n < len(left)]
        to = left[min(neighbours, key=lambda n: e[left[n]])]
        cell = left[at]
        o[to], e[to] = o[to] + o[cell], e[to] + e[cell]
        o[cell] = e[cell] = np.nan
