"""What every family of one component's densities offers.

A family is a frozen, hashable value. Its density is written for ONE observation and ONE component; whoever
uses it maps over rows and components. Only `m_step` sees all K components at once, because parameters may be
shared between them.
"""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from latentem.data.layout import Axis, Layout
from latentem.families.restrictions import NONE, Names, Restrictions

Params = dict[str, Any]


@dataclass(frozen=True)
class Family(ABC):
    """One component's density: what it is, what it takes from an observation, what maximises it.

    A new family writes the five abstract methods. With `features` and `natural` it becomes separable (its
    E-step is one matrix product); with `statistics`, `m_step` and `is_closed` it gets a closed M-step. What it
    leaves out has a true default: the only feature is the count, and the M-step is exact when there is nothing
    left to estimate.

    `accepts_missing` says whether a row with NaN entries is scored by its observed entries; `inside` is a
    value inside the support, which stands in for an observation whose result is masked away; `vector`,
    whether one observation is a vector.
    """

    accepts_missing: ClassVar[bool] = False
    inside: ClassVar[float] = 1.0
    vector: ClassVar[bool] = False

    @abstractmethod
    def declare(self, x: Any) -> tuple[Family, Any]:
        """The family with what the data say about it (its dimension), and the observations as arrays; on the
        host.

        Raises ValueError, one line, for observations outside the support.
        """

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The columns it names, whose dict an observation is; None where it takes one array."""
        return None

    def levels_of(self, column: Any) -> tuple[Any, ...] | None:
        """What labels a column (None: the array) may hold: these, any (), or none at all (None)."""
        return None

    def axes(self, path: tuple[str, ...], layout: Layout) -> tuple[Axis, ...]:
        """What the axes of a parameter run over, by its names from the outside in: by default, columns of the
        observations."""
        constraint: Any = self.constraints()
        for name in path:
            constraint = constraint[name]
        return tuple(layout.columns(size) for size in constraint.shape)

    def read(self, x: Any) -> tuple[Family, Any]:
        """(the family, the observations) of new data, of a family that has been declared: one row is enough. A row of
        which nothing is observed counts for nothing: its density is 1.

        Raises ValueError, one line, for observations outside the support, of another width or in part missing.
        """
        from latentem.families.incomplete import read

        return read(self, x)

    @abstractmethod
    def constraints(self) -> Params:
        """{name: Constraint} of one component, or nested dicts of them."""

    @abstractmethod
    def log_prob(self, params: Params, x: Any) -> Float[Array, ""]:
        """Log density of one observation; -inf where it is impossible, never NaN."""

    @abstractmethod
    def sample(self, params: Params, key: Array) -> Any:
        """One observation drawn from one component."""

    @property
    def conditional(self) -> bool:
        """Whether part of an observation is given, such as covariates, of which the family says nothing."""
        return False

    def sample_like(self, params: Params, key: Array, x: Any) -> Any:
        """One observation drawn from one component, with what is given of x."""
        return self.sample(params, key)

    @abstractmethod
    def default(self, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
        """Parameters of one component that describe all data: the place from which mixtures start."""

    @property
    def separable(self) -> bool:
        """Whether `log_prob(params, x) == features(x, context) . natural(params, context)`."""
        return False

    @property
    def width(self) -> int:
        """S, the length of `features` and of `statistics`."""
        return 1

    def context(self, x: Any, weights: Float[Array, " N"]) -> Any:
        """What the features take from the data as a whole, such as a centre and a scale; `()` for nothing."""
        return ()

    def features(self, x: Any, context: Any) -> Float[Array, " S"]:
        """What one observation contributes; the first entry is the 1 that counts it."""
        return jnp.ones(1, jnp.result_type(float))

    def features_batch(self, x: Any, context: Any) -> Float[Array, "n S"]:
        """`features` of n observations."""
        return jax.vmap(lambda row: self.features(row, context))(x)

    def natural(self, params: Params, context: Any) -> Float[Array, " S"]:
        """Coordinates dual to `features`; all NaN unless the family is separable."""
        return jnp.full(self.width, jnp.nan)

    def statistics(self, params: Params, x: Any, context: Any) -> Float[Array, " S"]:
        """Features that one component expects, given what is observed of x; by default, all of them."""
        return self.features(x, context)

    def statistics_context(self, params: Params, context: Any) -> Any:
        """The context that `maximize` needs for sums of `statistics(params, x, context)`.

        `params` are the ones (of all K components) the statistics were computed with. Families whose
        statistics are taken about their current location return that location here; for all others it is
        `context`.
        """
        return context

    def is_closed(self, given: Restrictions) -> bool:
        """Whether `m_step` reaches the maximum under these restrictions, where something is left to estimate."""
        return False

    def m_step(self, expected: Float[Array, "K S"], params: Params, context: Any, given: Restrictions) -> Params:
        """What `maximize` does with parameters that are not fixed; what is returned for those that are does not
        matter."""
        return params

    def has_closed_form(
        self, shared: Names = NONE, fixed: Names = NONE, prior: Mapping[str, Any] | None = None
    ) -> bool:
        """Whether `maximize` reaches the maximum with these names shared and fixed and these priors."""
        given = Restrictions.of(shared, fixed, prior)
        return given.fixed >= frozenset(self.constraints()) or self.is_closed(given)

    def maximize(
        self,
        expected: Float[Array, "K S"],
        params: Params,
        context: Any,
        *,
        shared: Names = NONE,
        fixed: Names = NONE,
        prior: Mapping[str, Any] | None = None,
    ) -> Params:
        """The parameters that maximise the expected log density (plus log prior) of K components.

        Args:
            expected: weighted sums of `features` or of `statistics`, one row per component.
            params: current values with leading axis K (no such axis for names in `shared`); kept where they
                are fixed and where a component is empty.
            context: of the features, or what `statistics_context` returned.
            shared: names of parameters that all components have in common.
            fixed: names of parameters that stay put.
            prior: {name: Prior}.

        Returns:
            parameters shaped like `params`, inside their constraints.
        """
        given = Restrictions.of(shared, fixed, prior)
        if given.fixed >= frozenset(params):
            return params
        new = self.m_step(expected, params, context, given)
        return {name: params[name] if given.held(name) else value for name, value in new.items()}


def as_family(what: str, family: Any) -> Family:
    """A family, or one line that says what to write for what came.

    Args:
        what: who takes it, with the name of the argument, for messages.

    Raises:
        TypeError: a class, a name, a function, a ready model, something else.
    """
    if isinstance(family, Family):
        return family
    if isinstance(family, type) and issubclass(family, Family):
        raise TypeError(f"{what}={family.__name__}, a class: write lem.families.{family.__name__}()")
    if isinstance(family, str):
        from latentem import families

        known = {name.lower(): name for name in families.__all__}
        near = difflib.get_close_matches(family.lower().replace("_", ""), known, n=1, cutoff=0.6)
        raise TypeError(f"{what}={family!r}: write lem.families.{known[near[0]] if near else 'Gaussian'}()")
    if hasattr(family, "declare"):
        told = "a model, not a density of one observation"
        raise TypeError(f"{what} is {type(family).__name__}, {told}: expected a family such as lem.families.Poisson()")
    if callable(family):
        raise TypeError(f"{what} is a function: write lem.families.Custom(function, params)")
    raise TypeError(f"{what}={family!r:.60}: expected a family such as lem.families.Poisson()")


def maximize_one(family: Family, x: Any, weights: Float[Array, " N"], context: Any) -> Params:
    """The closed-form fit of ONE component to weighted observations, as parameters without the axis K."""
    features = family.features_batch(x, context)
    expected = jnp.sum(jnp.where(weights[:, None] > 0, weights[:, None] * features, 0), axis=0)
    params = jax.tree.map(lambda value: value[None], middle(family, expected.dtype))
    return jax.tree.map(lambda value: value[0], family.maximize(expected[None], params, context))


def middle(family: Family, dtype: Any = None) -> Params:
    """The parameters at the origin of the free coordinates of a family's constraints."""
    constraints, structure = jax.tree.flatten(family.constraints())
    values = [jnp.asarray(c.constrain(jnp.zeros(c.size, dtype)), dtype) for c in constraints]
    return jax.tree.unflatten(structure, values)


def occupied(count: Float[Array, "*K"]) -> Bool[Array, "*K"]:
    """Which components hold more than a vanishing part of the data; the others keep their parameters."""
    return count > 1e-10 * jnp.sum(count)


def keep_empty(count: Float[Array, "*K"], new: Float[Array, " ..."], old: Float[Array, " ..."]) -> Float[Array, " ..."]:
    """`new` where a component is occupied and `old` elsewhere."""
    keep = occupied(count).reshape(count.shape + (1,) * (jnp.ndim(new) - count.ndim))
    return jnp.where(keep, new, old)


def ratio(numerator: Any, denominator: Any) -> Any:
    """numerator / denominator, 0 where the denominator is not positive (an empty component)."""
    positive = denominator > 0
    return jnp.where(positive, numerator, 0) / jnp.where(positive, denominator, 1)


def inside_positive(value: Any) -> Any:
    """A positive parameter pushed off 0 and off infinity by as little as its number format can tell."""
    limits = jnp.finfo(jnp.asarray(value).dtype)
    # the square root leaves room for the products and quotients that densities form
    return jnp.clip(value, np.sqrt(limits.tiny), np.sqrt(limits.max))


def like(value: Any, reference: Any) -> Array:
    """A prior's number or tuple as an array of the statistics' type."""
    return jnp.asarray(value, dtype=reference.dtype)


def log_or_impossible(probability: Any) -> Any:
    """log(probability), and a huge finite negative number at 0.

    A matrix product turns 0 * (-inf) into NaN. The finite number gives exactly 0 where the outcome did not
    happen, and a responsibility of exactly 0 where it did; more than a few of them add up to -inf.
    """
    positive = probability > 0
    huge = jnp.finfo(jnp.asarray(probability).dtype).min / 16
    return jnp.where(positive, jnp.log(jnp.where(positive, probability, 1)), huge)


def masked(valid: Any, log_prob: Any) -> Any:
    """log_prob where x is possible, -inf elsewhere; the caller replaced impossible x beforehand."""
    return jnp.where(valid, log_prob, -jnp.inf)


def floating(x: Any) -> Array:
    """x as a floating array, its own type where it has one."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.result_type(float))
