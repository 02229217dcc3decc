"""Sequences on lanes: laid end to end, cut into pieces of one length that the recursions go through side by side."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from latentem.data.sequences import Sequences


class Rows(NamedTuple):
    """Steps on B lanes of S stretches of L steps, (S, L, ..., B); one sequence may end and another begin inside a lane.

    The axis of the stretches is not written below; a stretch is what is gone through without anything being kept.

    Args:
        y: (L, p, B), readings, 0 where there is none.
        there: (L, p, B), whether there is a reading.
        at: (L, l, B), covariates of the readings.
        here: (L, k, B), covariates of the move into each step.
        into: (L, k, B), covariates of the move into the step after it.
        begins, ends: (L, B), whether a sequence begins, or ends, with the step.
        sequence: (L, B), number of the sequence; N in the padding behind the last one.
        pattern: (L, B), which of the distinct sets of readings a step has; only where noise is correlated.
    """

    y: Float[Array, "L p B"]
    there: Bool[Array, "L p B"]
    at: Float[Array, "L l B"]
    here: Float[Array, "L k B"]
    into: Float[Array, "L k B"]
    begins: Bool[Array, "L B"]
    ends: Bool[Array, "L B"]
    sequence: Int[Array, "L B"]
    pattern: Int[Array, "L B"]


#: Up to so many numbers, smoothing keeps what filtering found of all steps; beyond, of one stretch of so many.
KEPT, OF_A_STRETCH = 4_000_000, 500_000


def lanes_for(total: int) -> int:
    """How many lanes `total` steps are cut into: so that a step of all lanes costs about what starting it does."""
    return 1 if total < 48 else int(np.clip(8 * round(np.sqrt(total) / 16), 4, 1024))


def lay_out(
    sequences: Sequences, dim: int, before: bool, dtype: str, lanes: int | None = None
) -> tuple[Rows, Bool[np.ndarray, "M p"]]:
    """(rows, which readings each of the M distinct sets has).

    Args:
        sequences: steps are a dict: "y" (T, p), NaN where missing; "u" (T, k) and "v" (T, l), covariates of moves and
            readings, where there are any.
        dim: of the state; what a step keeps grows with it.
        before: put a step without readings before each sequence, for its first state.
        dtype: of the numbers.
        lanes: how many; by the number of steps when left out.
    """
    y = np.asarray(sequences.steps["y"], np.float64)
    total = len(y)
    here, at = (np.asarray(sequences.steps.get(name, np.zeros((total, 0))), np.float64) for name in "uv")
    lengths = sequences.lengths
    if before:
        y = np.insert(y, sequences.starts, np.nan, axis=0)
        here, at = (np.insert(a, sequences.starts, 0.0, axis=0) for a in (here, at))
        lengths = lengths + 1
    total = len(y)
    lanes = lanes or lanes_for(total)
    numbers = total * (3 * dim**2 + 3 * dim)
    stretches = 1 if numbers <= KEPT else -(-numbers // OF_A_STRETCH)
    steps = stretches * -(-total // (lanes * stretches))
    spare = lanes * steps - total
    begins = np.zeros(lanes * steps, bool)
    begins[np.concatenate([[0], np.cumsum(lengths)])[: len(lengths) + (spare > 0)]] = True
    sequence = np.concatenate([np.repeat(np.arange(len(lengths)), lengths), np.full(spare, len(lengths))])
    y, here, at = (np.pad(a, ((0, spare), (0, 0)), constant_values=c) for a, c in ((y, np.nan), (here, 0), (at, 0)))
    there = ~np.isnan(y)
    sets, pattern = np.unique(there, axis=0, return_inverse=True)

    def cut(a: np.ndarray, of: Any) -> Any:
        apart = a.reshape(lanes, stretches, steps // stretches, *a.shape[1:])
        return np.ascontiguousarray(np.moveaxis(apart, 0, -1), of)

    rows = Rows(
        cut(np.where(there, y, 0.0), dtype),
        cut(there, bool),
        cut(at, dtype),
        cut(here, dtype),
        cut(np.roll(here, -1, axis=0), dtype),
        cut(begins, bool),
        cut(np.append(begins[1:], True), bool),
        cut(sequence, np.int32),
        cut(pattern.reshape(-1), np.int32),
    )
    return rows, sets


def of_steps(values: Any, n: int) -> np.ndarray:
    """Values on lanes (S, L, ..., B), as (T, ...) of the first `n` steps."""
    flat = np.moveaxis(np.asarray(values), -1, 0)
    return flat.reshape(-1, *flat.shape[3:])[:n]
