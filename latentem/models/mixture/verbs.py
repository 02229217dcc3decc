"""What a fitted mixture is asked: verbs of its Fit."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from latentem.models.imputation import drawn_rows, expected_rows, in_blocks, missing
from latentem.models.imputation import impute as impute_rows
from latentem.models.mixture import conditional, three_step

Params = dict[str, Any]


class Verbs:
    """Verbs of a mixture; `of_family`, `gate` and `inputs` are those of `Mixture`."""

    gate: tuple[str, ...]
    inputs: tuple[str, ...]
    verbs = ("impute", "condition", "distal_outcome", "class_regression")

    def of_family(self, x: Any) -> Any:
        """An observation as the family of the components takes it."""
        return x

    def holes(self, data: Any) -> np.ndarray:
        """Which entries of what the components describe are missing, (N, entries)."""
        return missing(self.of_family(data.observations))

    def expected(self, model: Any, params: Params, data: Any) -> Any:
        """The observations with what is expected of their missing entries."""
        return self._named(in_blocks(expected_rows, model.declaration, params, data.observations))

    def drawn(self, model: Any, params: Params, data: Any, key: Array) -> Any:
        """The observations with their missing entries drawn."""
        keys = np.asarray(jax.random.key_data(jax.random.split(key, len(data.weights))))
        return self._named(in_blocks(drawn_rows, model.declaration, params, data.observations, keys))

    def _named(self, completed: Any) -> Any:
        """Completed observations by column, where there is a gate."""
        if not self.gate or isinstance(completed.x, dict):
            return completed.x if self.gate else completed
        columns = completed.x.reshape(len(completed.x), -1)
        return {name: columns[:, i] for i, name in enumerate(self.inputs)}

    def impute(self, fit: Any, m: int | None = None, *, key: Any = None, x: Any = None, params: str = "normal") -> Any:
        return impute_rows(self, fit, m, key=key, x=x, params=params)

    impute.__doc__ = impute_rows.__doc__

    def condition(self, fit: Any, x: Any, of: Any) -> conditional.Conditional:
        return conditional.condition(self, fit, x, of)

    condition.__doc__ = conditional.condition.__doc__

    def distal_outcome(self, fit: Any, y: Any, method: str = "BCH") -> three_step.Distal:
        return three_step.distal_outcome(fit, y, method)

    distal_outcome.__doc__ = three_step.distal_outcome.__doc__

    def class_regression(self, fit: Any, covariates: Any, method: str = "ML") -> three_step.ClassRegression:
        return three_step.class_regression(fit, covariates, method)

    class_regression.__doc__ = three_step.class_regression.__doc__
