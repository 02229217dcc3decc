"""The text a statistician reads after a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import numpy as np

if TYPE_CHECKING:
    from latentem.result import Fit


def summary(fit: Fit) -> str:
    """Estimates, log-likelihood, criteria, status with advice."""
    lines = [
        f"{fit.name}: {fit.n_observations:g} observations, {fit.n_parameters} free parameters",
        f"log-likelihood {fit.log_likelihood:.6f}   AIC {fit.aic:.4f}   BIC {fit.bic:.4f}",
    ]
    if fit.log_prior:
        lines.append(f"log prior {fit.log_prior:.6f}   objective {fit.objective:.6f}")
    lines.append(
        f"status {fit.status.name} after {fit.iterations} iterations, {fit.evaluations} evaluations, {fit.seconds:.2f} s"
    )
    if fit.status.value != fit.status.name:
        lines.append(f"  {fit.status.advice}")
    lines.extend(f"  note: {note}" for note in fit.notes)
    lines.append("")
    lines.extend(parameter_lines(fit))
    return "\n".join(lines)


def parameter_lines(fit: Fit) -> list[str]:
    """One block of numbers per parameter."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(fit.params)
    lines = []
    for path, value in leaves:
        name = ".".join(str(getattr(k, "key", getattr(k, "idx", k))) for k in path)
        text = np.array2string(np.asarray(value), precision=6, suppress_small=False, max_line_width=100)
        lines.extend([f"{name}:", *("  " + line for line in text.splitlines())])
    return lines
