"""Fit a mixture to columns of a CSV or Parquet file.

Prints the estimates. With --out DIR it also writes DIR/fit.json and DIR/responsibilities.csv, a line for each
row of the data: its number (or its name, with --id), the most probable component and the probability of each.
Exit code 0; 2 for input that cannot be used; 3 when the fit
did not converge.

  latentem mixture geyser.csv --columns eruptions,waiting --components 2 --out fit
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentem.cli import common, reading
from latentem.cli.errors import InputError, one_line, shown

if TYPE_CHECKING:
    from latentem import Fit, Mixture


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latentem mixture`."""
    add = parser.add_argument
    add("data", type=Path, metavar="DATA", help="CSV file with a header line, or Parquet file")
    add("--columns", type=common.names, default=[], metavar="A,B", help="columns to fit, by name")
    add("--components", type=common.at_least_1, required=True, metavar="K", help="number of components")
    common.add_family(parser, "--family", "component")
    add("--weights", metavar="COLUMN", help="column that says how often each row counts")
    common.add_id(parser)
    common.add_search(parser, "responsibilities.csv")


def run(options: argparse.Namespace) -> int:
    """Read, fit, print, write.

    Returns:
        0, or 3 where the fit did not converge.

    Raises:
        InputError: data, options or folder that cannot be used.
    """
    import jax

    import latentem as lem

    if options.weights in options.columns:
        raise InputError(f"--weights {options.weights} is also among --columns: expected different columns")
    names = options.columns
    columns = reading.read(options.data, [*names, options.weights] if options.weights and names else names)
    model, data = _declare(options, columns)
    weights = None
    if options.weights is not None:
        columns.refuse_missing([options.weights], "weigh a row by 0 to leave it out")
        weights = columns.values[options.weights]
    common.make_folder(options.out)
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
        raise InputError(f"{options.data}: {common.placed(one_line(error), columns, options)}") from None
    told = [f"{options.data}, columns {', '.join(names)}", fit.summary()]
    if options.out is not None:
        told.append(f"\nwrote {_write(fit, options)}")
    for line in told:
        print(shown(line))
    return common.ended("mixture", fit)


def _declare(options: argparse.Namespace, columns: reading.Columns) -> tuple[Mixture, Any]:
    """The mixture, and the data as it wants them."""
    import latentem as lem

    family, shared, data = common.described(columns, options.columns, options.family, options.covariance)
    return lem.Mixture(family, options.components, shared=shared), data


def _write(fit: Fit, options: argparse.Namespace) -> str:
    """Write the files; what they are called."""
    from latentem.results.augmenting import columns_of

    results = common.Results(options.out)
    results.fit(fit)
    results.table("responsibilities.csv", *common.of_rows(options.data, [options.id], columns_of(fit)))
    results.write()
    return results.names
