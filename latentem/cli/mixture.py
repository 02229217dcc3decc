"""Fit a mixture to columns of a CSV or Parquet file.

Prints the estimates. With --out DIR it also writes DIR/fit.json and DIR/responsibilities.csv, a line for each
row of the data and a column for each component. Exit code 0; 2 for input that cannot be used; 3 when the fit
did not converge.

  latentem mixture geyser.csv --columns eruptions,waiting --components 2 --out fit
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from latentem.cli import reading
from latentem.cli.errors import InputError, one_line

if TYPE_CHECKING:
    from latentem import Fit, Mixture

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latentem mixture`."""
    add = parser.add_argument
    add("data", type=Path, metavar="DATA", help="CSV file with a header line, or Parquet file")
    add("--columns", type=_names, default=[], metavar="A,B", help="columns to fit, by name")
    add("--components", type=_at_least_1, required=True, metavar="K", help="number of components")
    add(
        "--family",
        choices=tuple(FAMILIES),
        default="gaussian",
        metavar="NAME",
        help=f"density of a component: {', '.join(FAMILIES)} (default gaussian); the first two describe all "
        "columns jointly, the others each column by itself, independent within a component",
    )
    add(
        "--covariance",
        choices=COVARIANCES,
        metavar="NAME",
        help=f"of gaussian: {', '.join(COVARIANCES)} (default full)",
    )
    add("--weights", metavar="COLUMN", help="column that says how often each row counts")
    add(
        "--starts",
        type=_at_least_1,
        default=10,
        metavar="N",
        help="starts, of which the best is kept (default 10)",
    )
    add("--seed", type=_seed, default=0, metavar="N", help="seed of the random starts (default 0)")
    add(
        "--max-iterations",
        type=_at_least_1,
        default=10_000,
        metavar="N",
        help="of each start (default 10000)",
    )
    add("--out", type=Path, metavar="DIR", help="folder for fit.json and responsibilities.csv")


def run(options: argparse.Namespace) -> int:
    """Read, fit, print, write.

    Returns:
        0, or 3 where the fit did not converge.

    Raises:
        InputError: data, options or folder that cannot be used.
    """
    import jax

    import latentem as lem

    if options.covariance and options.family != "gaussian":
        raise InputError(f"--covariance {options.covariance} goes with --family gaussian, not {options.family}")
    if options.weights in options.columns:
        raise InputError(f"--weights {options.weights} is also among --columns: expected different columns")
    names = options.columns
    columns = reading.read(options.data, [*names, options.weights] if options.weights and names else names)
    model, data = _declare(options, columns)
    weights = None
    if options.weights is not None:
        columns.refuse_missing([options.weights], "weigh a row by 0 to leave it out")
        weights = columns.values[options.weights]
    _make_folder(options.out)
    try:
        fit = lem.fit(
            model,
            data,
            weights=weights,
            key=jax.random.key(options.seed),
            starts=options.starts,
            max_iterations=options.max_iterations,
        )
    except ValueError as error:
        raise InputError(f"{options.data}: {_placed(one_line(error), columns, options)}") from None
    print(f"{options.data}, columns {', '.join(names)}")
    print(fit.summary())
    if options.out is not None:
        write(fit, options.out)
        print(f"\nwrote {options.out / 'fit.json'} and {options.out / 'responsibilities.csv'}")
    if not fit.status.ok:
        print(f"latentem mixture: {fit.status.name}: {fit.status.advice}", file=sys.stderr)
        return 3
    return 0


def write(fit: Fit, folder: Path) -> None:
    """Write fit.json and responsibilities.csv.

    Raises:
        InputError: the folder cannot be written.
    """
    try:
        with open(folder / "fit.json", "w", encoding="utf-8") as file:
            json.dump(_finite(fit.to_dict()), file, indent=2, allow_nan=False)
            file.write("\n")
        responsibilities = fit.responsibilities()
        with open(folder / "responsibilities.csv", "w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow([f"component_{k}" for k in range(responsibilities.shape[1])])
            lines.writerows(responsibilities.tolist())
    except OSError as error:
        raise InputError(f"--out {folder}: {error.strerror or one_line(error)}") from None


def _declare(options: argparse.Namespace, columns: reading.Columns) -> tuple[Mixture, Any]:
    """The mixture, and the data as it wants them."""
    import latentem as lem

    names, family = options.columns, getattr(lem.families, FAMILIES[options.family])
    table = {name: columns.values[name] for name in names}
    if options.family == "gaussian":
        return lem.GaussianMixture(options.components, options.covariance or "full"), _matrix(table)
    if options.family == "student_t":
        columns.refuse_missing(names, "student_t needs complete rows; remove the row")
        return lem.Mixture(family(), options.components), _matrix(table)
    if len(names) == 1:
        columns.refuse_missing(names, "remove the row")
        return lem.Mixture(family(), options.components), table[names[0]]
    return lem.Mixture(lem.families.Independent({name: family() for name in names}), options.components), table


def _placed(message: str, columns: reading.Columns, options: argparse.Namespace) -> str:
    """The library's message with lines and columns of the file in place of indices of its arrays."""

    def place(found: re.Match[str]) -> str:
        array, place, column = found[1], columns.places[int(found[2])], int(found[3] or 0)
        if array == "observations" and message.startswith("column "):  # Independent names the column itself
            return place
        return f"column {options.weights if array == 'weights' else options.columns[column]!r} on {place}"

    return re.sub(r"(observations|weights)\[(\d+)(?:, (\d+))?\]", place, message)


def _matrix(table: dict[str, np.ndarray]) -> np.ndarray:
    return np.stack(list(table.values()), axis=1)


def _make_folder(folder: Path | None) -> None:
    # Before the fit: nobody should wait for results that cannot be kept.
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {folder}: {error.strerror}: expected a folder, or a name for one") from None


def _finite(value: Any) -> Any:
    """The same with None for NaN and infinite numbers, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _names(text: str) -> Sequence[str]:
    """Names set apart by commas; one that has a comma itself stands in double quotes."""
    names = [name.strip() for name in next(csv.reader([text]), [])]
    if not names or "" in names:
        raise argparse.ArgumentTypeError(f"{text!r}: expected names of columns, like a,b")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise argparse.ArgumentTypeError(f"{text!r} names {twice[0]!r} twice: expected different columns")
    return names


def _at_least_1(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of at least 1")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 0 to {2**32 - 1}")
    return int(text)
