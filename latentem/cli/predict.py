"""What a fit says of new rows: components, states or abilities, from the folder of an earlier --out.

Columns are found by name. Writes DIR/predictions.csv: for each row of the data the most probable component or state and
the probabilities of all, or the ability and its standard error. Exit code 0; 1 where the file cannot be written; 2 for
input that cannot be used.

  latentem predict fit new.csv --out predicted
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from latentem.cli import common, reading
from latentem.cli.errors import InputError, one_line, shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latentem predict`."""
    add = parser.add_argument
    add("fit", type=Path, metavar="FIT", help="folder of --out of an earlier command, or a file of Fit.save")
    add("data", type=Path, metavar="DATA", help="CSV file with a header line, or Parquet file")
    add("--sequence", metavar="COLUMN", help="column that says which sequence a row belongs to (hidden Markov models)")
    common.add_id(parser)
    add("--out", type=Path, metavar="DIR", required=True, help="folder for predictions.csv")


def run(options: argparse.Namespace) -> int:
    """Load, read, predict, write.

    Returns:
        0.

    Raises:
        InputError: a fit, data or folder that cannot be used.
        OutputError: the file cannot be written.
    """
    import latentem as lem

    path = options.fit / "fit.npz" if options.fit.is_dir() else options.fit
    try:
        fit = lem.load(path)
    except (ValueError, OSError) as error:
        raise InputError(one_line(error)) from None
    names = _columns(fit)
    beside = [options.sequence] if options.sequence else []
    columns = reading.read(options.data, [*names, *beside], named=beside)
    common.make_folder(options.out)
    try:
        answers = _answers(fit, {name: columns.values[name] for name in names}, columns.values, options.sequence)
    except ValueError as error:
        raise InputError(f"{options.data}: {one_line(error)}") from None
    results = common.Results(options.out)
    results.table("predictions.csv", *common.of_rows(options.data, [options.id, options.sequence], answers))
    results.write()
    print(shown(f"{options.data}, {fit.name}"))
    print(shown(f"wrote {results.names}"))
    return 0


def _columns(fit: Any) -> list[str]:
    """The columns of a file that the fit takes."""
    if fit.model is None:
        raise InputError("the fit does not say what it is of: expected one that `latentem` wrote")
    ready, layout = fit.model.declaration, fit.model.layout
    if hasattr(ready, "seen"):
        return [*ready.seen.names, *([ready.group] if ready.group else []), *ready.covariates]
    names = [] if layout is None else [str(name) for name in layout.names]
    if not names:
        raise InputError("the fit has no names of columns: expected one that `latentem` wrote")
    return names


def _answers(fit: Any, table: dict[str, Any], values: Any, sequence: str | None) -> dict[str, Any]:
    """What the fit says of each row of the data, {name: (N,)}."""
    import latentem as lem
    from latentem.results.augmenting import columns_of

    if "viterbi" not in dir(fit):
        return columns_of(fit, table)
    return columns_of(fit, lem.sequences(table, sequence=values[sequence] if sequence else None))
