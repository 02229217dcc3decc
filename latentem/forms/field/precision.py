"""The precision of a whitened field given the records, C = s D'Z'WZ D + blockdiag(I kron K^-1) with D =
blockdiag(Lambda kron
I): where its entries lie, how it is put together at new parameters, what its inverse says on its own pattern."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from latentem.forms.field.design import Effect, Gram
from latentem.forms.field.factor import Factor
from latentem.forms.field.ordering import best
from latentem.forms.field.symbolic import Symbolic


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the entries of C lie. u is laid out effect by effect, coordinate by coordinate, level by level.

    Args:
        effects: the random effects.
        offsets: first entry of each effect in u, and the length of u last.
        symbolic: the analysis of the pattern of C.
        priors: of each effect (m, r, r): where entries ((b, row), (c, column)) of the m entries of its K^-1 lie.
        pairs: (i, j) -> (m, ri, rj): the same of the pairs of levels of a Gram matrix.
    """

    effects: tuple[Effect, ...]
    offsets: np.ndarray
    symbolic: Symbolic
    priors: tuple[np.ndarray, ...]
    pairs: dict[tuple[int, int], np.ndarray]

    @property
    def size(self) -> int:
        """Entries of u."""
        return int(self.offsets[-1])

    @cached_property
    def base(self) -> Float[np.ndarray, " S"]:
        """The prior's share of C."""
        values = np.zeros(self.symbolic.storage)
        for effect, place in zip(self.effects, self.priors, strict=True):
            for a in range(effect.r):
                values[place[:, a, a]] = effect.bound.values
        return values

    @cached_property
    def log_determinant(self) -> float:
        """log det of the prior precision."""
        return -sum(effect.r * effect.bound.log_determinant for effect in self.effects)

    def split(self, u: Float[np.ndarray, "N ..."]) -> list[np.ndarray]:
        """u by effect: (r, q, ...) each."""
        ends = zip(self.effects, self.offsets[:-1], self.offsets[1:], strict=True)
        return [u[low:high].reshape(e.r, e.bound.size, *u.shape[1:]) for e, low, high in ends]

    def join(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """The inverse of `split`."""
        return np.concatenate([part.reshape(-1, *part.shape[2:]) for part in parts])

    def factor(self, grams: dict[tuple[int, int], Gram], roots: Sequence[np.ndarray], scale: float) -> Factor:
        """The factor of C.

        Args:
            grams: Z_i'W Z_j.
            roots: Lambda of each effect, (r, r) lower triangular.
            scale: s, one over the residual variance.
        """
        values = self.base.copy()
        for (i, j), gram in grams.items():
            place = self.pairs[i, j]
            if gram.blocks.shape[1:] == (1, 1):
                values[place[:, 0, 0]] += (scale * roots[i][0, 0] * roots[j][0, 0]) * gram.blocks[:, 0, 0]
                continue
            blocks = scale * (roots[i].T @ gram.blocks @ roots[j])
            for b in range(blocks.shape[1]):
                for c in range(b + 1 if i == j else blocks.shape[2]):
                    values[place[:, b, c]] += blocks[:, b, c]
        return Factor(self.symbolic, values)

    def multiply(self, gram: Gram, v: Float[np.ndarray, "rj q k"], size: int, transposed: bool = False) -> Any:
        """Z_i'W Z_j v of shape (ri, size, k), or of the other way round."""
        into, out_of = (gram.columns, gram.rows) if transposed else (gram.rows, gram.columns)
        blocks = gram.blocks.transpose(0, 2, 1) if transposed else gram.blocks
        found = np.empty((blocks.shape[1], size, v.shape[2]))
        for a in range(blocks.shape[1]):
            for k in range(v.shape[2]):
                change = sum(blocks[:, a, c] * v[c, out_of, k] for c in range(blocks.shape[2]))
                found[a, :, k] = np.bincount(into, change, size)
        return found

    def gram_times(self, grams: dict[tuple[int, int], Gram], parts: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Z'WZ v, by effect; v by effect, (r, q, k) each."""
        out = [np.zeros((e.r, e.bound.size, parts[0].shape[2])) for e in self.effects]
        for (i, j), gram in grams.items():
            out[i] += self.multiply(gram, parts[j], self.effects[i].bound.size)
            if i != j:
                out[j] += self.multiply(gram, parts[i], self.effects[j].bound.size, transposed=True)
        return out


def layout(effects: Sequence[Effect], grams: dict[tuple[int, int], Gram]) -> Layout:
    """Analyse the pattern of C once.

    Args:
        effects: the random effects.
        grams: their Gram matrices, of which only the pattern is used.
    """
    offsets = np.concatenate([[0], np.cumsum([effect.size for effect in effects])])

    def at(i: int, coordinate: int, level: np.ndarray) -> np.ndarray:
        return offsets[i] + coordinate * effects[i].bound.size + level

    def every(i: int, rows: np.ndarray, j: int, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shape = (len(rows), effects[i].r, effects[j].r)
        r = np.stack([at(i, b, rows) for b in range(shape[1])], axis=1)
        c = np.stack([at(j, b, columns) for b in range(shape[2])], axis=1)
        return np.broadcast_to(r[:, :, None], shape), np.broadcast_to(c[:, None, :], shape)

    priors = [every(i, e.bound.rows, i, e.bound.columns) for i, e in enumerate(effects)]
    pairs = {(i, j): every(i, g.rows, j, g.columns) for (i, j), g in grams.items()}
    whole = [*priors, *(pair for (i, j), pair in pairs.items() if i != j)]
    rows, columns = (np.concatenate([pair[k].ravel() for pair in whole]) for k in (0, 1))
    diagonal_blocks = [
        (int(offsets[i]), int(offsets[i + 1])) for i, e in enumerate(effects) if e.bound.independent and e.r == 1
    ]
    symbolic = best(int(offsets[-1]), rows, columns, diagonal_blocks)
    return Layout(
        tuple(effects),
        offsets,
        symbolic,
        tuple(symbolic.entries(*pair) for pair in priors),
        {key: symbolic.entries(*pair) for key, pair in pairs.items()},
    )
