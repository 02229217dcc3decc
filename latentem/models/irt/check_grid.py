"""Whether the grid of abilities is fine enough: the fit on twice as many nodes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

import latentem as lem


@dataclass(frozen=True)
class GridCheck:
    """What changed when the grid was doubled.

    Args:
        nodes: per dimension (in all, for quasi-Monte-Carlo), before and after.
        log_likelihood: change of the maximised log-likelihood.
        params: change of every param, shaped like params.
        largest: the largest of them.
        in_errors: the largest change in units of the param's standard error; NaN without standard errors.
        fit: on the doubled grid.
    """

    nodes: tuple[int, int]
    log_likelihood: float
    params: Any
    largest: float
    in_errors: float
    fit: Any

    def __str__(self) -> str:
        return (
            f"{self.nodes[0]} -> {self.nodes[1]} nodes: log-likelihood {self.log_likelihood:+.2e}, largest change of a "
            f"param {self.largest:.2e} ({self.in_errors:.2e} standard errors)"
        )


def check_grid(fit: Any) -> GridCheck:
    """See `Verbs.check_grid`."""
    irt = fit.model.declaration
    if irt.histogram:
        raise ValueError("check_grid: the nodes are params of a histogram; fit it with other nodes and compare")
    k, d = irt.grid.values.shape
    before = k if irt.quadrature == "sobol" else round(k ** (1 / d))
    # Equally spaced nodes keep their places, with a new one between every two.
    after = 2 * before - 1 if irt.quadrature == "grid" else 2 * before
    finer = lem.fit(
        replace(irt, nodes=after), fit.data.observations, weights=fit.data.weights, initial=fit.params, dtype=fit.dtype
    )
    change = jax.tree.map(lambda new, old: np.asarray(new - old), finer.params, fit.params)
    sizes = [float(np.max(np.abs(a), initial=0.0)) for a in jax.tree.leaves(change)]
    in_errors = float("nan")
    if fit.status.ok:
        ratios = [
            np.abs(a / e)[np.isfinite(e) & (e > 0)]
            for a, e in zip(jax.tree.leaves(change), jax.tree.leaves(fit.standard_errors()), strict=True)
        ]
        in_errors = float(np.max(np.concatenate([r.ravel() for r in ratios]), initial=0.0))
    return GridCheck(
        (before, after), finer.log_likelihood - fit.log_likelihood, change, max(sizes, default=0.0), in_errors, finer
    )
