"""The matrices of a structural model, block by block: level and slope, season, cycle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.kalman import System
from latentem.models.statespace.chained import Params

if TYPE_CHECKING:
    from latentem.models.statespace.structural import Structural


def loading(model: Structural) -> Float[np.ndarray, " d"]:
    """What the reading sees: the first state of every part."""
    found = np.zeros(model.dim)
    for own in model.parts.values():
        found[own.start] = 1.0
    return found


def moves(model: Structural) -> Float[np.ndarray, "d d"]:
    """The transition but for that of the cycle."""
    found, own = np.zeros((model.dim, model.dim)), model.parts
    if "level" in own:
        i = own["level"].start
        found[i, i] = 1.0
        if model.trend:
            found[i, i + 1] = found[i + 1, i + 1] = 1.0
    if "seasonal" in own:
        i, n = own["seasonal"].start, model.seasonal - 1
        found[i, i : i + n] = -1.0
        found[range(i + 1, i + n), range(i, i + n - 1)] = 1.0
    return found


def turn(frequency: Array) -> Float[Array, "2 2"]:
    """A rotation by this angle."""
    c, s = jnp.cos(frequency), jnp.sin(frequency)
    return jnp.array([[c, s], [-s, c]])


def system(model: Structural, params: Params) -> System:
    """The matrices; all states but the cycle begin anywhere."""
    d, dtype = model.dim, jnp.result_type(float)
    transition = jnp.asarray(moves(model), dtype)
    process, covariance = jnp.zeros((d, d), dtype), jnp.zeros((d, d), dtype)
    for name, i in model.random.items():
        process = process.at[i, i].set(params[name])
    unknown = np.eye(d)
    if model.cycle:
        cycle, both = params["cycle"], np.arange(d - 2, d)
        transition = transition.at[d - 2 :, d - 2 :].set(cycle["damping"] * turn(cycle["frequency"]))
        process = process.at[both, both].set(cycle["variance"])
        covariance = covariance.at[both, both].set(cycle["variance"] / (1 - cycle["damping"] ** 2))
        unknown = unknown[:, : d - 2]
    return System(
        transition,
        jnp.zeros((d, 0), dtype),
        process,
        jnp.asarray(loading(model)[None], dtype),
        params["coefficients"][None] if model.regressors else jnp.zeros((1, 0), dtype),
        params["noise"][None] if model.noise else jnp.zeros(1, dtype),
        jnp.zeros(d, dtype),
        covariance,
        jnp.asarray(unknown, dtype),
    )
