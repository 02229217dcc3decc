"""How many of n trials succeeded: the binomial distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln, xlog1py, xlogy
from jaxtyping import Array, Float

from latentem import priors
from latentem.constraints import unit
from latentem.families import checks
from latentem.families.base import Family, Params, floating, log_or_impossible, masked, maximize_one
from latentem.families.bernoulli import Bernoulli
from latentem.families.restrictions import Restrictions


@dataclass(frozen=True)
class Binomial(Family):
    """Binomial distribution of a count out of `trials`: `probability` (). Closed form under a beta prior.

    Args:
        trials: how many trials every observation had; or the column that says how many each had.
        successes: with such a column, the column of counts.

    >>> Binomial(10).constraints()["probability"].describe()
    'a number between 0 and 1'
    >>> Binomial("asked", "right").columns
    ('right', 'asked')
    """

    discrete: ClassVar[bool] = True
    smooth_cdf: ClassVar[bool] = True
    trials: Any
    successes: str | None = None

    def __post_init__(self) -> None:
        named = isinstance(self.trials, str)
        if named != isinstance(self.successes, str) or (not named and not _whole(self.trials)):
            told = f"Binomial({self.trials!r}, {self.successes!r})"
            raise ValueError(f"{told}: expected a number of trials, or names of columns of trials and successes")

    @property
    def support(self) -> tuple[float, float]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return 0.0, float(self.trials) if self.successes is None else jnp.inf

    @property
    def columns(self) -> tuple[str, ...] | None:
        return None if self.successes is None else (self.successes, self.trials)

    def declare(self, x: Any) -> tuple[Binomial, Any]:
        if self.successes is None:
            x = checks.counts("Binomial", checks.column("Binomial", x))
            advice = "raise trials or correct the entry"
            checks.refuse("Binomial", x, x > self.trials, f"at most {self.trials}, the trials", advice)
            return self, x
        kept = checks.columns("Binomial", x, self.columns)
        count, trials = (checks.counts("Binomial", kept[name]) for name in self.columns or ())
        checks.refuse("Binomial", count, count > trials, "at most the trials of its row", "correct the row")
        return self, {self.successes: count, self.trials: trials}

    def constraints(self) -> Params:
        return {"probability": unit()}

    @property
    def separable(self) -> bool:
        return True

    @property
    def width(self) -> int:
        return 4

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        count, trials = self._parts(x)
        valid = (count >= 0) & (count <= trials) & (count == jnp.floor(count))
        count = jnp.where(valid, count, 0)
        p = params["probability"]
        return masked(valid, self._ways(count, trials) + xlogy(count, p) + xlog1py(trials - count, -p))

    def cdf(self, params: Params, x: Any) -> Float[Array, ""]:
        if self.successes is not None:
            raise ValueError("Binomial: trials differ from row to row: expected one number, Binomial(trials)")
        each = jnp.arange(self.trials + 1, dtype=floating(params["probability"]).dtype)
        mass = jnp.exp(jax.vmap(lambda k: self.log_prob(params, k))(each))
        return jnp.minimum(jnp.sum(jnp.where(each <= jnp.floor(floating(x)), mass, 0)), 1)

    def mean(self, params: Params, x: Any = None) -> Float[Array, ""]:
        return params["probability"] * (self.trials if self.successes is None else x[self.trials])

    def sample(self, params: Params, key: Array) -> Array:
        if self.successes is not None:
            raise ValueError("Binomial says nothing about the numbers of trials, so there is no way to sample them")
        p = floating(params["probability"])
        return jax.random.binomial(key, jnp.asarray(self.trials, p.dtype), p, dtype=p.dtype)

    @property
    def conditional(self) -> bool:
        return self.successes is not None

    def sample_like(self, params: Params, key: Array, x: Any) -> Any:
        if self.successes is None:
            return self.sample(params, key)
        trials = floating(x[self.trials])
        return {**x, self.successes: jax.random.binomial(key, trials, params["probability"], dtype=trials.dtype)}

    def features(self, x: Any, context: Any) -> Float[Array, " S"]:
        count, trials = self._parts(x)
        return jnp.stack([jnp.ones_like(count), count, trials - count, self._ways(count, trials)])

    def natural(self, params: Params, context: Any) -> Float[Array, " S"]:
        p = floating(params["probability"])
        return jnp.stack([jnp.zeros_like(p), log_or_impossible(p), log_or_impossible(1 - p), jnp.ones_like(p)])

    def is_closed(self, given: Restrictions) -> bool:
        return given.conjugate(probability=priors.Beta)

    def m_step(self, expected: Float[Array, "K S"], params: Params, context: Any, given: Restrictions) -> Params:
        return Bernoulli().m_step(expected[:, :3], params, context, given)

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        return maximize_one(self, x, weights, context)

    def _parts(self, x: Any) -> tuple[Array, Array]:
        if self.successes is None:
            count = floating(x)
            return count, jnp.full_like(count, self.trials)
        return floating(x[self.successes]), floating(x[self.trials])

    def _ways(self, count: Array, trials: Array) -> Array:
        return gammaln(trials + 1) - gammaln(count + 1) - gammaln(trials - count + 1)


def _whole(trials: Any) -> bool:
    return isinstance(trials, int | np.integer) and not isinstance(trials, bool) and bool(trials >= 1)
