"""Autoregressive normal observations of a sequence (Hamilton 1989)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import jax
import numpy as np

from latentem.data.sequences import Sequences
from latentem.families import checks
from latentem.families.regression import GaussianRegression


@dataclass(frozen=True)
class Autoregressive(GaussianRegression):
    """Normal given the `order` observations before, within a sequence: `coefficients` (1 + order,) of 1 and of the
    observations 1, 2, ... steps back, and `variance` ().

    The likelihood is conditional on the first `order` observations of each sequence: these steps, like those with a
    missing value among the ones they depend on, count as missing. For `HMM`; data are sequences of numbers.

    >>> family = Autoregressive(2)
    >>> family.of_sequences(Sequences(np.array([1.0, 2.0, 4.0]), np.array([3]))).steps["lag2"]
    array([nan, nan,  1.])
    """

    response: str = field(init=False, default="y")
    covariates: tuple[str, ...] = field(init=False, default=())
    intercept: bool = field(init=False, default=True)
    offset: str | None = field(init=False, default=None)
    weights: str | None = field(init=False, default=None)
    order: int = 1

    def __init__(self, order: int = 1) -> None:
        if not isinstance(order, int) or order < 1:
            raise ValueError(f"Autoregressive({order!r}): expected how many steps back, at least 1")
        object.__setattr__(self, "order", order)
        object.__setattr__(self, "response", "y")
        object.__setattr__(self, "covariates", tuple(f"lag{i + 1}" for i in range(order)))
        object.__setattr__(self, "intercept", True)
        object.__setattr__(self, "offset", None)
        object.__setattr__(self, "weights", None)

    def of_sequences(self, series: Sequences, new: bool = False) -> Sequences:
        """Each step with those before it as columns; a step that lacks one of them is NaN. `new` data may be shorter
        than the order."""
        leaves = jax.tree.leaves(series.steps)
        if len(leaves) != 1:
            raise ValueError(f"Autoregressive: steps of {len(leaves)} columns: expected one number a step")
        y = checks.column("Autoregressive", leaves[0]).astype(np.float64)
        short = np.flatnonzero(series.lengths <= self.order)
        if len(short) and not new:
            told = f"sequence {short[0]} has {series.lengths[short[0]]} steps"
            raise ValueError(f"Autoregressive({self.order}): {told}: expected more than {self.order}; leave it out")
        age = np.arange(len(y)) - np.repeat(series.starts, series.lengths)
        columns = {"y": y}
        for i, name in enumerate(self.covariates, start=1):
            columns[name] = np.where(age >= i, np.concatenate([np.full(i, np.nan), y])[: len(y)], np.nan)
        gone = np.isnan(np.stack(list(columns.values()))).any(axis=0)
        return replace(series, steps={name: np.where(gone, np.nan, a) for name, a in columns.items()}, observed=None)
