"""Lanes: sequences of any lengths packed end to end into a rectangle, steps by lanes, with almost no padding.

A recursion runs along all lanes at once and begins anew where a sequence begins. One program serves any mix of lengths.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

#: Lanes beyond which sequences follow one another in a lane rather than lying side by side.
MOST_LANES = 256


class Lanes(NamedTuple):
    """Where each step lies.

    Args:
        index: (L, B) the step that lies there, T for padding.
        sequence: (L, B) the sequence it belongs to, N for padding.
        start: (L, B) whether a sequence begins there; True for padding.
        place: (T,) position of each step in the raveled (L, B).
    """

    index: Int[np.ndarray, "L B"]
    sequence: Int[np.ndarray, "L B"]
    start: Bool[np.ndarray, "L B"]
    place: Int[np.ndarray, " T"]


def pack(lengths: Int[np.ndarray, " N"], most: int = MOST_LANES) -> Lanes:
    """Pack sequences into lanes, the longest first, each into the first lane with room for it.

    Args:
        lengths: (N,) steps of each sequence.
        most: lanes that are enough to keep a vector unit busy.
    """
    lengths = np.asarray(lengths)
    n, total = len(lengths), int(lengths.sum())
    longest = int(lengths.max())
    room = max(longest, -(-total // most))
    order = np.argsort(-lengths, kind="stable")
    lane, offset = np.zeros(n, np.int64), np.zeros(n, np.int64)
    filled: list[int] = []
    if longest == int(lengths.min()):
        per_lane = room // longest
        lane, offset = np.arange(n) // per_lane, (np.arange(n) % per_lane) * longest
    else:
        for i in order.tolist():
            size = int(lengths[i])
            at = next((b for b, used in enumerate(filled) if used + size <= room), len(filled))
            if at == len(filled):
                filled.append(0)
            lane[i], offset[i] = at, filled[at]
            filled[at] += size
    width = int(lane.max()) + 1
    height = int((offset + lengths).max())
    of_step = np.repeat(np.arange(n), lengths)
    within = np.arange(total) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    place = (offset[of_step] + within) * width + lane[of_step]
    index = np.full(height * width, total, np.int32)
    sequence = np.full(height * width, n, np.int32)
    start = np.ones(height * width, bool)
    index[place] = np.arange(total)
    sequence[place] = of_step
    start[place] = within == 0
    shape = (height, width)
    return Lanes(index.reshape(shape), sequence.reshape(shape), start.reshape(shape), place)
