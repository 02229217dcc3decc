"""What an M-step may not do as it likes: parameters in common, parameters that stay put, priors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

Names = frozenset[str]
NONE: Names = frozenset()


@dataclass(frozen=True)
class Restrictions:
    """Which parameters of K components are in common, which stay put, and what is believed of the others.

    Args:
        shared: names of parameters that all components have in common.
        fixed: names of parameters that stay put.
        prior: {name: Prior} of parameters that do not.

    >>> given = Restrictions.of(shared=["rate"], fixed=["shape"])
    >>> given.common("rate"), given.held("shape"), given.free("rate")
    (True, True, True)
    """

    shared: Names = NONE
    fixed: Names = NONE
    prior: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, shared: Iterable[str] = (), fixed: Iterable[str] = (), prior: Mapping[str, Any] | None = None
    ) -> Restrictions:
        """From what a user wrote; a prior of something that stays put does not matter."""
        held = frozenset(fixed)
        believed = {name: p for name, p in (prior or {}).items() if p is not None and name not in held}
        return cls(frozenset(shared), held, believed)

    def common(self, name: str) -> bool:
        """Whether all components have this parameter in common."""
        return name in self.shared

    def held(self, name: str) -> bool:
        """Whether this parameter stays put."""
        return name in self.fixed

    def free(self, name: str) -> bool:
        """Whether this parameter is estimated."""
        return name not in self.fixed

    def alike(self, name: str) -> bool:
        """Whether this parameter follows from no other: it stays put or is one for all components."""
        return name in self.fixed | self.shared

    def belief(self, name: str, conjugate: type) -> Any:
        """The prior of a parameter where it is of the conjugate kind, else None."""
        found = self.prior.get(name)
        return found if isinstance(found, conjugate) else None

    def conjugate(self, **kinds: type) -> bool:
        """Whether there is no prior but of these names and kinds."""
        return all(name in kinds and isinstance(p, kinds[name]) for name, p in self.prior.items())

    def pool(self, expected: Float[Array, "K ..."], name: str) -> Float[Array, ...]:
        """The statistics a parameter is estimated from: summed over components where it is in common."""
        return jnp.sum(expected, axis=0) if name in self.shared else expected

    def within(self, column: str, names: Iterable[str]) -> Restrictions:
        """What concerns one column of several: "column.name" becomes "name", "column" all of its names."""
        shared, fixed = (_of_column(chosen, column, names) for chosen in (self.shared, self.fixed))
        return Restrictions.of(shared, fixed, self.prior.get(column))

    @property
    def keywords(self) -> dict[str, Any]:
        """As the keywords of `Family.maximize` and `Family.has_closed_form`."""
        return {"shared": self.shared, "fixed": self.fixed, "prior": self.prior}


def _of_column(chosen: Names, column: str, names: Iterable[str]) -> Names:
    if column in chosen:
        return frozenset(names)
    prefix = column + "."
    return frozenset(name.removeprefix(prefix) for name in chosen if name.startswith(prefix))
