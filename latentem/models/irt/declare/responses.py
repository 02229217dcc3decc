"""Answers as the models want them: persons by items, categories numbered from 0, -1 for no answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from latentem.building import tables
from latentem.models.irt.declare.levels import coded


@dataclass(frozen=True)
class Table:
    """Columns of a data set.

    Args:
        names: of the items.
        answers: (N, J), NaN where missing.
        others: {name: column} that are not items.
        levels: {item: labels in their order} of items whose answers are labels; these are numbered from 0.
    """

    names: tuple[str, ...]
    answers: Float[np.ndarray, "N J"] | Int[np.ndarray, "N J"]
    others: Mapping[str, np.ndarray]
    levels: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


def read(
    data: Any,
    items: Sequence[str] | None,
    others: Sequence[str],
    known: Callable[[Sequence[str]], Mapping[str, tuple[Any, ...]]] = lambda names: {},
    nominal: bool = False,
) -> Table:
    """Items and other columns of an array (persons x items), a table, a dict of columns, or a dict with one matrix
    under "responses" and columns beside it.

    Args:
        known: from names of items to the categories that are declared, or known from the data of a fit.
        nominal: whether the order of categories means nothing.

    Raises:
        ValueError, TypeError: in one line, for what is no such table.
    """
    if tables.is_table(data):
        wanted = None if items is None else {*items, *others}
        data = {str(name): column for name, column in tables.named_columns(data, "responses", wanted).items()}
        data = {name: _entries(a) if name in others else a for name, a in data.items()}
    if tables.is_structured(data):
        data = {name: data[name] for name in data.dtype.names}
    if not isinstance(data, Mapping):
        words = _words(data)
        if words is not None and not others:
            names = tuple(items) if items is not None else tuple(f"item_{j + 1}" for j in range(words.shape[1]))
            if len(names) == words.shape[1]:
                return read(dict(zip(names, words.T, strict=True)), names, (), known, nominal)
        matrix = _numbers("responses", data)
        if matrix.ndim != 2 or 0 in matrix.shape:
            raise ValueError(f"responses have shape {matrix.shape}: expected (persons, items), one of each at least")
        if others:
            raise ValueError(
                f"responses are an array without a column {others[0]!r}: pass a table, or "
                f'{{"responses": (persons, items), {others[0]!r}: ...}}'
            )
        return Table(_chosen(items, tuple(f"item_{j + 1}" for j in range(matrix.shape[1])), matrix), matrix, {})
    columns: dict[str, Any] = {}
    for name, value in data.items():
        if name in others:
            columns[name] = beside(name, value)
            continue
        if items is not None and name not in items and name != "responses":
            continue
        if tables.is_table(value):
            found = tables.named_columns(value, name)
        elif (labels := _labels(f"responses[{name!r}]", value)) is not None:
            found = {str(name): labels}
        else:
            array = _numbers(f"responses[{name!r}]", value)
            if array.ndim not in (1, 2):
                raise ValueError(
                    f"responses[{name!r}] have shape {array.shape}: expected (persons,) or (persons, items)"
                )
            several = {f"item_{j + 1}": array[:, j] for j in range(array.shape[1])} if array.ndim == 2 else {}
            found = several or {str(name): array}
        twice = found.keys() & columns.keys()
        if twice:
            raise ValueError(
                f"two columns of the responses are called {min(twice)!r}: pass a dict of columns, one per item"
            )
        columns |= found
    absent = [name for name in [*(items or ()), *others] if name not in columns]
    if absent:
        raise ValueError(f"responses have no column {absent[0]!r}: expected one of {', '.join(map(str, data))}")
    names = tuple(items) if items is not None else tuple(name for name in columns if name not in others)
    if not names:
        raise ValueError("responses hold no items: expected a column for each item")
    if len(set(names)) < len(names):
        raise ValueError(f"items name {next(n for n in names if names.count(n) > 1)!r} twice: expected different names")
    lengths = {name: len(columns[name]) for name in [*names, *others]}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        raise ValueError(f"columns differ in their number of persons ({told}): give each the same number")
    if not lengths[names[0]]:
        raise ValueError("responses hold no persons: expected a row for each person")
    declared, levels = known(names), {}
    for name in names:
        if isinstance(columns[name], tables.Labels):
            columns[name], own = coded(name, columns[name], declared.get(name), nominal)
            if own is not None:
                levels[name] = own
        elif name in declared and all(isinstance(level, str) for level in declared[name]):
            if not np.isnan(np.asarray(columns[name], float)).all():
                raise TypeError(f"item {name!r} holds numbers: expected labels, {list(declared[name])}")
            levels[name] = declared[name]
    answers = np.stack([columns[name] for name in names], axis=1)
    return Table(names, answers, {name: columns[name] for name in others}, levels)


def _entries(column: Any) -> np.ndarray:
    return column.values if isinstance(column, tables.Labels) else np.asarray(column)


def _words(data: Any) -> np.ndarray | None:
    """Persons by items of text; None for anything else."""
    try:
        array = np.asarray(data) if isinstance(data, list | tuple | np.ndarray) else np.zeros(0)
    except ValueError:  # rows of different lengths
        return None
    text = array.dtype.kind in "US" or (array.dtype.kind == "O" and any(isinstance(cell, str) for cell in array.flat))
    return array if text and array.ndim == 2 else None


def _labels(name: str, value: Any) -> tables.Labels | None:
    """A column of labels; None for numbers, or what is no column."""
    if isinstance(value, tables.Labels):
        return value
    if isinstance(value, np.ndarray | jax.Array) and getattr(value.dtype, "kind", "") in "biuf":
        return None
    try:
        found = tables.column(name, value)
    except (TypeError, ValueError):
        return None
    return found if isinstance(found, tables.Labels) else None


def responses(person: Any, item: Any, response: Any) -> dict[str, np.ndarray]:
    """Persons by items from long format, one answer a row.

    Args:
        person: (M,) who answered; persons come out in the order in which they appear.
        item: (M,) what was answered, by name.
        response: (M,) the answers; NaN for none.

    Returns:
        {item: (N,) float}, NaN where a person has no row for an item: what `lem.fit(lem.IRT(...), ...)` takes.

    Raises:
        ValueError: columns of different lengths, or two answers of one person to one item.

    >>> lem.responses(["ann", "ann", "bob"], ["q1", "q2", "q2"], [1, 0, 1])
    {'q1': array([ 1., nan]), 'q2': array([0., 1.])}
    """
    columns = [np.asarray(a) for a in (person, item, response)]
    lengths = [len(a) for a in columns]
    if len(set(lengths)) > 1:
        raise ValueError(f"person, item and response have {lengths} rows: expected the same number")
    rows, cells = ({name: n for n, name in enumerate(dict.fromkeys(a.tolist()))} for a in columns[:2])
    places = [(rows[p], cells[j]) for p, j in zip(columns[0].tolist(), columns[1].tolist(), strict=True)]
    if len(set(places)) < len(places):
        seen: set[tuple[int, int]] = set()
        m = next(m for m, place in enumerate(places) if place in seen or seen.add(place))
        raise ValueError(f"row {m}: person {columns[0][m]} answered item {columns[1][m]} twice; keep one answer")
    table = np.full((len(rows), len(cells)), np.nan)
    table[tuple(np.array(places).T)] = columns[2]
    return {str(name): table[:, j] for name, j in cells.items()}


def _chosen(items: Sequence[str] | None, names: tuple[str, ...], matrix: np.ndarray) -> tuple[str, ...]:
    if items is None:
        return names
    if len(items) != matrix.shape[1]:
        raise ValueError(f"items name {len(items)} columns: responses have {matrix.shape[1]}")
    return tuple(items)


def beside(name: str, value: Any) -> np.ndarray:
    """A column that is no item: one value for every person.

    Raises:
        ValueError: no column, or a person without a value.
    """
    column = np.asarray(value)
    if column.ndim != 1:
        raise ValueError(f"column {name!r} has shape {column.shape}: expected (persons,)")
    if column.dtype.kind == "f":
        missing = np.isnan(column)
    else:  # NumPy turns the nan of a list with text into text
        cells = value if isinstance(value, list | tuple) else column.tolist() if column.dtype.kind == "O" else ()
        missing = np.array([x is None or type(x).__name__ == "NAType" or x != x for x in cells], bool)
    if missing.any():
        raise ValueError(
            f"column {name!r} has no value for person {int(np.argmax(missing))}: give one, or leave the person out"
        )
    return column


def _numbers(name: str, value: Any) -> np.ndarray:
    if isinstance(value, jax.Array):
        value = np.asarray(value)
    try:
        if isinstance(value, np.ma.MaskedArray):
            value = np.ma.filled(value.astype(np.float64), np.nan)  # NumPy would drop the mask silently
        array = np.asarray(value)
        if array.dtype.kind == "c":
            raise TypeError
        if array.dtype.kind not in "biuf":
            array = np.array([[np.nan if x is None else x for x in np.ravel(row)] for row in array], dtype=np.float64)
            array = array.reshape(np.asarray(value, dtype=object).shape)
    except (TypeError, ValueError):
        raise TypeError(f"{name} hold entries that are not numbers: expected categories, nan where missing") from None
    return array


def categories(table: Table, known: Mapping[str, tuple[Any, ...]]) -> tuple[tuple[int, ...], ...]:
    """The categories of every item, ascending, as they stand in the data, or as declared; labels are numbered.

    Args:
        known: {item: categories} that are declared.

    Raises:
        ValueError: an item nobody answered, one with one category, or answers that are not whole numbers.
    """
    found = []
    for j, name in enumerate(table.names):
        column = table.answers[:, j]
        if name in known:
            labels = all(isinstance(level, str) for level in known[name])
            found.append(tuple(range(len(known[name]))) if labels else known[name])
            continue
        if column.dtype.kind == "f":
            column = column[~np.isnan(column)]
            wrong = np.flatnonzero(column != np.round(column))
            if len(wrong):
                raise ValueError(
                    f"item {name!r} holds {float(column[wrong[0]])}: expected whole numbers for categories, nan where "
                    "missing"
                )
        if not len(column):
            raise ValueError(f"item {name!r} has no answers: remove it")
        largest = column[np.argmax(np.abs(column))]
        if abs(largest) > 1e6:
            raise ValueError(f"item {name!r} holds {largest:g}: expected categories, whole numbers up to a million")
        values = tuple(int(v) for v in _distinct(column))
        if len(values) == 1:
            raise ValueError(
                f"item {name!r} has one category (all answers are {values[0]}): it says nothing of ability; remove it"
            )
        if len(values) > 100:
            raise ValueError(f"item {name!r} has {len(values)} categories: expected at most 100")
        found.append(values)
    return tuple(found)


def codes(table: Table, known: Sequence[Sequence[int]]) -> Int[np.ndarray, "N J"]:
    """Answers as int8 codes 0 ... C - 1, -1 where missing.

    Raises:
        ValueError: an answer outside the known categories of its item.
    """
    if table.answers.dtype == np.int8 and all(values == tuple(range(len(values))) for values in known):
        if all(column.min() >= 0 and column.max() < len(v) for column, v in zip(table.answers.T, known, strict=True)):
            return table.answers  # codes already, and not copied
    coded = np.empty(table.answers.shape, np.int8)
    for j, (name, values) in enumerate(zip(table.names, known, strict=True)):
        column, expected = table.answers[:, j], np.asarray(values)
        place = np.clip(np.searchsorted(expected, column), 0, len(expected) - 1)
        missing = np.isnan(column) if column.dtype.kind == "f" else np.zeros(len(column), bool)
        wrong = np.flatnonzero((expected[place] != column) & ~missing)
        if len(wrong):
            person = int(wrong[0])
            raise ValueError(
                f"item {name!r} holds {column[person].item()} for person {person}: expected one of {list(values)}"
            )
        coded[:, j] = np.where(missing, -1, place)
    return coded


def labels(name: str, column: np.ndarray) -> tuple[Any, ...]:
    """Labels of the groups in sorted order; the first is the reference.

    Raises:
        ValueError, TypeError: labels of several kinds, or a group with one person.
    """
    try:
        found, first, persons = np.unique(column, return_index=True, return_counts=True)
    except TypeError:
        kinds = ", ".join(sorted({type(label).__name__ for label in column.tolist()}))
        raise TypeError(
            f"group column {name!r} holds labels of several kinds ({kinds}): make all of them text"
        ) from None
    if len(found) > 1 and persons.min() == 1:
        g = int(np.argmin(persons))
        raise ValueError(
            f"group {found[g].item() if hasattr(found[g], 'item') else found[g]!r} of column {name!r} has one person "
            f"(row {first[g]}): its ability has no distribution; leave the person out, or merge groups"
        )
    return tuple(found.tolist())


def groups(name: str, column: np.ndarray, labels: Sequence[Any]) -> Int[np.ndarray, " N"]:
    """Numbers of the groups.

    Raises:
        ValueError: an unknown label.
    """
    number = {label: g for g, label in enumerate(labels)}
    unknown = [label for label in column.tolist() if label not in number]
    if unknown:
        raise ValueError(f"group column {name!r} holds {unknown[0]!r}: expected one of {list(labels)}")
    return np.array([number[label] for label in column.tolist()], np.int32)


def covariates(names: Sequence[str], columns: Mapping[str, np.ndarray]) -> Float[np.ndarray, "N p"]:
    """Covariates side by side.

    Raises:
        TypeError: entries that are not numbers.
        ValueError: an infinite value.
    """
    found = []
    for name in names:
        try:
            column = np.asarray(columns[name], float)
        except (TypeError, ValueError):
            raise TypeError(
                f"covariate {name!r} holds entries that are not numbers: write categories as columns of 0 and 1"
            ) from None
        if not np.isfinite(column).all():
            person = int(np.argmin(np.isfinite(column)))
            raise ValueError(f"covariate {name!r} is {column[person]} for person {person}: expected a finite number")
        found.append(column)
    return np.stack(found, axis=1)


def refuse_dependent(names: Sequence[str], values: Float[np.ndarray, "N p"]) -> None:
    """Raise where the slopes on covariates are not determined.

    Raises:
        ValueError: a covariate that is the same for all, or a linear function of others.
    """
    spread = values.std(axis=0)
    same = spread <= 1e-12 * np.max(np.abs(values), axis=0)
    if same.any():
        j = int(np.argmax(same))
        raise ValueError(
            f"covariate {names[j]!r} is {values[0, j]} for everybody: the mean of ability has no intercept; drop it"
        )
    # The part of every covariate that those before it do not determine, in its standard deviations.
    own = np.abs(np.diagonal(np.linalg.qr((values - values.mean(axis=0)) / spread, mode="r"))) / np.sqrt(len(values))
    own = np.append(own, np.zeros(len(names) - len(own)))
    if own.min() < 1e-8:
        name = names[int(np.argmax(own < 1e-8))]
        raise ValueError(f"covariate {name!r} is a linear function of those before it: drop one of them")


def _distinct(column: np.ndarray) -> np.ndarray:
    """Distinct whole numbers, ascending: counted where they span little, for sorting takes many times longer."""
    low = int(column.min())
    if int(column.max()) - low > 255:
        return np.unique(column)
    return low + np.flatnonzero(np.bincount((column - low).astype(np.intp)))
