"""Transition matrices of which entries are fixed, or equal to others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem.constraints import Constraint, Tied, tied
from latentem.models.hmm.transitions.counts import in_full, with_prior
from latentem.models.hmm.transitions.free import Free


@dataclass(frozen=True)
class Restricted(Free):
    """Rows of probabilities, some of them held: all of them, or those that a `Tied` constraint names.

    Args:
        held: the constraint.
    """

    held: Any = None

    @classmethod
    def of(cls, states: int, zeros: Any, fixed: Any, groups: Any) -> Restricted:
        """From what a user wrote.

        Args:
            states: K.
            zeros: the constraint of the zeros, or None.
            fixed: (K, K), NaN for entries that are free; None where all are.
            groups: lists of entries that are equal.

        Raises:
            ValueError: what is fixed, tied and impossible does not go together.
        """
        shape = (states, states)
        matrix = np.asarray(np.full(shape, np.nan) if fixed is None else fixed, dtype=np.float64)
        if matrix.shape != shape:
            raise ValueError(f"fixed transition has shape {matrix.shape}: expected {shape}, NaN where it is free")
        if not np.isnan(matrix).any():
            if len(groups):
                raise ValueError("tied=... with a transition matrix that is fixed: expected NaN for free entries")
            matrix = in_full(matrix)
            if not bool(lem.stochastic(states).contains(matrix)):
                raise ValueError(f"fixed transition: expected {states} rows of {states} that add up to 1")
            return cls(states, zeros, lem.fixed(matrix))
        if zeros is not None:
            impossible = ~np.array(zeros.allowed)
            if np.any(impossible & (np.nan_to_num(matrix) > 0)):
                raise ValueError("fixed transition holds a probability where allowed is False: expected 0 or NaN")
            matrix = np.where(impossible, 0.0, matrix)
        return cls(states, zeros, tied(matrix, groups))

    def constraint(self) -> Constraint:
        return self.held

    def maximize(self, counts: Any, value: Any, covariates: Any, prior: Any) -> Any:
        if not isinstance(self.held, Tied):
            return value
        return self.held.estimate(with_prior(counts, value, prior), value)

    def start(self, matrix: Float[Array, "K K"]) -> Any:
        return self.held.estimate(matrix, matrix) if isinstance(self.held, Tied) else matrix
