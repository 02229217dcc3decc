"""The text a statistician reads after a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from latentem.model.labelled import named
from latentem.results.estimates import Row, rows_of

if TYPE_CHECKING:
    from latentem.results.fit import Fit

#: Parameters are listed one entry a line up to this many entries, and as arrays beyond.
LISTED = 60


def summary(fit: Fit) -> str:
    """Estimates with standard errors and intervals, log-likelihood, criteria, status with advice."""
    errors, reasons = fit._errors
    lines = [
        f"{fit.name}: {fit.n_observations:g} observations, {fit.n_parameters} free parameters",
        f"log-likelihood {fit.log_likelihood:.6f}   AIC {fit.aic:.4f}   BIC {fit.bic:.4f}",
    ]
    if fit.log_prior:
        lines.append(f"log prior {fit.log_prior:.6f}   objective {fit.objective:.6f}")
    effort = f"{fit.iterations} iterations, {fit.evaluations} evaluations, {fit.seconds:.2f} s"
    lines.append(f"status {fit.status.name} after {effort}")
    if fit.status.value != fit.status.name:
        lines.append(f"  {fit.status.advice}")
    if fit.compression is not None and fit.compression.rank is not None:
        lines.append(f"  {fit.compression}")
    if fit.quadrature is not None:
        lines.append(f"  quadrature: {fit.quadrature}")
    lines.extend(f"  note: {note}" for note in (*fit.notes, *reasons))
    lines.extend(_optima_lines(fit))
    if errors is not None:  # what a ready model reports takes a maximum and a problem of moderate size, as they do
        lines.extend(f"  {line}" for line in getattr(fit._ready, "report", lambda fit: [])(fit))
    size = sum(np.size(a) for a in jax.tree.leaves(fit.params))
    overview = getattr(fit._ready, "overview", None)
    if overview is not None and fit.model is not None:
        lines.extend(["", *overview(fit, errors is not None)])
        if getattr(fit._ready, "overview_covers", ()):
            return "\n".join([*lines, *_rest(fit, errors)])
    lines.append("")
    lines.extend(parameter_lines(fit, errors) if errors is None or size > LISTED else table_lines(fit, errors))
    return "\n".join(lines)


def _rest(fit: Fit, errors: Any) -> list[str]:
    """What the overview of a ready model does not show."""
    covered = fit._ready.overview_covers
    rows = [row for row in rows_of(fit, errors) if row.of is None or row.of[0] not in covered]
    return ["", *_lines(rows)] if rows else []


def _optima_lines(fit: Fit) -> list[str]:
    """The distinct optima of several starts, a few of them."""
    if len(fit.starts) < 2 or fit.ends is None:
        return []
    found = fit.optima
    count = "1 optimum" if len(found) == 1 else f"{len(found)} optima"
    lines = [f"{count} found by {len(fit.starts)} starts"]
    for optimum in found[:5]:
        starts = "1 start" if optimum.starts == 1 else f"{optimum.starts} starts"
        lines.append(
            f"  {optimum.objective:.6f} by {starts}" + (f", spurious: {optimum.spurious}" * bool(optimum.spurious))
        )
    return [*lines, f"  and {len(found) - 5} more"] if len(found) > 5 else lines


def table_lines(fit: Fit, errors: Any) -> list[str]:
    """One line for each entry of the params: estimate, standard error, 95% interval. Entries above the diagonal of a
    symmetric matrix are left out."""
    return _lines(rows_of(fit, errors))


def _lines(entries: list[Row]) -> list[str]:
    rows = [("", "estimate", "std. error", "95% interval")]
    for row in entries:
        se = f"{row.error:.6g}" if np.isfinite(row.error) else "-"
        interval = f"{row.lower:.6g} to {row.upper:.6g}" if np.isfinite(row.lower) else "-"
        rows.append((named(row.name, row.labels), f"{row.estimate:.7g}", se, interval))
    return aligned(rows, "<>><")


def aligned(rows: list[tuple[str, ...]], sides: str) -> list[str]:
    """Rows as lines, in columns of equal width.

    Args:
        rows: of one length.
        sides: "<" or ">" for each column; the last one is that of all columns after it.
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    sides = sides + sides[-1] * (len(widths) - len(sides))
    return ["  ".join(f"{c:{s}{w}}" for c, s, w in zip(row, sides, widths, strict=True)).rstrip() for row in rows]


def parameter_lines(fit: Fit, errors: Any = None) -> list[str]:
    """One block of numbers for each parameter, and one of standard errors where there are any."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(fit.params)
    shown = [None] * len(leaves) if errors is None else jax.tree.leaves(errors)
    lines = []
    for (path, value), error in zip(leaves, shown, strict=True):
        lines.extend([f"{_name(path)}:", *_block(value)])
        if error is not None and np.isfinite(error).any():
            lines.extend(["  standard errors:", *("  " + line for line in _block(error))])
    return lines


def _name(path: Any) -> str:
    return ".".join(str(getattr(k, "key", getattr(k, "idx", k))) for k in path) or "params"


def _block(value: Any) -> list[str]:
    text = np.array2string(np.asarray(value), precision=6, suppress_small=False, max_line_width=100)
    return ["  " + line for line in text.splitlines()]
