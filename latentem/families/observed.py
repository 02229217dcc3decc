"""Numbers that are only partly seen: truncated, of which none fell outside a range; censored, of which some are known
to lie between two numbers and no more."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.families import checks
from latentem.families.base import Family, Params, floating, masked
from latentem.families.distribution import log_mass


def _scalar(name: str, family: Any) -> None:
    if not isinstance(family, Family):
        raise TypeError(f"{name}: {family!r}: expected a family such as Exponential(); give one")
    if not family.smooth_cdf:
        told = f"{name}: {type(family).__name__} has no distribution function that can be differentiated"
        raise ValueError(f"{told}: expected one of Gaussian, LogNormal, Exponential, Weibull, Poisson, Binomial, ...")


@dataclass(frozen=True)
class Truncated(Family):
    """A family of one number of which nothing below `lower` and above `upper` was recorded. Its M-step is Newton.

    Args:
        family: the family before truncation; its params are the params.
        lower, upper: the ends of what can be seen, themselves included; None where there is no end.

    >>> from latentem.families import Poisson
    >>> float(Truncated(Poisson(), lower=1).log_prob({"rate": 2.0}, 0.0))
    -inf
    """

    family: Family
    lower: float | None = None
    upper: float | None = None

    def __post_init__(self) -> None:
        _scalar("Truncated", self.family)
        low, high = self._ends
        if (self.lower is None and self.upper is None) or not low < high:
            told = f"Truncated: lower={self.lower!r}, upper={self.upper!r}"
            raise ValueError(f"{told}: expected at least one end, and lower below upper")

    @property
    def _ends(self) -> tuple[float, float]:
        return (
            -np.inf if self.lower is None else float(self.lower),
            np.inf if self.upper is None else float(self.upper),
        )

    @property
    def inside(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        low, high = self.support
        if low == -np.inf or high == np.inf:
            return high - 1.0 if low == -np.inf else low + 1.0
        return low if self.discrete else 0.5 * (low + high)

    @property
    def discrete(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.family.discrete

    @property
    def support(self) -> tuple[float, float]:  # pyright: ignore[reportIncompatibleVariableOverride]
        low, high = self._ends
        least, most = self.family.support
        if self.discrete:
            low, high = np.ceil(low), np.floor(high)
        return max(low, least), min(high, most)

    def declare(self, x: Any) -> tuple[Truncated, Any]:
        family, x = self.family.declare(x)
        x = x.reshape(len(x))
        low, high = self._ends
        advice = "remove the row, or widen the ends"
        checks.refuse("Truncated", x, (x < low) | (x > high), f"a number from {low:g} to {high:g}", advice)
        return replace(self, family=family), x

    def constraints(self) -> Params:
        return self.family.constraints()

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        x, (low, high) = floating(x).reshape(()), self._ends
        valid = (x >= low) & (x <= high)
        inside = jnp.where(valid, x, jnp.asarray(self.inside, x.dtype))
        return masked(valid, self.family.log_prob(params, inside) - log_mass(self.family, params, *self._cuts))

    @property
    def _cuts(self) -> tuple[Any, Any]:
        """The ends as arguments of P(lower < x <= upper)."""
        low, high = self.support
        return low - (0.5 if self.discrete else 0.0), high

    def cdf(self, params: Params, x: Any) -> Float[Array, ""]:
        below, upto = self._cuts
        inside = jnp.clip(floating(x), below, upto)
        return jnp.exp(log_mass(self.family, params, below, inside) - log_mass(self.family, params, below, upto))

    def sample(self, params: Params, key: Array) -> Array:
        below, upto = (self.family.cdf(params, cut) for cut in self._cuts)
        u = jax.random.uniform(key, (), jnp.result_type(below))
        low, high = self.support
        return jnp.clip(self.family.quantile(params, below + u * (upto - below)), low, high)

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        """As if there were no ends."""
        x = x[:, None] if self.family.vector else x
        return self.family.default(x, weights, self.family.context(x, weights))


@dataclass(frozen=True)
class Censored(Family):
    """A family of one number known to lie between those of two columns (lower < x <= upper; counts from lower to upper,
    both included). Its M-step is Newton.

    Where both are equal the number itself was seen; a missing `lower` or `upper` (NaN) is an open end. Data in bins are
    the ends of their bins with how many fell into each as weights.

    Args:
        family: the family of the number; its params are the params.
        lower, upper: names of the columns.

    >>> from latentem.families import Exponential
    >>> Censored(Exponential(), "from", "to").columns
    ('from', 'to')
    """

    accepts_missing: ClassVar[bool] = True
    family: Family
    lower: str
    upper: str

    def __post_init__(self) -> None:
        _scalar("Censored", self.family)
        if not isinstance(self.lower, str) or not isinstance(self.upper, str) or self.lower == self.upper:
            raise ValueError(f"Censored: lower={self.lower!r}, upper={self.upper!r}: expected the names of two columns")

    @property
    def columns(self) -> tuple[str, ...]:
        return self.lower, self.upper

    def declare(self, x: Any) -> tuple[Censored, dict[str, np.ndarray]]:
        kept = checks.columns("Censored", x, self.columns)
        low, high = kept[self.lower], kept[self.upper]
        for name in self.columns:
            checks.finite(f"Censored: column {name!r}", kept[name], missing=True)
        wrong = np.flatnonzero(low > high)
        if len(wrong):
            told = f"Censored: row {wrong[0]} lies from {low[wrong[0]]:g} to {high[wrong[0]]:g}"
            raise ValueError(f"{told}: expected {self.lower} of at most {self.upper}; correct the row")
        if np.isnan(low).all() and np.isnan(high).all():
            raise ValueError("Censored: every row is open on both sides: expected an end; there is nothing to estimate")
        stand_in = self._places(low, high)
        return replace(self, family=self.family.declare(stand_in)[0]), kept

    def read(self, x: Any) -> tuple[Family, Any]:
        kept = checks.columns("Censored", x, self.columns)
        return self, kept

    def _places(self, low: Any, high: Any) -> Any:
        """A number inside each interval."""
        xp = np if isinstance(low, np.ndarray) else jnp
        no_low, no_high = xp.isnan(low), xp.isnan(high)
        least, most = self.family.support
        down = xp.where(no_low, xp.where(no_high, self.family.inside, high), low)
        up = xp.where(no_high, down, high)
        down = xp.where(no_low & (least > -np.inf), least, down) if np.isfinite(least) else down
        middle = xp.where(down == up, down, 0.5 * (down + up))
        return xp.floor(middle) if self.family.discrete else middle

    def constraints(self) -> Params:
        return self.family.constraints()

    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        low, high = floating(x[self.lower]), floating(x[self.upper])
        exact, inside = low == high, self._places(low, high)
        least, most = self.family.support
        down = jnp.where(jnp.isnan(low), jnp.asarray(least, low.dtype), low)
        up = jnp.where(jnp.isnan(high), jnp.asarray(most, low.dtype), high)
        if self.family.discrete:
            down = down - 0.5
        # an interval of some width stands in where the number was seen
        down = jnp.where(exact, jnp.asarray(least, low.dtype), down)
        between = log_mass(self.family, params, down, jnp.where(exact, inside, up))
        return jnp.where(exact, self.family.log_prob(params, inside), between)

    def sample(self, params: Params, key: Array) -> Any:
        drawn = self.family.sample(params, key).reshape(())
        return {self.lower: drawn, self.upper: drawn}

    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        """Of the middles of the intervals."""
        places = self._places(floating(x[self.lower]), floating(x[self.upper]))
        places = places[:, None] if self.family.vector else places
        return self.family.default(places, weights, self.family.context(places, weights))
