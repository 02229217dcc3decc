"""The form of chain models: forward-backward on lanes, stretch by stretch, and what an M-step wants from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from latentem import data as door
from latentem.chain import logarithmic, scaled
from latentem.chain.lanes import pack
from latentem.chain.potentials import Forward, Potentials
from latentem.chunks import weighted
from latentem.forms import Form, Prepared
from latentem.latents import Chain
from latentem.model import Model
from latentem.sequences import Sequences

#: Cells (steps x states) that are worked on at a time, so that their intermediate results stay in cache: lanes are
#: taken in groups of at least NARROWEST; where such a group is still longer than LONGEST cells, it is walked in
#: stretches, forward and back, and only what passes from one to the next is kept.
CELLS, LONGEST, NARROWEST = 1 << 16, 1 << 18, 16
#: A few long lanes of few states are cut into blocks of about BLOCK steps that are worked on side by side: what each
#: does to the distribution before it is a small matrix, and these are put together first.
BLOCK, FEW_LANES, FEW_STATES, BLOCK_CELLS = 256, 8, 8, 1 << 18


class Expected(NamedTuple):
    """What an E-step leaves for an M-step.

    Args:
        first: expected number of sequences that begin in each state, (K,).
        transition: expected number of transitions, (K, K), or of each step, (n, K, K), where they vary.
        emission: expected statistics in each state, (K, S), or the weight of each state at each step, (n, K).
    """

    first: Float[Array, " K"]
    transition: Float[Array, "*n K K"]
    emission: Float[Array, "*n K S"]


@dataclass(frozen=True)
class ChainForm(Form):
    """A chain model on lanes. Rows of `Prepared` are a dict with leading axes (groups, stretches, steps, lanes).

    Args:
        model: the declaration.
        exact: recursions in logarithms. The scaled ones answer NaN where they lose digits to underflow.
        blocks: parts that each lane is cut into and that are worked on side by side.
    """

    model: Model
    exact: bool = False
    blocks: int = 1

    @classmethod
    def of(cls, model: Model, sequences: Sequences) -> ChainForm:
        """The form for these sequences."""
        height, width = pack(sequences.lengths).index.shape
        form = cls(model)
        few = width <= FEW_LANES and form.states <= FEW_STATES and height > 16 * BLOCK
        return cls(model, blocks=-(-height // BLOCK)) if few else form

    @property
    def arithmetic(self) -> Any:
        """The module whose recursions are used."""
        return logarithmic if self.exact else scaled

    def careful(self) -> ChainForm | None:
        return None if self.exact else replace(self, exact=True)

    @property
    def states(self) -> int:
        """K."""
        assert isinstance(self.model.latent, Chain)
        return self.model.latent.size

    # --- the data

    def prepare(self, sequences: Sequences, weights: np.ndarray, dtype: str) -> Prepared:
        """Sequences on lanes, on the device."""
        lanes = pack(sequences.lengths)
        height, width = lanes.index.shape
        n = sequences.n
        step, lane = np.divmod(lanes.place, width)
        enough = CELLS
        if self.blocks > 1:
            height = -(-height // self.blocks)
            block, step = np.divmod(step, height)
            lane, width, enough = block * width + lane, width * self.blocks, BLOCK_CELLS
        narrow = min(width, max(NARROWEST, enough // (height * self.states)))
        groups = -(-width // narrow)
        narrow = -(-width // groups)
        cells = height * narrow * self.states
        stretches = 1 if cells <= max(LONGEST, enough) or self.blocks > 1 else min(height, -(-cells // CELLS))
        length = -(-height // stretches)

        def lay(values: np.ndarray, padding: Any) -> np.ndarray:
            values = np.asarray(values)
            laid = np.full((stretches * length, groups * narrow, *values.shape[1:]), padding, values.dtype)
            laid[step, lane] = values
            shaped = laid.reshape(stretches, length, groups, narrow, *values.shape[1:])
            return np.ascontiguousarray(np.moveaxis(shaped, 2, 0))

        sequences = sequences.without_gaps()
        steps, observed = sequences.steps, sequences.observed
        rows: dict[str, Any] = {
            "x": jax.tree.map(lambda a: jnp.asarray(lay(a, _like(a))), door.cast(steps, dtype)),
            "start": jnp.asarray(lay(_starts(sequences), True)),
            "sequence": jnp.asarray(lay(np.repeat(np.arange(n, dtype=np.int32), sequences.lengths), n)),
        }
        if observed is not None:
            rows["observed"] = jnp.asarray(lay(observed, True))
        if sequences.labels is not None:
            if (sequences.labels >= self.states).any():
                worst = int(sequences.labels.max())
                raise ValueError(f"labels hold state {worst}: expected 0 to {self.states - 1}, or -1 for not known")
            rows["label"] = jnp.asarray(lay(sequences.labels, -1))
        each = jnp.asarray(weights, dtype=dtype)
        context: Any = ()
        if self.model.factored is not None:
            flat = jax.tree.map(jnp.asarray, door.cast(steps, dtype))
            context = _context(self.model.factored, flat, jnp.asarray(sequences.of_steps(weights)[1], dtype))
        return Prepared(context, rows, each)

    def cells(self, prepared: Prepared) -> int:
        return prepared.rows["start"].size * self.states

    def thinned(self, prepared: Prepared, rows: int) -> Prepared:
        return prepared

    def chunk(self, prepared: Prepared) -> int:
        return prepared.weights.shape[0]

    # --- one stretch

    def potentials(self, params: Any, context: Any, rows: Any) -> Potentials:
        """Log potentials of one stretch of the lanes."""
        start = rows["start"]
        length, width = start.shape
        k = self.states
        flat = jax.tree.map(lambda a: a.reshape(length * width, *a.shape[2:]), rows["x"])
        factored = self.model.factored
        if factored is None:
            first, transition, emission = self._declared(params, flat, start.reshape(-1))
        else:
            first = factored.first(params)[:, None]
            transition = factored.transition(params, flat) if factored.varying else factored.transition(params)
            if factored.features is not None and factored.natural is not None:
                emission = factored.features(flat, context) @ factored.natural(params, context).T
                # A matrix product cannot hold -inf: families put a huge finite number in its place.
                emission = jnp.where(emission < jnp.finfo(emission.dtype).min / 64, -jnp.inf, emission)
            else:
                emission = factored.emission(params, flat, context)
        if transition.ndim == 3:
            transition = jnp.moveaxis(transition.reshape(length, width, k, k), 1, -1)
        emission = jnp.moveaxis(emission.reshape(length, width, k), 1, -1)
        if "observed" in rows:
            emission = jnp.where(rows["observed"][:, None], emission, 0.0)
        if "label" in rows:
            label = rows["label"][:, None]
            emission = jnp.where((label >= 0) & (label != jnp.arange(k)[:, None]), -jnp.inf, emission)
        return Potentials(first, transition, emission, start)

    def _declared(self, params: Any, rows: Any, start: Array) -> tuple[Array, Array, Array]:
        """From the declaration of a step: the largest log p over states before becomes the emission."""
        latent, step = self.model.latent, self.model.complete_log_likelihood
        assert isinstance(latent, Chain)
        states = jnp.arange(self.states)
        of_first = jax.vmap(lambda x: jax.vmap(lambda z: latent.first(params, x, z))(states))(rows)
        of_step = jax.vmap(
            lambda x: jax.vmap(lambda i: jax.vmap(lambda j: step(params, x, j, i))(states))(states)  # pyright: ignore
        )(rows)
        best = lax.stop_gradient(jnp.max(of_step, axis=1))
        best = jnp.where(jnp.isfinite(best), best, 0.0)
        emission = jnp.where(start[:, None], of_first, best)
        return jnp.zeros((self.states, 1), emission.dtype), of_step - best[:, None], emission

    # --- walks over the stretches

    def edges(self, params: Any, rows: Any) -> tuple[Float[Array, "K B"], Float[Array, "K B"]]:
        """What the first and the last stretch get from beyond."""
        shape = (self.states, rows["start"].shape[-1])
        outside = self.arithmetic.OUTSIDE
        dtype = jnp.result_type(*jax.tree.leaves(params), jnp.float32)
        return jnp.full(shape, outside[0], dtype), jnp.full(shape, outside[1], dtype)

    def _joints(self, params: Any, prepared: Prepared) -> tuple[Float[Array, "G K B"], Float[Array, "G K B"]]:
        """(what the lanes of each group begin with, what they end with): nothing, or what passes between blocks."""
        rows = prepared.rows
        groups, narrow = rows["start"].shape[0], rows["start"].shape[-1]
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
        self, params: Any, context: Any, group: Any, begin: Float[Array, "K B"]
    ) -> tuple[Float[Array, "P L B"], Float[Array, "P K B"]]:
        """(log scale of each step, what each stretch began with) of a group of lanes."""

        def body(before: Array, rows: Any) -> tuple[Array, tuple[Array, Array]]:
            f = self.arithmetic.forward(self.potentials(params, context, rows), before)
            return f.end, (f.log_scale, before)

        if group["start"].shape[0] > 1:
            return lax.scan(body, begin, group)[1]
        _, (log_scale, _) = body(begin, jax.tree.map(lambda a: a[0], group))
        return log_scale[None], begin[None]

    def log_scales(self, params: Any, prepared: Prepared) -> Float[Array, "G P L B"]:
        """log p(x_t | x before it) of every step on its lane."""
        prepared = self._laid(prepared)
        begins, _ = self._joints(params, prepared)
        if prepared.rows["start"].shape[0] == 1:
            one = jax.tree.map(lambda a: a[0], prepared.rows)
            return self._forward(params, prepared.context, one, begins[0])[0][None]
        return lax.map(lambda x: self._forward(params, prepared.context, *x)[0], (prepared.rows, begins))

    def _laid(self, prepared: Prepared) -> Prepared:
        """The data as the arithmetic wants them: logarithms do not work in blocks."""
        if not (self.exact and self.blocks > 1):
            return prepared
        rows = jax.tree.map(lambda a: self.joined(a)[None, None], prepared.rows)
        return Prepared(prepared.context, rows, prepared.weights)

    def joined(self, a: Float[Array, "G P L B *rest"]) -> Float[Array, "T lanes *rest"]:
        """Groups, stretches and blocks put together: steps by lanes."""
        groups, stretches, length, narrow = a.shape[:4]
        rest = a.shape[4:]
        flat = jnp.moveaxis(a, 0, 2).reshape(stretches * length, groups * narrow, *rest)
        if self.blocks == 1 or groups * narrow < self.blocks:
            return flat
        lanes = groups * narrow // self.blocks
        used = flat[:, : lanes * self.blocks].reshape(length, self.blocks, lanes, *rest)
        return jnp.moveaxis(used, 1, 0).reshape(self.blocks * length, lanes, *rest)

    def smooth(self, params: Any, prepared: Prepared, summarise: Any) -> tuple[Float[Array, "G P L B"], Any]:
        """(log scale of each step, sum over groups and stretches of `summarise(rows, smoothed, pairs, weight)`)."""
        prepared = self._laid(prepared)
        each = jnp.append(prepared.weights, 0)
        everything = (prepared.rows, *self._joints(params, prepared))

        def of_group(x: Any) -> tuple[Array, Any]:
            rows, begin, end = x
            return self._smooth(params, prepared.context, rows, begin, end, each, summarise)

        first = jax.tree.map(lambda a: a[0], everything)
        if prepared.rows["start"].shape[0] == 1:
            log_scale, found = of_group(first)
            return log_scale[None], found
        zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(of_group, first)[1])

        def body(total: Any, x: Any) -> tuple[Any, Array]:
            log_scale, found = of_group(x)
            return jax.tree.map(jnp.add, total, found), log_scale

        total, log_scale = lax.scan(body, zero, everything)
        return log_scale, total

    def _smooth(
        self, params: Any, context: Any, group: Any, begin: Array, end: Array, each: Array, summarise: Any
    ) -> tuple[Array, Any]:

        def back(end: Array, rows: Any, before: Array) -> tuple[Array, tuple[Array, Any]]:
            p = self.potentials(params, context, rows)
            f: Forward = self.arithmetic.forward(p, before)
            w = each[rows["sequence"]]
            s = self.arithmetic.backward(p, f, before, end, w)
            return s.end, (f.log_scale, summarise(rows, s.smoothed, s.pairs, w))

        if group["start"].shape[0] == 1:
            _, (log_scale, found) = back(end, jax.tree.map(lambda a: a[0], group), begin)
            return log_scale[None], found
        _, begins = self._forward(params, context, group, begin)
        one = jax.tree.map(lambda a: a[0], (group, begins))
        shapes = jax.eval_shape(lambda r, b: back(end, r, b)[1][1], *one)
        zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

        def body(carry: tuple[Array, Any], x: tuple[Any, Array]) -> tuple[tuple[Array, Any], Array]:
            end, total = carry
            end, (log_scale, found) = back(end, *x)
            return (end, jax.tree.map(jnp.add, total, found)), log_scale

        (_, total), log_scale = lax.scan(body, (end, zero), (group, begins), reverse=True)
        return log_scale, total

    # --- what the drivers ask for

    def row_log_prob(self, params: Any, context: Any, rows: Any) -> Float[Array, " n"]:
        raise TypeError("a chain has no rows: use log_prob")

    def log_prob(self, params: Any, prepared: Prepared) -> Float[Array, " N"]:
        """log p(sequence | params) of every sequence."""
        scales = self.log_scales(params, prepared)
        n = prepared.weights.shape[0]
        which = self._laid(prepared).rows["sequence"]
        real, which = which < n, which.reshape(-1)
        return jax.ops.segment_sum(jnp.where(real, scales, 0.0).reshape(-1), which, n + 1)[:n]

    def log_likelihood(self, params: Any, prepared: Prepared) -> Float[Array, ""]:
        return self._total(self.log_scales(params, prepared), prepared)

    def _total(self, scales: Float[Array, "G P L B"], prepared: Prepared) -> Float[Array, ""]:
        w = jnp.append(prepared.weights, 0)[self._laid(prepared).rows["sequence"]]
        return pairwise_sum(weighted(w, scales).reshape(-1))

    def expect(self, params: Any, prepared: Prepared) -> tuple[Float[Array, ""], Expected]:
        factored = self.model.factored
        adds, statistics = False, None
        if factored is not None and factored.natural is not None:
            adds, statistics = not factored.varying, _by_features(factored, prepared.context)

        def summarise(rows: Any, smoothed: Array, pairs: Array, w: Array) -> Expected:
            return self._counts(rows, smoothed, pairs, w, statistics)

        if prepared.rows["start"].shape[:2] == (1, 1) or adds:
            scales, expected = self.smooth(params, prepared, summarise)
            return self._total(scales, prepared), expected
        # The weights of the states are needed step by step, and make one long stretch.
        rows = jax.tree.map(lambda a: self.joined(a)[None, None], prepared.rows)
        whole = Prepared(prepared.context, rows, prepared.weights)
        form = replace(self, blocks=1)
        scales, expected = form.smooth(params, whole, summarise)
        return form._total(scales, whole), expected

    def _counts(self, rows: Any, smoothed: Array, pairs: Array, w: Array, statistics: Any) -> Expected:
        """Expected counts of one stretch."""
        k = self.states
        of_step = smoothed * w[:, None]
        first = jnp.sum(jnp.where(rows["start"][:, None], of_step, 0.0), axis=(0, 2))
        if pairs.ndim == 4:
            counted = jnp.where(rows["start"][:, None, None], 0.0, weighted(w[:, None, None], pairs))
            pairs = jnp.moveaxis(counted, -1, 1).reshape(-1, k, k)
        if "observed" in rows:
            of_step = jnp.where(rows["observed"][:, None], of_step, 0.0)
        occupied = jnp.moveaxis(of_step, 1, 0).reshape(k, -1)
        flat = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), rows["x"])
        return Expected(first, pairs, occupied.T if statistics is None else statistics(occupied, flat))

    def q(self, params: Any, completed: Expected, prepared: Prepared) -> Float[Array, ""]:
        factored, context = self.model.factored, prepared.context
        flat = jax.tree.map(lambda a: self.joined(a).reshape(-1, *a.shape[4:]), prepared.rows["x"])
        if factored is None:
            return self._declared_q(params, completed, flat, prepared)
        transition = factored.transition(params, flat) if factored.varying else factored.transition(params)
        value = jnp.sum(weighted(completed.first, factored.first(params)))
        value = value + jnp.sum(weighted(completed.transition, transition))
        if factored.natural is not None:
            return value + jnp.sum(weighted(completed.emission, factored.natural(params, context)))
        return value + jnp.sum(weighted(completed.emission, factored.emission(params, flat, context)))

    def _declared_q(self, params: Any, completed: Expected, rows: Any, prepared: Prepared) -> Float[Array, ""]:
        latent, step = self.model.latent, self.model.complete_log_likelihood
        assert isinstance(latent, Chain)
        states = jnp.arange(self.states)

        def of_row(x: Any, q: Array, pairs: Array, begins: Array) -> Float[Array, ""]:
            opening = jax.vmap(lambda z: latent.first(params, x, z))(states)
            moving = jax.vmap(lambda i: jax.vmap(lambda j: step(params, x, j, i))(states))(states)  # pyright: ignore
            return jnp.sum(weighted(jnp.where(begins, q, 0.0), opening)) + jnp.sum(weighted(pairs, moving))

        start = self.joined(prepared.rows["start"]).reshape(-1)
        return jnp.sum(jax.vmap(of_row)(rows, completed.emission, completed.transition, start))

    @property
    def has_closed_form(self) -> bool:
        factored = self.model.factored
        if factored is None or factored.maximize is None or factored.varying:
            return False
        return factored.includes_prior or not self.model.joint_prior

    def statistics(self, params: Any, prepared: Prepared) -> tuple[Float[Array, ""], Expected]:
        factored = self.model.factored
        assert factored is not None
        if factored.statistics is None:
            return self.expect(params, prepared)

        def by_state(occupied: Float[Array, "K n"], rows: Any) -> Float[Array, "K S"]:
            assert factored.statistics is not None
            values = factored.statistics(params, rows, prepared.context)
            return jnp.einsum("kn,nks->ks", occupied, jnp.where(occupied.T[..., None] > 0, values, 0.0))

        scales, expected = self.smooth(
            params, prepared, lambda rows, q, pairs, w: self._counts(rows, q, pairs, w, by_state)
        )
        return self._total(scales, prepared), expected

    def maximize(self, expected: Expected, params: Any, prepared: Prepared) -> Any:
        factored = self.model.factored
        assert factored is not None and factored.maximize is not None
        return factored.maximize(expected, params, prepared.context)


def pairwise_sum(a: Float[Array, " n"]) -> Float[Array, ""]:
    """Sum by blocks of blocks: in float32 the sum of a million terms keeps six digits."""
    while a.shape[0] > 64:
        a = jnp.sum(jnp.pad(a, (0, -a.shape[0] % 64)).reshape(-1, 64), axis=1)
    return jnp.sum(a)


def _by_features(factored: Any, context: Any) -> Any:
    return lambda occupied, rows: occupied @ factored.features(rows, context)


def _like(a: Any) -> Any:
    """What padding is made of: an observation, so that no density fails on it."""
    return np.asarray(a)[0]


def _starts(sequences: Sequences) -> np.ndarray:
    start = np.zeros(sequences.total, bool)
    start[sequences.starts] = True
    return start


_context = jax.jit(lambda factored, rows, weights: factored.context(rows, weights), static_argnums=0)
