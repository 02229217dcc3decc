"""Tables of other libraries (pandas, Polars, Arrow, ...) as columns of NumPy arrays."""

from collections.abc import Collection
from typing import Any

import numpy as np

_INSTALL = 'pip install "latentem[frames]", or pass a dict of arrays'


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
    table: Any, name: str = "table", *, only: Collection[str] | None = None, text: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """The columns of a table, by name.

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
    try:
        import narwhals as nw
    except ImportError:
        raise TypeError(f"{name} is a table and reading it needs narwhals: {_INSTALL}") from None
    try:
        frame: Any = nw.from_native(table, eager_only=True)
    except TypeError:
        kind = f"{type(table).__module__.partition('.')[0]} {type(table).__name__}"
        raise TypeError(f"{name} is a {kind}: expected a table held in memory (collect a lazy one first)") from None
    columns = {}
    for column in frame.columns:
        if only is not None and column not in only:
            continue
        series = frame[column]
        if column in text and series.dtype in (nw.String, nw.Categorical, nw.Enum, nw.Object):
            columns[str(column)] = np.array(series.to_list(), dtype=object)
            continue
        if series.dtype != nw.Boolean and not series.dtype.is_numeric():
            told = f"column {column!r} of {name} holds {series.dtype}, not numbers"
            raise TypeError(f"{told}: drop it, or encode it as numbers (categories as 0, 1, ...)")
        decimal = series.dtype == nw.Decimal
        if decimal or series.null_count():
            # Without the cast, a pandas or Arrow column with nulls arrives as an array of objects.
            series = series.cast(nw.Float64)
        array = series.to_numpy()
        columns[str(column)] = array if array.dtype.kind != "O" else array.astype(np.float64)
    return columns
