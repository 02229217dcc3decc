"""What a kind of transition is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem.constraints import Constraint
from latentem.models.hmm.transitions.counts import log


class Transition(ABC):
    """How states follow one another, and what is estimated of it, params["transition"].

    What to write: `possible`, `constraint`, `log_matrix`, `maximize` and `start`, of a frozen dataclass. `first` and
    `takes` are as most kinds have them.
    """

    @property
    @abstractmethod
    def possible(self) -> np.ndarray:
        """(K, K) booleans, the transitions that are possible."""

    @abstractmethod
    def constraint(self) -> Constraint:
        """Of what is estimated."""

    @abstractmethod
    def log_matrix(self, value: Any, covariates: Float[Array, "*n q"] | None) -> Float[Array, "*n K K"]:
        """Log transition probabilities, row -> column; with covariates, into the steps that have them."""

    @abstractmethod
    def maximize(self, counts: Any, value: Any, covariates: Any, prior: Any) -> Any:
        """M-step from expected moves (K, K); with covariates, from those into each step, (n, K, K)."""

    @abstractmethod
    def start(self, matrix: Float[Array, "K K"]) -> Any:
        """What is estimated where the probabilities are those of a matrix that was drawn."""

    def first(self, params: Any) -> Float[Array, " K"]:
        """Log distribution of the first state."""
        return log(params["initial"])

    def takes(self, prior: Any) -> bool:
        """Whether `maximize` reaches the maximum under this prior of what is estimated."""
        return prior is None or isinstance(prior, lem.priors.Dirichlet)
