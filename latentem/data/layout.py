"""How observations lie: what a fit learned from its data about columns and labels, by which new data are read."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from latentem.data import door
from latentem.data.tables import Labels, column, is_structured, is_table, named_columns
from latentem.data.trees import labelled_leaves

Levels = tuple[Any, ...]
#: What a column's labels may be: None where it holds numbers, () where any labels will do.
LevelsOf = Callable[[Any], Levels | None]


class Axis(NamedTuple):
    """One axis of a parameter.

    Args:
        kind: what it runs over: "component", "state", "to" (a state that is moved to), "item", "column", "category",
            "term", ...
        labels: what its entries are called; None for 0, 1, ...
    """

    kind: str
    labels: tuple[Any, ...] | None = None


@dataclass(frozen=True)
class Layout:
    """Columns and labels of observations.

    Args:
        kind: "matrix" (one array; columns of a table side by side), "columns" (a dict of columns that the model names)
            or "tree" (arrays in dicts and tuples, as the user gave them).
        names: of the columns, in order; () where the data had none.
        levels: (name, labels in order) of each column that holds labels; of the name None for a plain array.
        shapes: of a tree, what one row of each array is.
        sequence: the column that says which sequence a row belongs to, where there is one.
    """

    kind: str = "matrix"
    names: tuple[Any, ...] = ()
    levels: tuple[tuple[Any, Levels], ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ()
    sequence: Any = None

    def levels_of(self, name: Any) -> Levels | None:
        """Labels of a column, None where it holds numbers."""
        return dict(self.levels).get(name)

    def of(self, names: Collection[Any]) -> "Layout":
        """That of some of the columns."""
        kept = tuple(name for name in self.names if name in names)
        return replace(self, names=kept, levels=tuple(pair for pair in self.levels if pair[0] in names))

    def columns(self, size: int) -> Axis:
        """The axis over the columns, by name where they have names."""
        return Axis("column", self.names if len(self.names) == size else None)

    def categories(self) -> Axis:
        """The axis over the categories of the only column, by label where it holds labels."""
        return Axis("category", self.levels[0][1] if len(self.levels) == 1 else None)

    def read(self, observations: Any) -> PyTree:
        """New observations, in the order and with the codes that were learned.

        Raises:
            ValueError: a column is missing, a label was never seen, what a row is differs.
            TypeError: labels where numbers were learned.
        """
        if self.kind == "tree":
            return self._tree(observations)
        if not is_tabular(observations):
            names = self.names if len(self.names) == 1 else (None,)
            if self.kind == "columns":
                told = f"expected a table or dict with columns {_listed(self.names)}"
                raise ValueError(f"observations are a plain array: {told}, as the data of the fit")
            return self._coded(names[0], column("observations", observations))
        table = named_columns(observations, only=self.names or None)
        for name in self.names:
            if name not in table:
                there = _listed(names_of(observations))
                raise ValueError(
                    f"no column is called {name!r}: the fit was given columns {_listed(self.names)}, here are {there}"
                )
        if not self.names:
            # The data of the fit had no names, so that columns can only be taken as they stand.
            return stacked({name: self._coded(None, value) for name, value in table.items()})
        coded = {name: self._coded(name, table[name]) for name in self.names}
        return coded if self.kind == "columns" else stacked(coded)

    def _coded(self, name: Any, value: Any) -> Any:
        known = self.levels_of(name)
        if not isinstance(value, Labels):
            if known is not None and all(isinstance(level, str) for level in known):
                raise TypeError(f"{_place(name)} holds numbers: expected labels, {_listed(known)}")
            return value if known is None else codes(name, _as_labels(value), known)
        if known is None:
            raise _no_numbers(name, value)
        return codes(name, value, known)

    def _tree(self, observations: Any) -> PyTree:
        if self.names and is_tabular(observations):
            found = observations
            if not isinstance(observations, Mapping):
                found = named_columns(observations, only=self.names)
            for name in self.names:
                if name not in found:
                    raise ValueError(f"no column is called {name!r}: choose from {_listed(names_of(observations))}")
            observations = {name: found[name] for name in self.names}
        tree = door.arrays(observations)
        leaves = labelled_leaves(tree)
        shapes = tuple(tuple(leaf.shape[1:]) for _, leaf in leaves)
        if len(shapes) != len(self.shapes):
            told = f"observations hold {len(shapes)} arrays"
            raise ValueError(f"{told}: expected {len(self.shapes)}, as the data of the fit")
        for (name, leaf), shape in zip(leaves, self.shapes, strict=True):
            if leaf.shape[1:] != shape:
                raise ValueError(f"{name} has shape {leaf.shape}: expected {('N', *shape)}, as the data of the fit")
        return tree


def _nested(observations: Any) -> bool:
    inner = observations.values() if isinstance(observations, Mapping) else ()
    return any(isinstance(part, Mapping | tuple) or is_table(part) for part in inner)


def is_tabular(observations: Any) -> bool:
    """Whether observations are columns by name: a table, a structured array or a dict."""
    return is_table(observations) or is_structured(observations) or isinstance(observations, Mapping)


def arrange(observations: Any, columns: Any, levels_of: LevelsOf) -> tuple[Layout, PyTree]:
    """(layout, observations) of the data of a fit.

    Args:
        observations: an array, table, structured array or dict of columns.
        columns: the columns that the model names, of which it is given a dict; `...` for all there are; None for one
            array.
        levels_of: labels that a column may hold, by name; of None for a plain array.

    Raises:
        TypeError: labels where the model takes numbers, dates, objects.
        ValueError: two columns of one name, columns of different lengths.
    """
    if columns is ...:
        if not is_tabular(observations) or _nested(observations):
            return arrange_tree(observations)
        columns = names_of(observations)
    if not is_tabular(observations):
        if columns is not None:
            return Layout("columns", tuple(columns)), observations  # the family says what it wanted
        found = column("observations", observations)
        levels, values = _learned(None, found, levels_of)
        return Layout("matrix", (), levels), values
    table = named_columns(observations, only=columns)
    if columns is not None and any(name not in table for name in columns):
        return Layout("columns", tuple(columns)), table if table else dict.fromkeys(names_of(observations))
    learned: list[tuple[Any, Levels]] = []
    arrays: dict[Any, Any] = {}
    for name in table if columns is None else columns:
        levels, arrays[name] = _learned(name, table[name], levels_of)
        learned.extend(levels)
    if columns is not None:
        return Layout("columns", tuple(columns), tuple(learned)), arrays
    if not arrays:
        raise ValueError("observations have no columns: expected at least one")
    return Layout("matrix", tuple(arrays), tuple(learned)), stacked(arrays)


def arrange_tree(observations: Any) -> tuple[Layout, PyTree]:
    """(layout, observations as arrays) of a model that takes them as they are."""
    tree = door.arrays(observations)
    names = tuple(tree) if type(tree) is dict else ()
    return Layout("tree", names, (), tuple(tuple(leaf.shape[1:]) for _, leaf in labelled_leaves(tree))), tree


def stacked(columns: Mapping[Any, Any]) -> Any:
    """Columns side by side, (N, D); one of them as it is."""
    if len(columns) == 1:
        return next(iter(columns.values()))
    sizes = {name: len(a) for name, a in columns.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name} has {n}" for name, n in sizes.items())
        raise ValueError(f"columns differ in their number of rows ({told}): give each the same number")
    arrays = [np.asarray(a) for a in columns.values()]
    return np.concatenate([a[:, None] if a.ndim == 1 else a for a in arrays], axis=1)


def codes(name: Any, labels: Labels, levels: Levels) -> np.ndarray:
    """Places of labels among the levels known, NaN where missing.

    Raises:
        ValueError: a label that is none of them, with its row.
    """
    place = {level: float(i) for i, level in enumerate(levels)}
    table = np.array([*(place.get(level, -1.0) for level in labels.levels), np.nan])
    found = table[np.where(np.isnan(labels.codes), len(labels.levels), labels.codes).astype(int)]
    unknown = np.flatnonzero(found < 0)
    if len(unknown):
        row = int(unknown[0])
        told = f"{_place(name)} holds {labels.levels[int(labels.codes[row])]!r} in row {row}"
        raise ValueError(f"{told}, which is no known category: expected one of {_listed(levels)}")
    return found


def with_sequence(layout: Layout, sequence: Any) -> Layout:
    """The same with the column that says which sequence a row belongs to."""
    return replace(layout, sequence=sequence)


def _learned(name: Any, value: Any, levels_of: LevelsOf) -> tuple[tuple[tuple[Any, Levels], ...], Any]:
    asked = levels_of(name)
    if not isinstance(value, Labels):
        if not asked:
            return (), value
        return ((name, asked),), codes(name, _as_labels(value), asked)
    if asked is None:
        raise _no_numbers(name, value)
    levels = asked or value.levels
    return ((name, levels),), codes(name, value, levels)


def _as_labels(value: Any) -> Labels:
    """Numbers as labels."""
    array = np.asarray(value)
    missing = np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, bool)
    found, place = np.unique(array[~missing], return_inverse=True)
    coded = np.full(array.shape, np.nan)
    coded[~missing] = place
    return Labels(coded, tuple(float(v) if v != round(v) else int(v) for v in found.tolist()))


def _no_numbers(name: Any, labels: Labels) -> TypeError:
    told = f"{_place(name)} holds {labels.kind} ({_listed(labels.levels[:3])}{', ...' * (len(labels.levels) > 3)})"
    return TypeError(f"{told}: expected numbers; leave it out, or use a family of categories")


def _place(name: Any) -> str:
    return "observations" if name is None else f"column {name!r}"


def names_of(observations: Any) -> tuple[Any, ...]:
    """Names of the columns of a table, structured array or dict."""
    if is_structured(observations):
        return tuple(observations.dtype.names)
    if isinstance(observations, Mapping):
        return tuple(observations)
    return tuple(getattr(observations, "column_names", None) or observations.columns)


def _listed(names: Sequence[Any]) -> str:
    return ", ".join(map(str, names)) if len(names) <= 12 else ", ".join(map(str, names[:12])) + ", ..."


def rows_of(observations: PyTree) -> int:
    """How many rows."""
    return len(jax.tree.leaves(observations)[0])
