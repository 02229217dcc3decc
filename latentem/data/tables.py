"""Columns as NumPy arrays: of tables of other libraries (pandas, Polars, Arrow, ...), dicts and structured arrays."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

_INSTALL = 'pip install "latentem[frames]", or pass a dict of arrays'
#: What the entries of a NumPy array are called in a message, by the kind of its type.
KINDS = {"U": "text", "S": "text", "T": "text", "O": "objects", "c": "complex numbers", "M": "dates", "m": "durations"}


@dataclass(frozen=True, eq=False)
class Labels:
    """A column whose entries are labels.

    Args:
        codes: shape (N,), places in `levels`; NaN where the entry is missing.
        levels: the labels, in order: that of a categorical column, else ascending.
        kind: what the column holds, for messages.
        ordered: whether the order of the labels means something, as the user said.
    """

    codes: Float[np.ndarray, " N"]
    levels: tuple[Any, ...]
    kind: str = "text"
    ordered: bool = False

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def values(self) -> np.ndarray:
        """The labels themselves, (N,) objects; None where missing."""
        levels = np.array([*self.levels, None], dtype=object)
        return levels[np.where(np.isnan(self.codes), len(self.levels), self.codes).astype(int)]


Column = np.ndarray | jax.Array | Labels


def is_table(value: Any) -> bool:
    """Whether a value is a table of another library; nothing is imported to find out.

    Args:
        value: anything.
    """
    if hasattr(value, "__narwhals_dataframe__") or hasattr(value, "__narwhals_lazyframe__"):
        return True
    library = type(value).__module__.partition(".")[0]
    frames = ("DataFrame", "LazyFrame", "Table", "RecordBatch", "DuckDBPyRelation")
    return type(value).__name__ in frames and library not in ("latentem", "builtins", "__main__")


def columns_of(
    table: Any, name: str = "table", *, only: Collection[Any] | None = None, text: Collection[Any] = ()
) -> dict[Any, np.ndarray]:
    """The columns of a table that hold numbers, by name.

    Args:
        table: a data frame that narwhals knows.
        name: what to call the table in a message.
        only: names of the columns to read; all by default.
        text: names of columns that may hold text.

    Returns:
        Column name -> array of shape (N,); a column with nulls is float64 with NaN in their places, text an array of
        objects.

    Raises:
        TypeError: narwhals is not installed, the table is lazy or of an unknown kind, or a column does not
            hold numbers.
    """
    columns = {}
    for key, found in named_columns(table, name, only).items():
        if isinstance(found, Labels) and key not in text:
            told = f"column {key!r} of {name} holds {found.kind}, not numbers"
            raise TypeError(f"{told}: drop it, or encode it as numbers (categories as 0, 1, ...)")
        columns[key] = found.values if isinstance(found, Labels) else np.asarray(found)
    return columns


def named_columns(value: Any, name: str = "observations", only: Collection[Any] | None = None) -> dict[Any, Column]:
    """The columns of a table, a structured array or a dict of columns.

    Args:
        value: one of them.
        name: what to call it in a message.
        only: names of the columns to read; those that are not there are left out. All by default.

    Returns:
        Column name -> numbers or `Labels`.

    Raises:
        TypeError: as `columns_of` says; for dates and objects too.
        ValueError: two columns of one name.
    """
    if isinstance(value, Mapping):
        wanted = {key: column for key, column in value.items() if only is None or key in only}
    elif is_structured(value):
        fields = value.dtype.names or ()
        wanted = {key: value[key] for key in fields if only is None or key in only}
    else:
        frame = frame_of(value, name)
        wanted = {key: frame[key] for key in frame.columns if only is None or key in only}
    return {key: column(f"column {key!r} of {name}", found) for key, found in wanted.items()}


def in_the_library_of(value: Any, columns: dict[str, np.ndarray]) -> Any:
    """Columns as a table of the library that a value is a table of, as they are where it is none."""
    if not is_table(value):
        return columns
    nw = _narwhals("the table")
    backend = nw.get_native_namespace(frame_of(value, "the table"))
    return nw.from_dict({name: _plain(a) for name, a in columns.items()}, backend=backend).to_native()


def length_of(value: Any) -> int:
    """How many rows a table, structured array, dict or array has."""
    if is_table(value):
        return len(frame_of(value, "the table"))
    return len(next(iter(value.values()))) if isinstance(value, Mapping) else len(value)


def with_columns(value: Any, columns: dict[str, np.ndarray]) -> Any:
    """A table, structured array or dict with columns added; a dict of an array and the columns for an array. The index
    of a pandas frame stays."""
    if is_table(value):
        nw = _narwhals("the table")
        frame = frame_of(value, "the table")
        backend = nw.get_native_namespace(frame)
        new = [nw.new_series(name, _plain(a), backend=backend) for name, a in columns.items()]
        return frame.with_columns(*new).to_native()
    if is_structured(value):
        kinds = [(name, a.dtype) for name, a in columns.items()]
        found = np.empty(value.shape, dtype=[*((n, value.dtype[n]) for n in value.dtype.names), *kinds])
        for name in value.dtype.names:
            found[name] = value[name]
        for name, a in columns.items():
            found[name] = a
        return found
    return {**(value if isinstance(value, Mapping) else {"observations": value}), **columns}


def _plain(array: np.ndarray) -> Any:
    """Numbers as they are, objects as a list, of which libraries find out the type."""
    return array.tolist() if array.dtype.kind in "OU" else array


def is_structured(value: Any) -> bool:
    """Whether a value is a NumPy array with named fields."""
    return isinstance(value, np.ndarray) and value.dtype.names is not None


def column(name: str, value: Any) -> Any:
    """One column of numbers or labels, with any number of axes where the value is an array.

    Args:
        name: what to call it in a message.
        value: an array, list, masked array, or a series or categorical of another library.

    Raises:
        TypeError: dates, objects, complex numbers, sparse matrices.
        ValueError: a list whose rows differ in length.
    """
    if isinstance(value, Labels) or (isinstance(value, np.ndarray) and value.dtype.kind in "biuf"):
        return _without_mask(value)
    if isinstance(value, jax.Array):
        if jax.numpy.issubdtype(value.dtype, jax.dtypes.extended):
            raise TypeError(f"{name} is an array of random keys: expected numbers")
        return value
    if hasattr(value, "tocsr"):
        raise TypeError(f"{name} is a sparse matrix: expected a dense array; pass x.toarray() where it fits in memory")
    if type(value).__name__ == "Categorical" and hasattr(value, "codes"):  # of pandas
        categorical: Any = value
        return _coded(np.asarray(categorical.codes), categorical.categories.tolist(), bool(categorical.ordered))
    series = _series(value)
    if series is not None:
        return _of_series(name, series)
    try:
        array = value if isinstance(value, np.ndarray) else np.asarray(value)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise ValueError(f"{name} is a list whose rows differ in length: expected rows of one shape") from None
    if isinstance(value, list | tuple) and array.dtype.kind in "US" and array.ndim == 1:
        array = np.array(value, dtype=object)  # NumPy turns the nan and None of a list with text into text
    return _of_array(name, array)


def _without_mask(array: Any) -> Any:
    if not isinstance(array, np.ma.MaskedArray):
        return array
    # NumPy would drop the mask silently.
    return np.ma.filled(array.astype(np.float64), np.nan) if np.ma.is_masked(array) else array.data


def _of_array(name: str, array: np.ndarray) -> Column:
    kind = array.dtype.kind
    if kind in "biuf" or jax.numpy.issubdtype(array.dtype, np.floating):
        return _without_mask(array)
    if kind in "USTO" and array.ndim <= 1:
        entries = array.reshape(-1).astype(object)
        if isinstance(array, np.ma.MaskedArray):
            entries = np.asarray(array, dtype=object).reshape(-1).copy()
            entries[np.ma.getmaskarray(array).reshape(-1)] = None
        missing = np.array([_missing(entry) for entry in entries], bool)
        there = entries[~missing]
        if all(isinstance(entry, str | bytes) for entry in there) and len(there):
            return _levelled(entries, missing)
        if all(isinstance(entry, int | float | np.number | np.bool_) for entry in there):
            return np.where(missing, np.nan, entries).astype(np.float64).reshape(array.shape)
    elif kind == "O":
        try:
            return np.where([[_missing(e) for e in np.ravel(row)] for row in array], np.nan, array).astype(np.float64)
        except (TypeError, ValueError):
            pass
    told = f"{name} holds {KINDS.get(kind, f'entries of type {array.dtype}')}"
    raise TypeError(f"{told}: expected real numbers; write categories as 0, 1, ... and missing entries as nan")


def _missing(entry: Any) -> bool:
    return entry is None or type(entry).__name__ in ("NAType", "NaTType") or bool(entry != entry)


def _levelled(entries: np.ndarray, missing: np.ndarray, kind: str = "text") -> Labels:
    levels = tuple(sorted(set(entries[~missing].tolist())))
    place = {level: float(i) for i, level in enumerate(levels)}
    codes = np.array([np.nan if gone else place[e] for e, gone in zip(entries.tolist(), missing, strict=True)])
    return Labels(codes.astype(np.float64), levels, kind)


def _coded(codes: np.ndarray, levels: Collection[Any], ordered: bool) -> Labels:
    return Labels(np.where(codes < 0, np.nan, codes).astype(np.float64), tuple(levels), "categories", ordered)


def _narwhals(name: str) -> Any:
    try:
        import narwhals
    except ImportError:
        raise TypeError(f"{name} is a table and reading it needs narwhals: {_INSTALL}") from None
    return narwhals


def frame_of(table: Any, name: str = "observations") -> Any:
    nw = _narwhals(name)
    try:
        return nw.from_native(table, eager_only=True)
    except nw.exceptions.DuplicateError:
        names = [str(column) for column in getattr(table, "columns", ())] or list(getattr(table, "column_names", ()))
        twice = next((n for n in names if names.count(n) > 1), "")
        raise ValueError(f"{name} has two columns called {twice!r}: expected different names; rename one") from None
    except TypeError:
        kind = f"{type(table).__module__.partition('.')[0]} {type(table).__name__}"
        raise TypeError(f"{name} is a {kind}: expected a table held in memory (collect a lazy one first)") from None


def _series(value: Any) -> Any:
    """A narwhals series, where a value is a series of another library."""
    if type(value).__name__ not in ("Series", "ChunkedArray", "Index"):
        return None
    if type(value).__name__ == "Index":
        return _narwhals("the column").from_native(value.to_series().reset_index(drop=True), series_only=True)
    if hasattr(value, "__narwhals_series__") or type(value).__module__.startswith("narwhals"):
        return value
    return _narwhals("the column").from_native(value, series_only=True)


def _of_series(name: str, series: Any) -> Column:
    nw = _narwhals(name)
    kind = series.dtype
    if kind in (nw.Categorical, nw.Enum):
        native: Any = series.to_native()
        if hasattr(native, "cat") and hasattr(native.cat, "categories"):  # pandas: categories that do not occur too
            return _coded(np.asarray(native.cat.codes), native.cat.categories.tolist(), bool(native.cat.ordered))
        entries = np.array(series.to_list(), dtype=object)
        missing = np.array([_missing(entry) for entry in entries], bool)
        if kind != nw.Enum:
            return _levelled(entries, missing, "categories")
        place = {level: i for i, level in enumerate(kind.categories)}
        codes = np.array([-1 if gone else place[e] for e, gone in zip(entries.tolist(), missing, strict=True)])
        return _coded(codes, kind.categories, True)
    if kind in (nw.String, nw.Object):
        return _of_array(name, np.array(series.to_list(), dtype=object))
    if kind != nw.Boolean and not kind.is_numeric():
        raise TypeError(f"{name} holds {kind}, not numbers: drop it, or encode it as numbers (days since a date, say)")
    if kind == nw.Decimal or series.null_count():
        # Without the cast, a pandas or Arrow column with nulls arrives as an array of objects.
        series = series.cast(nw.Float64)
    array = series.to_numpy()
    return array if array.dtype.kind != "O" else array.astype(np.float64)
