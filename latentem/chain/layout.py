"""Laying sequences out: lanes in groups, stretches and blocks, so that what a recursion works on stays in cache."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from latentem import data as door
from latentem.chain.lanes import pack
from latentem.sequences import Sequences

#: Cells (steps x states) that are worked on at a time, so that their intermediate results stay in cache: lanes are
#: taken in groups of at least NARROWEST; where such a group is still longer than LONGEST cells, it is walked in
#: stretches, forward and back, and only what passes from one to the next is kept.
CELLS, LONGEST, NARROWEST = 1 << 16, 1 << 18, 16
#: A few long lanes of few states are cut into blocks of about BLOCK steps that are worked on side by side: what each
#: does to the distribution before it is a small matrix, and these are put together first.
BLOCK, FEW_LANES, FEW_STATES, BLOCK_CELLS = 256, 8, 8, 1 << 18


def blocks_for(lengths: Int[np.ndarray, " N"], states: int) -> int:
    """Blocks that each lane is cut into: several where lanes are few and long, and states are few."""
    height, width = pack(lengths).index.shape
    few = width <= FEW_LANES and states <= FEW_STATES and height > 16 * BLOCK
    return -(-height // BLOCK) if few else 1


def lay_out(sequences: Sequences, states: int, blocks: int, dtype: str) -> dict[str, Any]:
    """Sequences on lanes, on the device: arrays with leading axes (groups, stretches, steps, lanes).

    Args:
        sequences: without gaps.
        states: K.
        blocks: parts that each lane is cut into.
        dtype: of what is observed.
    """
    lanes = pack(sequences.lengths)
    height, width = lanes.index.shape
    n = sequences.n
    step, lane = np.divmod(lanes.place, width)
    enough = CELLS
    if blocks > 1:
        height = -(-height // blocks)
        block, step = np.divmod(step, height)
        lane, width, enough = block * width + lane, width * blocks, BLOCK_CELLS
    narrow = min(width, max(NARROWEST, enough // (height * states)))
    groups = -(-width // narrow)
    narrow = -(-width // groups)
    cells = height * narrow * states
    stretches = 1 if cells <= max(LONGEST, enough) or blocks > 1 else min(height, -(-cells // CELLS))
    length = -(-height // stretches)

    def lay(values: np.ndarray, padding: Any) -> np.ndarray:
        values = np.asarray(values)
        laid = np.full((stretches * length, groups * narrow, *values.shape[1:]), padding, values.dtype)
        laid[step, lane] = values
        shaped = laid.reshape(stretches, length, groups, narrow, *values.shape[1:])
        return np.ascontiguousarray(np.moveaxis(shaped, 2, 0))

    steps, observed = sequences.steps, sequences.observed
    rows: dict[str, Any] = {
        "x": jax.tree.map(lambda a: jnp.asarray(lay(a, _like(a))), door.cast(steps, dtype)),
        "start": jnp.asarray(lay(_starts(sequences), True)),
        "sequence": jnp.asarray(lay(np.repeat(np.arange(n, dtype=np.int32), sequences.lengths), n)),
    }
    if observed is not None:
        rows["observed"] = jnp.asarray(lay(observed, True))
    if sequences.labels is not None:
        rows["label"] = jnp.asarray(lay(sequences.labels, -1))
    return rows


def joined(a: Float[Any, "G P L B *rest"], blocks: int) -> Float[Any, "T lanes *rest"]:
    """Groups, stretches and blocks put together: steps by lanes."""
    groups, stretches, length, narrow = a.shape[:4]
    rest = a.shape[4:]
    flat = jnp.moveaxis(a, 0, 2).reshape(stretches * length, groups * narrow, *rest)
    if blocks == 1 or groups * narrow < blocks:
        return flat
    lanes = groups * narrow // blocks
    used = flat[:, : lanes * blocks].reshape(length, blocks, lanes, *rest)
    return jnp.moveaxis(used, 1, 0).reshape(blocks * length, lanes, *rest)


def _like(a: Any) -> Any:
    """What padding is made of: an observation, so that no density fails on it."""
    return np.asarray(a)[0]


def _starts(sequences: Sequences) -> np.ndarray:
    start = np.zeros(sequences.total, bool)
    start[sequences.starts] = True
    return start
