"""M-steps of covariance matrices whose volumes, shapes and orientations are equal or vary over components.

Source: Celeux and Govaert, Pattern Recognition 28 (1995), 781-793; orientations in common by rotations of pairs of
axes, Flury and Gautschi, SIAM Journal on Scientific and Statistical Computing 7 (1986), 169-184."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

#: Alternations of volumes with shapes, or with orientations, within one M-step; each goes up.
ROUNDS = 8
#: mclust's names of what is made from families and parameters in common: (covariance of the family, in common).
SIMPLE = {
    "EII": ("spherical", True),
    "VII": ("spherical", False),
    "EEI": ("diagonal", True),
    "VVI": ("diagonal", False),
    "EEE": ("full", True),
    "VVV": ("full", False),
}
#: The others.
STRUCTURED = ("VEI", "EVI", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV")


def maximize(
    structure: str, count: Float[Array, " K"], own: Float[Array, "K ..."], current: Float[Array, "K ..."]
) -> Float[Array, "K ..."]:
    """Covariances (or variances) of the structure.

    Args:
        count: observations per component.
        own: what each component would have for itself, scatter / count.
        current: values to go up from.
    """
    share = count / jnp.sum(count)
    if structure.endswith("I"):
        return _diagonal(structure, share, own, current)
    if structure == "VEE":
        return _proportional(share, own, current)
    if structure.endswith("V"):
        return _turned(structure, share, own, current)
    return _common_axes(structure, share, own, current)


def unit(logs: Float[Array, "*K D"]) -> Float[Array, "*K D"]:
    """exp of logs with their mean taken away: product 1."""
    return jnp.exp(logs - jnp.mean(logs, axis=-1, keepdims=True))


def _log(a: Array) -> Array:
    return jnp.log(jnp.maximum(a, jnp.finfo(a.dtype).tiny))


def _diagonal(structure: str, share: Array, own: Float[Array, "K D"], current: Float[Array, "K D"]) -> Array:
    if structure == "EVI":
        level = jnp.exp(jnp.mean(_log(own), axis=1))
        return (share @ level) * unit(_log(own))

    def alternate(_: int, volume: Array) -> Array:
        shape = unit(_log((share / volume) @ own))
        return jnp.mean(own / shape, axis=1)

    volume = jax.lax.fori_loop(0, ROUNDS, alternate, jnp.exp(jnp.mean(_log(current), axis=1)))
    return volume[:, None] * unit(_log((share / volume) @ own))


def _proportional(share: Array, own: Float[Array, "K D D"], current: Float[Array, "K D D"]) -> Array:
    """Volumes times one matrix."""
    d = own.shape[-1]

    def common(volume: Array) -> Array:
        pooled = jnp.tensordot(share / volume, own, axes=1)
        return pooled * jnp.exp(-jnp.linalg.slogdet(pooled)[1] / d)

    def alternate(_: int, volume: Array) -> Array:
        return jnp.trace(jnp.linalg.solve(common(volume), own), axis1=1, axis2=2) / d

    start = jnp.exp(jnp.linalg.slogdet(current)[1] / d)
    volume = jax.lax.fori_loop(0, ROUNDS, alternate, start)
    return volume[:, None, None] * common(volume)


def _turned(structure: str, share: Array, own: Float[Array, "K D D"], current: Float[Array, "K D D"]) -> Array:
    """Every component its own axes: those of its scatter."""
    values, axes = jnp.linalg.eigh(own)
    if structure == "EEV":
        new = jnp.broadcast_to(share @ values, values.shape)
    elif structure == "EVV":
        new = (share @ jnp.exp(jnp.mean(_log(values), axis=1))) * unit(_log(values))
    else:  # VEV: eigenvalues as variances of structure VEI
        now = jnp.linalg.eigvalsh(current)
        new = _diagonal("VEI", share, values, now)
    return (axes * new[:, None, :]) @ jnp.swapaxes(axes, 1, 2)


def _common_axes(structure: str, share: Array, own: Float[Array, "K D D"], current: Float[Array, "K D D"]) -> Array:
    """Axes in common, shapes that vary; volumes that vary (VVE) or not (EVE)."""
    weigh = 1.0 / (1.0 + jnp.arange(own.shape[0], dtype=own.dtype)) / jnp.trace(current, axis1=1, axis2=2)
    _, axes = jnp.linalg.eigh(jnp.tensordot(weigh, current, axes=1))
    first, second = np.triu_indices(own.shape[-1], 1)

    def values(q: Array) -> Array:
        along = jnp.einsum("di,kde,ei->ki", q, own, q)
        if structure == "VVE":
            return along
        return (share @ jnp.exp(jnp.mean(_log(along), axis=1))) * unit(_log(along))

    def alternate(_: int, q: Array) -> Array:
        precision = share[:, None] / values(q)

        def rotate(p: int, q: Array) -> Array:
            i, j = jnp.asarray(first)[p], jnp.asarray(second)[p]
            a, b = q[:, i], q[:, j]
            wa, wb = own @ a, own @ b
            apart = precision[:, i] - precision[:, j]
            cosine, sine = -0.5 * apart @ (wa @ a - wb @ b), -apart @ (wa @ b)
            level = (cosine == 0) & (sine == 0)
            angle = 0.5 * jnp.arctan2(jnp.where(level, 0.0, sine), jnp.where(level, 1.0, cosine))
            c, s = jnp.cos(angle), jnp.sin(angle)
            return q.at[:, i].set(c * a + s * b).at[:, j].set(c * b - s * a)

        return jax.lax.fori_loop(0, len(first), rotate, q)

    axes = jax.lax.fori_loop(0, ROUNDS, alternate, axes)
    return (axes * values(axes)[:, None, :]) @ axes.T
