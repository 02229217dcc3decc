"""The form of chain models: forward-backward on lanes, stretch by stretch, and what an M-step wants from it."""

from __future__ import annotations

from dataclasses import dataclass
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

#: Cells (steps x states) that one stretch of the lanes holds; longer lanes are walked in stretches, forward and back,
#: and only what passes from one to the next is kept.
STRETCH = 1 << 21


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
    """A chain model on lanes. Rows of `Prepared` are a dict with leading axes (stretches, steps, lanes).

    Args:
        model: the declaration.
        exact: recursions in logarithms. The scaled ones answer NaN where they lose digits to underflow.
    """

    model: Model
    exact: bool = False

    @property
    def arithmetic(self) -> Any:
        """The module whose recursions are used."""
        return logarithmic if self.exact else scaled

    def careful(self) -> ChainForm | None:
        return None if self.exact else ChainForm(self.model, exact=True)

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
        stretches = max(1, -(-height * width * self.states // STRETCH))
        stretches = min(stretches, height)
        length = -(-height // stretches)
        n = sequences.n

        def lay(values: np.ndarray, padding: Any) -> np.ndarray:
            values = np.asarray(values)
            laid = np.full((stretches * length * width, *values.shape[1:]), padding, values.dtype)
            laid[lanes.place] = values
            return laid.reshape(stretches, length, width, *values.shape[1:])

        sequences = sequences.without_gaps()
        steps, observed = sequences.steps, sequences.observed
        rows: dict[str, Any] = {
            "x": jax.tree.map(lambda a: jnp.asarray(lay(a, np.asarray(a)[0])), door.cast(steps, dtype)),
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

    def edges(self, params: Any, prepared: Prepared) -> tuple[Float[Array, "K B"], Float[Array, "K B"]]:
        """What the first and the last stretch get from beyond."""
        shape = (self.states, prepared.rows["start"].shape[2])
        outside = self.arithmetic.OUTSIDE
        dtype = jnp.result_type(*jax.tree.leaves(params), jnp.float32)
        return jnp.full(shape, outside[0], dtype), jnp.full(shape, outside[1], dtype)

    def _forward(self, params: Any, prepared: Prepared) -> tuple[Float[Array, "P L B"], Float[Array, "P K B"]]:
        """(log scale of each step, what each stretch began with)."""

        def body(before: Array, rows: Any) -> tuple[Array, tuple[Array, Array]]:
            f = self.arithmetic.forward(self.potentials(params, prepared.context, rows), before)
            return f.end, (f.log_scale, before)

        begin = self.edges(params, prepared)[0]
        if prepared.rows["start"].shape[0] > 1:
            return lax.scan(body, begin, prepared.rows)[1]
        _, (log_scale, _) = body(begin, jax.tree.map(lambda a: a[0], prepared.rows))
        return log_scale[None], begin[None]

    def log_scales(self, params: Any, prepared: Prepared) -> Float[Array, "P L B"]:
        """log p(x_t | x before it) of every step on its lane."""
        return self._forward(params, prepared)[0]

    def smooth(self, params: Any, prepared: Prepared, summarise: Any) -> tuple[Float[Array, "P L B"], Any]:
        """(log scale of each step, sum over stretches of `summarise(rows, smoothed, pairs, weight)`)."""
        each = jnp.append(prepared.weights, 0)
        begin, end = self.edges(params, prepared)

        def back(end: Array, rows: Any, before: Array) -> tuple[Array, tuple[Array, Any]]:
            p = self.potentials(params, prepared.context, rows)
            f: Forward = self.arithmetic.forward(p, before)
            w = each[rows["sequence"]]
            s = self.arithmetic.backward(p, f, before, end, w)
            return s.end, (f.log_scale, summarise(rows, s.smoothed, s.pairs, w))

        if prepared.rows["start"].shape[0] == 1:
            _, (log_scale, found) = back(end, jax.tree.map(lambda a: a[0], prepared.rows), begin)
            return log_scale[None], found
        _, begins = self._forward(params, prepared)
        one = jax.tree.map(lambda a: a[0], (prepared.rows, begins))
        shapes = jax.eval_shape(lambda r, b: back(end, r, b)[1][1], *one)
        zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

        def body(carry: tuple[Array, Any], x: tuple[Any, Array]) -> tuple[tuple[Array, Any], Array]:
            end, total = carry
            end, (log_scale, found) = back(end, *x)
            return (end, jax.tree.map(jnp.add, total, found)), log_scale

        (_, total), log_scale = lax.scan(body, (end, zero), (prepared.rows, begins), reverse=True)
        return log_scale, total

    # --- what the drivers ask for

    def row_log_prob(self, params: Any, context: Any, rows: Any) -> Float[Array, " n"]:
        raise TypeError("a chain has no rows: use log_prob")

    def log_prob(self, params: Any, prepared: Prepared) -> Float[Array, " N"]:
        """log p(sequence | params) of every sequence."""
        scales = self.log_scales(params, prepared)
        n = prepared.weights.shape[0]
        real = prepared.rows["sequence"] < n
        which = prepared.rows["sequence"].reshape(-1)
        return jax.ops.segment_sum(jnp.where(real, scales, 0.0).reshape(-1), which, n + 1)[:n]

    def log_likelihood(self, params: Any, prepared: Prepared) -> Float[Array, ""]:
        return self._total(self.log_scales(params, prepared), prepared)

    def _total(self, scales: Float[Array, "P L B"], prepared: Prepared) -> Float[Array, ""]:
        w = jnp.append(prepared.weights, 0)[prepared.rows["sequence"]]
        return pairwise_sum(weighted(w, scales).reshape(-1))

    def expect(self, params: Any, prepared: Prepared) -> tuple[Float[Array, ""], Expected]:
        factored = self.model.factored
        adds, statistics = False, None
        if factored is not None and factored.natural is not None:
            adds, statistics = not factored.varying, _by_features(factored, prepared.context)

        def summarise(rows: Any, smoothed: Array, pairs: Array, w: Array) -> Expected:
            return self._counts(rows, smoothed, pairs, w, statistics)

        if prepared.rows["start"].shape[0] == 1 or adds:
            scales, expected = self.smooth(params, prepared, summarise)
            return self._total(scales, prepared), expected
        # The weights of the states are needed step by step, and make one long stretch.
        whole = Prepared(prepared.context, jax.tree.map(_joined, prepared.rows), prepared.weights)
        scales, expected = self.smooth(params, whole, summarise)
        return self._total(scales, whole), expected

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
        flat = jax.tree.map(lambda a: a.reshape(-1, *a.shape[3:]), prepared.rows["x"])
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

        start = prepared.rows["start"].reshape(-1)
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


def _joined(a: Array) -> Array:
    return a.reshape(1, a.shape[0] * a.shape[1], *a.shape[2:])


def _starts(sequences: Sequences) -> np.ndarray:
    start = np.zeros(sequences.total, bool)
    start[sequences.starts] = True
    return start


_context = jax.jit(lambda factored, rows, weights: factored.context(rows, weights), static_argnums=0)
