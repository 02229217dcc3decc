"""Sequences of different lengths: many series, each a Markov chain of its own, as one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from latentem.data import door
from latentem.data.door import Data
from latentem.data.layout import is_tabular, names_of
from latentem.data.tables import Labels, column, named_columns
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
        names: of the columns that a plain array of steps came from.
        levels: (name, labels in order) of each column of labels, whose steps are their codes.
        sequence: the column that said which sequence a row belongs to.
        source: the table, dict or list of them that the steps came from; None for arrays.
    """

    steps: Any
    lengths: Int[np.ndarray, " N"]
    labels: Int[np.ndarray, " T"] | None = None
    observed: Bool[np.ndarray, " T"] | None = None
    single: bool = False
    names: tuple[Any, ...] = ()
    levels: tuple[tuple[Any, tuple[Any, ...]], ...] = ()
    sequence: Any = None
    source: Any = None

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

    def columns(self) -> Any:
        """Steps as columns by name where they have names, labels as labels; else as they are."""
        levels = dict(self.levels)
        if isinstance(self.steps, dict):
            return {name: _labels(a, levels.get(name)) for name, a in self.steps.items()}
        if len(self.names) == 1:
            return {self.names[0]: _labels(self.steps, levels.get(self.names[0]))}
        return _labels(self.steps, levels.get(None))

    def read(self, weights: Any) -> Data:
        """The checked data: one observation is one sequence."""
        whole = self.without_gaps()
        checked = door.read(whole.steps)
        own = door.read(self.lengths, weights).weights
        return Data(replace(whole, steps=checked.observations), own, self.lengths)

    def without_gaps(self, new: bool = False) -> Sequences:
        """The same with each step that is missing as a whole replaced by one that is not, and marked in `observed`.

        Raises:
            ValueError: nothing is known of a sequence, unless the data are `new`.
        """
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
        if missing.all() and not new:
            raise ValueError("every step of every sequence is missing: expected at least one observation")
        told = ~missing if self.labels is None else ~missing | (self.labels >= 0)
        silent = np.flatnonzero(~np.logical_or.reduceat(told, self.starts))
        if len(silent) and not new:
            raise ValueError(f"every step of sequence {silent[0]} is missing: leave it out")
        stand_in = int(np.argmin(missing))

        def filled(a: Any) -> np.ndarray:
            a = np.asarray(a)
            return np.where(missing.reshape((-1,) + (1,) * (a.ndim - 1)), 1.0 if missing.all() else a[stand_in], a)

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
    lambda s: ((s.steps,), (s.lengths, s.labels, s.observed, s.single, s.names, s.levels, s.sequence)),
    lambda aux, children: Sequences(children[0], *aux),
)


def _labels(array: Any, levels: tuple[Any, ...] | None) -> Any:
    return array if levels is None else Labels(np.asarray(array, np.float64), levels)


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
        labels: known states: an array over all rows, a list of arrays, or the name of a column; -1 (or NaN) where the
            state is not known.

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
        return _labelled(replace(_of_list(observations, columns), source=observations), labels)
    by_name = isinstance(sequence, str)
    if by_name or columns is not None or isinstance(labels, str):
        _refuse_unknown(observations, [sequence] if by_name else [], columns, labels)
    known = [labels] if isinstance(labels, str) else []
    steps, levels, names = _columns(observations, [sequence, *known] if by_name else known, columns)
    rows = _rows(steps)
    if rows == 0:
        raise ValueError("observations are empty: expected at least one step")
    name = sequence if by_name else None
    if by_name:
        sequence = _entries(named_columns(observations, only=[name])[name])
    if known:
        labels = np.asarray(named_columns(observations, only=known)[labels])
    if sequence is not None:
        sizes, single = _runs(_entries(column("sequence", sequence)), rows), False
    elif lengths is not None:
        sizes, single = _checked(np.asarray(lengths), rows), False
    else:
        sizes, single = np.array([rows]), True
    source = observations if is_tabular(observations) else None
    found = Sequences(steps, sizes, single=single, names=names, levels=levels, sequence=name, source=source)
    return _labelled(found, labels)


def _of_list(observations: Any, columns: Any) -> Sequences:
    """Sequences from a list of arrays, dicts or tables, one for each."""
    found = [_columns(part, [], columns) for part in observations]
    parts = [steps for steps, _, _ in found]
    sizes = [_rows(part, f" of sequence {i}") for i, part in enumerate(parts)]
    for i, size in enumerate(sizes):
        if size == 0:
            raise ValueError(f"sequence {i} is empty: expected at least one step; leave it out")
    shapes = {tuple(a.shape[1:] for a in jax.tree.leaves(part)) for part in parts}
    if len(shapes) > 1:
        raise ValueError(f"sequences differ in what a step is ({sorted(map(str, shapes))}): expected one shape")
    merged = {name: () for _, levels, _ in found for name, _ in levels}
    for name in merged:
        merged[name] = tuple(dict.fromkeys(level for _, levels, _ in found for level in dict(levels)[name]))
    for i, (steps, levels, _) in enumerate(found):
        for name, own in levels:
            place = np.array([*(merged[name].index(level) for level in own), np.nan])
            codes = np.asarray(steps if name is None or not isinstance(steps, dict) else steps[name])
            coded = place[np.where(np.isnan(codes), len(own), codes).astype(int)]
            parts[i] = {**parts[i], name: coded} if isinstance(steps, dict) else coded
    steps = jax.tree.map(lambda *a: np.concatenate([np.asarray(b) for b in a]), *parts)
    return Sequences(steps, np.array(sizes), names=found[0][2], levels=tuple(merged.items()))


def _refuse_unknown(observations: Any, beside: list[Any], columns: Any, labels: Any) -> None:
    """Raise where a column that is asked for is not there."""
    wanted = [*beside, *([] if columns is None else columns), *([labels] if isinstance(labels, str) else [])]
    if not is_tabular(observations):
        raise ValueError(f"no column is called {wanted[0]!r}: expected observations as a table or dict of columns")
    there = names_of(observations)
    for name in wanted:
        if name not in there:
            raise ValueError(f"no column is called {name!r}: choose from {', '.join(map(str, there))}")


def _entries(found: Any) -> np.ndarray:
    return found.values if isinstance(found, Labels) else np.asarray(found)


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


def _columns(observations: Any, drop: list[Any], columns: Sequence[str] | None) -> tuple[Any, Any, tuple[Any, ...]]:
    """(steps, labels of columns by name, names of the columns of a plain array)."""
    if isinstance(observations, list | tuple) and drop == [] and columns is None:
        try:
            np.asarray(observations)
        except ValueError:
            told = "numbers and sequences, or sequences and lengths="
            raise TypeError(f"observations mix {told}: expected a list of sequences, or steps end to end") from None
    if not is_tabular(observations):
        found = column("observations", observations)
        if isinstance(found, Labels):
            return found.codes, ((None, found.levels),), ()
        return door.arrays(found), (), ()
    names: list[Any] = [n for n in names_of(observations) if n not in drop] if columns is None else list(columns)
    if isinstance(observations, Mapping) and any(isinstance(observations[n], Mapping | tuple) for n in names):
        return door.arrays({name: observations[name] for name in names}), (), ()
    found = named_columns(observations, only=names)
    table = {name: found[name] for name in names}
    levels = tuple((name, a.levels) for name, a in table.items() if isinstance(a, Labels))
    kept = door.arrays({name: a.codes if isinstance(a, Labels) else a for name, a in table.items()})
    if columns is not None and len(names) == 1:
        return kept[names[0]], levels, tuple(names)
    return kept, levels, ()


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
