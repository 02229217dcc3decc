"""Missing entries filled in: once, by what is expected of them, or several times, by draws (Rubin 1987)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, overload

import jax
import jax.numpy as jnp
import numpy as np

import latentem as lem
from latentem.building import as_key, filled, jit

#: Rows that are completed in one call: the last of them are repeated, so that one program serves all.
BLOCK = 4096
HOW = ("normal", "bootstrap", "fixed")


class Imputed(Sequence[Any]):
    """Completed copies of a data set, each of the type of the data; `pool(function)` pools what a function estimates
    from each.

    Args:
        copies: the completed data sets.
        params: those each copy was drawn with.
    """

    def __init__(self, copies: list[Any], params: list[Any]) -> None:
        self.copies, self.params = copies, params

    def __len__(self) -> int:
        return len(self.copies)

    @overload
    def __getitem__(self, i: int) -> Any: ...
    @overload
    def __getitem__(self, i: slice) -> list[Any]: ...
    def __getitem__(self, i: Any) -> Any:
        return self.copies[i]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.copies)

    def __repr__(self) -> str:
        return f"<{len(self)} completed copies of the data>"

    def pool(self, function: Callable[[Any], Any], *, df: float | None = None) -> Any:
        """`lem.pool` of what a function estimates from each copy."""
        return lem.pool(self, function, df=df)


def impute(
    ready: Any, fit: Any, m: int | None = None, *, key: Any = None, x: Any = None, params: str = "normal"
) -> Any:
    """The data with their missing entries filled in, in the type they were given in.

    Without `m`, one copy in which every missing entry has its conditional expectation given what was observed of its
    row, categories the most probable one. With `m`, an `Imputed` of so many copies in which missing entries are drawn:
    params from the sampling distribution of the estimates, then the latent given the row, then the missing entries.

    Args:
        m: how many copies.
        key: a seed, such as 0, or a key of `jax.random.key`, for draws.
        x: new observations; the data of the fit when left out.
        params: how those of each copy are drawn: "normal", from the normal distribution of the estimates with their
            covariance matrix; "bootstrap", by refitting resampled rows; "fixed", not at all (intervals are then short).

    Raises:
        ValueError: no key for draws, m below 1, the fit is no maximum (for "normal").

    >>> x = np.array([[1.0, 2.0], [2.0, 4.1], [3.0, 5.9], [4.0, np.nan]])
    >>> fit = lem.fit(lem.MultivariateNormal(), x)
    >>> np.round(fit.impute()[3], 2)
    array([4. , 7.9])
    >>> len(fit.impute(5, key=0))
    5
    """
    if m is not None and (not isinstance(m, int | np.integer) or isinstance(m, bool) or m < 1):
        raise ValueError(f"impute: m={m!r}: expected how many copies, at least 1")
    if params not in HOW:
        raise ValueError(f"impute: params={params!r}: expected one of {', '.join(HOW)}")
    if m is not None and key is None:
        raise ValueError("impute: copies are drawn at random: pass key=0, or any other seed")
    model, data = fit.at(x)
    given = fit.given if x is None else x
    if not getattr(ready, "sequential", False):  # steps of a sequence have neighbours that say something
        _tell_empty(ready.holes(data))
    with fit.computing():
        if m is None:
            return _as_given(ready, fit, given, ready.expected(model, fit.params, data))
        draws, rows = jax.random.split(as_key(key, "impute"))
        copies, drawn = [], _params(fit, int(m), draws, params)
        for one, k in zip(drawn, jax.random.split(rows, int(m)), strict=True):
            copies.append(_as_given(ready, fit, given, ready.drawn(model, one, data, k)))
    return Imputed(copies, drawn)


def _as_given(ready: Any, fit: Any, given: Any, completed: Any) -> Any:
    if given is None or fit.model.layout is None:
        return completed
    if hasattr(ready, "as_given"):
        return ready.as_given(given, fit.model.layout, completed)
    return filled(given, fit.model.layout, completed)


def _tell_empty(holes: np.ndarray) -> None:
    """Warn of rows of which nothing is observed."""
    empty = np.flatnonzero(holes.reshape(len(holes), -1).all(axis=1))
    if len(empty):
        told = (
            f"row {empty[0]} has" if len(empty) == 1 else f"{len(empty)} rows, row {empty[0]} the first of them, have"
        )
        warnings.warn(f"impute: {told} no observed entry: filled with what is expected of any row", stacklevel=4)


def _params(fit: Any, m: int, key: Any, how: str) -> list[Any]:
    """Params of each copy."""
    if how == "fixed":
        return [fit.params] * m
    if how == "bootstrap":
        return _bootstrap(fit, m, key)
    covariance = fit.covariance(coordinates="free")
    # What has no standard error, an entry on an edge say, stays where it is.
    known = np.where(np.isnan(covariance), 0.0, covariance)
    values, vectors = np.linalg.eigh(0.5 * (known + known.T))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    space = fit.model.space
    centre = np.asarray(space.unconstrain(fit.params))
    noise = np.asarray(jax.random.normal(key, (m, len(centre)), jnp.float64))
    constrain = jit(lambda u: space.with_fixed(space.constrain(u)))
    return [jax.tree.map(np.asarray, constrain(jnp.asarray(centre + root @ one))) for one in noise]


def _bootstrap(fit: Any, m: int, key: Any) -> list[Any]:
    """Params of fits to rows drawn with replacement, each begun at the fit."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    weights = np.asarray(fit.data.weights, dtype=np.float64)
    total = round(weights.sum())
    found = []
    for _ in range(m):
        drawn = rng.multinomial(total, weights / weights.sum()).astype(np.float64)
        again = lem.fit(fit.model.declaration, fit.given, weights=drawn, initial=fit.params, polish=False)
        found.append(again.params)
    return found


def missing(observations: Any) -> np.ndarray:
    """Which entries of rows are NaN, (N, entries)."""
    columns = [np.asarray(a) for a in jax.tree.leaves(observations)]
    flat = [a.reshape(len(a), -1) for a in columns]
    return np.concatenate([np.isnan(a) if a.dtype.kind == "f" else np.zeros(a.shape, bool) for a in flat], axis=1)


def in_blocks(program: Any, family: Any, params: Any, observations: Any, *beside: Any) -> Any:
    """`program(family, params, rows, *beside)` of the rows with holes, block by block, put back among the others."""
    whole = jax.tree.map(lambda a: np.array(a, dtype=np.float64), observations)
    rows = np.flatnonzero(missing(whole).any(axis=1))
    size = min(BLOCK, len(rows))
    for at in range(0, len(rows), BLOCK):
        here = rows[at : at + BLOCK]
        padded = np.concatenate([here, np.repeat(here[-1:], size - len(here))])
        parts = jax.tree.map(lambda a, p=padded: jnp.asarray(np.asarray(a)[p]), (whole, *beside))
        done = program(family, params, *parts)
        jax.tree.map(lambda a, b, h=here: a.__setitem__(h, np.asarray(b)[: len(h)]), whole, done)
    return whole


@partial(jit, static_argnums=0)
def expected_rows(family: Any, params: Any, rows: Any) -> Any:
    """Each row with what is expected of its missing entries."""
    return jax.vmap(lambda x: family.settle(family.expect_missing(params, x), x))(rows)


@partial(jit, static_argnums=0)
def drawn_rows(family: Any, params: Any, rows: Any, keys: Any) -> Any:
    """Each row with its missing entries drawn."""
    return jax.vmap(lambda x, k: family.draw_missing(params, x, jax.random.wrap_key_data(k)))(rows, keys)
