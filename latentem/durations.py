"""Distributions of how long a segment lasts, 1, 2, ..., `longest` steps, for semi-Markov models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln
from jaxtyping import Array, Float

from latentem.constraints import positive, simplex, unit


@dataclass(frozen=True)
class Duration(ABC):
    """A distribution of durations, cut off behind `longest` steps and normalised."""

    longest: int

    def __post_init__(self) -> None:
        if not isinstance(self.longest, int) or self.longest < 1:
            raise ValueError(f"{type(self).__name__}({self.longest!r}): expected the longest duration, at least 1")

    @abstractmethod
    def constraints(self, states: int) -> dict[str, Any]:
        """{name: constraint} of all states."""

    @abstractmethod
    def log_weight(self, params: dict[str, Any]) -> Float[Array, "K D"]:
        """Log probabilities up to a factor for each state."""

    @abstractmethod
    def start(self, jitter: Float[Array, "K D"]) -> dict[str, Any]:
        """Params of a start, from positive draws around 1."""

    def log_prob(self, params: dict[str, Any]) -> Float[Array, "K D"]:
        """Log probabilities of 1, ..., `longest` steps in every state."""
        return jax.nn.log_softmax(self.log_weight(params), axis=-1)


@dataclass(frozen=True)
class Free(Duration):
    """Any distribution: `probabilities` (K, longest)."""

    def constraints(self, states: int) -> dict[str, Any]:
        return {"probabilities": simplex(self.longest).batched(states)}

    def log_weight(self, params: dict[str, Any]) -> Float[Array, "K D"]:
        p = params["probabilities"]
        return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1.0)), -jnp.inf)

    def start(self, jitter: Float[Array, "K D"]) -> dict[str, Any]:
        return {"probabilities": jitter / jnp.sum(jitter, axis=1, keepdims=True)}


@dataclass(frozen=True)
class Poisson(Duration):
    """Duration - 1 is Poisson: `rate` (K,)."""

    def constraints(self, states: int) -> dict[str, Any]:
        return {"rate": positive(states)}

    def log_weight(self, params: dict[str, Any]) -> Float[Array, "K D"]:
        more = jnp.arange(self.longest, dtype=params["rate"].dtype)
        return more * jnp.log(params["rate"])[:, None] - gammaln(more + 1)

    def start(self, jitter: Float[Array, "K D"]) -> dict[str, Any]:
        return {"rate": self.longest / 4 * jitter[:, 0]}


@dataclass(frozen=True)
class NegativeBinomial(Duration):
    """Duration - 1 is negative binomial: `size` (K,) and `probability` (K,) of success; size 1 is geometric."""

    def constraints(self, states: int) -> dict[str, Any]:
        return {"size": positive(states), "probability": unit(states)}

    def log_weight(self, params: dict[str, Any]) -> Float[Array, "K D"]:
        size = params["size"][:, None]
        more = jnp.arange(self.longest, dtype=size.dtype)
        failure = jnp.log1p(-params["probability"])[:, None]
        return gammaln(more + size) - gammaln(size) - gammaln(more + 1) + more * failure

    def start(self, jitter: Float[Array, "K D"]) -> dict[str, Any]:
        size = 2.0 * jitter[:, 0]
        return {"size": size, "probability": size / (size + self.longest / 4)}
