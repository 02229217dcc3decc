"""Sequences of different lengths: many series, each a Markov chain of its own, as one value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from latentem.data import door
from latentem.data.door import Data
from latentem.data.tables import columns_of, is_table
from latentem.data.trees import labelled_leaves


@dataclass(frozen=True, eq=False)
class Sequences:
    """N sequences of observations, end to end.

    Args:
        steps: pytree of arrays with one leading axis over all T steps of all sequences.
        lengths: (N,) steps of each sequence, at least 1.
        labels: (T,) known latent states, -1 where the state is not known; None where none is.
        observed: (T,) whether anything is known of a step; None where that holds for all.
        single: the user gave one sequence as a plain array, so answers come back as plain arrays.
    """

    steps: Any
    lengths: Int[np.ndarray, " N"]
    labels: Int[np.ndarray, " T"] | None = None
    observed: Bool[np.ndarray, " T"] | None = None
    single: bool = False

    @property
    def n(self) -> int:
        """Number of sequences N."""
        return len(self.lengths)

    @property
    def total(self) -> int:
        """Number of steps T of all sequences."""
        return int(self.lengths.sum())

    @property
    def starts(self) -> Int[np.ndarray, " N"]:
        """Where in the steps each sequence begins."""
        return np.concatenate([[0], np.cumsum(self.lengths)[:-1]])

    @property
    def begins(self) -> Bool[np.ndarray, " T"]:
        """Whether a sequence begins at a step."""
        found = np.zeros(self.total, bool)
        found[self.starts] = True
        return found

    @property
    def known(self) -> tuple[np.ndarray, ...]:
        """(known states (T,), whether a sequence begins (T,)), or nothing where no state is known."""
        if self.labels is None or not (self.labels >= 0).any():
            return ()
        return self.labels, self.begins

    def read(self, weights: Any) -> Data:
        """The checked data: one observation is one sequence."""
        whole = self.without_gaps()
        checked = door.read(whole.steps)
        own = door.read(self.lengths, weights).weights
        return Data(replace(whole, steps=checked.observations), own, self.lengths)

    def without_gaps(self) -> Sequences:
        """The same with each step that is missing as a whole replaced by one that is not, and marked in `observed`."""
        if self.observed is not None:
            return self
        leaves = [np.asarray(a) for a in jax.tree.leaves(self.steps)]
        if not all(door.has_nan(a) for a in leaves):
            return self
        missing = np.ones(self.total, bool)
        for a in leaves:
            missing &= np.isnan(a).reshape(len(a), -1).all(axis=1)
        if not missing.any():
            return self
        if missing.all():
            raise ValueError("every step of every sequence is missing: expected at least one observation")
        told = ~missing if self.labels is None else ~missing | (self.labels >= 0)
        silent = np.flatnonzero(~np.logical_or.reduceat(told, self.starts))
        if len(silent):
            raise ValueError(f"every step of sequence {silent[0]} is missing: leave it out")
        stand_in = int(np.argmin(missing))

        def filled(a: Any) -> np.ndarray:
            a = np.asarray(a)
            return np.where(missing.reshape((-1,) + (1,) * (a.ndim - 1)), a[stand_in], a)

        return replace(self, steps=jax.tree.map(filled, self.steps), observed=~missing)

    def take(self, index: np.ndarray) -> Sequences:
        """The sequences at these places, in this order."""
        begins, lengths = self.starts.tolist(), self.lengths.tolist()
        places = np.concatenate([np.arange(begins[i], begins[i] + lengths[i]) for i in index])
        return Sequences(
            jax.tree.map(lambda a: np.asarray(a)[places], self.steps),
            self.lengths[index],
            None if self.labels is None else self.labels[places],
            None if self.observed is None else self.observed[places],
        )

    def of_steps(self, weights: Float[np.ndarray, " N"]) -> tuple[Any, Float[np.ndarray, " T"]]:
        """(steps, the weight of the sequence that each step belongs to)."""
        each = np.repeat(np.asarray(weights, dtype=np.float64), self.lengths)
        return self.steps, each if self.observed is None else np.where(self.observed, each, 0.0)

    def split(self, values: Any) -> Any:
        """Values of all steps (T, ...) as a list of one array per sequence, or as one array for a single sequence."""
        return values if self.single else np.split(values, np.cumsum(self.lengths)[:-1])


jax.tree_util.register_pytree_node(
    Sequences,
    lambda s: ((s.steps,), (s.lengths, s.labels, s.observed, s.single)),
    lambda aux, children: Sequences(children[0], *aux),
)


def sequences(
    observations: Any, *, lengths: Any = None, sequence: Any = None, columns: Any = None, labels: Any = None
) -> Sequences:
    """Sequences for a chain model.

    Args:
        observations: a list of arrays, one for each sequence, each with a leading axis over its steps (or a list of
            dicts of such arrays); or all steps end to end as one array, dict or table, with `lengths` or `sequence`.
        lengths: (N,) steps of each sequence, adding up to the number of rows.
        sequence: which sequence each row belongs to: the name of a column of a table or dict, or an array; the rows of
            a sequence follow one another.
        columns: of a table or dict: the names to keep, in this order.
        labels: known states: an array over all rows, or a list of arrays; -1 (or NaN) where the state is not known.

    Raises:
        ValueError: lengths that do not add up, an empty sequence, rows of one sequence apart, labels or columns of
            another length.
        TypeError: steps that are neither numbers nor sequences of numbers.

    >>> series = lem.sequences([[1.0, 2.0, 3.0], [4.0]])
    >>> series.lengths
    array([3, 1])
    """
    if isinstance(observations, Sequences):
        return observations
    if lengths is not None and sequence is not None:
        raise ValueError("lengths and sequence both say where sequences end: pass one of them")
    if isinstance(observations, list | tuple) and lengths is None and sequence is None and _nested(observations):
        parts = [door.arrays(part if not isinstance(part, list) else np.asarray(part)) for part in observations]
        sizes = [_rows(part, f" of sequence {i}") for i, part in enumerate(parts)]
        for i, size in enumerate(sizes):
            if size == 0:
                raise ValueError(f"sequence {i} is empty: expected at least one step; leave it out")
        shapes = {tuple(a.shape[1:] for a in jax.tree.leaves(part)) for part in parts}
        if len(shapes) > 1:
            raise ValueError(f"sequences differ in what a step is ({sorted(map(str, shapes))}): expected one shape")
        steps = jax.tree.map(lambda *a: np.concatenate([np.asarray(b) for b in a]), *parts)
        return _labelled(Sequences(steps, np.array(sizes)), labels)
    steps = _columns(observations, sequence if isinstance(sequence, str) else None, columns)
    rows = _rows(steps)
    if rows == 0:
        raise ValueError("observations are empty: expected at least one step")
    if isinstance(sequence, str):
        named = columns_of(observations, "observations") if is_table(observations) else dict(observations)
        if sequence not in named:
            raise ValueError(f"no column is called {sequence!r}: choose from {', '.join(map(str, named))}")
        sequence = named[sequence]
    if sequence is not None:
        sizes, single = _runs(np.asarray(sequence), rows), False
    elif lengths is not None:
        sizes, single = _checked(np.asarray(lengths), rows), False
    else:
        sizes, single = np.array([rows]), True
    return _labelled(Sequences(steps, sizes, single=single), labels)


def _nested(observations: Any) -> bool:
    """Whether a list holds sequences, rather than the numbers of one."""
    return len(observations) > 0 and all(isinstance(part, dict) or np.ndim(part) >= 1 for part in observations)


def _rows(steps: Any, where: str = "") -> int:
    """The steps that all columns have."""
    sizes = {name: len(leaf) for name, leaf in labelled_leaves(steps)}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name} has {size}" for name, size in sizes.items())
        raise ValueError(f"columns{where} differ in length ({told}): expected one entry of each for every step")
    return next(iter(sizes.values()))


def _columns(observations: Any, drop: str | None, columns: Sequence[str] | None) -> Any:
    table = columns_of(observations, "observations") if is_table(observations) else observations
    if isinstance(table, list | tuple):
        try:
            table = np.asarray(table)
        except ValueError:
            told = "numbers and sequences, or sequences and lengths="
            raise TypeError(f"observations mix {told}: expected a list of sequences, or steps end to end") from None
    if not isinstance(table, dict):
        return door.arrays(table)
    names = [n for n in table if n != drop] if columns is None else list(columns)
    for name in names:
        if name not in table:
            raise ValueError(f"no column is called {name!r}: choose from {', '.join(map(str, table))}")
    kept = door.arrays({name: table[name] for name in names})
    leaves = labelled_leaves(kept)
    return leaves[0][1] if columns is not None and len(leaves) == 1 else kept


def _checked(lengths: np.ndarray, rows: int) -> np.ndarray:
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or (lengths < 1).any():
        raise ValueError(f"lengths = {lengths.tolist()}: expected a list of whole numbers of at least 1")
    if lengths.sum() != rows:
        raise ValueError(f"lengths add up to {lengths.sum()}: expected {rows}, the number of rows")
    return lengths.astype(np.int64)


def _runs(identity: np.ndarray, rows: int) -> np.ndarray:
    if identity.shape != (rows,):
        raise ValueError(f"sequence has shape {identity.shape}: expected ({rows},), one entry for each row")
    begins = np.flatnonzero(np.concatenate([[True], identity[1:] != identity[:-1]]))
    names = identity[begins]
    if len(set(names.tolist())) < len(names):
        seen: set[Any] = set()
        twice = next(name for name in names.tolist() if name in seen or seen.add(name))
        raise ValueError(f"the rows of sequence {twice!r} are not together: sort the rows by sequence, then by time")
    return np.diff(np.concatenate([begins, [rows]]))


def _labelled(sequences: Sequences, labels: Any) -> Sequences:
    if labels is None:
        return sequences
    nested = isinstance(labels, list | tuple) and len(labels) > 0 and np.ndim(labels[0]) == 1
    if nested and len(labels) == sequences.n:
        for i, (part, length) in enumerate(zip(labels, sequences.lengths, strict=True)):
            if len(part) != length:
                raise ValueError(f"labels of sequence {i} have length {len(part)}: expected {length}")
    flat = np.concatenate([np.asarray(part) for part in labels]) if nested else np.asarray(labels)
    if flat.shape != (sequences.total,):
        raise ValueError(f"labels have shape {flat.shape}: expected ({sequences.total},), one for each step")
    states = np.where(np.isnan(flat), -1, flat) if flat.dtype.kind == "f" else flat
    if states.dtype.kind not in "iuf" or (states != np.floor(states)).any() or (states < -1).any():
        raise ValueError("labels: expected states 0, 1, ... and -1 where the state is not known")
    return replace(sequences, labels=states.astype(np.int32))
