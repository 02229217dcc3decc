"""What a declared item response model offers to whoever asks something of it; and what a user may say of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Array, Float

    import latentem as lem
    from latentem.models.irt.abilities.ability import Ability, Grid
    from latentem.models.irt.abilities.seen import Seen
    from latentem.models.irt.declare.groups import Groups
    from latentem.models.irt.estep.blocks import Block

Params = dict[str, Any]


class Options(Protocol):
    """What a user says of an item response model: see `IRT`, whose keywords these are."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def model(self) -> Any: ...
    @property
    def models(self) -> list[Any]: ...
    @property
    def items(self) -> tuple[str, ...] | None: ...
    @property
    def loadings(self) -> Any: ...
    @property
    def dimensions(self) -> int | None: ...
    @property
    def correlated(self) -> bool: ...
    @property
    def specific(self) -> tuple[Any, ...] | None: ...
    @property
    def groups(self) -> Groups: ...
    @property
    def group(self) -> str | None: ...
    @property
    def covariates(self) -> tuple[str, ...]: ...
    @property
    def shared(self) -> tuple[str, ...]: ...
    @property
    def equal(self) -> Mapping[str, Sequence[Any]]: ...
    @property
    def fixed(self) -> Mapping[str, Any]: ...
    @property
    def prior(self) -> Mapping[str, Any]: ...
    @property
    def histogram(self) -> bool: ...
    @property
    def nodes(self) -> int | None: ...
    @property
    def bounds(self) -> tuple[float, float]: ...
    @property
    def quadrature(self) -> str: ...
    @property
    def categories(self) -> Any: ...


class Declared(Options, Protocol):
    """A model that has seen its data."""

    @property
    def seen(self) -> Seen:
        """Names, categories and groups of the data."""
        ...

    @cached_property
    def mask(self) -> np.ndarray:
        """(J, D) booleans: the abilities of each item."""
        ...

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Items of one kind, side by side."""
        ...

    @cached_property
    def ability(self) -> Ability:
        """The distribution of ability."""
        ...

    @cached_property
    def latent(self) -> lem.Continuous:
        """Abilities and how they are summed over."""
        ...

    @cached_property
    def grid(self) -> Grid:
        """Nodes that all persons share."""
        ...

    @property
    def name(self) -> str:
        """What summaries call it."""
        ...

    def constraints(self) -> Params:
        """Constraints of the params."""
        ...

    def table(self, params: Params, theta: Float[Array, "T D"]) -> Float[Array, "T G J C"]:
        """Log-probabilities of all items in the order of the data."""
        ...

    def log_weights(self, params: Params, rows: Any) -> Float[Array, "n K"]:
        """Log weights of the nodes, person by person."""
        ...

    def log_prior(self, params: Params) -> Float[Array, ""]:
        """Log prior density of the item params."""
        ...
