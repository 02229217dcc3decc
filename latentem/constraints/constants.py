"""A parameter that stays at one value."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from latentem.constraints.base import Constraint, Index, Mask, Shape, Value, as_float, as_shape


@dataclass(frozen=True)
class Fixed(Constraint):
    """One value and no free coordinate; see `fixed`. Held as bytes, so that it hashes and compares."""

    content: bytes
    axes: Shape

    @property
    def shape(self) -> Shape:
        return self.axes

    @property
    def value(self) -> np.ndarray:
        """The value, a read-only float64 array."""
        return np.frombuffer(self.content, np.float64).reshape(self.shape)

    @property
    def size(self) -> int:
        return 0

    @property
    def kind(self) -> str:
        return "fixed numbers"

    @property
    def free_indices(self) -> tuple[Index, ...]:
        return ()

    def constrain(self, u: ArrayLike) -> Value:
        return jnp.asarray(self.value, as_float(u).dtype)

    def unconstrain(self, value: ArrayLike) -> Float[Array, " 0"]:
        return jnp.zeros(0, as_float(value).dtype)

    def contains(self, value: ArrayLike) -> Bool[Array, ""]:
        v = as_float(value)
        target = self.value.astype(v.dtype)
        # The equality serves infinities, whose difference is NaN.
        near = jnp.abs(v - target) <= np.where(np.isfinite(target), 1e-12 * np.abs(target), -1.0).astype(v.dtype)
        return jnp.all((v == target) | near)

    def boundary(self, value: ArrayLike) -> Mask:
        return jnp.zeros(self.shape, bool)

    def log_det_jacobian(self, u: ArrayLike) -> Float[Array, ""]:
        return jnp.zeros((), as_float(u).dtype)

    def describe(self) -> str:
        return f"exactly {self.value.tolist()}" if self.value.size <= 9 else super().describe()

    def batched(self, *batch: int) -> Constraint:
        return fixed(np.broadcast_to(self.value, as_shape(batch, "batch") + self.shape))


def fixed(value: ArrayLike) -> Constraint:
    """One given value, which no fit changes.

    Args:
        value: a number or an array of them, of any shape.

    Returns:
        A constraint of size 0 whose `value` is a float64 NumPy array.

    Raises:
        ValueError: for a value that is not made of numbers, or holds NaN.

    >>> fixed([0.5, 0.5]).constrain(np.zeros(0)).tolist()
    [0.5, 0.5]
    """
    array = np.asarray(value)
    if not (jnp.issubdtype(array.dtype, np.integer) or jnp.issubdtype(array.dtype, np.floating)):
        raise ValueError(f"fixed({value!r}): expected a real number or an array of them")
    # Adding 0 turns -0.0 into 0.0, which has other bytes but is the same number.
    array = np.array(array, np.float64) + 0.0
    if np.isnan(array).any():
        raise ValueError("fixed(value): the value holds NaN; give a number for every entry")
    return Fixed(array.tobytes(), array.shape)
