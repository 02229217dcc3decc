"""Lanes: sequences of any lengths packed end to end into a rectangle, steps by lanes, with almost no padding.

A recursion runs along all lanes at once and begins anew where a sequence begins. One program serves any mix of lengths.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

#: Lanes beyond which sequences follow one another in a lane rather than lying side by side.
MOST_LANES = 256


class Lanes(NamedTuple):
    """Where each sequence lies; steps by lanes.

    Args:
        lane: (N,) the lane of each sequence.
        offset: (N,) the step of its lane that it begins at.
        height, width: steps of a lane, lanes.
    """

    lane: Int[np.ndarray, " N"]
    offset: Int[np.ndarray, " N"]
    height: int
    width: int

    def places(self, lengths: Int[np.ndarray, " N"]) -> tuple[Int[np.ndarray, " T"], Int[np.ndarray, " T"]]:
        """(step of its lane, lane) of every step of all sequences."""
        within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return within + np.repeat(self.offset, lengths), np.repeat(self.lane, lengths)


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
    return Lanes(lane, offset, int((offset + lengths).max()), int(lane.max()) + 1)
