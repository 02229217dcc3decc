"""Zeros beyond those of a family: with a probability of their own, in addition to its zeros or in place of them."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import log_sigmoid
from jaxtyping import Array, Float

from latentem import priors
from latentem.constraints import real, unit
from latentem.data.layout import Axis, Layout
from latentem.families import checks
from latentem.families.base import Family, Params, floating, log_or_impossible, ratio
from latentem.families.restrictions import Restrictions


@dataclass(frozen=True)
class Zeros(Family):
    """What `ZeroInflated` and `Hurdle` have in common: the probability `zero` () of a zero, or, with covariates, the
    coefficients `zero` (p,) of its logit; and `family`, the params of the family."""

    family: Family
    covariates: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        name = type(self).__name__
        if not isinstance(self.family, Family):
            raise TypeError(f"{name}: {self.family!r}: expected a family such as Poisson(); give one")
        if self.family.vector:
            raise ValueError(f"{name}: {type(self.family).__name__} is of vectors: expected a family of one number")
        found = (self.covariates,) if isinstance(self.covariates, str) else tuple(self.covariates)
        if found and not hasattr(self.family, "response"):
            told = f"{name}: covariates of zeros without a regression: expected a family such as PoissonRegression"
            raise ValueError(f"{told}; give one with the response")
        object.__setattr__(self, "covariates", found)

    @property
    def discrete(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.family.discrete

    @property
    def support(self) -> tuple[float, float]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.family.support

    @property
    def columns(self) -> tuple[str, ...] | None:
        own = self.family.columns
        return own if own is None else (*own, *(name for name in self.covariates if name not in own))

    @property
    def response(self) -> str | None:
        """The column whose zeros are meant; None where observations are numbers."""
        return getattr(self.family, "response", None)

    def _zero_constraint(self) -> Any:
        return real(1 + len(self.covariates)) if self.covariates else unit()

    def constraints(self) -> Params:
        return {"zero": self._zero_constraint(), "family": self.family.constraints()}

    def axes(self, path: tuple[str, ...], layout: Layout) -> tuple[Axis, ...]:
        if path != ("zero",):
            return self.family.axes(path[1:], layout)
        return (Axis("term", ("intercept", *self.covariates)),) if self.covariates else ()

    @property
    def conditional(self) -> bool:
        return self.family.conditional

    def logs(self, params: Params, x: Any) -> tuple[Array, Array]:
        """log of the probability of a zero of its own, and of none."""
        if not self.covariates:
            return log_or_impossible(params["zero"]), log_or_impossible(1 - params["zero"])
        eta = params["zero"][0] + sum(b * x[c] for b, c in zip(params["zero"][1:], self.covariates, strict=True))
        return log_sigmoid(eta), log_sigmoid(-eta)

    def outcome(self, x: Any) -> Array:
        """The number whose zeros are meant."""
        return floating(x if self.response is None else x[self.response])

    def at(self, x: Any, value: Any) -> Any:
        """The observation with another outcome."""
        return value if self.response is None else {**x, self.response: value}

    def _start_of_zero(self, share: Array) -> Array:
        if not self.covariates:
            return share
        first = jnp.log(share) - jnp.log1p(-share)
        return jnp.zeros(1 + len(self.covariates), share.dtype).at[0].set(first)

    def _read_columns(self, x: Any) -> Any:
        if self.columns is None:
            return x
        return checks.columns(type(self).__name__, x, self.columns)

    def context(self, x: Any, weights: Float[Array, " N"]) -> Any:
        return self.family.context(self._nonzero(x), weights)

    def _nonzero(self, x: Any) -> Any:
        """Observations with a number inside the support of the family in place of what it is not asked about."""
        return x

    def statistics_context(self, params: Params, context: Any) -> Any:
        return self.family.statistics_context(params["family"], context)

    @property
    def width(self) -> int:
        return 2 + self.family.width

    def is_closed(self, given: Restrictions) -> bool:
        if self.covariates or not self._adds_up:
            return False
        inner = given.within("family", self.family.constraints())
        belief = given.prior.get("zero")
        conjugate = belief is None or isinstance(belief, priors.Beta)
        return conjugate and self.family.has_closed_form(**inner.keywords)

    @property
    @abstractmethod
    def _adds_up(self) -> bool:
        """Whether, given which zeros are its own, statistics of the family are all that is needed."""

    def m_step(self, expected: Float[Array, "K S"], params: Params, context: Any, given: Restrictions) -> Params:
        inner = given.within("family", self.family.constraints())
        family = self.family.maximize(expected[:, 2:], params["family"], context, **inner.keywords)
        pooled = given.pool(expected, "zero")
        count, own = pooled[..., 0], pooled[..., 1]
        a, b, belief = own, count - own, given.belief("zero", priors.Beta)
        if belief is not None:
            a, b = jnp.maximum(a + belief.a - 1, 0), jnp.maximum(b + belief.b - 1, 0)
        used = count > 1e-10 * jnp.sum(count)
        return {"zero": jnp.where(used & (a + b > 0), ratio(a, a + b), params["zero"]), "family": family}


@dataclass(frozen=True)
class ZeroInflated(Zeros):
    """Counts of a family, or a zero whatever the family: `zero` and the params of `family`.

    A closed form where the family has one: which zeros are whose is a latent of its own.

    Args:
        family: a family of counts, such as `Poisson()` or `PoissonRegression(...)`.
        covariates: names of columns that the logit of the probability of a zero depends on.

    Source: Lambert, Technometrics 34 (1992), 1-14.

    >>> from latentem.families import Poisson
    >>> sorted(ZeroInflated(Poisson()).constraints())
    ['family', 'zero']
    """

    inside: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.family.discrete:
            told = f"ZeroInflated: {type(self.family).__name__} is no family of counts"
            raise ValueError(f"{told}: expected one such as Poisson(); Hurdle takes others")

    def declare(self, x: Any) -> tuple[ZeroInflated, Any]:
        columns = self._read_columns(x)
        family, kept = self.family.declare(columns)
        _finite(self, columns)
        return replace(self, family=family), _with_covariates(self, kept, columns)

    @property
    def _adds_up(self) -> bool:
        return True

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        own, other = self.logs(params, x)
        inside = other + self.family.log_prob(params["family"], x)
        zero = self.outcome(x) == 0
        return jnp.where(zero, jnp.logaddexp(own, jnp.where(zero, inside, 0.0)), inside)

    def cdf(self, params: Params, x: Any) -> Float[Array, ""]:
        own = jnp.exp(self.logs(params, x)[0])
        return jnp.where(floating(x) >= 0, own + (1 - own) * self.family.cdf(params["family"], x), 0)

    def mean(self, params: Params, x: Any = None) -> Float[Array, ""]:
        return jnp.exp(self.logs(params, x)[1]) * self.family.mean(params["family"], x)

    def sample(self, params: Params, key: Array) -> Any:
        return self.sample_like(params, key, None)

    def sample_like(self, params: Params, key: Array, x: Any) -> Any:
        which, draw = jax.random.split(key)
        inner = params["family"]
        drawn = self.family.sample(inner, draw) if x is None else self.family.sample_like(inner, draw, x)
        zero = jax.random.bernoulli(which, jnp.exp(self.logs(params, x)[0]))
        value = drawn if self.response is None else drawn[self.response]
        return self.at(drawn, jnp.where(zero, jnp.zeros_like(value), value))

    def statistics(self, params: Params, x: Any, context: Any) -> Float[Array, " S"]:
        own, other = self.logs(params, x)
        inside = other + self.family.log_prob(params["family"], x)
        zero = self.outcome(x) == 0
        r = jnp.where(zero, jnp.exp(own - jnp.logaddexp(own, jnp.where(zero, inside, 0.0))), 0.0)
        rest = (1 - r) * self.family.statistics(params["family"], x, context)
        return jnp.concatenate([jnp.stack([jnp.ones_like(r), r]).astype(rest.dtype), rest])

    def features(self, x: Any, context: Any) -> Float[Array, " S"]:
        inner = self.family.features(x, context)
        return jnp.concatenate([jnp.ones(1, inner.dtype), jnp.zeros(1, inner.dtype), inner])

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        """Half of the zeros are its own; the others and what is not zero describe the family."""
        zero = self.outcome(x) == 0
        share = jnp.clip(0.5 * ratio(jnp.sum(weights * zero), jnp.sum(weights)), 0.02, 0.9)
        rest = jnp.where(zero, 0.5 * weights, weights)
        return {"zero": self._start_of_zero(share), "family": self.family.default(x, rest, context)}


@dataclass(frozen=True)
class Hurdle(Zeros):
    """A zero, or a number of a family that is not zero: `zero` and the params of `family`.

    Families of positive numbers (`Gamma()`, `LogNormal()`) are taken as they are and keep their closed form; families
    of counts are truncated at zero, with Newton as M-step.

    Args:
        family: of positive numbers or of counts.
        covariates: names of columns that the logit of the probability of a zero depends on.

    Source: Mullahy, Journal of Econometrics 33 (1986), 341-365.

    >>> from latentem.families import Gamma
    >>> Hurdle(Gamma()).separable
    True
    """

    inside: ClassVar[float] = 0.0

    def declare(self, x: Any) -> tuple[Hurdle, Any]:
        columns = self._read_columns(x)
        own = checks.column(type(self).__name__, columns if self.response is None else columns[self.response])
        checks.finite("Hurdle", own)
        there = own != 0
        if not there.any():
            raise ValueError("Hurdle: every observation is 0: expected some that are not; there is nothing to estimate")
        # A row that is not zero stands in, so that complaints name the rows of the data.
        filled = np.where(there, own, own[int(np.argmax(there))])
        family, kept = self.family.declare(self.at(columns, filled))
        _finite(self, columns)
        return replace(self, family=family), _with_covariates(self, self.at(kept, own), columns)

    @property
    def _adds_up(self) -> bool:
        return not self.family.discrete

    @property
    def separable(self) -> bool:
        return not self.covariates and not self.family.discrete and self.family.separable

    @property
    def width(self) -> int:
        return 3 + self.family.width

    def _nonzero(self, x: Any) -> Any:
        zero = self.outcome(x) == 0
        return self.at(x, jnp.where(zero, jnp.asarray(self.family.inside, self.outcome(x).dtype), self.outcome(x)))

    def context(self, x: Any, weights: Float[Array, " N"]) -> Any:
        return self.family.context(self._nonzero(x), jnp.where(self.outcome(x) == 0, 0.0, weights))

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        own, other = self.logs(params, x)
        return jnp.where(self.outcome(x) == 0, own, other + self._positive(params, x))

    def _positive(self, params: Params, x: Any) -> Array:
        """Log density given that it is not zero."""
        inner, at = params["family"], self._nonzero(x)
        found = self.family.log_prob(inner, at)
        if not self.family.discrete:
            return found
        nothing = self.family.log_prob(inner, self.at(at, jnp.zeros_like(self.outcome(x))))
        # log(1 - p) without cancellation on either side
        p = jnp.minimum(nothing, -jnp.finfo(nothing.dtype).eps)
        small = p > -0.6931471805599453
        return found - jnp.where(small, jnp.log(-jnp.expm1(jnp.where(small, p, -1.0))), jnp.log1p(-jnp.exp(p)))

    def _at_zero(self, params: Params) -> Array:
        inner = params["family"]
        return self.family.cdf(inner, 0.0) if self.family.discrete else jnp.zeros(())

    def cdf(self, params: Params, x: Any) -> Float[Array, ""]:
        zero, x = params["zero"], floating(x)
        nothing = self._at_zero(params)
        inside = jnp.where(x > 0, (self.family.cdf(params["family"], x) - nothing) / (1 - nothing), 0)
        return jnp.where(x >= 0, zero + (1 - zero) * inside, 0)

    def mean(self, params: Params, x: Any = None) -> Float[Array, ""]:
        inner = floating(self.family.mean(params["family"], x))
        if self.family.discrete:
            zero = jnp.zeros((), inner.dtype)
            inner = inner / -jnp.expm1(self.family.log_prob(params["family"], self.at(x, zero)))
        return jnp.exp(self.logs(params, x)[1]) * inner

    def sample(self, params: Params, key: Array) -> Any:
        return self.sample_like(params, key, None)

    def sample_like(self, params: Params, key: Array, x: Any) -> Any:
        which, draw = jax.random.split(key)
        inner = params["family"]

        def value(key: Array) -> Array:
            drawn = self.family.sample(inner, key) if x is None else self.family.sample_like(inner, key, x)
            return drawn if self.response is None else drawn[self.response]

        def again(state: tuple[Array, Array]) -> tuple[Array, Array]:
            key, draw = jax.random.split(state[0])
            return key, value(draw)

        found = jax.lax.while_loop(lambda state: state[1] == 0, again, (draw, value(draw)))[1]
        zero = jax.random.bernoulli(which, jnp.exp(self.logs(params, x)[0]))
        return self.at(x, jnp.where(zero, jnp.zeros_like(found), found))

    def features(self, x: Any, context: Any) -> Float[Array, " S"]:
        zero = self.outcome(x) == 0
        inner = jnp.where(zero, 0, self.family.features(self._nonzero(x), context))
        own = jnp.asarray(zero, inner.dtype)
        return jnp.concatenate([jnp.stack([jnp.ones_like(own), own, 1 - own]), inner])

    def natural(self, params: Params, context: Any) -> Float[Array, " S"]:
        if not self.separable:
            return super().natural(params, context)
        inner = self.family.natural(params["family"], context)
        own, other = self.logs(params, None)
        return jnp.concatenate([jnp.stack([jnp.zeros_like(own), own, other]), inner])

    def statistics(self, params: Params, x: Any, context: Any) -> Float[Array, " S"]:
        zero = self.outcome(x) == 0
        inner = jnp.where(zero, 0, self.family.statistics(params["family"], self._nonzero(x), context))
        own = jnp.asarray(zero, inner.dtype)
        return jnp.concatenate([jnp.stack([jnp.ones_like(own), own, 1 - own]), inner])

    def m_step(self, expected: Float[Array, "K S"], params: Params, context: Any, given: Restrictions) -> Params:
        return super().m_step(jnp.delete(expected, 2, axis=1), params, context, given)

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        zero = self.outcome(x) == 0
        share = jnp.clip(ratio(jnp.sum(weights * zero), jnp.sum(weights)), 0.001, 0.999)
        rest = jnp.where(zero, 0.0, weights)
        return {"zero": self._start_of_zero(share), "family": self.family.default(self._nonzero(x), rest, context)}


def _finite(family: Zeros, columns: Any) -> None:
    for name in family.covariates:
        checks.finite(f"{type(family).__name__}: column {name!r}", columns[name])


def _with_covariates(family: Zeros, kept: Any, columns: Any) -> Any:
    """What the family kept, and the columns that the zeros depend on."""
    if not family.covariates:
        return kept
    return {**kept, **{name: columns[name] for name in family.covariates}}
