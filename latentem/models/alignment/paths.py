"""The most probable path of the HMM alignment."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from latentem.models.alignment.chain import Group, alive


def most_probable_path(
    group: Group,
    emission: Float[np.ndarray, "B M l"],
    from_null: Float[np.ndarray, "B M"],
    jump: np.ndarray,
    null: float,
) -> Int[np.ndarray, "B M"]:
    """The source position of every target word on the most probable path, -1 for NULL (Viterbi 1967).

    Args:
        group: B sentences of up to M target words.
        emission: (B, M, l) probabilities of the target words from every position.
        from_null: (B, M) from NULL.
        jump: (l, l) probabilities from row to column.
        null: share of NULL.
    """
    with np.errstate(divide="ignore"):
        e, e0, step, keep, move = (np.log(a) for a in (emission, from_null, jump, null, 1 - null))
    b, m, length = emission.shape
    first = -np.log(length)
    back = np.zeros((b, m, length), np.int64)
    is_null = np.zeros((b, m, length), bool)
    best = np.zeros((b, length))
    for j, n in alive(group):
        if j:
            ways = best[:n, :, None] + step
            back[:n, j] = ways.argmax(axis=1)
            moved, stayed = ways.max(axis=1), best[:n]
        else:
            moved = stayed = np.full((n, length), first)
        at, none = move + moved + e[:n, j], keep + stayed + e0[:n, j, None]
        is_null[:n, j] = none > at
        best[:n] = np.maximum(at, none)
    path = np.full((b, m), -1)
    for row in range(b):
        i = int(best[row].argmax())
        for j in range(int(group.targets[row]) - 1, -1, -1):
            if not is_null[row, j, i]:
                path[row, j] = i
                i = int(back[row, j, i])
    return path
