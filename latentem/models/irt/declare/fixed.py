"""Item params that are known: what `fixed` says of the items of a block, and whether they may be so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from latentem.building import jit
from latentem.models.irt.declared import Declared
from latentem.models.irt.estep.blocks import Block

Params = dict[str, Any]


def refuse_what_is_no_number(fixed: Mapping[Any, Any], path: str = "fixed") -> None:
    """Raise in one line for a value of `fixed` that is no number.

    Raises:
        ValueError: naming the first of them.
    """
    for name, value in fixed.items():
        here = f"{path}[{name!r}]"
        if isinstance(value, Mapping) and path == "fixed":
            refuse_what_is_no_number(value, here)
            continue
        try:
            array = np.asarray(value)
        except ValueError:  # lists of different lengths
            array = np.asarray(None)
        if array.dtype.kind not in "iuf" or np.isnan(array).any():
            told = "expected a number, or an array of them; leave out what is to be estimated"
            raise ValueError(f"{here} = {short(value)}: {told}")


def short(value: Any) -> str:
    """The value as an error tells it, in one line."""
    return f"{' '.join(repr(value).split()):.60}"


def known_params(irt: Declared, block: Block, names: Sequence[str], by_item: Sequence[str]) -> dict[str, np.ndarray]:
    """The values that `fixed` gives the items of a block, one population of persons.

    Args:
        irt: the declaration.
        block: whose params are all free.
        names: of the J items.
        by_item: names of params that `fixed` gives item by item.

    Returns:
        {name: (J, ...), or (...) of a param that all have in common}.

    Raises:
        ValueError: a value of another shape, outside the constraint of its param, or with which nobody could choose a
            category that somebody chose.
    """
    params, known = dict(block.model.params), {}
    for name, value in irt.fixed.items():
        if name in params and not isinstance(value, Mapping):
            shape = params[name].shape if name in block.shared else (len(names), *params[name].shape)
            known[name] = _broadcast(f"fixed {name!r}", value, shape)
    for name in by_item:
        if name in block.shared:
            raise ValueError(
                f"fixed {name!r} of item {names[0]!r}: all items have it in common; expected fixed={{{name!r}: ...}}"
            )
        values = (
            _broadcast(f"fixed {name!r} of item {item!r}", irt.fixed[item][name], params[name].shape) for item in names
        )
        known[name] = np.stack(list(values))
    if known:
        _refuse_impossible(block, names, known)
    return known


def _broadcast(told: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(value, float)
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        expected = f"{shape}, or one number for all" if shape else "one number"
        raise ValueError(f"{told} has shape {array.shape}: expected {expected}") from None


def _refuse_impossible(block: Block, names: Sequence[str], known: Params) -> None:
    with jax.enable_x64(True):
        inside, chosen = jax.tree.map(np.asarray, _judged(block, known))
    for name, good in sorted(inside.items()):
        if not good.all():
            j = int(np.argmin(good))
            of_item, value = ("", known[name]) if name in block.shared else (f" of item {names[j]!r}", known[name][j])
            raise ValueError(
                f"fixed {name!r}{of_item} = {short(value.tolist())}: expected {block.model.params[name].describe()}; "
                "leave it out to estimate it"
            )
    if not chosen.all():
        j, category = (int(i) for i in np.argwhere(~chosen)[0])
        own = {name: (value if name in block.shared else value[j]).tolist() for name, value in sorted(known.items())}
        raise ValueError(
            f"fixed params {short(own)} of item {names[j]!r}: nobody could answer in category {category + 1} of "
            f"{block.categories}, yet somebody did; give other values, or leave them out to estimate them"
        )


@partial(jit, static_argnums=0)
def _judged(block: Block, known: Params) -> tuple[dict[str, Bool[Array, "*J"]], Bool[Array, "J C"]]:
    """(whether each value is one that its param may have, whether each category is possible at some ability)."""
    inside = {}
    for name, value in known.items():
        contains = block.model.params[name].contains
        inside[name] = contains(value) if name in block.shared else jax.vmap(contains)(value)
    width = len(block.abilities)
    free = block.model.starting(jnp.full(block.categories, 1 / block.categories), width)
    items = len(block.items)
    params = {
        name: value if name in block.shared else jnp.broadcast_to(value, (items, *jnp.shape(value)))
        for name, value in free.items()
    }
    ability = jnp.broadcast_to(jnp.linspace(-6.0, 6.0, 25)[:, None], (25, 1 + max(block.abilities)))
    table = block.log_probabilities({**params, **known}, ability)
    return inside, jnp.any(jnp.isfinite(table[:, 0]), axis=0)
