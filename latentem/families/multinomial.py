"""How often each of C outcomes came up: the multinomial distribution."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jaxtyping import Array, Float

from latentem import priors
from latentem.constraints import simplex
from latentem.families import checks
from latentem.families.base import Family, Params, floating, keep_empty, log_or_impossible, masked, maximize_one
from latentem.families.categorical import mode
from latentem.families.restrictions import Restrictions


@dataclass(frozen=True)
class Multinomial(Family):
    """Multinomial distribution of a vector of C counts, given their total: `probabilities` (C,). Closed form
    under a Dirichlet.

    Args:
        categories: C; None until the family has seen data.
        trials: the total that `sample` draws; None until the family has seen data, then their mean total,
            rounded. Totals of observations may differ.

    >>> Multinomial(3).constraints()["probabilities"].shape
    (3,)
    """

    vector: ClassVar[bool] = True
    categories: int | None = None
    trials: int | None = None

    @property
    def _size(self) -> int:
        if self.categories is None:
            raise ValueError("Multinomial: categories=None: expected a number; give it or call declare(x) first")
        return self.categories

    def declare(self, x: Any) -> tuple[Multinomial, np.ndarray]:
        x = checks.matrix("Multinomial", x, self.categories, promote=False)
        checks.counts("Multinomial", x)
        trials = round(float(x.sum(axis=1).mean())) if self.trials is None else self.trials
        return replace(self, categories=x.shape[1], trials=trials), x

    def constraints(self) -> Params:
        return {"probabilities": simplex(self._size)}

    @property
    def separable(self) -> bool:
        return True

    @property
    def width(self) -> int:
        return 2 + self._size

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        x = floating(x)
        probabilities = params["probabilities"]
        valid = jnp.all((x >= 0) & (x == jnp.floor(x)))
        x = jnp.where(valid, x, 0)
        possible = jnp.all((x == 0) | (probabilities > 0))
        logs = jnp.log(jnp.where(probabilities > 0, probabilities, 1))
        return masked(valid & possible, self._arrangements(x) + jnp.sum(x * logs))

    def sample(self, params: Params, key: Array) -> Float[Array, " C"]:
        if self.trials is None:
            raise ValueError("Multinomial: trials=None: expected a total to draw; give trials or call declare(x) first")
        probabilities = floating(params["probabilities"])
        return jax.random.multinomial(key, jnp.asarray(self.trials, probabilities.dtype), probabilities)

    def features(self, x: Any, context: Any) -> Float[Array, " S"]:
        x = floating(x)
        return jnp.concatenate([jnp.ones(1, x.dtype), x, self._arrangements(x)[None]])

    def natural(self, params: Params, context: Any) -> Float[Array, " S"]:
        logs = log_or_impossible(params["probabilities"])
        return jnp.concatenate([jnp.zeros(1, logs.dtype), logs, jnp.ones(1, logs.dtype)])

    def never_seen(self, x: Any) -> dict[str, np.ndarray]:
        return {"probabilities": ~np.any(np.asarray(x) > 0, axis=0)}

    def is_closed(self, given: Restrictions) -> bool:
        return given.conjugate(probabilities=priors.Dirichlet)

    def m_step(self, expected: Float[Array, "K S"], params: Params, context: Any, given: Restrictions) -> Params:
        expected = given.pool(expected, "probabilities")
        old = params["probabilities"]
        new = mode(expected[..., 1:-1], old, given.belief("probabilities", priors.Dirichlet))
        return {"probabilities": keep_empty(expected[..., 0], new, old)}

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        return maximize_one(self, x, weights, context)

    def _arrangements(self, x: Float[Array, " C"]) -> Float[Array, ""]:
        """Log of the number of orders in which these counts can come up."""
        return gammaln(jnp.sum(x) + 1) - jnp.sum(gammaln(x + 1))
