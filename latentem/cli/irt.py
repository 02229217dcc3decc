"""Fit an item response model to answers: a row for each person, a column for each item, empty where not answered.

Prints the table of items, and what twice as many nodes of ability would change. With --out DIR it also writes
DIR/fit.json (with the limited-information fit statistic under "m2", and that change under "grid"), DIR/items.csv
(params, standard errors, S-X2 item fit) and DIR/scores.csv (ability and its standard error for each row, expected a
posteriori). With --check-grid the change is that of a second fit, not of one Newton step. Exit code 0; 2 for input that
cannot be used; 3 when the fit did not converge.

  latentem irt LSAT7.csv --model 2pl --weights Freq --items Item_1,Item_2,Item_3 --out fit
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from latentem.cli import common, reading
from latentem.cli.errors import InputError, one_line, shown

if TYPE_CHECKING:
    from latentem import Fit

MODELS = ("rasch", "1pl", "2pl", "3pl", "3plu", "4pl", "graded", "grsm", "gpcm", "pcm", "rsm", "nominal", "sequential")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latentem irt`."""
    add = parser.add_argument
    add("data", type=Path, metavar="RESPONSES", help="CSV file with a header line, or Parquet file")
    add("--model", choices=MODELS, default="2pl", metavar="NAME", help=f"item model: {', '.join(MODELS)} (default 2pl)")
    add("--items", type=common.names, metavar="A,B", help="columns that are items (default: all others)")
    add("--weights", metavar="COLUMN", help="column that says how often each row counts")
    add("--group", metavar="COLUMN", help="column that says which group a person belongs to")
    add(
        "--invariance",
        choices=("configural", "metric", "scalar"),
        default="scalar",
        metavar="NAME",
        help="what groups have in common: configural, nothing; metric, slopes; scalar, all item params (default)",
    )
    add("--guessing-prior", type=_pair, metavar="MEAN,SD", help="normal prior on the logit of guessing (3pl, 4pl)")
    add("--max-iterations", type=common.at_least_1, default=10_000, metavar="N", help="of EM (default 10000)")
    add("--check-grid", action="store_true", help="fit again on twice as many nodes and report what changed")
    common.add_id(parser)
    add("--out", type=Path, metavar="DIR", help="folder for fit.json, items.csv and scores.csv")


def run(options: argparse.Namespace) -> int:
    """Read, fit, print, write.

    Returns:
        0, or 3 where the fit did not converge.

    Raises:
        InputError: data, options or folder that cannot be used.
    """
    import latentem as lem

    beside = [name for name in (options.weights, options.group) if name is not None]
    items = options.items or [name for name in reading.header(options.data) if name not in [*beside, options.id]]
    for name in beside:
        if name in items:
            raise InputError(f"column {name!r} is also among --items: expected different columns")
    columns = reading.read(options.data, [*items, *beside], named=[options.group] if options.group else [])
    columns.refuse_missing(beside, "give one, or remove the row")
    common.make_folder(options.out)
    prior = {}
    if options.guessing_prior is not None:
        prior["guessing"] = lem.logit_normal(*options.guessing_prior)
    try:
        irt = lem.IRT(
            options.model, items=tuple(items), group=options.group, invariance=options.invariance, prior=prior
        )
        data = {name: columns.values[name] for name in [*items, *([options.group] if options.group else [])]}
        weights = columns.values[options.weights] if options.weights else None
        fit = lem.fit(irt, data, weights=weights, max_iterations=options.max_iterations)
    except ValueError as error:
        told = common.placed(one_line(error), columns, argparse.Namespace(columns=items, weights=options.weights))
        raise InputError(f"{options.data}: {told}") from None
    # Most of a first run is compilation, which the second core can do for the files meanwhile.
    with ThreadPoolExecutor(1) as meanwhile:
        files = options.out and (meanwhile.submit(fit.scores, "eap"), meanwhile.submit(_model_fit, fit))
        table = _items(fit)
        item_fit = {name: column for name, column in table.items() if name == "item" or name.endswith("S_X2")}
        told = [f"{options.data}, {len(items)} items", fit.summary(), *(["", _text(item_fit)] * (len(item_fit) > 1))]
        check = fit.grid_check if fit.status.ok else None
        if options.check_grid:
            check = fit.check_grid()
            told.append(f"\n{check}")
    if files:
        scores, m2 = files
        more = {"m2": m2.result(), "grid": check and check.to_dict()}
        told.append(f"\nwrote {_write(fit, table, scores.result(), more, options)}")
    for line in told:
        print(shown(line))
    return common.ended("irt", fit)


def _items(fit: Fit) -> dict[str, np.ndarray]:
    """Params with their errors, and S-X2 where it can be computed."""
    from latentem.models.irt.checked.item_fit import s_x2

    table = fit.item_parameters(errors=fit.status.ok)
    try:
        found = s_x2(fit)
    except ValueError as error:
        print(f"latentem irt: no item fit: {one_line(error)}", file=sys.stderr)
        return table
    wanted = {name: found[name] for name in ("S_X2", "df_S_X2", "p_S_X2") if name in found}
    return {**table, **{name: column for name, column in wanted.items() if len(column) == len(table["item"])}}


def _model_fit(fit: Fit) -> dict[str, Any] | None:
    try:
        return {name: float(value) for name, value in fit.model_fit().items() if np.ndim(value) == 0}
    except ValueError as error:
        print(f"latentem irt: no M2: {one_line(error)}", file=sys.stderr)
        return None


def _text(table: dict[str, np.ndarray]) -> str:
    """The table in columns of equal width."""

    def cell(value: Any) -> str:
        if isinstance(value, str):
            return value
        return "" if not np.isfinite(value) else f"{float(value):.4f}"

    columns = [[name, *(cell(v) for v in column.tolist())] for name, column in table.items()]
    wide = [max(map(len, column)) for column in columns]
    lines = zip(*columns, strict=True)
    return "\n".join("  ".join(text.rjust(w) for text, w in zip(line, wide, strict=True)) for line in lines)


def _write(
    fit: Fit,
    table: dict[str, np.ndarray],
    scores: dict[str, np.ndarray],
    more: dict[str, Any],
    options: argparse.Namespace,
) -> str:
    """Write the files; what they are called."""
    theta, errors = (np.asarray(scores[name]).reshape(len(scores["theta"]), -1) for name in ("theta", "se"))
    d = theta.shape[1]
    stem = ["theta"] if d == 1 else [f"theta_{i + 1}" for i in range(d)]
    header = [*stem, *(f"{name}_se" for name in stem)]
    results = common.Results(options.out)
    results.fit(fit, more)
    rows = zip(*(column.tolist() for column in table.values()), strict=True)
    lines = ([("" if isinstance(v, float) and np.isnan(v) else v) for v in row] for row in rows)
    results.table("items.csv", list(table), lines)
    scored = dict(zip(header, np.concatenate([theta, errors], axis=1).T, strict=True))
    results.table("scores.csv", *common.of_rows(options.data, [options.id, options.group], scored))
    results.write()
    return results.names


def _pair(text: str) -> tuple[float, float]:
    """Mean and standard deviation."""
    try:
        mean, spread = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected two numbers, like -1.5,1") from None
    if not spread > 0:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a standard deviation above 0")
    return mean, spread
