"""From a formula and a table to arrays: responses, columns of the fixed effects, random effects with their levels; and
what is refused at the door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.linalg as la
from jaxtyping import Float

from latentem.field import Effect, Exchangeable, Structure, text_of
from latentem.models.mixed import formula as formulas
from latentem.models.mixed.formula import Columns, Formula


@dataclass(frozen=True, eq=False)
class Design:
    """What a mixed model sees of a table.

    Args:
        y: (n, t) responses.
        x: (n, p) columns of the fixed effects, `names` their names.
        effects: the random effects.
        frequencies: (n,) how often each record counts; `precisions` (n,) their precision weights.
        rows: (n,) of the table, those without missing values.
        fixed, coordinates: the same columns for other tables.
        random: the terms of the formula that the effects come from.
    """

    y: Float[np.ndarray, "n t"]
    x: Float[np.ndarray, "n p"]
    names: tuple[str, ...]
    effects: tuple[Effect, ...]
    frequencies: Float[np.ndarray, " n"]
    precisions: Float[np.ndarray, " n"]
    rows: np.ndarray
    missing: int
    fixed: Columns = field(repr=False)
    coordinates: tuple[Columns, ...] = field(repr=False)
    random: tuple[formulas.Random, ...] = field(repr=False)
    responses: tuple[str, ...] = ()

    @property
    def n(self) -> float:
        """Sum of the frequencies."""
        return float(self.frequencies.sum())


def declare(
    parsed: Formula,
    table: Any,
    relationship: Mapping[str, Structure],
    weights: Any,
    precision: str | None,
    some: bool = False,
) -> Design:
    """The design of a formula on a table.

    Args:
        parsed: the formula.
        table: columns.
        relationship: name of a grouping -> structure of its levels; exchangeable by default.
        weights: (n,) frequencies or None.
        precision: the column of precision weights, if any.
        some: records need not have all responses, one is enough.

    Raises:
        ValueError, TypeError: in one line, whatever cannot be used.
    """
    frame = formulas.frame_of(table)
    if len(frame) == 0:
        raise ValueError("the table has 0 records: expected at least two")
    names = formulas.variables(parsed, [str(c) for c in frame.columns])
    if precision is not None and precision not in frame.columns:
        raise ValueError(f"precision={precision!r} is no column: there are {', '.join(map(str, frame.columns))}")
    known = [term.name for term in parsed.random]
    for group in relationship:
        if group not in known:
            raise ValueError(
                f"relationship of {group!r}: no random term has that grouping; there are {', '.join(known)}"
            )
    frequencies = _frequencies(weights, len(frame))
    used = [*names, precision] if precision else names
    if some:
        right = formulas.variables(replace(parsed, responses=()), [str(c) for c in frame.columns])
        seen = [~np.isnan(formulas.response(r, frame, parsed.text)) for r in parsed.responses]
        there = ~frame[right].isna().any(axis=1).to_numpy() & np.any(seen, axis=0) & (frequencies > 0)
    else:
        there = ~frame[used].isna().any(axis=1).to_numpy() & (frequencies > 0)
    if not there.any():
        raise ValueError("no record is complete: every one has a missing value in a column that the formula names")
    kept = frame if there.all() else frame[there].reset_index(drop=True)
    y = np.column_stack([formulas.response(r, kept, parsed.text) for r in parsed.responses])
    fixed = Columns(parsed.fixed, kept, parsed.text)
    refuse_collinear(fixed.values, fixed.names)
    coordinates = tuple(Columns(term.expression, kept, parsed.text) for term in parsed.random)
    effects = effects_of(parsed.random, coordinates, kept, relationship)
    precisions = np.ones(len(kept)) if precision is None else kept[precision].to_numpy(np.float64)
    if np.any(precisions <= 0):
        raise ValueError(f"precision={precision!r} has a weight that is not positive: leave such records out")
    for what, array in (("response", y), ("fixed effects", fixed.values)):
        known = np.isfinite(array) | (np.isnan(array) & some)
        if not np.all(known):
            raise ValueError(f"{what}: record {int(np.argmax(~known.all(axis=1)))} is not finite: remove it")
    return Design(
        y,
        fixed.values,
        fixed.names,
        effects,
        frequencies[there],
        precisions,
        np.flatnonzero(there),
        int(np.sum(~there & (frequencies > 0))),
        fixed,
        coordinates,
        parsed.random,
        parsed.responses,
    )


def levels_of(term: formulas.Random, frame: Any) -> np.ndarray:
    """(n,) the level of each record; of several columns "a:b"."""
    texts = [text_of(frame[name].to_numpy()) for name in term.factors]
    joined = texts[0]
    for text in texts[1:]:
        joined = np.char.add(np.char.add(joined, ":"), text)
    return joined


def _distinct(term: formulas.Random, frame: Any) -> tuple[np.ndarray, np.ndarray]:
    """(levels that are there, which of them each record has): numbers are sorted as numbers, not as text."""
    whole = frame[term.factors[0]].to_numpy() if len(term.factors) == 1 else levels_of(term, frame)
    whole = whole if whole.dtype.kind in "iu" else text_of(whole)
    seen, place = np.unique(whole, return_inverse=True)
    return text_of(seen), place


def effects_of(
    random: Sequence[formulas.Random], coordinates: Sequence[Columns], frame: Any, relationship: Mapping[str, Structure]
) -> tuple[Effect, ...]:
    """The random effects, each with its levels.

    Raises:
        ValueError: a grouping of one level, or of independent levels no fewer than records.
    """
    found: list[Effect] = []
    taken: dict[str, int] = {}
    for term, columns in zip(random, coordinates, strict=True):
        structure = relationship.get(term.name, Exchangeable())
        seen, place = _distinct(term, frame) if isinstance(structure, Exchangeable) else (levels_of(term, frame), None)
        count = len(seen) if place is not None else len(np.unique(seen))
        if count < 2:
            raise ValueError(
                f"{term.name} has one level, {str(seen[0])!r}: a random effect needs at least two; leave it out"
            )
        bound = structure.bind(seen, term.name)
        codes = bound.index(seen) if place is None else bound.index(seen)[place]
        r = columns.values.shape[1]
        if r == 0:
            raise ValueError(f"({term.expression} | {term.name}) has no column: expected (1 | {term.name})")
        if bound.independent and r * count >= len(frame):
            told = f"{term.name}: {r * count} random effects for {len(frame)} records"
            raise ValueError(
                f"{told}, so they cannot be told from the residual: give fewer, or a relationship of its levels"
            )
        name = term.name if term.name not in taken else f"{term.name}.{taken[term.name]}"
        taken[term.name] = taken.get(term.name, 0) + 1
        found.append(Effect(name, columns.names, bound, codes, columns.values))
    return tuple(found)


def refuse_collinear(x: np.ndarray, names: Sequence[str]) -> None:
    """ValueError that names columns of the fixed effects which the others determine."""
    if not x.shape[1]:
        return
    size = np.sqrt(np.sum(x * x, axis=0))
    if np.any(size == 0):
        empty = names[int(np.argmin(size))]
        raise ValueError(f"fixed effects: {empty} is zero everywhere: leave it out")
    r: Any = la.qr(x / size, mode="r", pivoting=False)[0]
    dependent = np.flatnonzero(np.abs(np.diagonal(r)) < 1e-9)
    if len(dependent) or x.shape[1] > x.shape[0]:
        told = ", ".join(names[int(k)] for k in dependent) or f"{x.shape[1]} columns for {x.shape[0]} records"
        raise ValueError(f"fixed effects are collinear: {told} follows from the columns before it; leave it out")


def _frequencies(weights: Any, n: int) -> np.ndarray:
    if weights is None:
        return np.ones(n)
    array = np.asarray(weights, dtype=np.float64)
    if array.shape != (n,):
        raise ValueError(f"weights have shape {array.shape}: expected ({n},), one for each record")
    if not np.all(np.isfinite(array)) or np.any(array < 0) or not np.any(array > 0):
        raise ValueError("weights: expected finite numbers of at least 0, one of them above 0")
    return array
