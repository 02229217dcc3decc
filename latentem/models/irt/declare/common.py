"""Item params that items have in common, within a block and over blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from latentem.constraints import Linked
from latentem.models.irt.estep.blocks import Block


def with_shared(blocks: Sequence[Block], model_of: Mapping[str, Any]) -> tuple[Block, ...]:
    """Blocks of one model with the params that all of its items share: those of the first block, borrowed by others.

    Args:
        blocks: of the items.
        model_of: {block: the item model that was named}.

    Raises:
        ValueError: items that share a param which is not the same thing to both.
    """
    first: dict[tuple[Any, str], Block] = {}
    found = []
    for block in blocks:
        links = list(block.links)
        for name in sorted(block.shared - dict(block.fixed).keys()):
            key = (model_of[block.name], name)
            if key not in first:
                first[key] = block
                continue
            source = first[key]
            if not _alike(source, block, name):
                raise ValueError(
                    f"{name!r} is common to all items of {_model(model_of[block.name])!r}: those of {source.name!r} "
                    f"and {block.name!r} differ in categories or abilities; expected items of one kind, or other models"
                )
            links.append((name, Linked(_one(block, name), (-1,), ((0, f"{source.name}.{name}", -1),), single=True)))
        found.append(replace(block, links=tuple(links)))
    return tuple(found)


def with_equal(
    blocks: Sequence[Block], names: Sequence[str], equal: Mapping[str, Sequence[Sequence[str]]]
) -> tuple[Block, ...]:
    """Blocks with the params that some items have in common, whatever their blocks.

    Args:
        blocks: of the items.
        names: of the items.
        equal: {param: sets of items that have it in common}.

    Raises:
        ValueError: items whose params are not the same thing, or are fixed or common to all already.
    """
    place = {names[j]: (block, at) for block in blocks for at, j in enumerate(block.items)}
    which: dict[tuple[str, str], list[int]] = {}
    sources: dict[tuple[str, str], list[tuple[int, str, int]]] = {}
    for param, sets in sorted(equal.items()):
        for items in sets:
            first, at = place[items[0]]
            for item in items:
                block, mine = place[item]
                if param not in dict(block.model.params) or not _alike(first, block, param):
                    raise ValueError(
                        f"equal: {param!r} of items {items[0]!r} and {item!r} is not the same thing: they differ in "
                        "model, categories, abilities or groups; expected items of one kind"
                    )
                if param in dict(block.fixed) or param in block.shared:
                    raise ValueError(
                        f"equal: {param!r} of item {item!r} is fixed, or common to all items: leave it out"
                    )
                numbers = which.setdefault((block.name, param), list(range(len(block.items))))
                if block is first:
                    numbers[mine] = at
                else:
                    sources.setdefault((block.name, param), []).append((mine, f"{first.name}.{param}", at))
    found = []
    for block in blocks:
        own = {param: numbers for (name, param), numbers in which.items() if name == block.name}
        links, same = list(block.links), []
        for param, numbers in own.items():
            borrowed = sources.get((block.name, param), [])
            gone = {mine for mine, _, _ in borrowed}
            left = sorted({n for at, n in enumerate(numbers) if at not in gone})
            number = tuple(-1 if at in gone else left.index(n) for at, n in enumerate(numbers))
            if gone:
                links.append((param, Linked(_one(block, param), number, tuple(borrowed))))
            elif number != tuple(range(len(number))):
                same.append((param, number))
        found.append(replace(block, links=tuple(links), equal=tuple(same)))
    return tuple(found)


def _alike(a: Block, b: Block, name: str) -> bool:
    """Whether a param is the same thing to the items of two blocks."""
    kinds = [(dict(block.model.params).get(name), name in block.own, block.groups) for block in (a, b)]
    return kinds[0] == kinds[1]


def _one(block: Block, name: str) -> Any:
    """The constraint of one item's param, over groups where they differ."""
    constraint = dict(block.model.params)[name]
    return constraint.batched(block.groups) if name in block.own else constraint


def _model(model: Any) -> str:
    return getattr(model, "name", str(model))
