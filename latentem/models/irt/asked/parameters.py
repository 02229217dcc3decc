"""The table of items: slope-intercept form and difficulties, with standard errors by the delta method."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem.building import jit
from latentem.models.irt.declare import never_given as given
from latentem.models.irt.declared import Declared
from latentem.models.irt.estep.blocks import Block

Params = dict[str, Any]


def item_parameters(fit: Any, errors: bool = True) -> dict[str, np.ndarray]:
    """A row for every item: its params and what follows from them (difficulties), with standard errors.

    Args:
        fit: the fit.
        errors: whether to compute standard errors.

    Returns:
        {"item": names, "model": item models, name: (J,), name + "_se": (J,) ...}; NaN where an item has no such
        param, or it is fixed, or its group was never given it. Where groups have item params of their own, a row for
        each group and item.

    >>> from latentem import datasets
    >>> data = datasets.lsat7()
    >>> fit = lem.fit(lem.IRT("2pl"), data.matrix("item_1", "item_2", "item_3"), weights=data.frequency)
    >>> list(fit.item_parameters(errors=False))
    ['item', 'model', 'slope', 'intercept', 'difficulty']
    """
    irt: Declared = fit.model.declaration
    groups = irt.ability.groups if any(block.own for block in irt.blocks) else 1
    with jax.enable_x64(True):
        if errors:
            u = fit.model.space.locate(fit.params)[0]
            values, slopes = map(np.asarray, _values_and_slopes(irt, fit.params, u))
            spread = _standard_errors(slopes, fit.covariance(coordinates="free"))
        else:
            values = np.asarray(_values(irt, fit.params))
            spread = np.full(len(values), np.nan)
    names = irt.seen.names
    rows = len(names) * groups
    table: dict[str, np.ndarray] = {"item": np.tile(np.array(names), groups)}
    model = np.empty(len(names), dtype=object)
    for block in irt.blocks:
        model[list(block.items)] = block.name
    table["model"] = np.tile(model.astype(str), groups)
    if groups > 1:
        table["group"] = np.repeat(np.array([str(label) for label in irt.seen.groups]), len(names))
    shapes = {block.name: jax.eval_shape(partial(_of_block, block), fit.params[block.name]) for block in irt.blocks}
    at = 0
    for block in irt.blocks:
        for name, shape in sorted(shapes[block.name].items()):
            size = int(np.prod(shape.shape))
            both = (values[at : at + size].reshape(shape.shape), spread[at : at + size].reshape(shape.shape))
            at += size
            for label, index in _columns(block, name, shape.shape[2:], irt.ability.dimensions):
                for column, part in zip((label, f"{label}_se"), both, strict=True):
                    full = table.setdefault(column, np.full(rows, np.nan)).reshape(groups, len(names))
                    full[:, list(block.items)] = part[(slice(None), slice(None), *index)]
    gone = given.never(irt, fit.data.observations) if groups > 1 and fit.data is not None else None
    if gone is not None and gone.any():
        for name in set(table) - {"item", "model", "group"}:
            own = [block for block in irt.blocks if _is_own(block, name)]
            items = [j for block in own for j in block.items]
            mine = table[name].reshape(groups, len(names))
            mine[:, items] = np.where(gone[:, items], np.nan, mine[:, items])
    if not errors:
        table = {name: column for name, column in table.items() if not name.endswith("_se")}
    order = sorted(table, key=lambda name: _place(name))
    return {name: table[name] for name in order}


def _is_own(block: Block, column: str) -> bool:
    """Whether a column of the table hangs on params that each group has of its own."""
    stem = column.removesuffix("_se").split("_")[0]
    return bool(block.own) and (stem in block.own or stem not in dict(block.model.params))


def _place(name: str) -> tuple[int, str]:
    first = ("item", "model", "group", "slope", "intercept", "difficulty")
    stem = name.removesuffix("_se").split("_")[0]
    return (first.index(stem) if stem in first else len(first), name)


def _columns(block: Block, name: str, shape: tuple[int, ...], dimensions: int) -> list[tuple[str, tuple[int, ...]]]:
    """(label, index) of every entry of a param of one item."""
    if name == "slope" and dimensions > 1:
        where = block.abilities
        return [(f"slope_{d + 1}", (i,) if shape else ()) for i, d in enumerate(where)]
    if not shape:
        return [(name, ())]
    return [(f"{name}_{'_'.join(str(i + 1) for i in index)}", index) for index in np.ndindex(*shape)]


def _of_block(block: Block, params: Params) -> Params:
    """Params and what is derived from them, (G, J, ...), G being 1 where groups do not differ."""
    groups = block.groups if block.own else 1

    def of_item(item: Params) -> Params:
        def of_group(own: Params) -> Params:
            one = {**item, **own}
            more = block.model.derived(one) if block.model.derived is not None else {}
            return {**one, **more}

        own = {name: item[name] for name in block.own if name in item}
        found = jax.vmap(of_group)(own) if own else jax.tree.map(lambda a: a[None], of_group({}))
        return jax.tree.map(lambda a: jnp.broadcast_to(a, (groups, *a.shape[1:])), found)

    axes = {name: None if name in block.shared else 0 for name in params}
    every = jax.vmap(of_item, in_axes=(axes,), axis_size=len(block.items))(params)
    return jax.tree.map(lambda a: jnp.moveaxis(a, 0, 1), every)


@partial(jit, static_argnums=0)
def _values(irt: Declared, params: Params) -> Float[Array, " M"]:
    parts = []
    for block in irt.blocks:
        found = _of_block(block, params[block.name])
        parts += [found[name].reshape(-1) for name in sorted(found)]
    return jnp.concatenate(parts)


@partial(jit, static_argnums=0)
def _values_and_slopes(
    irt: Declared, params: Params, u: Float[Array, " P"]
) -> tuple[Float[Array, " M"], Float[Array, "M P"]]:
    space = lem.ParameterSpace.of(irt.constraints())
    return _values(irt, params), jax.jacfwd(lambda v: _values(irt, space.constrain(v)))(u)


def _standard_errors(slopes: Float[np.ndarray, "M P"], covariance: Float[np.ndarray, "P P"]) -> Float[np.ndarray, " M"]:
    """sqrt(diag(J V J')); NaN for what is fixed, and for what hangs on a param without a standard error."""
    unknown = ~np.isfinite(np.diagonal(covariance))
    clean = np.where(unknown[:, None] | unknown, 0.0, covariance)
    variance = np.einsum("mp,pq,mq->m", slopes, clean, slopes)
    known = (variance > 0) & ~(slopes[:, unknown] != 0).any(axis=1)
    return np.where(known, np.sqrt(np.maximum(variance, 0.0)), np.nan)
