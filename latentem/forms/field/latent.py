"""Field: a Gaussian latent that all observations share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from latentem.forms.field.structures import Structure
from latentem.model.latents import Cll, Latent


class Field(Latent):
    """Gaussian latents shared by all observations: one value (or vector) for each level of each field, N(0, K) before
    the model scales it.

    A record sees one level of each field: that which its column of the field's name holds. The complete-data
    log-likelihood is that of ONE record, `(params, x, z) -> log p(x | z)`, without the field's own density; `z[name]`
    is what the record sees, and `x[name]` the number of the level. Where log p(x | z) is quadratic in z the likelihood
    is exact, else Laplace's approximation.

    Args:
        structures: name of a field -> `lem.exchangeable()`, `lem.pedigree(...)`, `lem.relationship(...)`,
            `lem.random_walk()`, `lem.neighbours(...)`, or `lem.flat()`: effects with a flat prior, whose integral makes
            the likelihood REML.
        dims: name -> length of `z[name]`, independent coordinates of the same K; a scalar by default.

    Two fields are equal when they are one object: a model with pedigrees compiles once for each.

    >>> field = lem.Field({"batch": lem.exchangeable()})
    >>> field.example()
    {'batch': array(0.)}
    """

    shared: ClassVar[bool] = True

    def __init__(self, structures: Mapping[str, Structure], dims: Mapping[str, int] | None = None) -> None:
        if not structures:
            raise ValueError("Field({}): expected at least one field, such as {'group': lem.exchangeable()}")
        for name, structure in structures.items():
            if not isinstance(structure, Structure):
                told = f"Field: {name!r} is a {type(structure).__name__}"
                raise TypeError(f"{told}: expected lem.exchangeable(), lem.pedigree(...) or another structure")
        for name, dim in (dims or {}).items():
            if name not in structures:
                raise ValueError(f"Field: dims names {name!r}, which is no field: there are {', '.join(structures)}")
            if not isinstance(dim, int) or dim < 1:
                raise ValueError(f"Field: dims[{name!r}] = {dim!r}: expected an integer of at least 1")
        self.structures, self.dims = dict(structures), dict(dims or {})

    def posterior(self, cll: Cll, params: Any, x: Any) -> Any:
        raise TypeError(
            "a field is shared by all observations, so none has a posterior of its own: use fit.field(name)"
        )

    def example(self) -> Any:
        """What one record sees, zeros."""
        return {name: np.zeros((self.dims[name],) if name in self.dims else ()) for name in self.structures}

    def lengths(self) -> dict[str, int]:
        """Coordinates of each field."""
        return {name: self.dims.get(name, 1) for name in self.structures}
