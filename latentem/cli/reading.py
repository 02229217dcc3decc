"""Columns of numbers from a CSV or Parquet file; anything else is an InputError of one line."""

from __future__ import annotations

import csv
import gzip
import zlib
from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from math import isinf, nan
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from latentem.cli.errors import InputError, one_line

#: What a cell of a CSV file may hold where the value is missing, in lower case.
MISSING = ("", "na", "n/a", "nan", "null", "none", ".", "?")


@dataclass(frozen=True, eq=False)
class Columns:
    """Columns of a file.

    Args:
        path: the file.
        values: column name -> array of shape (N,); NaN where the value is missing.
        places: what to call row n in a message ("line 7").
        names: what the codes of a column of names stand for.
    """

    path: Path
    values: dict[str, Float[np.ndarray, " N"]]
    places: Sequence[str]
    names: dict[str, list[Any]] = field(default_factory=dict)

    def refuse_missing(self, names: Sequence[str], advice: str) -> None:
        """InputError where one of these columns has a missing value."""
        for name in names:
            missing = np.isnan(self.values[name])
            if missing.any():
                place = self.places[int(np.argmax(missing))]
                raise InputError(f"{self.path}: column {name!r} has no value on {place}; {advice}")


def read(path: Path, names: Sequence[str], named: Collection[str] = ()) -> Columns:
    """Columns of a CSV file with a header line, or of a Parquet file.

    Args:
        path: the file.
        names: the columns to read. With none, the message says which there are.
        named: those of them whose cells are names, as of persons, and need not be numbers: they become 0, 1, ... in
            the order of their first appearance.

    Raises:
        InputError: no such file, not such a file, no rows, an unknown column, text, an infinite number.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(4)
        if not start:
            raise InputError(f"{path} is empty: expected a header line and one line for each observation")
        if start == b"PAR1" or path.suffix in (".parquet", ".pq"):
            columns = _parquet(path, names, named)
        else:
            columns = _csv(path, names, named)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise InputError(f"{path} is compressed and cannot be read to its end: is it truncated?") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text in UTF-8: expected a CSV file or a Parquet file") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or one_line(error)}") from None
    for name, values in columns.values.items():
        if np.isnan(values).all():
            raise InputError(f"{path}: column {name!r} has no value at all: expected numbers")
    return columns


def text_of(path: Path, name: str) -> list[str]:
    """The cells of a column as they stand, such as names of rows.

    Raises:
        InputError: as `read` says.
    """
    codes = read(path, [name], named=[name])
    known = codes.names[name]
    return ["" if np.isnan(code) else str(known[int(code)]) for code in codes.values[name]]


def header(path: Path) -> list[str]:
    """Names of the columns of a file.

    Raises:
        InputError: no such file, or not such a file.
    """
    try:
        read(path, [])
    except _NoColumns as found:
        return list(found.names)
    raise AssertionError("read() without names says which there are")


class _NoColumns(InputError):
    """No columns were asked for; these are there."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        super().__init__(f"no --columns: choose from the columns of {path}: {', '.join(names)}")
        self.names = names


def _opened(path: Path) -> Any:
    """The text of a CSV file, compressed or not."""
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    # utf-8-sig: spreadsheets put a byte order mark before the header.
    return (gzip.open if zipped else open)(path, "rt", newline="", encoding="utf-8-sig")


def _separator(text: str) -> str:
    """What sets fields apart in a header: commas, or semicolons or tabs where there is no comma."""
    return next((mark for mark in (",", ";", "\t") if mark in text), ",")


def _csv(path: Path, names: Sequence[str], named: Collection[str]) -> Columns:
    with _opened(path) as file:
        mark = _separator(file.readline())
        file.seek(0)
        lines = csv.reader(file, strict=True, delimiter=mark)
        try:
            header = [name.strip() for name in next(lines, [])]
            chosen = _chosen(path, header, names)
            values, places = [array("d") for _ in chosen], array("q")
            codes: dict[str, dict[str, int]] = {name: {} for name in named}
            for row in lines:
                if not row:
                    continue
                if len(row) != len(header):
                    told = f"{len(row)} fields on line {lines.line_num}, {len(header)} in the header"
                    raise InputError(f"{path}: {told}; is the file truncated?")
                for i, column in zip(chosen, values, strict=True):
                    known = codes.get(header[i])
                    if known is None:
                        cell = row[i].replace(",", ".") if mark == ";" else row[i]
                        column.append(_number(cell, path, header[i], lines.line_num))
                    else:
                        missing = row[i].strip().lower() in MISSING
                        column.append(nan if missing else known.setdefault(row[i].strip(), len(known)))
                places.append(lines.line_num)
        except csv.Error as error:
            raise InputError(f"{path}: line {lines.line_num}: {error}; is the file truncated?") from None
    if not places:
        raise InputError(f"{path} has a header and no rows: expected one line for each observation")
    columns = {name: np.array(column) for name, column in zip(names, values, strict=True)}
    return Columns(path, columns, _Numbered("line", places), {name: list(known) for name, known in codes.items()})


def _number(text: str, path: Path, column: str, line: int) -> float:
    try:
        number = float(text)
    except ValueError:
        if text.strip().lower() in MISSING:
            return nan
        shown = repr(text if len(text) <= 40 else text[:37] + "...")
        told = f"column {column!r} holds text, {shown} on line {line}"
        raise InputError(f"{path}: {told}: expected numbers; leave a cell empty where the value is missing") from None
    if isinf(number):
        told = f"column {column!r} holds {text.strip()} on line {line}"
        raise InputError(f"{path}: {told}: expected finite numbers; leave the cell empty if it is missing")
    return number


def _parquet(path: Path, names: Sequence[str], named: Collection[str]) -> Columns:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        told = 'reading Parquet needs pyarrow: python -m pip install "latentem[cli]"'
        raise InputError(f"{path}: {told}, or give a CSV file") from None
    try:
        with pq.ParquetFile(path) as file:
            header = file.schema_arrow.names
            _chosen(path, header, names)
            table = file.read(columns=list(names))
        known = {name: list(dict.fromkeys(c for c in table[name].to_pylist() if c is not None)) for name in named}
        columns = {
            name: _codes(table[name]) if name in named else _arrow_column(path, name, table[name], pa) for name in names
        }
    except (pa.ArrowException, OSError) as error:
        told = f"is not a Parquet file that can be read ({one_line(error)})"
        raise InputError(f"{path} {told}; is it truncated?") from None
    if table.num_rows == 0:
        raise InputError(f"{path} has no rows: expected one for each observation")
    return Columns(path, columns, _Numbered("row", range(table.num_rows)), known)


def _codes(column: Any) -> Float[np.ndarray, " N"]:
    known: dict[Any, int] = {}
    return np.array([nan if cell is None else known.setdefault(cell, len(known)) for cell in column.to_pylist()])


def _arrow_column(path: Path, name: str, column: Any, pa: Any) -> Float[np.ndarray, " N"]:
    kind = column.type
    numeric = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
    if not any(test(kind) for test in numeric):
        raise InputError(f"{path}: column {name!r} holds {kind}: expected numbers; write categories as 0, 1, ...")
    values = column.cast(pa.float64(), safe=False).to_numpy().astype(np.float64)
    if np.isinf(values).any():
        told = f"column {name!r} holds an infinite number in row {int(np.argmax(np.isinf(values)))}"
        raise InputError(f"{path}: {told}: expected finite numbers; write a null if it is missing")
    return values


def _chosen(path: Path, header: Sequence[str], names: Sequence[str]) -> list[int]:
    """Where in the header the columns are."""
    there = ", ".join(header)
    if not names:
        raise _NoColumns(path, header)
    for name in names:
        if name not in header:
            raise InputError(f"{path} has no column {name!r}: its columns are {there}")
        if header.count(name) > 1:
            raise InputError(f"{path} has {header.count(name)} columns called {name!r}: expected one; rename them")
    return [header.index(name) for name in names]


@dataclass(frozen=True, eq=False)
class _Numbered(Sequence[str]):
    """ "line 2", "line 3", ... without storing the text."""

    word: str
    numbers: Any

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: Any) -> Any:
        return f"{self.word} {self.numbers[index]}"
