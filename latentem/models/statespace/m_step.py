"""M-steps in closed form: coefficients by least squares on the pattern, variances given the new coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

import latentem as lem
from latentem.constraints import Constraint, Diagonal, Entries
from latentem.kalman import Moments, regress, variances
from latentem.models.statespace.chained import Params
from latentem.models.statespace.pattern import given

if TYPE_CHECKING:
    from latentem.models.statespace.statespace import StateSpace


def is_closed(model: StateSpace) -> bool:
    """Whether the M-step has a closed form."""
    own = all(isinstance(c, Entries | Diagonal) or c.size == 0 or _is_full(c) for c in model.constraint_of.values())
    return own and model.initial != "stationary"


def maximize(model: StateSpace, found: Moments, params: Params) -> Params:
    """The dynamics given the old noise, then the noise given the new dynamics (Meng and Rubin 1993)."""
    parts, new = model.constraint_of, dict(params)
    rows = np.array(model.noisy, np.int32)
    precision = jnp.zeros_like(params["process"])
    if len(rows):
        precision = precision.at[np.ix_(rows, rows)].set(jnp.linalg.inv(params["process"][rows][:, rows]))
    move = _together([(parts[n], params[n]) for n in ("transition", "input_effect") if n in parts])
    moved = regress(found.move, move[0], precision, move[1])
    new["transition"] = moved[:, : model.state]
    if model.inputs:
        new["input_effect"] = moved[:, model.state :]
    new["process"] = _noise(parts["process"], found.move.spread(moved), found.move.n, params["process"])

    read = _together([(parts[n], params[n]) for n in ("observation", "offset_effect") if n in parts])
    if isinstance(parts["noise"], Diagonal):
        variance = jnp.diagonal(params["noise"])
        weight = jnp.where(variance > 0, 1.0 / jnp.where(variance > 0, variance, 1.0), 0.0)
        seen = regress(found.reading, read[0], weight, read[1])
        left = jax.vmap(lambda part, c: part.spread(c[None])[0, 0])(found.reading, seen)
        new["noise"] = variances(left, found.reading.n, parts["noise"], params["noise"])
    else:
        seen = regress(found.reading, read[0], jnp.linalg.inv(params["noise"]), read[1])
        new["noise"] = _noise(parts["noise"], found.reading.spread(seen), found.reading.n, params["noise"])
    new["observation"] = seen[:, : model.state]
    if model.offsets:
        new["offset_effect"] = seen[:, model.state :]
    return {**new, **_first(model, found, params)} if isinstance(model.initial, tuple) else new


def _first(model: StateSpace, found: Moments, params: Params) -> Params:
    mean, spread = model.constraint_of["initial_mean"], model.constraint_of["initial_covariance"]
    first, old, centre = found.first, params["initial_covariance"], params["initial_mean"]
    if isinstance(mean, Entries) and mean.size:
        column = Entries(mean.given, mean.group, (model.state, 1))
        free = None if mean.size == model.state else column
        precision = None if free is None else jnp.linalg.inv(old)
        centre = regress(first, free, precision, centre[:, None])[:, 0]
    return {"initial_mean": centre, "initial_covariance": _noise(spread, first.spread(centre[:, None]), first.n, old)}


def _is_full(constraint: Constraint) -> bool:
    d = constraint.shape[0]
    return constraint == lem.covariance(d)


def _together(parts: list[tuple[Constraint, Array]]) -> tuple[Entries | None, Array]:
    """(constraint of matrices side by side, None where all is free; the matrices)."""
    values = jnp.concatenate([value for _, value in parts], axis=1)
    own = [c if isinstance(c, Entries) else lem.constraints.entries(given(c)) for c, _ in parts]
    if all(c.size == np.prod(c.shape) for c in own):
        return None, values
    groups, fixed, n = [], [], 0
    for c in own:
        groups.append(np.where(c.groups >= 0, c.groups + n, -1))
        fixed.append(c.fixed)
        n += c.size
    group = np.concatenate(groups, axis=1)
    both = Entries(tuple(np.concatenate(fixed, axis=1).ravel().tolist()), tuple(group.ravel().tolist()), group.shape)
    return both, values


def _noise(constraint: Constraint, spread: Array, n: Array, old: Array) -> Array:
    if isinstance(constraint, Diagonal):
        return variances(jnp.diagonal(spread), n, constraint, old)
    return 0.5 * (spread + spread.T) / n if constraint.size else old
