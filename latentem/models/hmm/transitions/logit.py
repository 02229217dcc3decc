"""Transitions of a hidden Markov model that depend on covariates: a multinomial logit for each state.

log p(j | i, z) = b_ij . (1, z) - log sum_l exp(b_il . (1, z)), where b is zero for the reference of row i: the state
itself, or the first state that can be reached where it cannot be kept (Zucchini, MacDonald and Langrock 2016, section
10.4; the reference of hmmTMB and msm). depmixS4 takes state 1 in every row: its coefficients are differences of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

import latentem as lem
from latentem.constraints import Constraint, pattern
from latentem.models.hmm.transitions.base import Transition

#: Newton steps of one M-step: EM climbs as surely with few, and they cost a fraction of an E-step.
STEPS = 3


@dataclass(frozen=True)
class Logit(Transition):
    """Coefficients (K, K, 1 + q) of q covariates, intercept first.

    Args:
        states: K.
        covariates: q.
        zeros: the constraint that says which transitions are impossible, or None.
        held: the constraint of coefficients that stay put, or None.
    """

    states: int
    covariates: int
    zeros: Any = None
    held: Any = None

    @property
    def possible(self) -> np.ndarray:
        every = np.ones((self.states, self.states), bool)
        return every if self.zeros is None else np.array(self.zeros.allowed)

    def constraint(self) -> Constraint:
        """Zero for the reference of a row and for what is not possible."""
        if self.held is not None:
            return self.held
        free = self.possible.copy()
        free[np.arange(len(free)), reference(self.possible)] = False
        return pattern(np.repeat(free[..., None], 1 + self.covariates, axis=-1))

    def log_matrix(self, value: Any, covariates: Any) -> Float[Array, "*n K K"]:
        return log_matrices(value, covariates, self.possible)

    def maximize(self, counts: Any, value: Any, covariates: Any, prior: Any) -> Any:
        """Newton steps on the expected log-likelihood of the moves plus the log prior."""
        possible, space = self.possible, self.constraint()
        if self.held is not None or space.size == 0:
            return value

        def q(u: Float[Array, " P"]) -> Float[Array, ""]:
            b = space.constrain(u)
            logs = jnp.where(possible, log_matrices(b, covariates, possible), 0.0)
            return jnp.sum(jnp.where(counts > 0, counts * logs, 0.0)) + (0.0 if prior is None else prior.log_prob(b))

        return space.constrain(lem.Newton(steps=STEPS)(q, space.unconstrain(value)))

    def start(self, matrix: Float[Array, "K K"]) -> Any:
        """Transitions that are those of the matrix whatever the covariates."""
        k, possible = self.states, self.possible
        logs = jnp.where(possible, jnp.log(jnp.where(possible, matrix, 1.0)), 0.0)
        odds = jnp.where(possible, logs - logs[np.arange(k), reference(possible)][:, None], 0.0)
        return jnp.concatenate([odds[..., None], jnp.zeros((k, k, self.covariates), matrix.dtype)], axis=-1)

    def takes(self, prior: Any) -> bool:
        return True


def reference(allowed: Bool[np.ndarray, "K K"]) -> np.ndarray:
    """The state of each row against which the others are measured."""
    return np.where(np.diagonal(allowed), np.arange(len(allowed)), np.argmax(allowed, axis=1))


def log_matrices(
    b: Float[Array, "K K p"], z: Float[Array, "*n q"], allowed: Bool[np.ndarray, "K K"]
) -> Float[Array, "*n K K"]:
    """Log transition probabilities into steps with covariates z."""
    score = b[..., 0] + jnp.einsum("ijq,...q->...ij", b[..., 1:], z)
    return jax.nn.log_softmax(jnp.where(allowed, score, -jnp.inf), axis=-1)
