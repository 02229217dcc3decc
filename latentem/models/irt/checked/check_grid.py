"""Whether the grid of abilities is fine enough: what twice as many nodes change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

import latentem as lem
from latentem.models.irt.declared import Declared

#: Standard errors by which a param may change before more nodes are called for.
COARSE = 0.05


@dataclass(frozen=True)
class GridCheck:
    """What changes when the grid is doubled.

    Args:
        nodes: per dimension (in all, for quasi-Monte-Carlo), before and after.
        log_likelihood: its change.
        params: change of every param, shaped like params.
        largest: the largest of them.
        in_errors: the largest change in units of the param's standard error; NaN without standard errors.
        fit: on the doubled grid; None where the log-likelihood is that at the same params, and their change that of one
            Newton step.
    """

    nodes: tuple[int, int]
    log_likelihood: float
    params: Any
    largest: float
    in_errors: float
    fit: Any = None

    @property
    def fine(self) -> bool:
        """Whether the grid does: no param changes by more than COARSE standard errors."""
        return not self.in_errors > COARSE

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, ready for JSON, without the fit."""
        return {
            "nodes": list(self.nodes),
            "log_likelihood": self.log_likelihood,
            "largest": self.largest,
            "in_errors": self.in_errors if np.isfinite(self.in_errors) else None,
        }

    def __str__(self) -> str:
        how = "" if self.fit is not None else " by a Newton step"
        told = (
            f"{self.nodes[0]} -> {self.nodes[1]} nodes: log-likelihood {self.log_likelihood:+.2e}, largest change of a "
            f"param{how} {self.largest:.2e} ({self.in_errors:.2e} standard errors)"
        )
        return told if self.fine else f"{told}; fit with nodes={self.nodes[1]}"


def check_grid(fit: Any) -> GridCheck:
    """Whether the grid of abilities is fine enough: fits once more, from the params found, on a grid twice as fine
    and reports the change of log-likelihood and params.

    Raises:
        ValueError: for a histogram, whose params are the weights of the nodes.
    """
    finer, nodes = _doubled(fit)
    found = lem.fit(finer, fit.data.observations, weights=fit.data.weights, initial=fit.params, dtype=fit.dtype)
    change = jax.tree.map(lambda new, old: np.asarray(new - old), found.params, fit.params)
    return _check(fit, nodes, found.log_likelihood - fit.log_likelihood, change, found)


def grid_check(fit: Any) -> GridCheck:
    """Whether the grid of abilities is fine enough, without refitting: the change of the log-likelihood at the
    params found when there are twice as many nodes, and that of the params by one Newton step there. It is
    `fit.grid_check`, computed when it is first asked for, and a line of `fit.summary()`.

    Raises:
        ValueError: for a histogram, or a fit that is no maximum.
    """
    finer, nodes = _doubled(fit)
    found = fit.sensitivity(finer)
    return _check(fit, nodes, found.log_likelihood, found.params, None)


def _doubled(fit: Any) -> tuple[Any, tuple[int, int]]:
    """(the declaration with twice as many nodes, nodes before and after)."""
    irt: Declared = fit.model.declaration
    if irt.histogram:
        raise ValueError("check_grid: the nodes are params of a histogram; fit it with other nodes and compare")
    before = irt.latent.size
    if before is None:
        k, d = irt.grid.values.shape
        before = k if irt.quadrature == "sobol" else round(k ** (1 / d))
    # Equally spaced nodes keep their places, with a new one between every two.
    after = 2 * before - 1 if irt.quadrature == "grid" else 2 * before
    return replace(irt, nodes=after), (before, after)


def _check(fit: Any, nodes: tuple[int, int], log_likelihood: float, change: Any, found: Any) -> GridCheck:
    sizes = [float(np.max(np.abs(a), initial=0.0)) for a in jax.tree.leaves(change)]
    in_errors = float("nan")
    if fit.status.ok:
        ratios = [
            np.abs(a / e)[np.isfinite(e) & (e > 0)]
            for a, e in zip(jax.tree.leaves(change), jax.tree.leaves(fit.standard_errors()), strict=True)
        ]
        in_errors = float(np.max(np.concatenate([r.ravel() for r in ratios]), initial=0.0))
    return GridCheck(nodes, log_likelihood, change, max(sizes, default=0.0), in_errors, found)
