"""Transition matrices of which every entry is free, or exactly zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem.constraints import Constraint
from latentem.models.hmm.transitions.base import Transition
from latentem.models.hmm.transitions.counts import log, shares


@dataclass(frozen=True)
class Free(Transition):
    """Rows of probabilities, one for each state.

    Args:
        states: K.
        zeros: the constraint that says which transitions are impossible, or None.
    """

    states: int
    zeros: Any = None

    @property
    def possible(self) -> np.ndarray:
        every = np.ones((self.states, self.states), bool)
        return every if self.zeros is None else np.array(self.zeros.allowed)

    def constraint(self) -> Constraint:
        return self.zeros or lem.simplex(self.states).batched(self.states)

    def log_matrix(self, value: Any, covariates: Any) -> Float[Array, "K K"]:
        return log(value)

    def maximize(self, counts: Any, value: Any, covariates: Any, prior: Any) -> Any:
        return shares(counts, value, prior)

    def start(self, matrix: Float[Array, "K K"]) -> Any:
        return matrix
