"""What an item model is: log-probabilities of the categories of ONE item at ONE ability, its params and their start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

import latentem as lem

Params = dict[str, Any]


@dataclass(frozen=True)
class ItemModel:
    """How the categories of one item depend on ability.

    Args:
        log_probabilities: `(params, ability) -> (C,)`, log-probabilities of the C categories of one item; `ability` is
            a scalar, or (D,) where the item loads on D abilities.
        params: {name: constraint} of one item.
        prior: {name: prior} of one item, in the coordinates of `params`; see `latentem.priors`.
        start: `(proportions (C,), D) -> params` from which EM starts; near the origin of the constraints when left out.
        name: what tables call it.
        linear: the log-odds of every category against the first are linear in ability: complete answers then need no
            table of every item at every node in the E-step.
        derived: `params -> {name: value}` of one item: what tables show beside the params, such as difficulties.

    Two are equal when functions, constraints and priors are: define functions once, at module level.

    >>> def log_probabilities(item, ability):
    ...     logit = item["slope"] * (ability - item["difficulty"])
    ...     return jnp.stack([jax.nn.log_sigmoid(-logit), jax.nn.log_sigmoid(logit)])
    >>> lem.ItemModel(log_probabilities, {"slope": lem.real(), "difficulty": lem.real()}).categories
    2
    """

    log_probabilities: Callable[[Any, Any], Float[Array, " C"]]
    params: Mapping[str, Any] = field(compare=False)
    prior: Mapping[str, Any] | None = field(default=None, compare=False)
    start: Callable[[Any, int], Params] | None = field(default=None, compare=False)
    name: str = "custom"
    linear: bool = False
    derived: Callable[[Params], Params] | None = field(default=None, compare=False)
    _key: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not callable(self.log_probabilities):
            raise TypeError(
                f"log_probabilities={self.log_probabilities!r}: expected a function (params, ability) -> (C,)"
            )
        key = (lem.ParameterSpace.of(dict(self.params)), lem.priors.Joint.of(self.prior))
        object.__setattr__(self, "_key", key)

    @property
    def space(self) -> lem.ParameterSpace:
        """The parameters of one item."""
        return self._key[0]

    @property
    def categories(self) -> int:
        """C, with ability a scalar."""
        params = jax.eval_shape(self.space.constrain, jax.ShapeDtypeStruct((self.space.size,), "float32"))
        try:
            out = jax.eval_shape(self.log_probabilities, params, jax.ShapeDtypeStruct((), "float32"))
        except Exception as error:
            told = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise TypeError(f"log_probabilities(params, ability) of {self.name} failed: {told}") from error
        if len(out.shape) != 1:
            raise ValueError(f"log_probabilities of {self.name} has shape {out.shape}: expected (C,), one per category")
        return out.shape[0]

    def starting(self, proportions: Float[Array, " C"], dimensions: int) -> Params:
        """Params of one item from which EM starts."""
        if self.start is not None:
            return self.start(proportions, dimensions)
        # Off the origin, where slopes of zero would be a saddle.
        return self.space.constrain(jnp.full(self.space.size, 0.5, proportions.dtype))
