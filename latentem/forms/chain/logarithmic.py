"""Forward-backward in logarithms: the same functions as in `scaled`, slower, for what does not fit a number format.

A transition of 1e-300 that the data force, or a state that explains a step a thousand nats worse than another which is
out of reach, keep their expectation here.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from latentem.forms.chain.potentials import Forward, Potentials, Smoothed
from latentem.posterior import logsumexp

#: What the first stretch of the lanes gets from before it, and the last from after it.
OUTSIDE = (-float("inf"), 0.0)


def _matrix(transition: Float[Array, "K K *B"]) -> Float[Array, "K K B"]:
    return transition[..., None] if transition.ndim == 2 else transition


def _finite(a: Array) -> Array:
    return jnp.where(jnp.isfinite(a), a, 0.0)


def forward(p: Potentials, end: Float[Array, "K B"]) -> Forward:
    """Log filtered distributions and scales."""
    moving = p.transition.ndim == 4

    def body(a: Array, x: tuple[Array, ...]) -> tuple[Array, tuple[Array, Array]]:
        b, start, *rest = x
        predicted = logsumexp(jnp.moveaxis(a[:, None] + _matrix(rest[0] if moving else p.transition), 0, -1))
        a = jnp.where(start, p.first, predicted) + b
        c = logsumexp(a.T)
        a = a - _finite(c)
        return a, (a, c)

    end, (a, c) = lax.scan(body, end, (p.emission, p.start, *((p.transition,) if moving else ())))
    return Forward(a, c, end)


def backward(
    p: Potentials, f: Forward, before: Float[Array, "K B"], end: Float[Array, "K B"], weight: Float[Array, "L B"]
) -> Smoothed:
    """Smoothed distributions and pairs; arguments as in `scaled.backward`."""
    moving = p.transition.ndim == 4
    ratio = p.emission - _finite(f.log_scale)[:, None]
    possible = jnp.isfinite(f.log_scale)[:, None]
    earlier = jnp.concatenate([before[None], f.filtered[:-1]])
    left = jnp.where(p.start[:, None] | ~possible, -jnp.inf, earlier)
    k = left.shape[1]

    def body(carry: tuple[Array, Array], x: tuple[Array, ...]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        beta, total = carry
        r, start, earlier, w, *rest = x
        matrix = _matrix(rest[0] if moving else p.transition)
        right = matrix + (beta + r)[None]
        joint = jnp.exp(earlier[:, None] + right)
        if not moving:
            total = total + jnp.sum(jnp.where(w != 0, joint * w, 0.0), axis=-1)
        carried = jnp.where(start, 0.0, logsumexp(jnp.moveaxis(right, 1, -1)))
        return (carried, total), (beta, joint if moving else jnp.zeros(0, joint.dtype))

    xs = (ratio, p.start, left, weight, *((p.transition,) if moving else ()))
    (end, total), (beta, joint) = lax.scan(body, (end, jnp.zeros((k, k), ratio.dtype)), xs, reverse=True)
    smoothed = jnp.where(possible, jnp.exp(f.filtered + beta), 0.0)
    return Smoothed(smoothed, joint if moving else total, end)
