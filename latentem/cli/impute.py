"""Fill in the missing entries of a CSV or Parquet file.

Columns of numbers are described jointly, by a normal distribution or, with --components K, a mixture of K; where a
column holds text, all columns are described by a latent class model of K classes (4 by default). With --out DIR it
writes DIR/completed.csv, in which every missing entry has its conditional expectation, text the most probable label;
with --copies M also DIR/copy_1.csv ... DIR/copy_M.csv, in which it is drawn, for multiple imputation. Exit code 0; 2
for input that cannot be used; 3 when the fit did not converge.

  latentem impute airquality.csv --columns Ozone,Solar.R,Wind,Temp --out completed --copies 20
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from latentem.cli import common, reading
from latentem.cli.errors import InputError, one_line, shown

#: Classes where columns hold text and --components says nothing.
CLASSES = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latentem impute`."""
    add = parser.add_argument
    add("data", type=Path, metavar="DATA", help="CSV file with a header line, or Parquet file")
    add("--columns", type=common.names, default=[], metavar="A,B", help="columns to complete, by name (default all)")
    add("--components", type=common.at_least_1, metavar="K", help="components of a mixture (default 1; 4 with text)")
    add("--copies", type=common.at_least_1, metavar="M", help="also M copies with drawn entries")
    common.add_search(parser, "completed.csv")


def run(options: argparse.Namespace) -> int:
    """Read, fit, complete, print, write.

    Returns:
        0, or 3 where the fit did not converge.

    Raises:
        InputError: data, options or folder that cannot be used.
    """
    import jax

    import latentem as lem

    if options.copies is not None and options.out is None:
        raise InputError("--copies: there is nowhere to write them: expected --out DIR as well")
    table = _table(options.data, options.columns)
    text = [name for name, column in table.items() if column.dtype.kind == "O"]
    for name in table:
        _refuse(options, name, table[name], name in text)
    model = _model(lem, table, text, options.components)
    common.make_folder(options.out)
    try:
        fit = lem.fit(
            model,
            table,
            key=jax.random.key(options.seed),
            starts=1 if getattr(model, "components", 2) == 1 else options.starts,
            max_iterations=options.max_iterations,
        )
    except (ValueError, TypeError) as error:
        raise InputError(f"{options.data}: {one_line(error)}") from None
    holes = sum(int(np.sum(_holes(column))) for column in table.values())
    print(shown(f"{options.data}: {holes} of {sum(map(len, table.values()))} entries are missing"))
    print(shown(fit.summary()))
    if not fit.status.ok:
        print(f"latentem impute: {fit.status.name}: {fit.status.advice}", file=sys.stderr)
    if options.out is not None:
        results = common.Results(options.out)
        results.fit(fit)
        _add(results, "completed.csv", fit.impute())
        if options.copies is not None and fit.status.ok:
            for i, copy in enumerate(fit.impute(options.copies, key=options.seed), start=1):
                _add(results, f"copy_{i}.csv", copy)
        results.write()
        print(shown(f"\nwrote {results.names}"))
    return 0 if fit.status.ok else 3


def _table(path: Path, chosen: Any) -> dict[str, np.ndarray]:
    """Columns of numbers, NaN where missing, and of text, None where missing."""
    names = chosen or reading.header(path)
    found = reading.read(path, names, named=names)
    table = {}
    for name in names:
        codes, known = found.values[name], found.names[name]
        try:
            values = np.array([*(float(str(cell).replace(",", ".")) for cell in known), np.nan])
        except ValueError:
            values = np.array([*map(str, known), None], dtype=object)
        if values.dtype.kind == "f" and np.isinf(values).any():
            raise InputError(f"{path}: column {name!r} holds an infinite number: expected finite ones")
        table[name] = values[np.where(np.isnan(codes), len(known), codes).astype(int)]
    return table


def _model(lem: Any, table: dict[str, np.ndarray], text: list[str], components: int | None) -> Any:
    if not text:
        return lem.MultivariateNormal() if components in (None, 1) else lem.GaussianMixture(components)
    families = lem.families
    parts = {
        name: families.Categorical(_labels(column)) if name in text else families.Gaussian()
        for name, column in table.items()
    }
    return lem.Mixture(families.Independent(parts), components or CLASSES)


def _labels(column: np.ndarray) -> list[str]:
    return sorted({label for label in column.tolist() if label is not None})


def _holes(column: np.ndarray) -> np.ndarray:
    if column.dtype.kind == "O":
        return np.array([entry is None for entry in column.tolist()])
    return np.isnan(column)


def _refuse(options: argparse.Namespace, name: str, column: np.ndarray, text: bool) -> None:
    if _holes(column).all():
        raise InputError(f"{options.data}: column {name!r} has no entry: expected some; leave it out with --columns")
    if text and len(_labels(column)) < 2:
        told = f"column {name!r} has one category, {_labels(column)[0]!r}"
        raise InputError(f"{options.data}: {told}: expected at least 2; leave it out with --columns")


def _add(results: common.Results, name: str, table: dict[str, Any]) -> None:
    rows = zip(*(np.asarray(column).tolist() for column in table.values()), strict=True)
    results.table(name, list(table), list(rows))
