"""A prior on guessing and upper asymptotes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def logit_normal(mean: float, scale: float) -> LogitNormal:
    """Normal density of the logit of a probability, for guessing and upper asymptotes: as mirt's "norm" prior on
    logit(g), it is maximised in the logit and carries no Jacobian.

    >>> prior = lem.logit_normal(-1.5, 1.0)
    >>> float(prior(0.5)) < float(prior(0.2))
    True
    """
    if not scale > 0:
        raise ValueError(f"logit_normal(scale={scale!r}): expected a positive number")
    return LogitNormal(float(mean), float(scale))


@dataclass(frozen=True)
class LogitNormal:
    """See `logit_normal`."""

    mean: float
    scale: float

    def __call__(self, p: Any) -> Float[Array, ""]:
        """Sum over the entries of p."""
        logit = jnp.log(p) - jnp.log1p(-jnp.asarray(p))
        z = (logit - self.mean) / self.scale
        return jnp.sum(-0.5 * z**2 - np.log(self.scale) - 0.5 * np.log(2 * np.pi))
