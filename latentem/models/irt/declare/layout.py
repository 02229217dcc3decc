"""Which items lie side by side: blocks of one model, one number of categories and one loading pattern."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import latentem as lem
from latentem.models.irt.declare.common import with_equal, with_shared
from latentem.models.irt.declare.fixed import known_params, short
from latentem.models.irt.declared import Declared
from latentem.models.irt.estep.blocks import Block
from latentem.models.irt.items import ItemModel
from latentem.models.irt.items.known import KNOWN, Known


def model_name(model: Any) -> str:
    """What an item model is called."""
    return model.name if isinstance(model, ItemModel) else str(model)


def equal_sets(name: str, value: Any) -> tuple[tuple[str, ...], ...]:
    """The sets of items with a param in common, hashable; one list of items is one set.

    Raises:
        ValueError: for an item in two sets.
    """
    whole = [value] if value and all(isinstance(item, str) for item in value) else value
    found = tuple(tuple(items) for items in whole)
    flat = [item for items in found for item in items]
    if len(set(flat)) < len(flat):
        twice = next(item for item in flat if flat.count(item) > 1)
        raise ValueError(f"equal names item {twice!r} twice for {name!r}: put all items that are equal in one list")
    return found


def mask(irt: Declared) -> np.ndarray:
    """(J, D) booleans: the abilities of each item.

    Raises:
        ValueError: loadings of another shape, an item without ability, more abilities than a grid takes.
    """
    names = irt.seen.names
    j = len(names)
    if irt.dimensions is not None:
        found = np.arange(irt.dimensions) <= np.arange(j)[:, None]
        if j <= irt.dimensions:
            raise ValueError(f"dimensions={irt.dimensions}: expected more items than that, got {j}")
    elif irt.specific is not None:
        if len(irt.specific) != j:
            raise ValueError(f"specific names the abilities of {len(irt.specific)} items: expected {j}, None for none")
        labels = list(dict.fromkeys(label for label in irt.specific if label is not None))
        own = [[label == mine for label in labels] for mine in irt.specific]
        return np.concatenate([np.ones((j, 1), bool), np.array(own, bool).reshape(j, len(labels))], axis=1)
    elif irt.loadings is None:
        return np.ones((j, 1), bool)
    else:
        found = np.asarray(irt.loadings, dtype=bool)
    if found.ndim != 2 or len(found) != j:
        raise ValueError(f"loadings have shape {found.shape}: expected ({j}, D), a row for each item")
    if found.shape[1] > 3 and irt.quadrature != "sobol":
        raise ValueError(f"{found.shape[1]} abilities: a product grid takes 3; use quadrature='sobol' for more")
    if not found.any(axis=0).all():
        raise ValueError(
            f"no item loads on ability {int(np.argmin(found.any(axis=0))) + 1}: drop its column of loadings"
        )
    if not found.any(axis=1).all():
        raise ValueError(f"item {names[int(np.argmin(found.any(axis=1)))]!r} loads on no ability")
    return found


@dataclass(frozen=True)
class _Kind:
    """What items of one block have in common.

    Args:
        model: of the items.
        categories: C.
        pattern: of D booleans, the abilities they load on.
        known: names of params that are given item by item.
        free: their params differ between groups all the same.
    """

    model: Any
    categories: int
    pattern: tuple[bool, ...]
    known: tuple[str, ...] = ()
    free: bool = False


def blocks(irt: Declared) -> tuple[Block, ...]:
    """Items of one model, one number of categories, one loading pattern, known or not, side by side.

    Raises:
        ValueError: for items or params that are not there, or do not go together.
    """
    names, categories = irt.seen.names, irt.seen.categories
    chosen = dict(irt.model) if isinstance(irt.model, tuple) else dict.fromkeys(names, irt.model)
    absent = [name for name in names if name not in chosen]
    if absent:
        raise ValueError(f"model names no item model for item {absent[0]!r}")
    held = {name: value for name, value in irt.fixed.items() if isinstance(value, Mapping)}
    equal = {name: equal_sets(name, value) for name, value in irt.equal.items()}
    told = {
        "model": chosen,
        "fixed": held,
        "free_items": irt.groups.free_items,
        "equal": [item for found in equal.values() for one in found for item in one],
    }
    for name in names:
        if name in irt.fixed and name not in held:
            raise ValueError(
                f"fixed[{name!r}] = {short(irt.fixed[name])}: expected a dict by name of a param of the item"
            )
    for argument, items in told.items():
        unknown = [item for item in items if item not in names]
        if unknown:
            raise ValueError(f"{argument} names item {unknown[0]!r}: expected one of {', '.join(names)}")
    kinds: dict[_Kind, list[int]] = {}
    for j, name in enumerate(names):
        free = name in irt.groups.free_items and len(irt.seen.groups) > 1
        pattern = tuple(bool(p) for p in irt.mask[j])
        known = tuple(sorted(held.get(name, {})))
        kinds.setdefault(_Kind(chosen[name], len(categories[j]), pattern, known, free), []).append(j)
    made = tuple(_block(irt, kind, _label(kind, list(kinds)), items) for kind, items in kinds.items())
    model_of = dict(zip((block.name for block in made), (kind.model for kind in kinds), strict=True))
    made = with_shared(made, model_of)
    return with_equal(made, irt.seen.names, equal)


def _label(kind: _Kind, every: Sequence[_Kind]) -> str:
    """The name of a model, and what sets its block apart from others of the model."""
    label = model_name(kind.model)
    if [model_name(k.model) for k in every].count(label) == 1:
        return label
    same = [k for k in every if k.model == kind.model]
    parts = [f"{kind.categories} categories"] if len({k.categories for k in same}) > 1 else []
    if len({k.pattern for k in same}) > 1:
        parts.append("ability " + " and ".join(str(d + 1) for d in np.flatnonzero(kind.pattern)))
    parts += ["known " + ", ".join(kind.known)] if kind.known else []
    parts += ["by group"] if kind.free else []
    return f"{label} ({', '.join(parts)})" if parts else label


def _block(irt: Declared, kind: _Kind, label: str, items: list[int]) -> Block:
    names = irt.seen.names
    first, dimensions = names[items[0]], sum(kind.pattern)
    row = Known(lambda c, d: kind.model) if isinstance(kind.model, ItemModel) else KNOWN[kind.model]
    if row.binary and kind.categories != 2:
        values = ", ".join(map(str, irt.seen.categories[items[0]]))
        raise ValueError(
            f"item {first!r} has {kind.categories} categories ({values}): item model {kind.model!r} takes 2; use "
            "'graded', 'gpcm' or 'nominal'"
        )
    model = row.make(kind.categories, dimensions)
    if isinstance(kind.model, ItemModel) and model.categories != kind.categories:
        raise ValueError(
            f"item {first!r} has {kind.categories} categories, item model {model.name!r} {model.categories}: expected "
            "the same number"
        )
    params = dict(model.params)
    shared = frozenset(name for name in (*row.shared, *irt.shared) if name in params)
    block = Block(
        label,
        model,
        tuple(items),
        kind.categories,
        abilities=tuple(int(d) for d in np.flatnonzero(kind.pattern)),
        shared=shared,
    )
    alike = [name for name, value in irt.fixed.items() if not isinstance(value, Mapping)]
    for name in [*kind.known, *alike, *irt.shared, *irt.prior, *irt.equal]:
        if name not in params and (name in kind.known or not _elsewhere(irt, name)):
            raise ValueError(f"item params are {', '.join(params)}: {name!r} is not among them")
    known = known_params(irt, block, [names[j] for j in items], kind.known)
    if row.unit_slope and "slope" not in known:
        known["slope"] = np.ones(params["slope"].shape if "slope" in shared else (len(items), *params["slope"].shape))
    fixed = {name: lem.fixed(value) for name, value in sorted(known.items())}
    if kind.free and shared - fixed.keys():
        raise ValueError(
            f"free_items names item {first!r}, which shares {min(shared)!r} with others: expected an item model "
            "without common params"
        )
    several = len(irt.seen.groups) > 1
    own = irt.groups.of_their_own(params.keys() - fixed.keys(), kind.free) if several else frozenset[str]()
    prior = {**dict(model.prior or {}), **irt.prior}
    return replace(
        block,
        groups=max(1, len(irt.seen.groups)),
        own=own,
        fixed=tuple(fixed.items()),
        prior=tuple((name, p) for name, p in sorted(prior.items()) if name in params),
    )


def _elsewhere(irt: Declared, name: str) -> bool:
    """Whether another of several item models has this param."""
    models = [m if isinstance(m, ItemModel) else KNOWN[m].make(3, 1) for m in irt.models]
    return any(name in dict(m.params) for m in models)
