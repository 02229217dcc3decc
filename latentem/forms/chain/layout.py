"""Laying sequences out: lanes in groups, stretches and blocks, so that what a recursion works on stays in cache."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from latentem.data import door
from latentem.data.sequences import Sequences
from latentem.forms.chain.lanes import Lanes, pack

#: Cells (steps x states) that are worked on at a time, so that their intermediate results stay in cache: lanes are
#: taken in groups of at least NARROWEST; where such a group is still longer than LONGEST cells, it is walked in
#: stretches, forward and back, and only what passes from one to the next is kept.
CELLS, LONGEST, NARROWEST = 1 << 16, 1 << 18, 16
#: A few long lanes of few states are cut into blocks of about BLOCK steps that are worked on side by side: what each
#: does to the distribution before it is a small matrix, and these are put together first.
BLOCK, FEW_LANES, FEW_STATES, BLOCK_CELLS = 256, 8, 8, 1 << 14
#: Sequences of so many steps on average are copied to their lanes in one piece each: no index of every step is made.
LONG_PIECES = 64


def blocks_for(lengths: Int[np.ndarray, " N"], states: int) -> int:
    """Blocks that each lane is cut into: several where lanes are few and long, and states are few."""
    lanes = pack(lengths)
    height, width = lanes.height, lanes.width
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
    lanes, lengths = pack(sequences.lengths), sequences.lengths
    height, width, enough = lanes.height, lanes.width, CELLS
    if blocks > 1:
        height, width, enough = -(-height // blocks), width * blocks, BLOCK_CELLS
    narrow = min(width, max(NARROWEST, enough // (height * states)))
    groups = -(-width // narrow)
    narrow = -(-width // groups)
    cells = height * narrow * states
    stretches = 1 if cells <= max(LONGEST, enough) or blocks > 1 else min(height, -(-cells // CELLS))
    length = -(-height // stretches)
    shape, pieces = (groups, stretches * length, narrow), _pieces(lanes, lengths, height, blocks)

    def lay(values: Any, padding: Any, of_steps: bool = True) -> Array:
        """On the lanes: values of steps, or of sequences, whose complement marks their first step."""
        values = np.asarray(values)
        rest = values.shape[1:]
        laid = _aligned((*shape, *rest), _kept(values, dtype))
        laid[...] = padding
        if pieces is None:
            step, lane = lanes.places(lengths)
            if blocks > 1:
                block, step = np.divmod(step, height)
                lane = block * lanes.width + lane
            laid[lane // narrow, step, lane % narrow] = values if of_steps else np.repeat(values, lengths)
            first = () if of_steps else (lane[starts] // narrow, step[starts], lane[starts] % narrow)
        else:  # no array of the length of the data is made but the one returned
            for p in pieces:
                part = values[p.source : p.source + p.size] if of_steps else values[p.sequence]
                laid[p.lane // narrow, p.step : p.step + p.size, p.lane % narrow] = part
            at = [(p.lane // narrow, p.step, p.lane % narrow) for p in pieces if p.source == starts[p.sequence]]
            first = tuple(np.array(at).T)
        if not of_steps:
            laid[first] = ~laid[first]
        return jax.device_put(laid.reshape(groups, stretches, length, narrow, *rest))

    steps, observed, n, starts = sequences.steps, sequences.observed, sequences.n, sequences.starts
    # The smallest integers that count the sequences and stand for padding.
    which = np.arange(n, dtype=np.min_scalar_type(-n - 1))
    rows: dict[str, Any] = {
        # Padding is an observation, so that no density fails on it.
        "x": jax.tree.map(lambda a: lay(a, np.asarray(a)[0]), steps),
        "sequence": lay(which, ~n, of_steps=False),
    }
    if observed is not None:
        rows["observed"] = lay(observed, True)
    if sequences.labels is not None:
        rows["label"] = lay(sequences.labels, -1)
    return rows


def _aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array that begins where a vector unit likes it: on the CPU JAX then takes it as it is, without a copy."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, np.uint8)
    begin = -memory.ctypes.data % 64
    return memory[begin : begin + size].view(dtype).reshape(shape)


class Piece(NamedTuple):
    """Steps of one sequence that stay together: the first of them in the data, the step and the lane it goes to, how
    many they are."""

    source: int
    step: int
    lane: int
    size: int
    sequence: int


def _pieces(lanes: Lanes, lengths: Int[np.ndarray, " N"], height: int, blocks: int) -> list[Piece] | None:
    """Parts that stay on one lane; None where they would be many for their length, so that steps are better placed one
    by one.

    Args:
        lanes: of the sequences.
        lengths: (N,).
        height: of a block.
        blocks: that each lane is cut into.
    """
    if len(lengths) * LONG_PIECES > int(lengths.sum()):
        return None
    found = []
    begins = np.cumsum(lengths) - lengths
    each = zip(begins.tolist(), lanes.offset.tolist(), lanes.lane.tolist(), lengths.tolist(), strict=True)
    for sequence, (begin, offset, lane, size) in enumerate(each):
        done = 0
        while done < size:
            block, step = divmod(offset + done, height) if blocks > 1 else (0, offset)
            part = min(size - done, height - step)
            found.append(Piece(begin + done, step, block * lanes.width + lane, part, sequence))
            done += part
    return found


def begins(sequence: Int[Any, "*n"]) -> Bool[Any, "*n"]:
    """Whether a sequence begins at each step, of the numbers of the sequences as they are laid out."""
    return sequence < 0


def owner(sequence: Int[Any, "*n"]) -> Int[Any, "*n"]:
    """The sequence that each step belongs to, of the numbers as they are laid out; N of padding."""
    return jnp.where(sequence < 0, ~sequence, sequence)


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


def _kept(values: np.ndarray, dtype: str) -> Any:
    """The dtype that values are laid out in: `dtype` where they are real, after a look at whether they go into it."""
    if not jnp.issubdtype(values.dtype, np.floating):
        return values.dtype
    # Unlike nanmin and nanmax they say nothing of a column without any number.
    extremes = [f.reduce(values, axis=None) for f in (np.fmin, np.fmax)]
    door.cast(np.array(extremes), dtype)
    return dtype
