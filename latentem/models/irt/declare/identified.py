"""Whether answers to so few items can determine the params of a model."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from latentem.models.irt.declared import Declared


def refuse_too_few_items(model: Any, rows: Any) -> None:
    """Raise where a model has more free params than the answers have proportions to determine them: their patterns less
    one, in each group, or for each set of covariates. Params with a prior do not count, nor does a histogram.

    Args:
        model: what the declaration made of the data.
        rows: the data as it wants them.

    Raises:
        ValueError: such as for a 2PL of fewer than three items, or a Rasch model of one.
    """
    irt: Declared = model.declaration
    most = irt.ability.groups * (prod(len(categories) for categories in irt.seen.categories) - 1)
    if model.space.size > most and irt.covariates:
        most *= len(np.unique(rows["covariates"], axis=0))
    if model.space.size <= most:
        return
    free = [] if irt.histogram else [c.size for c in irt.constraints().get("ability", {}).values()]
    for block in irt.blocks:
        free += [c.size for name, c in block.constraints().items() if name not in dict(block.prior)]
    if sum(free) > most:
        items = len(irt.seen.names)
        raise ValueError(
            f"the answers to {items} {'item' if items == 1 else 'items'} determine at most {most} params, the "
            f"proportions of their patterns: this model has {sum(free)} free; add items, or hold params by fixed=, "
            "shared= or prior="
        )
