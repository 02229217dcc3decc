"""Fit a hidden Markov model to columns of a CSV or Parquet file whose rows follow one another in time.

Prints the estimates. With --out DIR it also writes DIR/fit.json and DIR/states.csv: for each row of the data its
number (or its name, with --id), its sequence, the state on the most probable path (Viterbi) and the smoothed
probability of every state. A row without any value is
a time step that was not observed. Exit code 0; 2 for input that cannot be used; 3 when the fit did not converge.

  latentem hmm earthquakes.csv --columns count --states 3 --emission poisson --out fit
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from latentem.cli import common, reading
from latentem.cli.errors import InputError, one_line, shown

if TYPE_CHECKING:
    from latentem import Fit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latentem hmm`."""
    add = parser.add_argument
    add("data", type=Path, metavar="DATA", help="CSV file with a header line, or Parquet file")
    add("--columns", type=common.names, default=[], metavar="A,B", help="columns to fit, by name")
    add("--states", type=common.at_least_1, required=True, metavar="K", help="number of states")
    common.add_family(parser, "--emission", "state")
    add("--sequence", metavar="COLUMN", help="column that says which sequence a row belongs to (default: one sequence)")
    add(
        "--initial",
        choices=("free", "stationary"),
        default="free",
        metavar="NAME",
        help="distribution of the first state: free, or stationary, that of the transition matrix (default free)",
    )
    common.add_id(parser)
    common.add_search(parser, "states.csv")


def run(options: argparse.Namespace) -> int:
    """Read, fit, print, write.

    Returns:
        0, or 3 where the fit did not converge.

    Raises:
        InputError: data, options or folder that cannot be used.
    """
    import jax

    import latentem as lem

    names, sequence = options.columns, options.sequence
    if sequence in names:
        raise InputError(f"--sequence {sequence} is also among --columns: expected different columns")
    wanted = [*names, sequence] if sequence and names else names
    columns = reading.read(options.data, wanted, named=[sequence] if sequence else [])
    if sequence:
        columns.refuse_missing([sequence], "say which sequence the row belongs to")
        _refuse_apart(columns, sequence)
    family, shared, data = common.described(columns, names, options.family, options.covariance, gaps=True)
    common.make_folder(options.out)
    try:
        series = lem.sequences(data, sequence=columns.values[sequence] if sequence else None)
        fit = lem.fit(
            lem.HMM(options.states, family, initial=options.initial, shared=shared),
            series,
            key=jax.random.key(options.seed),
            starts=options.starts,
            max_iterations=options.max_iterations,
        )
    except ValueError as error:
        raise InputError(f"{options.data}: {common.placed(one_line(error), columns, options)}") from None
    several = "" if series.n == 1 else f", {series.n} sequences"
    told = [f"{options.data}, columns {', '.join(names)}{several}", fit.summary()]
    if options.out is not None:
        told.append(f"\nwrote {_write(fit, options)}")
    for line in told:
        print(shown(line))
    return common.ended("hmm", fit)


def _refuse_apart(columns: reading.Columns, sequence: str) -> None:
    """InputError where the rows of a sequence are apart."""
    # Names are numbered as they appear, so that only one seen before is below the number before it.
    back = np.flatnonzero(np.diff(columns.values[sequence]) < 0)
    if len(back):
        told = f"column {sequence!r} on {columns.places[int(back[0]) + 1]} goes back to a sequence that has ended"
        raise InputError(f"{columns.path}: {told}: sort the rows by sequence, then by time")


def _write(fit: Fit, options: argparse.Namespace) -> str:
    """Write the files; what they are called."""
    from latentem.results.augmenting import columns_of

    results = common.Results(options.out)
    results.fit(fit)
    results.table("states.csv", *common.of_rows(options.data, [options.id, options.sequence], columns_of(fit)))
    results.write()
    return results.names
