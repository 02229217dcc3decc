"""M-step of a location and a full scatter matrix: Gaussian covariances, Student t scale matrices.

Everything is computed about a reference point and in units of the data (`centre`, `scale`): quadratic
statistics of raw data cancel. Source: Dempster, Laird & Rubin (1977); the penalised scatter is the mode under
an inverse Wishart.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float

from latentem.families.base import Params, keep_empty, like, occupied, ratio
from latentem.families.restrictions import Restrictions
from latentem.priors import InverseWishart

FLOOR = 1e-9


def smallest(dtype: Any) -> float:
    """The least variance, relative to that of the data, that a component can collapse to."""
    return max(FLOOR, 8 * float(jnp.finfo(dtype).eps))


def floor_of(mean: Float[Array, "*K D"], grain: Float[Array, " D"]) -> Float[Array, "*K D"]:
    """Spread, in units of the data, of which `smallest` is taken: their grain, or what rounding makes of squares of a
    mean so far from the centre."""
    rounding = 4 * jnp.finfo(mean.dtype).eps * mean**2 / smallest(mean.dtype)
    return jnp.sqrt(jnp.maximum(grain**2, rounding))


def above_floor(scatter: Float[Array, "*K D D"], unit: Any = None) -> Float[Array, "*K D D"]:
    """scatter with its eigenvalues, in these units (*K, D), raised to the floor; untouched when all are above it.

    The derivative is that of the identity, and 0 for a matrix that was raised: it is held at the floor.
    """
    return _above(scatter, jnp.ones(scatter.shape[:-1], scatter.dtype) if unit is None else unit)


@jax.custom_jvp
def _above(scatter: Float[Array, "*K D D"], unit: Float[Array, "*K D"]) -> Float[Array, "*K D D"]:
    return _raise(scatter, unit)


@_above.defjvp
def _above_floor_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (scatter, unit), (change, _) = primals, tangents
    raised = _above(scatter, unit)
    moved = jnp.any(raised != scatter, axis=(-1, -2), keepdims=True)
    return raised, jnp.where(moved, 0, change)


@custom_vmap
def _raise(scatter: Float[Array, "*K D D"], unit: Float[Array, "*K D"]) -> Float[Array, "*K D D"]:
    floor = smallest(scatter.dtype)
    least = floor * unit[..., None] ** 2 * jnp.eye(scatter.shape[-1], dtype=scatter.dtype)
    above = jnp.all(jnp.isfinite(jnp.linalg.cholesky(scatter - least)), axis=(-1, -2))
    units = unit[..., :, None] * unit[..., None, :]

    def decompose(whole: Float[Array, "*K D D"]) -> Float[Array, "*K D D"]:
        matrix = whole / units
        values, vectors = jnp.linalg.eigh(matrix)
        # an eigenvalue is only known to rounding of the largest one
        lowest = jnp.maximum(floor, 8 * matrix.shape[-1] * jnp.finfo(matrix.dtype).eps * values[..., -1:])
        raised = (vectors * jnp.maximum(values, lowest)[..., None, :]) @ jnp.swapaxes(vectors, -1, -2)
        raised = (raised + jnp.swapaxes(raised, -1, -2)) / 2
        return jnp.where(above[..., None, None], whole, raised * units)

    # the decomposition costs many times the Cholesky test and is almost never needed
    return jax.lax.cond(jnp.all(above), lambda matrix: matrix, decompose, scatter)


@_raise.def_vmap
def _raise_mapped(
    axis_size: int, in_batched: list[bool], scatter: Float[Array, "*K D D"], unit: Float[Array, "*K D"]
) -> tuple[Float[Array, "*K D D"], bool]:
    """One decision for all that is mapped over: vmap alone would decompose every matrix every time."""
    scatter, unit = (
        a if batched else jnp.broadcast_to(a, (axis_size, *a.shape))
        for a, batched in zip((scatter, unit), in_batched, strict=True)
    )
    return _raise(scatter, unit), True


def at_floor(matrix: np.ndarray, context: tuple[Any, ...]) -> bool:
    """Whether a covariance matrix, of any that lie side by side (..., D, D), is at the least that a component may have;
    on the host."""
    _, scale, grain = (np.asarray(a, np.float64) for a in context)
    unit = scale * grain
    matrices = np.asarray(matrix).reshape(-1, *unit.shape, *unit.shape) / unit[:, None] / unit
    if not np.all(np.isfinite(matrices)):
        return True
    least = 2 * smallest(np.asarray(matrix).dtype)
    rounding = 16 * len(unit) * np.finfo(np.float64).eps * np.trace(matrices, axis1=1, axis2=2)
    return bool(np.any(np.linalg.eigvalsh(matrices)[:, 0] <= np.maximum(least, rounding)))


class Moments(NamedTuple):
    """Weighted moments of K components.

    Args:
        count: observations per component, what the scatter is divided by.
        mass: total weight of the moments (`count`, or the sum of the expected scales of a Student t).
        first: weighted sums of y = (x - centre) / scale.
        second: weighted sums of y y^T.
    """

    count: Float[Array, " K"]
    mass: Float[Array, " K"]
    first: Float[Array, "K D"]
    second: Float[Array, "K D D"]


class Pair(NamedTuple):
    """What a family calls its location and its matrix (or variances), and the prior that is conjugate to the latter."""

    location: str
    matrix: str
    conjugate: type = InverseWishart

    def is_closed(self, given: Restrictions) -> bool:
        """Whether both are maximised exactly."""
        # a common location is weighted by precisions that must not themselves depend on it
        alike = not given.common(self.location) or given.held(self.location) or given.alike(self.matrix)
        return alike and given.conjugate(**{self.matrix: self.conjugate})


def maximize(
    moments: Moments, params: Params, context: tuple[Array, Array, Array], names: Pair, given: Restrictions
) -> Params:
    """Location and matrix of K components from weighted moments, the mode under an inverse Wishart prior of the matrix.

    Args:
        moments: about the centre, in units of the scale.
        params: current values, without axis K when shared.
        context: centre (D,) or (K, D), scale and grain (D,).
        names: what location and matrix are called.
        given: what is shared, fixed and believed.

    Returns:
        both by name, in the data's own coordinates.
    """
    count, mass, first, second = moments
    location, matrix = params[names.location], params[names.matrix]
    prior = given.belief(names.matrix, InverseWishart)
    common, dim = given.common(names.matrix), first.shape[-1]
    scale = context[1]
    centre = jnp.broadcast_to(context[0], first.shape)
    units = scale[:, None] * scale[None, :]

    mean = ratio(first, mass[:, None])
    if given.held(names.location):
        new_location = location
    elif given.common(names.location):
        new_location = _common_location(mass, mean, centre, scale, matrix)
        new_location = jnp.where(jnp.sum(mass) > 0, new_location, location)
    else:
        new_location = keep_empty(count, centre + scale * mean, location)
    if given.held(names.matrix):
        return {names.location: new_location, names.matrix: matrix}

    if given.alike(names.location):
        miss = mean - (new_location - centre) / scale
    else:
        miss = jnp.zeros_like(mean)
    # about the mean first, then about the location: each difference is between numbers of its own size
    about_mean = ratio(second, mass[:, None, None]) - mean[:, :, None] * mean[:, None, :]
    scatter = mass[:, None, None] * (about_mean + miss[:, :, None] * miss[:, None, :])
    total = count
    if common:
        used = occupied(count)
        scatter = jnp.sum(jnp.where(used[:, None, None], scatter, 0), axis=0)
        total = jnp.sum(jnp.where(used, count, 0))
    divisor = total
    if prior is not None:
        scatter = scatter + like(prior.scale, scatter) / units
        divisor = total + like(prior.df, scatter) + dim + 1
    new = ratio(scatter, divisor[..., None, None])
    empty = divisor <= 0 if common else ~occupied(count)
    # an empty component must not call for the eigen-decomposition
    new = jnp.where(empty[..., None, None], jnp.eye(dim, dtype=new.dtype), new)
    unit = floor_of(mean, context[2])
    new = above_floor(new, jnp.max(unit, axis=0) if common else unit) * units
    return {names.location: new_location, names.matrix: jnp.where(empty[..., None, None], matrix, new)}


def _common_location(
    mass: Float[Array, " K"],
    mean: Float[Array, "K D"],
    centre: Float[Array, "K D"],
    scale: Float[Array, " D"],
    matrix: Float[Array, "*K D D"],
) -> Float[Array, " D"]:
    """The location of all components: their means weighted by precision (generalised least squares)."""
    dim = mean.shape[-1]
    offset = mean + (centre - centre[0]) / scale
    standard = jnp.broadcast_to(matrix, (*mean.shape, dim)) / (scale[:, None] * scale[None, :])
    precision = mass[:, None, None] * jnp.linalg.inv(standard)
    pull = jnp.sum(jnp.einsum("kij,kj->ki", precision, offset), axis=0)
    return centre[0] + scale * jnp.linalg.solve(jnp.sum(precision, axis=0), pull)
