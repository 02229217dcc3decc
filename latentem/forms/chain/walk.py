"""Walking over the data: groups of lanes, stretch by stretch, forth and back; only what passes between them is kept.

Lanes that were cut into blocks are worked on side by side, once it is known what each block begins and ends with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from latentem.forms.base import Prepared
from latentem.forms.chain import factors, logarithmic, scaled
from latentem.forms.chain.layout import joined, owner
from latentem.forms.chain.potentials import Forward, Potentials
from latentem.model import Model
from latentem.model.latents import Chain
from latentem.numerics import devices
from latentem.numerics.chunks import weighted


@dataclass(frozen=True)
class Walk:
    """Forward-backward over data that `layout` has laid out.

    Args:
        model: the declaration.
        logarithms: recursions in logarithms.
        blocks: parts that each lane was cut into.
    """

    model: Model
    logarithms: bool = False
    blocks: int = 1

    @property
    def arithmetic(self) -> Any:
        """The module whose recursions are used."""
        return logarithmic if self.logarithms else scaled

    @property
    def states(self) -> int:
        """K."""
        assert isinstance(self.model.latent, Chain)
        return self.model.latent.size

    def potentials(self, params: Any, context: Any, rows: Any) -> Potentials:
        """Log potentials of one stretch of the lanes."""
        return factors.potentials(self.model, params, context, rows)

    def edges(self, params: Any, rows: Any) -> tuple[Float[Array, "K B"], Float[Array, "K B"]]:
        """What the first and the last stretch get from beyond."""
        shape = (self.states, rows["sequence"].shape[-1])
        outside = self.arithmetic.OUTSIDE
        dtype = jnp.result_type(*jax.tree.leaves(params), jnp.float32)
        return jnp.full(shape, outside[0], dtype), jnp.full(shape, outside[1], dtype)

    def _joints(self, params: Any, prepared: Prepared) -> tuple[Float[Array, "G K B"], Float[Array, "G K B"]]:
        """(what the lanes of each group begin with, what they end with): nothing, or what passes between blocks."""
        rows = prepared.rows
        groups, narrow = rows["sequence"].shape[0], rows["sequence"].shape[-1]
        begin, end = self.edges(params, rows)
        if self.blocks == 1:
            return jnp.broadcast_to(begin, (groups, *begin.shape)), jnp.broadcast_to(end, (groups, *end.shape))

        def of_group(group: Any) -> Float[Array, "K K B"]:
            one = jax.tree.map(lambda a: a[0], group)
            return scaled.transfer(self.potentials(params, prepared.context, one))

        k = self.states
        matrices = jnp.moveaxis(lax.map(of_group, rows), 0, 2).reshape(k, k, -1)
        lanes = groups * narrow // self.blocks  # padding follows the last block
        used = matrices[..., : lanes * self.blocks].reshape(k, k, self.blocks, lanes)
        begins, ends = scaled.joints(jnp.moveaxis(used, 2, 0), begin[:, :lanes], end[:, :lanes])

        def spread(a: Float[Array, "m K b"], padding: Array) -> Float[Array, "G K B"]:
            flat = jnp.moveaxis(a, 0, 1).reshape(k, -1)
            rest = jnp.broadcast_to(padding[:, :1], (k, groups * narrow - flat.shape[1]))
            flat = jnp.concatenate([flat, rest], axis=1)
            return jnp.moveaxis(flat.reshape(k, groups, narrow), 1, 0)

        return spread(begins, begin), spread(ends, end)

    def _forward(
        self, params: Any, context: Any, group: Any, begin: Float[Array, "K B"], keep: Any
    ) -> tuple[Any, Float[Array, "P K B"]]:
        """(`keep(rows, log scale of each step)` of each stretch, what it began with) of a group of lanes."""

        def body(before: Array, rows: Any) -> tuple[Array, tuple[Any, Array]]:
            f = self.arithmetic.forward(self.potentials(params, context, rows), before)
            return f.end, (keep(rows, f.log_scale), before)

        if group["sequence"].shape[0] > 1:
            return lax.scan(body, begin, group)[1]
        _, (kept, _) = body(begin, jax.tree.map(lambda a: a[0], group))
        return kept[None], begin[None]

    def log_scales(self, params: Any, prepared: Prepared) -> Float[Array, "G P L B"]:
        """log p(x_t | x before it) of every step on its lane."""
        return self._scales(params, self.laid(prepared), lambda rows, log_scale: log_scale)

    def log_likelihood(self, params: Any, prepared: Prepared) -> Float[Array, ""]:
        """log p of all sequences, each as often as its weight says."""
        if prepared.mesh is not None:
            return _summed(partial(self.log_likelihood, params), prepared)
        prepared = self.laid(prepared)
        return pairwise_sum(self._scales(params, prepared, partial(_weighted_sum, prepared.weights)).reshape(-1))

    def _scales(self, params: Any, prepared: Prepared, keep: Any) -> Float[Array, "G P *kept"]:
        begins, _ = self._joints(params, prepared)
        if prepared.rows["sequence"].shape[0] == 1:
            one = jax.tree.map(lambda a: a[0], prepared.rows)
            return self._forward(params, prepared.context, one, begins[0], keep)[0][None]
        return lax.map(lambda x: self._forward(params, prepared.context, x[0], x[1], keep)[0], (prepared.rows, begins))

    def laid(self, prepared: Prepared) -> Prepared:
        """The data as the arithmetic wants them: logarithms do not work in blocks."""
        if not (self.logarithms and self.blocks > 1):
            return prepared
        rows = jax.tree.map(lambda a: self.joined(a)[None, None], prepared.rows)
        return Prepared(prepared.context, rows, prepared.weights)

    def joined(self, a: Float[Array, "G P L B *rest"]) -> Float[Array, "T lanes *rest"]:
        """Groups, stretches and blocks put together: steps by lanes."""
        return joined(a, self.blocks)

    def smooth(self, params: Any, prepared: Prepared, summarise: Any) -> tuple[Float[Array, ""], Any]:
        """(log-likelihood, sum over groups and stretches of `summarise(rows, smoothed, pairs, weight)`)."""
        if prepared.mesh is not None:
            return _summed(lambda part: self.smooth(params, part, summarise), prepared)
        prepared = self.laid(prepared)
        each = prepared.weights
        everything = (prepared.rows, *self._joints(params, prepared))

        def of_group(x: Any) -> tuple[Array, Any]:
            rows, begin, end = x
            return self._smooth(params, prepared.context, rows, begin, end, each, summarise)

        first = jax.tree.map(lambda a: a[0], everything)
        if prepared.rows["sequence"].shape[0] == 1:
            evidence, found = of_group(first)
            return pairwise_sum(evidence), found
        zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(of_group, first)[1])

        def body(total: Any, x: Any) -> tuple[Any, Array]:
            evidence, found = of_group(x)
            return jax.tree.map(jnp.add, total, found), evidence

        total, evidence = lax.scan(body, zero, everything)
        return pairwise_sum(evidence.reshape(-1)), total

    def _smooth(
        self, params: Any, context: Any, group: Any, begin: Array, end: Array, each: Array, summarise: Any
    ) -> tuple[Float[Array, " P"], Any]:
        """(log-likelihood of each stretch, sum of summaries) of a group of lanes."""

        def back(end: Array, rows: Any, before: Array) -> tuple[Array, tuple[Array, Any]]:
            p = self.potentials(params, context, rows)
            f: Forward = self.arithmetic.forward(p, before)
            w = of_steps(each, rows["sequence"])
            s = self.arithmetic.backward(p, f, before, end, w)
            return s.end, (_weighted_sum(each, rows, f.log_scale), summarise(rows, s.smoothed, s.pairs, w))

        if group["sequence"].shape[0] == 1:
            _, (evidence, found) = back(end, jax.tree.map(lambda a: a[0], group), begin)
            return evidence[None], found
        _, begins = self._forward(params, context, group, begin, partial(_weighted_sum, each))
        one = jax.tree.map(lambda a: a[0], (group, begins))
        shapes = jax.eval_shape(lambda r, b: back(end, r, b)[1][1], *one)
        zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

        def body(carry: tuple[Array, Any], x: tuple[Any, Array]) -> tuple[tuple[Array, Any], Array]:
            end, total = carry
            end, (evidence, found) = back(end, *x)
            return (end, jax.tree.map(jnp.add, total, found)), evidence

        (_, total), evidence = lax.scan(body, (end, zero), (group, begins), reverse=True)
        return evidence, total


def _summed(f: Callable[[Prepared], Any], prepared: Prepared) -> Any:
    """The sum over devices of `f` of the groups that lie on each."""
    assert prepared.mesh is not None
    return devices.summed(lambda rows: f(replace(prepared, rows=rows, mesh=None)), prepared.rows, prepared.mesh)


def pairwise_sum(a: Float[Array, " n"]) -> Float[Array, ""]:
    """Sum by blocks of blocks: in float32 the sum of a million terms keeps six digits."""
    while a.shape[0] > 64:
        a = jnp.sum(jnp.pad(a, (0, -a.shape[0] % 64)).reshape(-1, 64), axis=1)
    return jnp.sum(a)


def of_steps(weights: Float[Array, " N"], sequence: Int[Array, "*n"]) -> Float[Array, "*n"]:
    """The weight of the sequence that each step belongs to; 0 of padding."""
    if weights.shape[0] == 1:  # no look-up, so that no array of weights is ever made
        return jnp.where(owner(sequence) == 0, weights[0], 0.0)
    return jnp.append(weights, 0)[owner(sequence)]


def _weighted_sum(weights: Array, rows: Any, log_scale: Float[Array, "L B"]) -> Float[Array, ""]:
    return pairwise_sum(weighted(of_steps(weights, rows["sequence"]), log_scale).reshape(-1))
