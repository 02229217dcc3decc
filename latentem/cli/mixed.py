"""Fit a linear mixed model to a CSV or Parquet file.

Prints what lme4 prints. With --out DIR it also writes DIR/fit.json, DIR/effects.csv, a line for each level of each
grouping (prediction, standard error, reliability), and DIR/components.csv, the variance components. Exit code 0; 2 for
input that cannot be used; 3 when the fit did not converge.

  latentem mixed milk.csv --formula "milk ~ lact + (1 | id) + (1 | herd)" --pedigree cows.csv --out fit
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentem.cli import common
from latentem.cli.errors import InputError, one_line, shown

if TYPE_CHECKING:
    from latentem.models.mixed import MixedFit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latentem mixed`."""
    add = parser.add_argument
    add("data", type=Path, metavar="DATA", help="CSV file with a header line, or Parquet file")
    add("--formula", required=True, metavar="FORMULA", help='as in lme4: "y ~ x + (1 | group)"')
    add("--pedigree", type=Path, metavar="PED", help="file whose first three columns are individual, sire, dam")
    add(
        "--individual",
        metavar="COLUMN",
        help="grouping that the pedigree describes (default: the name of its first column)",
    )
    add("--ml", action="store_true", help="maximum likelihood in place of the restricted one")
    add("--weights", metavar="COLUMN", help="column that says how often each record counts")
    add("--precision", metavar="COLUMN", help="column of precision weights: the residual variance is divided by them")
    add("--max-iterations", type=common.at_least_1, default=100, metavar="N", help="of Newton's method (default 100)")
    add("--out", type=Path, metavar="DIR", help="folder for fit.json, effects.csv and components.csv")


def run(options: argparse.Namespace) -> int:
    """Read, fit, print, write.

    Returns:
        0, or 3 where the fit did not converge.

    Raises:
        InputError: data, options or folder that cannot be used.
    """
    import latentem as lem

    table = _table(options.data)
    common.make_folder(options.out)
    weights = None
    if options.weights is not None:
        if options.weights not in table.columns:
            there = ", ".join(map(str, table.columns))
            raise InputError(f"{options.data} has no column {options.weights!r}: its columns are {there}")
        weights = table[options.weights].to_numpy()
    try:
        model = lem.Mixed(options.formula, _relationship(options), reml=not options.ml, precision=options.precision)
        fit: Any = lem.fit(model, table, weights=weights, max_iterations=options.max_iterations)
    except (ValueError, TypeError, ImportError) as error:
        raise InputError(f"{options.data}: {one_line(error)}") from None
    told = [str(options.data), fit.summary()]
    if options.out is not None:
        told.append(f"\nwrote {_write(fit, options.out)}")
    for line in told:
        print(shown(line))
    return common.ended("mixed", fit)


def _table(path: Path) -> Any:
    try:
        import pandas as pd
    except ImportError:
        raise InputError('latentem mixed needs pandas and formulae: python -m pip install "latentem[mixed]"') from None
    try:
        with open(path, "rb") as file:
            start = file.read(4)
        if not start:
            raise InputError(f"{path} is empty: expected a header line and one line for each record")
        table = pd.read_parquet(path) if start == b"PAR1" else pd.read_csv(path, encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"{path} cannot be read: {one_line(error)}") from None
    if not len(table):
        raise InputError(f"{path} has a header and no rows: expected one line for each record")
    table.columns = [str(column).strip() for column in table.columns]
    return table


def _relationship(options: argparse.Namespace) -> dict[str, Any]:
    import latentem as lem

    if options.pedigree is None:
        if options.individual is not None:
            raise InputError(f"--individual {options.individual} goes with --pedigree: give the file")
        return {}
    listed = _table(options.pedigree)
    if listed.shape[1] < 3:
        raise InputError(f"{options.pedigree} has {listed.shape[1]} columns: expected individual, sire, dam")
    columns = [listed.iloc[:, k].to_numpy() for k in range(3)]
    try:
        pedigree = lem.pedigree(*columns)
    except ValueError as error:
        raise InputError(f"{options.pedigree}: {one_line(error)}") from None
    return {options.individual or str(listed.columns[0]): pedigree}


def _write(fit: MixedFit, folder: Path) -> str:
    """Write the files; what they are called."""
    header = ["group", "level", "coordinate", "prediction", "se", "reliability"]
    rows = []
    for group, table in fit.random_effects().items():
        coordinates = [name for name in table if f"{name}_se" in table]
        for name in coordinates:
            columns = (table["level"], table[name], table[f"{name}_se"], table[f"{name}_reliability"])
            rows.extend(
                (group, level, name, *numbers) for level, *numbers in zip(*(c.tolist() for c in columns), strict=True)
            )
    components = fit.variance_components()
    results = common.Results(folder)
    results.fit(fit)  # pyright: ignore[reportArgumentType]
    results.table("effects.csv", header, rows)
    results.table("components.csv", list(components), zip(*(c.tolist() for c in components.values()), strict=True))
    results.write()
    return results.names
