"""What the commands that fit a model share: names of families, checks of options, where a complaint points, JSON."""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from latentem.cli.errors import InputError, OutputError, one_line
from latentem.cli.reading import Columns, header, read, text_of
from latentem.results import files, saving

if TYPE_CHECKING:
    from latentem import Fit
    from latentem.families import Family

#: Names on the command line and in `latentem.families`.
FAMILIES = {
    "gaussian": "Gaussian",
    "student_t": "StudentT",
    "poisson": "Poisson",
    "negative_binomial": "NegativeBinomial",
    "bernoulli": "Bernoulli",
    "categorical": "Categorical",
    "exponential": "Exponential",
    "gamma": "Gamma",
    "von_mises": "VonMises",
}
COVARIANCES = ("full", "tied", "diagonal", "spherical")


def placed(message: str, columns: Columns, options: argparse.Namespace) -> str:
    """The library's message with lines and columns of the file in place of indices of its arrays."""

    def place(found: re.Match[str]) -> str:
        array, place, column = found[1], columns.places[int(found[2])], int(found[3] or 0)
        if array == "observations" and message.startswith("column "):  # Independent names the column itself
            return place
        return f"column {options.weights if array == 'weights' else options.columns[column]!r} on {place}"

    return re.sub(r"(observations|weights)\[(\d+)(?:, (\d+))?\]", place, message)


def described(
    columns: Columns, chosen: Sequence[str], family: str, covariance: str | None, gaps: bool = False
) -> tuple[Family, tuple[str, ...], Any]:
    """(family of these columns, its parameters that all components share, the data as it wants them).

    Args:
        columns: of the file.
        chosen: names of those to fit.
        family: a key of FAMILIES.
        covariance: one of COVARIANCES, or None for "full".
        gaps: rows without any value are allowed.

    Raises:
        InputError: a value is missing that the family needs, or `covariance` is not for this family.
    """
    import latentem as lem

    if covariance and family != "gaussian":
        raise InputError(f"--covariance {covariance} goes with family gaussian, not {family}")
    of_column = getattr(lem.families, FAMILIES[family])
    table = {name: columns.values[name] for name in chosen}
    if family == "gaussian":
        tied = covariance == "tied"
        structure = "full" if tied or covariance is None else covariance
        return lem.families.Gaussian(structure), ("covariance",) if tied else (), table
    if family == "student_t":
        if not gaps:
            columns.refuse_missing(chosen, "student_t needs complete rows; remove the row")
        return of_column(), (), table
    if len(chosen) == 1:
        if not gaps:
            columns.refuse_missing(chosen, "remove the row")
        return of_column(), (), table
    return lem.families.Independent({name: of_column() for name in chosen}), (), table


def add_family(parser: argparse.ArgumentParser, option: str, of: str) -> None:
    """The options that choose a family."""
    parser.add_argument(
        option,
        dest="family",
        choices=tuple(FAMILIES),
        default="gaussian",
        metavar="NAME",
        help=f"density of a {of}: {', '.join(FAMILIES)} (default gaussian); the first two describe all "
        f"columns jointly, the others each column by itself, independent within a {of}",
    )
    parser.add_argument(
        "--covariance",
        choices=COVARIANCES,
        metavar="NAME",
        help=f"of gaussian: {', '.join(COVARIANCES)} (default full)",
    )


def add_search(parser: argparse.ArgumentParser, out: str) -> None:
    """The options of the search for the best fit, and where results go."""
    add = parser.add_argument
    add("--starts", type=at_least_1, default=10, metavar="N", help="starts, of which the best is kept (default 10)")
    add("--seed", type=seed, default=0, metavar="N", help="seed of the random starts (default 0)")
    add("--max-iterations", type=at_least_1, default=10_000, metavar="N", help="of each start (default 10000)")
    add("--out", type=Path, metavar="DIR", help=f"folder for fit.json and {out}")


@dataclass
class Results:
    """Files of one run, written together: under temporary names first, and named when all of them are on the disk.

    fit.json is named last, and taken away before the first of the others is named: where it is, the files beside it
    belong to it.

    Args:
        folder: of --out.
    """

    folder: Path
    parts: dict[str, Callable[[Any], None]] = field(default_factory=dict)

    def text(self, name: str, body: Callable[[Any], None]) -> None:
        """A text file; `body(file)` writes it."""

        def encoded(file: Any) -> None:
            wrapped = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
            body(wrapped)
            wrapped.flush()
            wrapped.detach()

        self.parts[name] = encoded

    def table(self, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """A CSV file."""

        def body(file: Any) -> None:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(header)
            lines.writerows(rows)

        self.text(name, body)

    def array(self, name: str, array: np.ndarray) -> None:
        """A .npy file."""
        self.parts[name] = lambda file: np.save(file, array)

    def fit(self, fit: Fit, more: Mapping[str, Any] | None = None, without: Sequence[str] = ()) -> None:
        """fit.json, with `more` in it and `without` some of its facts, and fit.npz, which `latentem predict` and
        `lem.load` read."""
        facts = {name: value for name, value in fit.to_dict().items() if name not in without}
        content = finite({**facts, **(more or {})})
        self.text("fit.json", lambda file: file.write(json.dumps(content, indent=2, allow_nan=False) + "\n"))
        self.parts["fit.npz"] = lambda file: saving.write(fit, file)

    def write(self) -> None:
        """Write all of them.

        Raises:
            OutputError: one cannot be written; none of them is left, and those that were there before stay.
        """
        done: dict[str, Path] = {}
        try:
            for name, body in self.parts.items():
                done[name] = files.written(self.folder / name, body)
            if "fit.json" in done:
                (self.folder / "fit.json").unlink(missing_ok=True)
            for name in sorted(done, key=lambda name: name == "fit.json"):
                os.replace(done[name], self.folder / name)
            files.settle(self.folder)
        except BaseException as error:
            for part in done.values():
                part.unlink(missing_ok=True)
            if not isinstance(error, OSError):
                raise
            told = f"--out {self.folder}: {error.strerror or one_line(error)}"
            raise OutputError(f"{told}; nothing was written") from None

    @property
    def names(self) -> str:
        """The files, for the reader."""
        told = [str(self.folder / name) for name in self.parts if name != "fit.npz"]
        return " and ".join(told) if len(told) == 2 else ", ".join(told)


def ended(command: str, fit: Fit, meant: bool = False) -> int:
    """The exit code: 0 where the fit converged, or ended as it was `meant` to; 3 otherwise, with a line on stderr."""
    if fit.status.ok or meant:
        return 0
    print(f"latentem {command}: {fit.status.name}: {fit.status.advice}", file=sys.stderr)
    return 3


def add_readings(parser: argparse.ArgumentParser, columns: str, required: bool = False) -> None:
    """The data whose columns are read, and which columns."""
    parser.add_argument("data", type=Path, metavar="DATA", help="CSV file with a header line, or Parquet file")
    parser.add_argument("--columns", type=names, default=[], required=required, metavar="A,B", help=columns)


def read_matrix(options: argparse.Namespace) -> tuple[Columns, np.ndarray]:
    """(the columns, (T, p)): those of --columns, or all."""
    options.columns = options.columns or header(options.data)
    columns = read(options.data, options.columns)
    return columns, np.stack([columns.values[name] for name in options.columns], axis=1)


def add_id(parser: argparse.ArgumentParser) -> None:
    """The option that names rows."""
    parser.add_argument("--id", metavar="COLUMN", help="column that names the rows, for the files of --out")


def of_rows(
    path: Path, names: Sequence[str | None], columns: Mapping[str, Any]
) -> tuple[list[str], Iterable[Sequence[Any]]]:
    """Header and lines of a table with a line for each row of the data.

    Args:
        path: of the data.
        names: the columns of the data that come first, such as names of rows; rows are numbered from 1 where the first
            is None.
        columns: what a fit says of each row.

    Raises:
        InputError: no such column.
    """
    first, *beside = names
    kept = [name for name in dict.fromkeys([first, *beside]) if name is not None]
    size = len(next(iter(columns.values())))
    found: dict[str, Any] = {"row": range(1, size + 1)} if first is None else {}
    found |= {name: text_of(path, name) for name in kept}
    found |= {name: column.tolist() for name, column in columns.items()}
    return list(found), zip(*found.values(), strict=True)


def make_folder(folder: Path | None) -> None:
    """Make the folder of --out, or say in one line why not."""
    # Before the fit: nobody should wait for results that cannot be kept.
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {folder}: {error.strerror}: expected a folder, or a name for one") from None


def finite(value: Any) -> Any:
    """The same with None for NaN and infinite numbers, which JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def names(text: str) -> Sequence[str]:
    """Names set apart by commas; one that has a comma itself stands in double quotes."""
    names = [name.strip() for name in next(csv.reader([text]), [])]
    if not names or "" in names:
        raise argparse.ArgumentTypeError(f"{text!r}: expected names of columns, like a,b")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise argparse.ArgumentTypeError(f"{text!r} names {twice[0]!r} twice: expected different columns")
    return names


def at_least_1(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of at least 1")
    return int(text)


def seed(text: str) -> int:
    """A seed."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 0 to {2**32 - 1}")
    return int(text)
