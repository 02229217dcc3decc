"""`lem.sufficiency`: the search, asked for by a user."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from latentem.data import door
from latentem.data.duplicates import collapse
from latentem.forms.anchors.compression import Compression, count_rows
from latentem.forms.anchors.search import compress
from latentem.model import Model


def sufficiency(
    model: Any,
    data: Any,
    key: Any,
    *,
    weights: Any = None,
    params: Any = None,
    draws: int | None = None,
    memory: float | None = None,
) -> Compression:
    """Find whether log p(x, z | params) separates into coordinates of x and functions of (params, z), and prove it.

    Args:
        model: the declaration.
        data: observations, N rows.
        key: typed PRNG key for the params drawn.
        weights: (N,), summed over equal rows.
        params: the value around which params are drawn; the origin of the free coordinates by default.
        draws: params drawn for the first search, 2 P + 16 by default; a search that fails validation draws more.
        memory: bytes the coordinates may take; four times the data, and at least 256 MB, by default.

    Returns:
        A `Compression`; `verdict` is False, with the reason, where the density does not separate. Nothing raises for a
        density that merely does not compress.

    Raises:
        ValueError, TypeError: data that no fit could use.

    >>> def cll(params, x, z):
    ...     rate = params["rate"][z]
    ...     return jnp.log(params["weight"][z]) + x * jnp.log(rate) - rate - jax.lax.lgamma(x + 1.0)
    >>> model = lem.Model(cll, lem.Finite(2), {"weight": lem.simplex(2), "rate": lem.positive(2)})
    >>> lem.sufficiency(model, np.arange(40.0), jax.random.key(0)).rank
    3
    """
    declared, observations = model.declare(data)
    declared = declared if isinstance(declared, Model) else declared.model()
    read = door.read(observations, weights)
    seed = int(np.asarray(jax.random.key_data(key)).ravel()[-1])
    with jax.enable_x64(True):
        host = door.cast(read.observations, "float64")
        host = jax.tree.map(np.asarray, host)
        distinct = collapse(host, np.asarray(read.weights))
        rows = host if distinct is None else distinct.observations
        centre = None if params is None else np.asarray(declared.space.unconstrain(declared.space.check(params)))
        return compress(declared, rows, count_rows(host), centre=centre, draws=draws, memory=memory, seed=seed)
