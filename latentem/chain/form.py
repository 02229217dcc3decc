"""The form of chain models: what the drivers ask for, from forward-backward on lanes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem import data as door
from latentem.chain.codebook import Coded, codebook, tally
from latentem.chain.layout import blocks_for, lay_out
from latentem.chain.walk import Walk
from latentem.chunks import weighted
from latentem.forms import Form, Prepared
from latentem.latents import Chain
from latentem.model import Factored, Model
from latentem.sequences import Sequences

#: Looking up pays for so many steps, and for features of which a matrix product costs more.
STEPS, WIDE = 2048, 8


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
        form = cls(model)
        return replace(form, blocks=blocks_for(sequences.lengths, form.states))

    @property
    def walk(self) -> Walk:
        """How the recursions run over the data."""
        return Walk(self.model, self.exact, self.blocks)

    def careful(self) -> ChainForm | None:
        return None if self.exact else replace(self, exact=True)

    @property
    def states(self) -> int:
        """K."""
        assert isinstance(self.model.latent, Chain)
        return self.model.latent.size

    # --- the data

    def prepare(self, sequences: Sequences, weights: np.ndarray, dtype: str) -> Prepared:
        """Sequences on lanes, on the device.

        Raises:
            ValueError: labels that are none of the model's.
        """
        self._check(sequences.labels)
        sequences = sequences.without_gaps()
        factored = self.model.factored
        context: Any = ()
        if factored is not None:
            steps = door.cast(sequences.steps, dtype)
            flat = jax.tree.map(jnp.asarray, steps)
            context = _context(factored, flat, jnp.asarray(sequences.of_steps(weights)[1], dtype))
            long = sequences.total >= STEPS and _looks_up(factored, flat, context)
            found = codebook(steps) if long else None
            if found is not None:
                book, codes = found
                context, sequences = Coded(context, jax.tree.map(jnp.asarray, book)), replace(sequences, steps=codes)
        rows = lay_out(sequences, self.states, self.blocks, dtype)
        return Prepared(context, rows, jnp.asarray(weights, dtype=dtype))

    def _check(self, labels: Any) -> None:
        assert isinstance(self.model.latent, Chain)
        most = max(self.model.latent.known_as)
        if labels is not None and labels.max() > most:
            raise ValueError(f"labels hold state {labels.max()}: expected 0 to {most}, or -1 for not known")

    def cells(self, prepared: Prepared) -> int:
        return prepared.rows["start"].size * self.states

    def thinned(self, prepared: Prepared, rows: int) -> Prepared:
        return prepared

    def chunk(self, prepared: Prepared) -> int:
        return prepared.weights.shape[0]

    # --- what the drivers ask for

    def row_log_prob(self, params: Any, context: Any, rows: Any) -> Float[Array, " n"]:
        raise TypeError("a chain has no rows: use log_prob")

    def log_prob(self, params: Any, prepared: Prepared) -> Float[Array, " N"]:
        """log p(sequence | params) of every sequence."""
        scales = self.walk.log_scales(params, prepared)
        n = prepared.weights.shape[0]
        which = self.walk.laid(prepared).rows["sequence"]
        real, which = which < n, which.reshape(-1)
        return jax.ops.segment_sum(jnp.where(real, scales, 0.0).reshape(-1), which, n + 1)[:n]

    def log_likelihood(self, params: Any, prepared: Prepared) -> Float[Array, ""]:
        return self._total(self.walk.log_scales(params, prepared), prepared)

    def _total(self, scales: Float[Array, "G P L B"], prepared: Prepared) -> Float[Array, ""]:
        w = jnp.append(prepared.weights, 0)[self.walk.laid(prepared).rows["sequence"]]
        return pairwise_sum(weighted(w, scales).reshape(-1))

    def expect(self, params: Any, prepared: Prepared) -> tuple[Float[Array, ""], Expected]:
        factored = self.model.factored
        adds, statistics = False, None
        if factored is not None and (factored.natural is not None or isinstance(prepared.context, Coded)):
            adds, statistics = not factored.varying, _by_features(factored, prepared.context)

        def summarise(rows: Any, smoothed: Array, pairs: Array, w: Array) -> Expected:
            return self._counts(rows, smoothed, pairs, w, statistics)

        if prepared.rows["start"].shape[:2] == (1, 1) or adds:
            scales, expected = self.walk.smooth(params, prepared, summarise)
            return self._total(scales, prepared), expected
        # The weights of the states are needed step by step, and make one long stretch.
        rows = jax.tree.map(lambda a: self.walk.joined(a)[None, None], prepared.rows)
        whole = Prepared(prepared.context, rows, prepared.weights)
        form = replace(self, blocks=1)
        scales, expected = form.walk.smooth(params, whole, summarise)
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
        factored, (context, flat) = self.model.factored, self._flat(prepared)
        if factored is None:
            return self._declared_q(params, completed, flat, prepared)
        transition = factored.transition(params, flat) if factored.varying else factored.transition(params)
        value = jnp.sum(weighted(completed.first, factored.first(params)))
        value = value + jnp.sum(weighted(completed.transition, transition))
        if factored.natural is not None:
            return value + jnp.sum(weighted(completed.emission, factored.natural(params, context)))
        return value + jnp.sum(weighted(completed.emission, factored.emission(params, flat, context)))

    def _flat(self, prepared: Prepared) -> tuple[Any, Any]:
        """(context of the model, observations that the weights of an E-step refer to)."""
        if isinstance(prepared.context, Coded):
            return prepared.context
        flat = jax.tree.map(lambda a: self.walk.joined(a).reshape(-1, *a.shape[4:]), prepared.rows["x"])
        return prepared.context, flat

    def _declared_q(self, params: Any, completed: Expected, rows: Any, prepared: Prepared) -> Float[Array, ""]:
        latent, step = self.model.latent, self.model.complete_log_likelihood
        assert isinstance(latent, Chain)
        states = jnp.arange(self.states)

        def of_row(x: Any, q: Array, pairs: Array, begins: Array) -> Float[Array, ""]:
            opening = jax.vmap(lambda z: latent.first(params, x, z))(states)
            moving = jax.vmap(lambda i: jax.vmap(lambda j: step(params, x, j, i))(states))(states)  # pyright: ignore
            return jnp.sum(weighted(jnp.where(begins, q, 0.0), opening)) + jnp.sum(weighted(pairs, moving))

        start = self.walk.joined(prepared.rows["start"]).reshape(-1)
        return jnp.sum(jax.vmap(of_row)(rows, completed.emission, completed.transition, start))

    @property
    def has_closed_form(self) -> bool:
        factored = self.model.factored
        if factored is None or factored.maximize is None or (factored.varying and factored.natural is None):
            return False
        return factored.includes_prior or not self.model.joint_prior

    def statistics(self, params: Any, prepared: Prepared) -> tuple[Float[Array, ""], Expected]:
        factored = self.model.factored
        assert factored is not None
        if factored.statistics is None:
            return self.expect(params, prepared)

        context, _ = self._flat(prepared)

        def by_state(occupied: Float[Array, "K n"], rows: Any) -> Float[Array, "K S"]:
            assert factored.statistics is not None
            occupied, rows = _tallied(prepared.context, occupied, rows)
            values = factored.statistics(params, rows, context)
            return jnp.einsum("kn,nks->ks", occupied, jnp.where(occupied.T[..., None] > 0, values, 0.0))

        scales, expected = self.walk.smooth(
            params, prepared, lambda rows, q, pairs, w: self._counts(rows, q, pairs, w, by_state)
        )
        return self._total(scales, prepared), expected

    def maximize(self, expected: Expected, params: Any, prepared: Prepared) -> Any:
        factored = self.model.factored
        assert factored is not None and factored.maximize is not None
        context, rows = self._flat(prepared)
        if not factored.varying:
            return factored.maximize(expected, params, context)
        return factored.maximize(expected, params, context, rows)


def pairwise_sum(a: Float[Array, " n"]) -> Float[Array, ""]:
    """Sum by blocks of blocks: in float32 the sum of a million terms keeps six digits."""
    while a.shape[0] > 64:
        a = jnp.sum(jnp.pad(a, (0, -a.shape[0] % 64)).reshape(-1, 64), axis=1)
    return jnp.sum(a)


def _by_features(factored: Factored, context: Any) -> Any:
    """What an E-step keeps of a stretch: sums of features, or the weight of every distinct observation."""

    def sums(occupied: Float[Array, "K n"], rows: Any) -> Float[Array, "*n K S"]:
        own = context.context if isinstance(context, Coded) else context
        occupied, rows = _tallied(context, occupied, rows)
        if factored.features is None or factored.natural is None:
            return occupied.T
        return occupied @ factored.features(rows, own)

    return sums


def _tallied(context: Any, occupied: Float[Array, "K n"], rows: Any) -> tuple[Float[Array, "K V"], Any]:
    """Weights of states and the observations they belong to: the distinct ones where steps are codes."""
    if not isinstance(context, Coded):
        return occupied, rows
    size = jax.tree.leaves(context.book)[0].shape[0]
    return tally(occupied, rows, size), context.book


def _looks_up(factored: Factored, rows: Any, context: Any) -> bool:
    """Whether densities are dear enough to be looked up: no sufficient statistics, or many."""
    if factored.varying:
        return False
    if factored.features is None or factored.natural is None:
        return True
    one = jax.tree.map(lambda a: jax.ShapeDtypeStruct((1, *a.shape[1:]), a.dtype), rows)
    return jax.eval_shape(factored.features, one, context).shape[1] >= WIDE


_context = jax.jit(lambda factored, rows, weights: factored.context(rows, weights), static_argnums=0)
