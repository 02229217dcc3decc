"""What every check looks at: a model on data, three starts, and a point where nothing is special."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.ascent.iteration import evaluate
from latentem.ascent.mstep import MStep
from latentem.data import Data
from latentem.forms import Form, Prepared
from latentem.model import Model
from latentem.numerics.compiled import seldom

STARTS = 3


@dataclass(frozen=True)
class Case:
    """A model on data.

    Args:
        form: how it is computed.
        m_step: what "auto" chooses for it.
        data: checked observations and weights.
        prepared: the data as the form wants them.
        starts: params with a leading axis of `STARTS`, inside their constraints.
        point: params near the first start.
    """

    form: Form
    m_step: MStep
    data: Data
    prepared: Prepared
    starts: Any
    point: Any

    @property
    def model(self) -> Model:
        """The declaration."""
        return self.form.model

    @property
    def total(self) -> float:
        """Sum of the weights."""
        return float(jnp.sum(self.prepared.weights))

    def of_new(self, data: Data) -> Prepared:
        """Other data, with the context that belongs to them."""
        return self.form.of_new(data, "float64")

    def weighted(self, weights: Any) -> Prepared:
        """The observations with other weights."""
        return self.of_new(self.data.take(np.arange(self.data.n), weights))

    def each_start(self) -> list[Any]:
        """The params of each start."""
        return [jax.tree.map(lambda a, i=i: a[i], self.starts) for i in range(STARTS)]


def generic_point(form: Form, start: Any, prepared: Prepared) -> Any:
    """A point near a start: at a maximum every score would agree, being zero."""
    near = _nudged(form.model, start)
    return near if np.isfinite(float(evaluate(form, near, prepared)[0])) else start


@seldom
def _nudged(model: Model, params: Any) -> Any:
    space = model.space
    direction: Float[Array, " P"] = jnp.cos(jnp.arange(1.0, space.size + 1.0))
    return space.with_fixed(space.constrain(space.unconstrain(params) + 0.1 * direction))
