"""Fit a state space model to columns of a CSV or Parquet file whose rows follow one another in time.

Models: local-level, local-trend, structural (with --seasonal, --cycle), ar (with --order), dynamic-factor (with
--factors). A value that is missing is a reading that was not made. Prints the estimates. With --out DIR it also writes
DIR/fit.json and DIR/states.csv: for each row the smoothed states with their standard deviations and the readings with
missing ones filled in; with --horizon N, DIR/forecast.csv. Exit code 0; 2 for input that cannot be used; 3 when the fit
did not converge.

  latentem statespace nile.csv --model local-level --columns volume --horizon 10 --out fit
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import numpy as np

from latentem.cli import common
from latentem.cli.errors import InputError, one_line, shown

if TYPE_CHECKING:
    from latentem import Fit

MODELS = ("local-level", "local-trend", "structural", "ar", "dynamic-factor")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latentem statespace`."""
    add = parser.add_argument
    common.add_readings(parser, "columns to fit, by name (default: all)")
    add("--model", choices=MODELS, default="local-level", metavar="NAME", help=f"{', '.join(MODELS)}")
    add("--seasonal", type=common.at_least_1, metavar="N", help="period of a season, of structural")
    add("--cycle", action="store_true", help="a stochastic cycle, of structural")
    add("--order", type=common.at_least_1, metavar="P", help="of ar (default 1)")
    add("--factors", type=common.at_least_1, metavar="K", help="of dynamic-factor (default 1)")
    add("--horizon", type=common.at_least_1, metavar="N", help="steps to forecast")
    common.add_id(parser)
    common.add_search(parser, "states.csv")
    parser.set_defaults(starts=1)


def run(options: argparse.Namespace) -> int:
    """Read, fit, print, write.

    Returns:
        0, or 3 where the fit did not converge.

    Raises:
        InputError: data, options or folder that cannot be used.
    """
    import jax

    import latentem as lem

    model = _model(options)
    columns, readings = common.read_matrix(options)
    common.make_folder(options.out)
    try:
        fit = lem.fit(
            model,
            readings,
            key=jax.random.key(options.seed),
            starts=options.starts,
            max_iterations=options.max_iterations,
        )
    except ValueError as error:
        raise InputError(f"{options.data}: {common.placed(one_line(error), columns, options)}") from None
    told = [f"{options.data}, columns {', '.join(options.columns)}", fit.summary()]
    if options.out is not None:
        told.append(f"\nwrote {_write(fit, options)}")
    for line in told:
        print(shown(line))
    return common.ended("statespace", fit)


def _model(options: argparse.Namespace) -> Any:
    import latentem as lem

    of = {"seasonal": "structural", "order": "ar", "factors": "dynamic-factor", "cycle": "structural"}
    for name, owner in of.items():
        if getattr(options, name) and options.model != owner:
            raise InputError(f"--{name} goes with --model {owner}, not {options.model}")
    try:
        if options.model == "local-trend":
            return lem.LocalTrend()
        if options.model == "structural":
            return lem.Structural(seasonal=options.seasonal or 0, cycle=options.cycle)
        if options.model == "ar":
            return lem.AR(options.order or 1)
        if options.model == "dynamic-factor":
            return lem.DynamicFactor(options.factors or 1)
    except ValueError as error:
        raise InputError(one_line(error)) from None
    return lem.LocalLevel()


def _write(fit: Fit, options: argparse.Namespace) -> str:
    """Write the files; what they are called."""
    paths, filled = fit.smooth(), fit.impute()
    spread = np.sqrt(np.maximum(np.diagonal(paths.covariance, axis1=1, axis2=2), 0.0))
    columns = {f"state_{k}": state for k, state in enumerate(paths.mean.T)}
    columns |= {f"sd_{k}": deviation for k, deviation in enumerate(spread.T)}
    columns |= dict(zip(options.columns, filled.T, strict=True))
    results = common.Results(options.out)
    results.fit(fit)
    results.table("states.csv", *common.of_rows(options.data, [options.id], columns))
    if options.horizon:
        ahead = fit.forecast(options.horizon)
        header = [f"{name}_{what}" for what in ("mean", "lower", "upper") for name in options.columns]
        results.table("forecast.csv", header, np.concatenate([ahead.mean, ahead.lower, ahead.upper], axis=1).tolist())
    results.write()
    return results.names
