"""What every fitted mixed model has, whatever its response."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from latentem.building import WholeFit
from latentem.models.mixed import components, effects, summary, tables


class OfFormula(WholeFit):
    """Verbs of a fit of a formula with random effects; `solved` holds the arrays behind it."""

    fixed_effects = effects.fixed_effects
    random_effects = effects.random_effects
    variance_components = components.variance_components
    function_of_components = components.function_of_components
    summary = summary.summary  # pyright: ignore[reportAssignmentType]
    table = tables.table

    @cached_property
    def solved(self) -> Any:
        """Arrays behind the fit.

        Raises:
            ValueError: it was loaded without its model or its data.
        """
        self.refuse_bare()
        return self.declaration.solved_at(self.frame, self.weights, self.params)

    @property
    def fixed_covariance(self) -> np.ndarray:
        """Covariance of the estimates of the fixed effects, (p, p); of several traits, those of a trait together."""
        return self.solved.fixed_covariance

    def refuse_without_maximum(self, verb: str) -> None:
        """Raise in one line where the params are no maximum."""
        if not self.status.ok:
            raise ValueError(f"{verb}: this fit has status {self.status.name}: {self.status.advice}")
