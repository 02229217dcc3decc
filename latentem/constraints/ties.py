"""Constraint on stochastic matrices some of whose entries are given and some of which are equal to one another."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from latentem.constraints.base import EDGE, Constraint, Index, Shape, as_float, tiny, tolerance


class Split(NamedTuple):
    """A probability that is split into parts, each of which is the same in all entries of a row that have it.

    Args:
        whole: what is split: a number, or (number of an earlier Split, number of its part).
        parts: flat indices of the entries of each part.
        times: how many entries of a row share each part; 0 for a part that another Split splits further.
    """

    whole: Any
    parts: tuple[np.ndarray, ...]
    times: tuple[int, ...]


@dataclass(frozen=True)
class Tied(Constraint):
    """Rows of probabilities with given and equal entries; see `tied`.

    Rows that have equal entries between them first split what is not given into these entries and a rest, all in the
    same way; then each row splits its rest.
    """

    given: tuple[tuple[float | None, ...], ...]
    groups: tuple[tuple[int, ...], ...]

    @property
    def shape(self) -> Shape:
        return (len(self.given), len(self.given[0]))

    @cached_property
    def held(self) -> np.ndarray:
        """Given values, NaN where an entry is free."""
        return np.array([[np.nan if a is None else a for a in row] for row in self.given])

    @cached_property
    def splits(self) -> tuple[Split, ...]:
        """How the rows come about."""
        group, width = np.array(self.groups), self.shape[1]
        rows_of = {g: set(np.argwhere(group == g)[:, 0].tolist()) for g in np.unique(group[group >= 0]).tolist()}
        found: list[Split] = []
        left = {row for row in range(len(group)) if (group[row] >= 0).any()}
        while left:
            together = {min(left)}
            while (more := set().union(together, *(r for r in rows_of.values() if r & together))) != together:
                together = more
            left -= together
            common = [g for g, rows in rows_of.items() if len(rows) > 1 and rows <= together]
            where = {g: np.flatnonzero(group == g).astype(np.int32) for g in rows_of}  # of one type under any x64
            first = min(together)
            own = {row: [g for g, rows in rows_of.items() if rows == {row} and g not in common] for row in together}
            self._check(together, common, own)
            whole = 1.0 - float(np.nansum(self.held[first]))
            parts = [where[g] for g in common]
            times = [int((group[first] == g).sum()) for g in common]
            if common and own[first]:
                parts.append(np.concatenate([where[g] for row in sorted(together) for g in own[row]]))
                times.append(0)
            if common:
                found.append(Split(whole, tuple(parts), tuple(times)))
            above = (len(found) - 1, len(common)) if common else whole
            for row in sorted(together) if own[first] else ():
                sizes = tuple(len(where[g]) for g in own[row])
                found.append(Split(above, tuple(where[g] for g in own[row]), sizes))
        assert all((split.parts[0] < len(group) * width).all() for split in found)
        return tuple(found)

    def _check(self, together: set[int], common: list[int], own: dict[int, list[int]]) -> None:
        """Rows with equal entries between them have the same number of each, and as much left for the others."""
        group, first = np.array(self.groups), min(together)
        for row in sorted(together):
            same = all((group[row] == g).sum() == (group[first] == g).sum() for g in common)
            level = abs(np.nansum(self.held[row]) - np.nansum(self.held[first])) < 1e-12
            if not (same and level and bool(own[row]) == bool(own[first])):
                told = f"rows {first} and {row} of the transition matrix have tied entries between them"
                raise ValueError(
                    f"{told}: expected each tied entry as often in both, the same sum of fixed entries, and other free "
                    "entries in both or in neither"
                )

    @property
    def size(self) -> int:
        return sum(len(split.parts) - 1 for split in self.splits)

    @property
    def kind(self) -> str:
        return "rows of probabilities with fixed or tied entries,"

    @property
    def free_indices(self) -> tuple[Index, ...]:
        flat = [int(part[0]) for split in self.splits for part in split.parts[:-1]]
        return tuple((i // self.shape[1], i % self.shape[1]) for i in flat)

    def constrain(self, u: ArrayLike) -> Float[Array, "K M"]:
        u, begin, shares = as_float(u), 0, []
        for split in self.splits:
            end = begin + len(split.parts) - 1
            shares.append(jax.nn.softmax(jnp.concatenate([u[begin:end], jnp.zeros(1, u.dtype)])))
            begin = end
        return self._filled(shares, u.dtype)

    def _filled(self, shares: list[Array], dtype: Any) -> Float[Array, "K M"]:
        value = jnp.asarray(np.nan_to_num(self.held).ravel(), dtype)
        for split, share in zip(self.splits, shares, strict=True):
            whole = split.whole
            if isinstance(whole, tuple):
                whole = self.splits[whole[0]].whole * shares[whole[0]][whole[1]]
            for k, (part, times) in enumerate(zip(split.parts, split.times, strict=True)):
                if times:
                    value = value.at[part].set(whole * share[k] / times)
        return value.reshape(self.shape)

    def _sums(self, matrix: Float[Array, "K M"]) -> list[Array]:
        flat = matrix.ravel()
        return [jnp.stack([jnp.sum(flat[part]) for part in split.parts]) for split in self.splits]

    def estimate(self, counts: Float[Array, "K M"], old: Float[Array, "K M"]) -> Float[Array, "K M"]:
        """The matrix under which expected counts of transitions are most probable; `old` where there are none."""
        shares = []
        for own, before in zip(self._sums(counts), self._sums(old), strict=True):
            used = jnp.where(jnp.sum(own) > 0, own, before)
            shares.append(used / jnp.sum(used))
        return self._filled(shares, counts.dtype)

    def unconstrain(self, value: ArrayLike) -> Float[Array, " n"]:
        v = as_float(value)
        logs = [jnp.log(jnp.maximum(own, tiny(v.dtype))) for own in self._sums(v)]
        return jnp.concatenate([jnp.zeros(0, v.dtype), *(own[:-1] - own[-1] for own in logs)])

    def contains(self, value: ArrayLike) -> Bool[Array, ""]:
        v = as_float(value)
        near = tolerance(v.dtype)
        given = jnp.asarray(np.nan_to_num(self.held), v.dtype)
        right = jnp.all(jnp.where(np.isnan(self.held), True, jnp.abs(v - given) <= near))
        equal = jnp.max(jnp.abs(self.constrain(self.unconstrain(v)) - v)) <= near
        return right & equal & jnp.all(v >= 0) & jnp.all(jnp.abs(jnp.sum(v, axis=-1) - 1.0) <= near)

    def boundary(self, value: ArrayLike) -> Bool[Array, "K M"]:
        v, free = as_float(value), np.zeros(self.shape, bool)
        for split in self.splits:
            for part in split.parts if len(split.parts) > 1 else ():
                free.ravel()[part] = True
        return jnp.asarray(free) & ((v < EDGE) | (1.0 - v < EDGE))

    def log_det_jacobian(self, u: ArrayLike) -> Float[Array, ""]:
        u = as_float(u)
        if not self.size:
            return jnp.zeros((), u.dtype)
        where = tuple(np.array(self.free_indices).T)
        return jnp.linalg.slogdet(jax.jacfwd(lambda v: self.constrain(v)[where])(u))[1]


def tied(given: Any, groups: Any = ()) -> Tied:
    """Transition matrices with entries that are given and entries that are equal.

    Args:
        given: (K, K), NaN where an entry is free.
        groups: lists of entries (row, column) that are equal to one another.

    Raises:
        ValueError: entries outside the matrix, in two groups, or fixed; fixed entries that leave nothing or too much;
            rows with equal entries between them that leave different amounts to their other entries.

    >>> both = tied(np.full((2, 2), np.nan), [[(0, 0), (1, 1)]])
    >>> [[round(float(p), 3) for p in row] for row in both.constrain(np.array([np.log(3.0)]))]
    [[0.75, 0.25], [0.25, 0.75]]
    """
    held = np.array(given, np.float64)
    k, m = held.shape
    group = np.where(np.isnan(held), np.arange(k * m).reshape(k, m), -1)
    seen: set[tuple[int, int]] = set()
    for entries in groups:
        pairs = [tuple(int(i) for i in entry) for entry in entries]
        for entry in pairs:
            if len(entry) != 2 or not (0 <= entry[0] < k and 0 <= entry[1] < m):
                raise ValueError(f"tied entry {entry}: expected (row, column) inside a matrix of shape {held.shape}")
            if entry in seen or not np.isnan(held[entry]):
                raise ValueError(f"tied entry {entry} is fixed, impossible or tied twice: expected a free entry")
            seen.add(entry)
            group[entry] = group[pairs[0]]
    for row in range(k):
        total, free = float(np.nansum(held[row])), bool((group[row] >= 0).any())
        if (held[row] < 0).any() or (total >= 1.0 - 1e-12 if free else abs(total - 1.0) > 1e-9):
            expected = "less than 1, with something left for the free entries" if free else "1"
            raise ValueError(f"row {row} of the fixed transition adds up to {total:g}: expected {expected}")
    found = Tied(
        tuple(tuple(None if np.isnan(a) else float(a) for a in row) for row in held),
        tuple(tuple(int(g) for g in row) for row in group),
    )
    found.splits  # noqa: B018  complains here, not in the middle of a fit
    return found
