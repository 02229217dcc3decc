"""Frequencies, damping and shapes of a structure from readings of its vibration, by maximum likelihood.

DATA is a CSV or Parquet file, a column for each sensor (all columns, or those of --columns); a value that is missing is
a reading that was lost. Prints each mode with standard errors. With --out DIR it also writes DIR/fit.json and
DIR/modes.csv. Exit code 0; 2 for input that cannot be used; 3 when the fit did not converge.

  latentem modes frame.csv --rate 100 --modes 3 --out fit
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from latentem.cli import common, reading
from latentem.cli.errors import InputError, one_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latentem modes`."""
    add = parser.add_argument
    add("data", type=Path, metavar="DATA", help="CSV file with a header line, or Parquet file")
    add("--columns", type=common.names, default=[], metavar="A,B", help="columns of the sensors (default: all)")
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

    options.columns = options.columns or reading.header(options.data)
    columns = reading.read(options.data, options.columns)
    if options.reference and options.reference not in options.columns:
        raise InputError(f"--reference {options.reference}: expected one of {', '.join(options.columns)}")
    readings = np.stack([columns.values[name] for name in options.columns], axis=1)
    common.make_folder(options.out)
    try:
        reference = options.columns.index(options.reference) if options.reference else 0
        model = lem.Modal(options.modes, options.rate, reference)
        fit = lem.fit(model, readings, max_iterations=options.max_iterations)
    except ValueError as error:
        raise InputError(f"{options.data}: {common.placed(one_line(error), columns, options)}") from None
    print(f"{options.data}, sensors {', '.join(options.columns)}, {options.rate:g} readings per second")
    print(f"log-likelihood {fit.log_likelihood:.6f}   BIC {fit.bic:.4f}   status {fit.status.name}")
    if not fit.status.ok:
        print(f"latentem modes: {fit.status.name}: {fit.status.advice}", file=sys.stderr)
        if options.out is not None:
            common.write(fit, options.out, "modes.csv", ["mode"], [])
        return 3
    modes = fit.modes()
    print("\nmode  frequency (Hz)  std. error  damping   std. error")
    for k, mode in enumerate(modes):
        told = f"{k:>4}  {mode.frequency:>14.5g}  {mode.frequency_error:>10.2g}  {mode.damping:>8.4f}"
        print(f"{told}  {mode.damping_error:>10.2g}")
    for note in fit.notes:
        print(f"note: {note}")
    if options.out is not None:
        common.write(fit, options.out, "modes.csv", _header(options.columns), [_row(mode) for mode in modes])
        print(f"\nwrote {options.out / 'fit.json'} and {options.out / 'modes.csv'}")
    return 0


def _header(sensors: list[str]) -> list[str]:
    found = ["frequency", "frequency_error", "frequency_low", "frequency_high"]
    found += ["damping", "damping_error", "damping_low", "damping_high"]
    return found + [f"{part}_{name}" for name in sensors for part in ("real", "imaginary")]


def _row(mode: Any) -> list[float]:
    found = [mode.frequency, mode.frequency_error, *mode.frequency_interval]
    found += [mode.damping, mode.damping_error, *mode.damping_interval]
    return [float(a) for a in (*found, *np.stack([mode.shape.real, mode.shape.imag], axis=1).ravel())]
