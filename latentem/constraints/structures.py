"""Covariance matrices of several components whose volumes, shapes and orientations are equal or vary (Banfield and
Raftery 1993; Celeux and Govaert 1995): the eight structures that no other constraint makes.

A matrix is volume x orientation x shape x orientation'. Free coordinates are log volumes, logs of shapes whose product
is 1, and the skew-symmetric matrices whose Cayley transforms are the orientations.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from latentem.constraints.base import Constraint, Index, Mask, Shape, Value, as_float, tiny

STRUCTURES = ("VEI", "EVI", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV")


@dataclass(frozen=True)
class Structured(Constraint):
    """Covariances (K, D, D), or variances (K, D) of diagonal ones, of one structure.

    Args:
        structure: three letters, of volume, shape and orientation: E for equal, V for varying, I for the axes.
        components: K.
        dim: D.
    """

    structure: str
    components: int
    dim: int

    @property
    def diagonal(self) -> bool:
        """Whether the value holds variances."""
        return self.structure[2] == "I"

    @property
    def shape(self) -> Shape:
        return (self.components, self.dim) if self.diagonal else (self.components, self.dim, self.dim)

    @cached_property
    def parts(self) -> tuple[int, int, int]:
        """How many volumes, shapes and orientations there are."""
        volume, shape, orientation = (self.components if letter == "V" else 1 for letter in self.structure)
        return volume, shape, 0 if self.diagonal else orientation

    @property
    def size(self) -> int:
        volume, shape, orientation = self.parts
        return volume + shape * (self.dim - 1) + orientation * (self.dim * (self.dim - 1) // 2)

    @property
    def kind(self) -> str:
        return f"{'variances' if self.diagonal else 'covariance matrices'} of structure {self.structure}"

    @property
    def free_indices(self) -> tuple[Index, ...]:
        return _free(self)

    def constrain(self, u: ArrayLike) -> Value:
        u = as_float(u)
        volume, shape, orientation = self.parts
        logs, rest = u[:volume], u[volume:]
        first = rest[: shape * (self.dim - 1)].reshape(shape, self.dim - 1)
        logs = logs[:, None] + jnp.concatenate([first, -jnp.sum(first, axis=1, keepdims=True)], axis=1)
        values = jnp.broadcast_to(jnp.exp(logs), (self.components, self.dim))
        if self.diagonal:
            return values
        q = jax.vmap(self._orthogonal)(rest[shape * (self.dim - 1) :].reshape(orientation, -1))
        return (q * values[:, None, :]) @ jnp.swapaxes(q, 1, 2)

    def unconstrain(self, value: ArrayLike) -> Float[Array, " n"]:
        value = as_float(value)
        q, values = self._spectrum(value)
        least = tiny(value.dtype) * jnp.max(jnp.abs(values))
        logs = jnp.log(jnp.maximum(values, jnp.maximum(least, jnp.finfo(value.dtype).tiny)))
        volume, shape, orientation = self.parts
        level = jnp.mean(logs, axis=1)
        about = logs - level[:, None]
        level = level if volume > 1 else jnp.mean(level, keepdims=True)
        about = about if shape > 1 else jnp.mean(about, axis=0, keepdims=True)
        level, about = level[:volume], about[:shape]
        turns = () if self.diagonal else (jnp.ravel(jax.vmap(self._skew)(q[:orientation])),)
        return jnp.concatenate([level, jnp.ravel(about[:, :-1]), *turns])

    def contains(self, value: ArrayLike) -> Bool[Array, ""]:
        value = as_float(value)
        again = self.constrain(self.unconstrain(value))
        size = jnp.max(jnp.abs(value))
        close = jnp.max(jnp.abs(again - value)) <= 1e3 * jnp.sqrt(jnp.finfo(value.dtype).eps) * 1e-2 * size
        return close & jnp.all(self._spectrum(value)[1] > 0)

    def boundary(self, value: ArrayLike) -> Mask:
        value = as_float(value)
        values = self._spectrum(value)[1]
        flat = jnp.min(values, axis=1) <= 1e-10 * jnp.max(values, axis=1)
        return jnp.broadcast_to(flat.reshape((-1,) + (1,) * (value.ndim - 1)), value.shape)

    def log_det_jacobian(self, u: ArrayLike) -> Float[Array, ""]:
        at = tuple(np.array(self.free_indices).T)
        return jnp.linalg.slogdet(jax.jacfwd(lambda v: self.constrain(v)[at])(as_float(u)))[1]

    def _spectrum(self, value: Float[Array, "K ..."]) -> tuple[Array, Float[Array, "K D"]]:
        """(orientations, eigenvalues); one orientation for all where it is equal."""
        if self.diagonal:
            return value, value
        if self.structure[2] == "V":
            values, q = jnp.linalg.eigh(value)
            return q, values
        # Weights that differ keep axes apart that are equally long on average.
        share = 1.0 / (1.0 + jnp.arange(self.components, dtype=value.dtype))
        size = jnp.trace(value, axis1=1, axis2=2)
        _, q = jnp.linalg.eigh(jnp.sum((share / size)[:, None, None] * value, axis=0))
        values = jnp.diagonal(q.T @ value @ q, axis1=1, axis2=2)
        return q[None], values

    def _orthogonal(self, turn: Float[Array, " T"]) -> Float[Array, "D D"]:
        """The Cayley transform (I - A) (I + A)^-1 of the skew-symmetric matrix with this lower triangle."""
        row, col = np.tril_indices(self.dim, -1)
        lower = jnp.zeros((self.dim, self.dim), turn.dtype).at[row, col].set(turn)
        skew, one = lower - lower.T, jnp.eye(self.dim, dtype=turn.dtype)
        return jnp.linalg.solve((one + skew).T, (one - skew).T).T

    def _skew(self, q: Float[Array, "D D"]) -> Float[Array, " T"]:
        """The inverse, of axes whose signs are chosen so that I + Q has an inverse with entries of moderate size: in
        eliminating Q + S, the sign in S is that of the pivot."""
        reduced, signs = q, []
        for j in range(self.dim):
            sign = jnp.where(reduced[j, j] < 0, -1.0, 1.0).astype(q.dtype)
            signs.append(sign)
            pivot = reduced[j, j] + sign
            reduced = reduced - jnp.outer(reduced[:, j].at[: j + 1].set(0), reduced[j]) / pivot
        turned = q * jnp.stack(signs)
        one = jnp.eye(self.dim, dtype=q.dtype)
        skew = jnp.linalg.solve((one + turned).T, (one - turned).T).T
        row, col = np.tril_indices(self.dim, -1)
        return skew[row, col]


@lru_cache
def _free(constraint: Structured) -> tuple[Index, ...]:
    """Entries that move independently of those before them, as many as there are free coordinates."""
    rng = np.random.default_rng(0)
    u = rng.normal(size=constraint.size) * 0.5
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        jacobian = np.asarray(jax.jacfwd(constraint.constrain)(jnp.asarray(u)))
    found: list[Index] = []
    basis: list[np.ndarray] = []
    for index in np.ndindex(constraint.shape):
        if not constraint.diagonal and index[2] > index[1]:
            continue
        row = jacobian[index]
        rest = row.copy()
        for _ in range(2):
            for direction in basis:
                rest = rest - direction * (direction @ rest)
        if np.linalg.norm(rest) > 1e-6 * np.linalg.norm(row):
            basis.append(rest / np.linalg.norm(rest))
            found.append(tuple(int(i) for i in index))
        if len(found) == constraint.size:
            break
    return tuple(found)


def structured(structure: str, components: int, dim: int) -> Structured:
    """Covariances of K components of one of the structures VEI, EVI, VEE, EVE, VVE, EEV, VEV, EVV.

    >>> structured("EEV", 3, 2).size
    5
    """
    if structure not in STRUCTURES:
        raise ValueError(f"structure={structure!r}: expected one of {', '.join(STRUCTURES)}")
    if dim < 2:
        raise ValueError(f"structure {structure} of {dim} dimension: expected at least 2; there is no shape")
    return Structured(structure, components, dim)
