"""The text that a reader of lme4 expects after a fit."""

from __future__ import annotations

from typing import Any

import numpy as np


def summary(fit: Any) -> str:
    """Formula, criterion, scaled residuals, random effects, fixed effects with t tests, status with advice."""
    solved, declared = fit.solved, fit.declaration
    design = solved.design
    lines = [
        fit.name,
        f"Formula: {declared.formula}",
        f"log-likelihood {fit.log_likelihood:.6f}   AIC {fit.aic:.4f}   BIC {fit.bic:.4f}"
        + ("   (restricted)" if declared.reml and (solved.residual or hasattr(solved, "traits")) else ""),
        f"status {fit.status.name} after {fit.iterations} iterations, {fit.evaluations} evaluations, "
        f"{fit.seconds:.2f} s",
    ]
    if fit.status.value != fit.status.name:
        lines.append(f"  {fit.status.advice}")
    lines.extend(f"  note: {note}" for note in fit.notes)
    if solved.residual:
        lines += ["", "Scaled residuals:", *_quartiles(fit.residuals("pearson"))]
    lines += ["", "Random effects:", *_random(fit)]
    groups = ", ".join(f"{e.name} {e.bound.size}" for e in design.effects)
    lines.append(f"Number of records: {design.n:g}, levels: {groups}")
    lines += ["", "Fixed effects:", *_fixed(fit)]
    return "\n".join(lines)


def columns(rows: list[tuple[str, ...]], left: int) -> list[str]:
    """Rows as aligned lines; the first `left` columns are text."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return [
        "  ".join(
            c.ljust(w) if k < left else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _quartiles(values: np.ndarray) -> list[str]:
    found = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    return columns([(" Min", "1Q", "Median", "3Q", "Max"), tuple(f"{v:.4f}" for v in found)], 0)


def _number(x: float, digits: int = 5) -> str:
    return f"{x:.{digits}g}" if np.isfinite(x) else "-"


def _random(fit: Any) -> list[str]:
    table = fit.variance_components()
    rows = [(" Groups", "Name", "Variance", "Std.Dev.", "Std.Error", "Share", "Corr")]
    previous = None
    for k, group in enumerate(table["group"].tolist()):
        if table["with"][k]:
            head = rows.pop()
            told = (head[6] + " " if head[6] else "") + f"{table['sd'][k]:.2f}"
            rows.append((*head[:6], told))
            continue
        name = "" if group == previous else f" {group}"
        share = f"{100 * table['share'][k]:.1f} %"
        numbers = (_number(table["variance"][k]), _number(table["sd"][k]), _number(table["se"][k]))
        rows.append((name, table["coordinate"][k], *numbers, share, ""))
        previous = group
    return columns(rows, 2)


def _fixed(fit: Any) -> list[str]:
    table = fit.fixed_effects()
    letter = "t" if fit.solved.residual else "z"
    rows = [("", "Estimate", "Std. Error", "df", f"{letter} value", f"Pr(>|{letter}|)")]
    for k, name in enumerate(table["name"].tolist()):
        df = f"{table['df'][k]:.2f}" if np.isfinite(table["df"][k]) else "-"
        p = table["p"][k]
        told = "<2e-16" if p < 2e-16 else f"{p:.3g}"
        rows.append(
            (
                name,
                _number(table["estimate"][k], 7),
                _number(table["se"][k], 6),
                df,
                f"{table['statistic'][k]:.3f}",
                told,
            )
        )
    return columns(rows, 1)
