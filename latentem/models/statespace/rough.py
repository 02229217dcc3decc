"""Where EM of a state space model begins: from the scale of the readings, loadings by chance where they are free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from latentem.constraints import Constraint, Entries
from latentem.models.statespace.chained import Params, spread_of

if TYPE_CHECKING:
    from latentem.models.statespace.statespace import StateSpace


def rough(model: StateSpace, observations: Any, weights: Any, loadings: Array | None) -> Params:
    """Params; `loadings` (p, d) are those of standardised readings."""
    d, parts = model.state, model.constraint_of
    mean, variance = spread_of(observations["y"], weights)
    scale = jnp.mean(variance)
    draws = jnp.ones((model.readings, d)) if loadings is None else loadings * jnp.sqrt(variance)[:, None]
    free_loadings = parts["observation"].size > 0
    centre = jnp.zeros(d) if free_loadings else jnp.full((d,), jnp.mean(mean) / d)
    guess = {
        "transition": 0.8 * jnp.eye(d) + 0.05 * jnp.eye(d, k=1),
        "process": jnp.eye(d) * (0.3 if free_loadings else 0.1 * scale),
        "observation": draws,
        "noise": jnp.diag(0.5 * variance),
        "input_effect": jnp.zeros((d, len(model.inputs))),
        "offset_effect": _constant(mean - _carried(model, mean), model.offsets),
        "initial_mean": centre,
        "initial_covariance": jnp.eye(d) * (1.0 if free_loadings else scale),
    }
    return {name: _inside(part, guess[name]) for name, part in parts.items()}


def _carried(model: StateSpace, mean: Array) -> Array:
    """The part of the mean of the readings that states carry: that of a reading whose constant is given as 0."""
    effect = model.constraint_of.get("offset_effect")
    if model.initial == "stationary" or "1" not in model.offsets or not isinstance(effect, Entries):
        return jnp.zeros(())
    held = effect.groups[:, model.offsets.index("1")] < 0
    return jnp.mean(mean[np.flatnonzero(held)]) if held.any() else jnp.zeros(())


def _constant(mean: Array, names: tuple[str, ...]) -> Array:
    columns = [mean if name == "1" else jnp.zeros_like(mean) for name in names]
    return jnp.stack(columns, axis=1) if columns else jnp.zeros((len(mean), 0))


def _inside(constraint: Constraint, rough: Array) -> Array:
    """The value of a constraint that is like this one where it is free."""
    return constraint.constrain(constraint.unconstrain(rough))
