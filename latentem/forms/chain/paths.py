"""Paths of a chain: the most probable ones (Viterbi 1967) and draws from their posterior, along lanes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from latentem.forms.chain.potentials import Potentials


def viterbi(p: Potentials, best: int = 1) -> tuple[Int[Array, "n L B"], Float[Array, "n L B"]]:
    """The `best` most probable paths of every sequence on the lanes.

    Args:
        p: log potentials.
        best: how many, n.

    Returns:
        (states, score): `score` at the last step of a sequence is log p(x, path); -inf where there are fewer paths.

    Source: Viterbi (1967), IEEE Trans. Inf. Theory 13; lists: Seshadri and Sundberg (1994), IEEE Trans. Commun. 42.
    """
    moving = p.transition.ndim == 4
    k, b = p.emission.shape[1:]
    dtype = p.emission.dtype
    # Entry (k, r) of what is carried: the r-th best path that ends in state k.
    opening = jnp.full((k, best, b), -jnp.inf, dtype).at[:, 0].set(jnp.broadcast_to(p.first, (k, b)))

    def body(score: Array, x: tuple[Array, ...]) -> tuple[Array, tuple[Array, Array]]:
        emission, start, *rest = x
        matrix = rest[0] if moving else p.transition[..., None]
        through = score[:, :, None] + matrix[:, None]  # (from, rank, to, B)
        flat = jnp.moveaxis(through.reshape(k * best, k, b), 0, -1)
        top, origin = lax.top_k(flat, best)  # (to, B, rank)
        arrived = jnp.where(start, opening, jnp.moveaxis(top, -1, 1)) + emission[:, None]
        return arrived, (arrived, jnp.moveaxis(origin, -1, 1))

    begin = jnp.full((k, best, b), -jnp.inf, dtype)
    xs = (p.emission, p.start, *((p.transition,) if moving else ()))
    _, (score, origin) = lax.scan(body, begin, xs)
    length = p.start.shape[0]
    ends = jnp.concatenate([p.start[1:], jnp.ones((1, b), bool)])

    def back(node: Int[Array, "n B"], x: tuple[Array, ...]) -> tuple[Array, tuple[Array, Array]]:
        at, came, end = x
        flat = at.reshape(k * best, b)
        final = lax.top_k(flat.T, best)[1].T
        node = jnp.where(end, final, node)
        reached = jnp.take_along_axis(flat, node, axis=0)
        return jnp.take_along_axis(came.reshape(k * best, b), node, axis=0), (node // best, reached)

    nodes = jnp.zeros((best, b), origin.dtype)
    _, (states, reached) = lax.scan(back, nodes, (score, origin, ends), length=length, reverse=True)
    return jnp.moveaxis(states, 1, 0), jnp.moveaxis(reached, 1, 0)


def sample(p: Potentials, log_filtered: Float[Array, "L K B"], key: Array) -> Int[Array, "L B"]:
    """One path of every sequence drawn from its posterior: forward filtering, backward sampling.

    Args:
        p: log potentials.
        log_filtered: log p(state | x up to here), (L, K, B).
        key: typed PRNG key.
    """
    moving = p.transition.ndim == 4
    length, k, b = p.emission.shape
    noise = jax.random.gumbel(key, (length, k, b), p.emission.dtype)
    ends = jnp.concatenate([p.start[1:], jnp.ones((1, b), bool)])
    # Into the step after each one; what lies after a last step is not looked at.
    after = (jnp.concatenate([p.transition[1:], p.transition[:1]]),) if moving else ()

    def back(state: Int[Array, " B"], x: tuple[Array, ...]) -> tuple[Array, Array]:
        filtered, end, drawn, *rest = x
        matrix = rest[0] if moving else p.transition[..., None]
        into = jnp.take_along_axis(jnp.broadcast_to(matrix, (k, k, b)), state[None, None], axis=1)[:, 0]
        state = jnp.argmax(filtered + jnp.where(end, 0.0, into) + drawn, axis=0)
        return state, state

    xs = (log_filtered, ends, noise, *after)
    return lax.scan(back, jnp.zeros(b, jnp.result_type(int)), xs, reverse=True)[1]
