"""Pedigrees: the inverse of the numerator relationship matrix, inbreeding included, from who descends from whom.

References:
    Henderson, C. R. (1976). A simple method for computing the inverse of a numerator relationship matrix used in
    prediction of breeding values. Biometrics 32, 69-83; Quaas, R. L. (1976), Biometrics 32, 949-953 (inbreeding).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from latentem.forms.field.levels import codes_of, text_of
from latentem.forms.field.structures import Bound, Structure, refuse_unknown

#: How pedigrees write a parent that is not known.
UNKNOWN = ("", "0", "NA", "nan", "None", ".")


@dataclass(frozen=True, eq=False, repr=False)
class Pedigree(Structure):
    """Individuals and their parents; a founder's parents are -1.

    Args:
        names: of the individuals.
        sire, dam: index of each one's parents.
        generation: 0 of founders, else one more than that of the younger parent.
    """

    names: np.ndarray
    sire: Int[np.ndarray, " q"]
    dam: Int[np.ndarray, " q"]
    generation: Int[np.ndarray, " q"]

    @cached_property
    def inbreeding(self) -> Float[np.ndarray, " q"]:
        """Probability that both genes of a place are of one origin: half the relationship of the parents."""
        return _inbreeding(self.sire, self.dam, self.generation)

    def __repr__(self) -> str:
        return f"Pedigree({len(self.names)} individuals, {int(self.generation.max()) + 1} generations)"

    @property
    def mendelian(self) -> Float[np.ndarray, " q"]:
        """Variance of what an individual does not owe to its parents, in units of the base population's."""
        return _mendelian(self.sire, self.dam, self.inbreeding)

    def bind(self, seen: Any, name: str) -> Bound:
        rows, columns, values = self.inverse()
        q, d = len(self.names), self.mendelian
        bound = Bound(
            self.names,
            rows,
            columns,
            values,
            float(np.log(d).sum()),
            1 + self.inbreeding,
            lambda v: self._descend(d[:, None] * self._ascend(v) if np.ndim(v) == 2 else d * self._ascend(v)),
            lambda new: codes_of(new, self.names),
            lambda generator, k: self._descend(np.sqrt(d)[:, None] * generator.normal(size=(q, k))),
            independent=bool(np.all((self.sire < 0) & (self.dam < 0))),
        )
        refuse_unknown(bound, seen, name, "the pedigree")
        return bound

    def inverse(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(rows, columns, values) of A^-1, the lower triangle, each entry once; cancelled entries are left out."""
        q, own = len(self.names), np.arange(len(self.names))
        weight = 1 / self.mendelian
        parts = [(own, own, weight)]
        known = [(p, np.flatnonzero(p >= 0)) for p in (self.sire, self.dam)]
        for parent, has in known:
            parts.append((own[has], parent[has], -0.5 * weight[has]))
            parts.append((parent[has], parent[has], 0.25 * weight[has]))
        both = np.flatnonzero((self.sire >= 0) & (self.dam >= 0))
        same = np.where(self.sire[both] == self.dam[both], 2.0, 1.0)  # selfing: the product falls on the diagonal
        parts.append((self.sire[both], self.dam[both], 0.25 * same * weight[both]))
        i, j, v = (np.concatenate([part[k] for part in parts]) for k in range(3))
        low = sp.coo_matrix((v, (np.maximum(i, j), np.minimum(i, j))), shape=(q, q)).tocsr()
        low.data[np.abs(low.data) < 1e-12] = 0.0
        low.eliminate_zeros()
        low = low.tocoo()
        return low.row.astype(np.int64), low.col.astype(np.int64), low.data

    def matrix(self) -> Float[np.ndarray, "q q"]:
        """The numerator relationship matrix A, dense: for pedigrees of some thousands."""
        return self._descend(self.mendelian[:, None] * self._ascend(np.eye(len(self.names))))

    def _descend(self, v: np.ndarray) -> np.ndarray:
        """(I - P)^-1 v: every individual gets half of what each parent has."""
        v = np.array(v, dtype=np.float64)
        for g in range(1, int(self.generation.max(initial=0)) + 1):
            at = np.flatnonzero(self.generation == g)
            for parent in (self.sire[at], self.dam[at]):
                has = parent >= 0
                v[at[has]] += 0.5 * v[parent[has]]
        return v

    def _ascend(self, v: np.ndarray) -> np.ndarray:
        """(I - P)^-T v: every parent gets half of what each child has."""
        v = np.array(v, dtype=np.float64)
        for g in range(int(self.generation.max(initial=0)), 0, -1):
            at = np.flatnonzero(self.generation == g)
            for parent in (self.sire[at], self.dam[at]):
                has = parent >= 0
                np.add.at(v, parent[has], 0.5 * v[at[has]])
        return v


def read_pedigree(identity: Any, sire: Any, dam: Any, birth: Any = None) -> Pedigree:
    """The pedigree of these individuals.

    Args:
        identity, sire, dam: (q,) names (text or whole numbers); a parent that is not known is None, NaN, "", "NA", 0 or
            ".". Parents without a line of their own are founders.
        birth: (q,) when each was born, numbers, checked against the parents' where it is given.

    Raises:
        ValueError: lengths differ, someone is listed twice or without a name, descends from itself, or is older than a
            parent.
    """
    names, sires, dams = text_of(identity), text_of(sire), text_of(dam)
    if not len(names) == len(sires) == len(dams):
        raise ValueError(
            f"pedigree: {len(names)} individuals, {len(sires)} sires, {len(dams)} dams: expected one of each"
        )
    if not len(names):
        raise ValueError("pedigree: no individuals: expected at least one")
    if np.any(names == ""):
        raise ValueError(f"pedigree: the individual on row {int(np.argmax(names == ''))} has no name: give it one")
    listed, counts = np.unique(names, return_counts=True)
    if np.any(counts > 1):
        raise ValueError(
            f"pedigree: {str(listed[np.argmax(counts > 1)])!r} is listed twice: expected one line for each"
        )
    unknown = [text for text in UNKNOWN if text not in listed]
    parents = np.concatenate([sires, dams])
    parents = np.unique(parents[~np.isin(parents, unknown)])
    founders = parents[~np.isin(parents, listed)]
    whole = np.concatenate([founders, names])
    none = np.full(len(founders), -1)
    s, d = (np.concatenate([none, np.where(np.isin(p, unknown), -1, codes_of(p, whole))]) for p in (sires, dams))
    generation = _generations(whole, s, d)
    if birth is not None:
        _check_births(whole, s, d, np.concatenate([np.full(len(founders), -np.inf), np.asarray(birth, float)]))
    return Pedigree(whole, s, d, generation)


def _generations(names: np.ndarray, sire: np.ndarray, dam: np.ndarray) -> np.ndarray:
    generation, left, g = np.full(len(names), -1), np.arange(len(names)), 0
    while len(left):
        s, d = sire[left], dam[left]
        ready = ((s < 0) | (generation[s] >= 0)) & ((d < 0) | (generation[d] >= 0))
        if not ready.any():
            raise ValueError(
                f"pedigree: {_in_loop(left[0], left, names, sire, dam)} descends from itself: remove the loop"
            )
        generation[left[ready]] = g
        left, g = left[~ready], g + 1
    return generation


def _in_loop(start: int, left: np.ndarray, names: np.ndarray, sire: np.ndarray, dam: np.ndarray) -> str:
    stuck, seen, at = set(left.tolist()), [], int(start)
    while at not in seen:
        seen.append(at)
        at = int(sire[at]) if int(sire[at]) in stuck else int(dam[at])
    return repr(str(names[at]))


def _check_births(names: np.ndarray, sire: np.ndarray, dam: np.ndarray, birth: np.ndarray) -> None:
    for parent, word in ((sire, "sire"), (dam, "dam")):
        wrong = np.flatnonzero((parent >= 0) & (birth[parent] >= birth))
        if len(wrong):
            child = wrong[0]
            told = (
                f"pedigree: {str(names[parent[child]])!r}, {word} of {str(names[child])!r}, is younger than its child"
            )
            raise ValueError(f"{told}: born {birth[parent[child]]:g} and {birth[child]:g}; correct one of them")


def _mendelian(sire: np.ndarray, dam: np.ndarray, inbreeding: np.ndarray) -> np.ndarray:
    d = np.ones(len(sire))
    for parent in (sire, dam):
        has = parent >= 0
        d[has] -= 0.25 * (1 + inbreeding[parent[has]])
    return d


def _inbreeding(sire: np.ndarray, dam: np.ndarray, generation: np.ndarray) -> np.ndarray:
    """Half the relationship of the parents, generation by generation; only the lines of parents are kept."""
    q = len(sire)
    f, d = np.zeros(q), np.ones(q)
    is_parent = np.zeros(q, dtype=bool)
    is_parent[np.concatenate([sire[sire >= 0], dam[dam >= 0]])] = True
    row = np.full(q, -1)
    lines: Any = sp.csr_matrix((0, q))
    for g in range(int(generation.max(initial=0)) + 1):
        at = np.flatnonzero(generation == g)
        s, m = sire[at], dam[at]
        both = np.flatnonzero((s >= 0) & (m >= 0))
        if len(both):
            pairs, back = np.unique(np.stack([s[both], m[both]]), axis=1, return_inverse=True)
            common = lines[row[pairs[0]]].multiply(lines[row[pairs[1]]])
            f[at[both]] = 0.5 * np.asarray(common @ d).ravel()[np.ravel(back)]
        d[at] = _mendelian(s, m, f)
        keep = at[is_parent[at]]
        if len(keep):
            new: Any = sp.csr_matrix((np.ones(len(keep)), (np.arange(len(keep)), keep)), shape=(len(keep), q))
            for parent in (sire[keep], dam[keep]):
                has = np.flatnonzero(parent >= 0)
                pick = sp.csr_matrix(
                    (np.full(len(has), 0.5), (has, row[parent[has]])), shape=(len(keep), lines.shape[0])
                )
                new = new + pick @ lines
            row[keep] = lines.shape[0] + np.arange(len(keep))
            lines = sp.vstack([lines, new], format="csr")
    return f
