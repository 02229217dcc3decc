"""Items that a group was never given: where groups have item params of their own, nothing says what theirs are."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool

from latentem.models.irt.declared import Declared


def never(irt: Declared, rows: Any) -> Bool[np.ndarray, "G J"]:
    """Which items no person of a group has answered."""
    answers = np.asarray(rows["answers"])
    if irt.seen.complete or "group" not in rows:
        return np.zeros((max(1, len(irt.seen.groups)), answers.shape[1]), bool)
    group = np.asarray(rows["group"])
    return np.stack([~np.any(answers[group == g] >= 0, axis=0) for g in range(len(irt.seen.groups))])


def uncounted(irt: Declared, rows: Any) -> int:
    """Free params of such items in such groups, but for those that items have in common."""
    gone, total = never(irt, rows), 0
    for block in irt.blocks:
        common = block.shared | dict(block.equal).keys() | dict(block.links).keys()
        each = sum(c.size for name, c in dict(block.model.params).items() if name in block.own - common)
        total += each * int(gone[:, list(block.items)].sum())
    return total
