"""M-step by gradient ascent with any optax transformation on the free vector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


@dataclass(frozen=True)
class Gradient:
    """Gradient ascent.

    Args:
        optimizer: an optax transformation, such as `optax.adam(1e-2)`; None is L-BFGS with a zoom line search. Make it
            once and reuse it: a new transformation compiles anew.
        steps: most steps per M-step.
        tolerance: stop when no entry of the gradient exceeds this, relative to 1 + |Q|.

    The point with the highest value seen is returned, so that an M-step never lowers Q.
    """

    optimizer: Any = None
    steps: int = 50
    tolerance: float = 1e-12

    def __call__(self, q: Callable[[Array], Array], u: Float[Array, " P"]) -> Float[Array, " P"]:
        """Maximise `q` from `u`."""
        import optax

        optimizer = optax.with_extra_args_support(optax.lbfgs() if self.optimizer is None else self.optimizer)

        def loss(v: Array) -> Array:
            return -q(v)

        def body(c: tuple[Any, ...]) -> tuple[Any, ...]:
            v, state, best, best_value, _, count = c
            value, g = jax.value_and_grad(loss)(v)
            better = value < best_value
            best, best_value = jnp.where(better, v, best), jnp.where(better, value, best_value)
            updates, state = optimizer.update(g, state, v, value=value, grad=g, value_fn=loss)
            return optax.apply_updates(v, updates), state, best, best_value, jnp.max(jnp.abs(g)), count + 1

        def proceed(c: tuple[Any, ...]) -> Array:
            return (c[5] < self.steps) & (c[4] > self.tolerance * (1 + jnp.abs(c[3]))) & jnp.all(jnp.isfinite(c[0]))

        at_start = loss(u)
        large = jnp.full_like(at_start, jnp.inf)
        start = (u, optimizer.init(u), u, at_start, large, jnp.zeros((), jnp.int32))
        last, _, best, best_value, _, _ = lax.while_loop(proceed, body, start)
        return jnp.where(loss(last) < best_value, last, best)
