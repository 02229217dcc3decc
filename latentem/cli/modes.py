"""Frequencies, damping and shapes of a structure from readings of its vibration, by maximum likelihood.

DATA is a CSV or Parquet file, a column for each sensor (all columns, or those of --columns); a value that is missing is
a reading that was lost. Prints each mode with standard errors. With --out DIR it also writes DIR/fit.json and
DIR/modes.csv. Exit code 0; 2 for input that cannot be used; 3 when the fit did not converge.

  latentem modes frame.csv --rate 100 --modes 3 --out fit
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from latentem.cli import common
from latentem.cli.errors import InputError, one_line, shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latentem modes`."""
    add = parser.add_argument
    common.add_readings(parser, "columns of the sensors (default: all)")
    add("--rate", type=float, required=True, metavar="HZ", help="readings per second")
    add("--modes", type=common.at_least_1, required=True, metavar="M", help="number of modes")
    add("--reference", metavar="COLUMN", help="sensor at which shapes are 1 (default: the first)")
    add("--max-iterations", type=common.at_least_1, default=10_000, metavar="N", help="of EM (default 10000)")
    add("--out", type=Path, metavar="DIR", help="folder for fit.json and modes.csv")


def run(options: argparse.Namespace) -> int:
    """Read, fit, print, write.

    Returns:
        0, or 3 where the fit did not converge.

    Raises:
        InputError: data, options or folder that cannot be used.
    """
    import latentem as lem

    columns, readings = common.read_matrix(options)
    if options.reference and options.reference not in options.columns:
        raise InputError(f"--reference {options.reference}: expected one of {', '.join(options.columns)}")
    common.make_folder(options.out)
    try:
        reference = options.columns.index(options.reference) if options.reference else 0
        model = lem.Modal(options.modes, options.rate, reference)
        fit = lem.fit(model, readings, max_iterations=options.max_iterations)
    except ValueError as error:
        raise InputError(f"{options.data}: {common.placed(one_line(error), columns, options)}") from None
    modes = fit.modes() if fit.status.ok else ()
    told = [
        f"{options.data}, sensors {', '.join(options.columns)}, {options.rate:g} readings per second",
        f"log-likelihood {fit.log_likelihood:.6f}   BIC {fit.bic:.4f}   status {fit.status.name}",
    ]
    if modes:
        told.append("\nmode  frequency (Hz)  std. error  damping   std. error")
    for k, mode in enumerate(modes):
        numbers = f"{k:>4}  {mode.frequency:>14.5g}  {mode.frequency_error:>10.2g}  {mode.damping:>8.4f}"
        told.append(f"{numbers}  {mode.damping_error:>10.2g}")
    told += [f"note: {note}" for note in fit.notes]
    if options.out is not None:
        results = common.Results(options.out)
        results.fit(fit)
        results.table("modes.csv", _header(options.columns), [_row(mode) for mode in modes])
        results.write()
        told.append(f"\nwrote {results.names}")
    for line in told:
        print(shown(line))
    return common.ended("modes", fit)


def _header(sensors: list[str]) -> list[str]:
    found = ["frequency", "frequency_error", "frequency_low", "frequency_high"]
    found += ["damping", "damping_error", "damping_low", "damping_high"]
    return found + [f"{part}_{name}" for name in sensors for part in ("real", "imaginary")]


def _row(mode: Any) -> list[float]:
    found = [mode.frequency, mode.frequency_error, *mode.frequency_interval]
    found += [mode.damping, mode.damping_error, *mode.damping_interval]
    return [float(a) for a in (*found, *np.stack([mode.shape.real, mode.shape.imag], axis=1).ravel())]
