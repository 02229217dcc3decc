"""Densities of vectors of probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax.scipy.special import gammaln
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from latentem.priors.base import Prior, log_power, total


@dataclass(frozen=True)
class Dirichlet(Prior):
    """Dirichlet density of probability vectors (..., K).

    Args:
        concentration: positive, (K,) or one number for the symmetric density.

    >>> round(float(Dirichlet(1.0).log_prob(np.array([0.2, 0.3, 0.5]))), 4)  # log 2!
    0.6931
    """

    concentration: Any

    def __post_init__(self) -> None:
        self._store(concentration="positive")

    def log_prob(self, value: ArrayLike) -> Float[Array, ""]:
        x, a = self._spread(value)
        rounding = 1e-9 if jnp.finfo(x.dtype).bits >= 64 else 1e-6
        inside = (x >= 0) & (jnp.abs(jnp.sum(x, -1, keepdims=True) - 1) <= rounding)
        constant = jnp.sum(gammaln(jnp.sum(a, -1))) - jnp.sum(gammaln(a))
        return total(log_power(x, a - 1), inside, constant)
