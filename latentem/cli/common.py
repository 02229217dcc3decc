"""What the commands that fit a model share: names of families, checks of options, where a complaint points, JSON."""

from __future__ import annotations

import argparse
import csv
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from latentem.cli.errors import InputError, one_line
from latentem.cli.reading import Columns

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
    matrix = np.stack(list(table.values()), axis=1)
    if family == "gaussian":
        tied = covariance == "tied"
        structure = "full" if tied or covariance is None else covariance
        return lem.families.Gaussian(structure), ("covariance",) if tied else (), matrix
    if family == "student_t":
        if not gaps:
            columns.refuse_missing(chosen, "student_t needs complete rows; remove the row")
        return of_column(), (), matrix
    if len(chosen) == 1:
        if not gaps:
            columns.refuse_missing(chosen, "remove the row")
        return of_column(), (), table[chosen[0]]
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


def write(
    fit: Fit,
    folder: Path,
    name: str,
    header: Sequence[str],
    rows: Iterable[Sequence[Any]],
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write fit.json, with `more` in it, and a table beside it.

    Raises:
        InputError: the folder cannot be written.
    """
    try:
        with open(folder / "fit.json", "w", encoding="utf-8") as file:
            json.dump(finite({**fit.to_dict(), **(more or {})}), file, indent=2, allow_nan=False)
            file.write("\n")
    except OSError as error:
        raise InputError(f"--out {folder}: {error.strerror or one_line(error)}") from None
    write_table(folder / name, header, rows)


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file.

    Raises:
        InputError: the folder cannot be written.
    """
    try:
        with open(path, "w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(header)
            lines.writerows(rows)
    except OSError as error:
        raise InputError(f"--out {path.parent}: {error.strerror or one_line(error)}") from None


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
