"""Several columns, each with its own family, independent of one another within a component."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.random import split
from jaxtyping import Array, Bool, Float

from latentem.data import door
from latentem.data.layout import Axis, Layout
from latentem.families import checks
from latentem.families.base import Family, Params, as_family, floating
from latentem.families.restrictions import Restrictions


@dataclass(frozen=True)
class Independent(Family):
    """The product of one family per column; its parameters are {column: parameters of that family}.

    A missing value (NaN) of a column leaves that column out of the row: exactly, the row is scored and used
    by what it has.

    Args:
        families: {"column": family} for observations that are tables (dicts of arrays), or a tuple of
            families for the columns of a matrix; these columns are called "0", "1", ...
        missing: for each column whether it may have missing values that are masked here; set by `declare`.

    `shared` and `fixed` take names like "column.rate", or "column" for all of its parameters; priors are
    nested dicts like the parameters. A tuple of pairs (column, family) is read as a dict.

    Raises:
        TypeError: for something that is not a family.

    >>> from latentem.families import Bernoulli, Poisson
    >>> Independent({"smokes": Bernoulli(), "visits": Poisson()}).separable
    True
    """

    accepts_missing: ClassVar[bool] = True
    families: Any
    missing: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        families = self.families
        if isinstance(families, Mapping):
            families = tuple((str(name), family) for name, family in families.items())
        families = tuple(families) if isinstance(families, (tuple, list)) else (families,)
        parts = [entry[1] if _is_pair(entry) else entry for entry in families]
        for part in parts:
            as_family("Independent: column", part)
        if not parts:
            raise TypeError("Independent: no families: expected at least one; give a dict or a tuple of them")
        object.__setattr__(self, "families", families)

    @property
    def tabular(self) -> bool:
        """Whether observations are dicts of columns, not rows of a matrix."""
        return _is_pair(self.families[0])

    @property
    def parts(self) -> dict[str, Family]:
        """{column: family}."""
        return dict(self.families) if self.tabular else {str(i): f for i, f in enumerate(self.families)}

    @property
    def columns(self) -> tuple[str, ...] | None:
        return tuple(self.parts) if self.tabular else None

    def levels_of(self, column: Any) -> tuple[Any, ...] | None:
        return self.parts[column].levels_of(None) if self.tabular and column in self.parts else None

    def declare(self, x: Any) -> tuple[Independent, Any]:
        return self._declared(x)

    def read(self, x: Any) -> tuple[Independent, Any]:
        return self._declared(x, new=True)

    def _declared(self, x: Any, new: bool = False) -> tuple[Independent, Any]:
        columns = self._columns(x)
        declared, kept, missing = {}, {}, []
        for name, part in self.parts.items():
            declared[name], kept[name], masks = _declare_column(name, part, columns[name], new)
            missing.append(masks)
        lengths = {name: jax.tree.leaves(column)[0].shape[0] for name, column in kept.items()}
        if len(set(lengths.values())) > 1:
            sizes = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise ValueError(f"Independent: columns of {sizes} rows: expected equal lengths; give one value per row")
        families = tuple(declared.items()) if self.tabular else tuple(declared.values())
        known = self.missing or (False,) * len(missing)
        masks = tuple(a or b for a, b in zip(known, missing, strict=True))
        rows = kept if self.tabular else np.stack([column.reshape(len(column)) for column in kept.values()], axis=1)
        return Independent(families, masks), rows

    def constraints(self) -> Params:
        return {name: part.constraints() for name, part in self.parts.items()}

    def axes(self, path: tuple[str, ...], layout: Layout) -> tuple[Axis, ...]:
        column, *own = path
        return self.parts[column].axes(tuple(own), layout.of([column]) if self.tabular else Layout())

    @property
    def separable(self) -> bool:
        return all(part.separable for part in self.parts.values())

    @property
    def width(self) -> int:
        return 1 + sum(part.width for part in self.parts.values())

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        terms = []
        for name, part, value, seen in self._rows(x):
            term = part.log_prob(params[name], value)
            terms.append(term if seen is None else jnp.where(seen, term, 0))
        return sum(terms[1:], start=terms[0])

    def sample(self, params: Params, key: Array) -> Any:
        keys = split(key, len(self.families))
        drawn = {name: part.sample(params[name], k) for (name, part), k in zip(self.parts.items(), keys, strict=True)}
        if self.tabular:
            return drawn
        return jnp.stack([floating(value).reshape(()) for value in drawn.values()])

    @property
    def conditional(self) -> bool:
        return any(part.conditional for part in self.parts.values())

    def sample_like(self, params: Params, key: Array, x: Any) -> Any:
        if not self.conditional:
            return self.sample(params, key)
        keys = split(key, len(self.families))
        return {
            name: part.sample_like(params[name], k, x[name])
            for (name, part), k in zip(self.parts.items(), keys, strict=True)
        }

    def context(self, x: Any, weights: Float[Array, " N"]) -> tuple[Any, ...]:
        """The context of each part, from the rows that have its column."""
        return tuple(
            part.context(value, weights if seen is None else jnp.where(seen, weights, 0))
            for _, part, value, seen in self._rows(x, batch=True)
        )

    def features(self, x: Any, context: Any) -> Float[Array, " S"]:
        pieces = [
            _where(seen, part.features(value, c))
            for (_, part, value, seen), c in zip(self._rows(x), context, strict=True)
        ]
        return jnp.concatenate([jnp.ones(1, pieces[0].dtype), *pieces])

    def natural(self, params: Params, context: Any) -> Float[Array, " S"]:
        pieces = [part.natural(params[name], c) for (name, part), c in zip(self.parts.items(), context, strict=True)]
        return jnp.concatenate([jnp.zeros(1, pieces[0].dtype), *pieces])

    def statistics(self, params: Params, x: Any, context: Any) -> Float[Array, " S"]:
        pieces = [
            _where(seen, part.statistics(params[name], value, c))
            for (name, part, value, seen), c in zip(self._rows(x), context, strict=True)
        ]
        return jnp.concatenate([jnp.ones(1, pieces[0].dtype), *pieces])

    def statistics_context(self, params: Params, context: Any) -> Any:
        return tuple(
            part.statistics_context(params[name], c)
            for (name, part), c in zip(self.parts.items(), context, strict=True)
        )

    def is_closed(self, given: Restrictions) -> bool:
        return all(
            part.has_closed_form(**given.within(name, part.constraints()).keywords) for name, part in self.parts.items()
        )

    def m_step(self, expected: Float[Array, "K S"], params: Params, context: Any, given: Restrictions) -> Params:
        new, start = {}, 1
        for (name, part), c in zip(self.parts.items(), context, strict=True):
            its = expected[:, start : start + part.width]
            new[name] = part.maximize(its, params[name], c, **given.within(name, part.constraints()).keywords)
            start += part.width
        return new

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        return {
            name: part.default(value, weights if seen is None else jnp.where(seen, weights, 0), c)
            for (name, part, value, seen), c in zip(self._rows(x, batch=True), context, strict=True)
        }

    def _columns(self, x: Any) -> Mapping[str, Any]:
        """The named columns of a table, or those of a matrix."""
        if self.tabular:
            names = list(self.parts)
            present = list(x.keys()) if hasattr(x, "keys") else []
            absent = [name for name in names if name not in present]
            if absent:
                found = f"columns {', '.join(map(str, present))}" if present else f"a {type(x).__name__}"
                raise ValueError(
                    f"Independent: no column {absent[0]!r} in {found}: expected {', '.join(names)}; add it"
                )
            return {name: x[name] for name in names}
        array = checks.matrix("Independent", x, len(self.families))
        return {str(i): array[:, i] for i in range(array.shape[1])}

    def _rows(self, x: Any, batch: bool = False) -> list[tuple[str, Family, Any, Bool[Array, ...] | None]]:
        """(name, family, value, whether it was observed) of each column; None where nothing can be missing.

        Values that are missing are replaced by one inside the support, so that what is masked away has finite
        gradients.
        """
        rows = []
        for i, (name, part) in enumerate(self.parts.items()):
            value = x[name] if self.tabular else x[..., i]
            seen = None
            if self.missing and self.missing[i]:
                value = floating(value)
                whole = tuple(range(1 if batch else 0, value.ndim))
                seen = ~jnp.any(jnp.isnan(value), axis=whole)
                value = jnp.where(seen.reshape(seen.shape + (1,) * len(whole)), value, part.inside)
            if batch and not self.tabular and part.vector:
                value = value[:, None]
            rows.append((name, part, value, seen))
        return rows


def _declare_column(name: str, part: Family, column: Any, new: bool = False) -> tuple[Family, Any, bool]:
    """The declared family, its observations, and whether missing values are masked here."""
    if isinstance(column, Mapping):
        return *_labelled(f"column {name!r}", part, column, new), False
    array = checks.numbers(f"column {name!r}", column)
    if not door.has_nan(array) or (part.accepts_missing and array[0].size > 1):
        return *_labelled(f"column {name!r}", part, array, new), False
    seen = ~np.isnan(array).reshape(len(array), -1).any(axis=1)
    if not seen.any() and new:
        return part, array, True
    if not seen.any():
        raise ValueError(f"column {name!r} has no observed value: expected at least one; drop the column")
    # A row that is there stands in for those that are not, so that complaints name the rows of the data.
    rows = np.where(seen.reshape((-1,) + (1,) * (array.ndim - 1)), array, array[int(np.argmax(seen))])
    try:
        whole, values = _labelled(f"column {name!r}", part, rows, new)
    except ValueError as error:
        # The row that stood in may be the one complained of: it is named by its own place.
        first, where = ("observations[0]", f"observations[{int(np.argmax(seen))}]")
        raise ValueError(str(error).replace(first, where)) from None
    family = whole if new else part.declare(array[seen])[0]
    full = np.full((len(array), *values.shape[1:]), np.nan, values.dtype)
    full[seen] = values[seen]
    return family, full, True


def _labelled(label: str, part: Family, x: Any, new: bool = False) -> tuple[Family, Any]:
    """What `part.declare` gives, or its error with the column in front; of new data, what `part.read` gives."""
    try:
        return part.read(x) if new else part.declare(x)
    except ValueError as error:
        raise ValueError(f"{label}: {error}") from None


def _where(seen: Bool[Array, ""] | None, features: Float[Array, " S"]) -> Float[Array, " S"]:
    return features if seen is None else jnp.where(seen, features, 0)


def _is_pair(entry: Any) -> bool:
    return isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str)
