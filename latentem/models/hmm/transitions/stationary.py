"""Chains that begin in equilibrium: the first state follows from the transition matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.constraints import Constraint
from latentem.models.hmm.transitions.base import Transition
from latentem.models.hmm.transitions.counts import log


@dataclass(frozen=True)
class Stationary(Transition):
    """Another kind of transition, whose stationary distribution is that of the first state.

    The first state says something of the matrix, so that its M-step has no closed form.
    """

    of: Transition

    @property
    def possible(self) -> np.ndarray:
        return self.of.possible

    def constraint(self) -> Constraint:
        return self.of.constraint()

    def log_matrix(self, value: Any, covariates: Any) -> Float[Array, "*n K K"]:
        return self.of.log_matrix(value, covariates)

    def maximize(self, counts: Any, value: Any, covariates: Any, prior: Any) -> Any:
        return self.of.maximize(counts, value, covariates, prior)

    def start(self, matrix: Float[Array, "K K"]) -> Any:
        return self.of.start(matrix)

    def first(self, params: Any) -> Float[Array, " K"]:
        return log(stationary(params["transition"]))

    def takes(self, prior: Any) -> bool:
        return False


def stationary(transition: Float[Array, "K K"]) -> Float[Array, " K"]:
    """Stationary distribution of a transition matrix: delta (I - A + U) = 1, U all ones (Zucchini et al. 2016, 1.3)."""
    k = transition.shape[0]
    return jnp.linalg.solve((jnp.eye(k, dtype=transition.dtype) - transition + 1.0).T, jnp.ones(k, transition.dtype))
