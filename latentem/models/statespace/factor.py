"""Dynamic factors: many columns that move with a few autoregressions nobody sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from latentem.models.statespace.statespace import StateSpace
from latentem.models.statespace.verbs import Verbs


class DynamicFactor(Verbs):
    """y_t = offset + loadings z_t + noise of each column, z_t = transition z_(t-1) + N(0, I), k factors.

    Args:
        factors: k. The first k columns identify them: column i has no loading on factors i + 1, ..., k.
        prior: MAP, {name of a parameter: prior}.

    Params are those of `lem.StateSpace`; "observation" holds the loadings, whose signs are arbitrary factor by factor.
    """

    def __init__(self, factors: int, prior: Mapping[str, Any] | None = None) -> None:
        if not isinstance(factors, int) or factors < 1:
            raise ValueError(f"factors={factors!r}: expected a whole number of at least 1")
        self.factors, self.prior = factors, prior

    def __repr__(self) -> str:
        return f"DynamicFactor({self.factors})"

    def declare(self, observations: Any) -> Any:
        """The state space model of these columns, and the data."""
        first, series = StateSpace(self.factors, offsets=("1",), observation="free").declare(observations)
        p = series.steps["y"].shape[1]
        if p <= self.factors:
            raise ValueError(f"{p} columns for {self.factors} factors: expected more columns than factors")
        loadings = np.where(np.tri(p, self.factors, dtype=bool), np.nan, 0.0)
        model = StateSpace(self.factors, process="identity", observation=loadings, offsets=("1",), prior=self.prior)
        return replace(model, names=first.names).declare(series)
