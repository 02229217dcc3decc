"""The form of chain models: what the drivers ask for, from forward-backward on lanes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from latentem.data import Data, door
from latentem.data.sequences import Sequences
from latentem.forms.base import Form, Prepared
from latentem.forms.chain.codebook import Coded, codebook, tally
from latentem.forms.chain.layout import begins, blocks_for, lay_out, owner
from latentem.forms.chain.walk import Walk, of_steps
from latentem.model import Factored, Model
from latentem.model.latents import Chain
from latentem.numerics.chunks import weighted
from latentem.numerics.compiled import jit
from latentem.numerics.devices import everywhere, split

#: Looking up pays for so many steps, and for features of which a matrix product costs more.
STEPS, WIDE = 2048, 8
#: Groups of lanes of which the model takes its units.
GROUPS = 16


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
        logarithms: recursions in logarithms. The scaled ones answer NaN where they lose digits to underflow.
        blocks: parts that each lane is cut into and that are worked on side by side.
    """

    unit: ClassVar[str] = "sequence"

    model: Model
    logarithms: bool = False
    blocks: int = 1

    @classmethod
    def of(cls, model: Model, sequences: Any = None) -> ChainForm | None:
        """The form for these sequences; None where the latent is no chain."""
        if not isinstance(model.latent, Chain):
            return None
        form = cls(model)
        return form if sequences is None else replace(form, blocks=blocks_for(sequences.lengths, form.states))

    def can(self, what: str) -> str | None:
        return _CANNOT.get(what) and f"{self.model.name} is a chain{_CANNOT[what]}"

    @property
    def walk(self) -> Walk:
        """How the recursions run over the data."""
        return Walk(self.model, self.logarithms, self.blocks)

    def careful(self) -> ChainForm | None:
        return None if self.logarithms else replace(self, logarithms=True)

    @property
    def states(self) -> int:
        """K."""
        assert isinstance(self.model.latent, Chain)
        return self.model.latent.size

    # --- the data

    def of_new(self, data: Data, dtype: str) -> Prepared:
        """Sequences on lanes, on the device.

        Raises:
            ValueError: labels that are none of the model's.
        """
        sequences, weights = data.observations, np.asarray(data.weights)
        assert isinstance(sequences, Sequences)
        self._check(sequences.labels)
        sequences = sequences.without_gaps()
        factored = self.model.factored
        context: Any = ()
        each = jnp.asarray(weights, dtype=dtype)
        found = codebook(door.cast(sequences.steps, dtype)) if self._looks_up(sequences, dtype) else None
        if found is not None:
            sequences = replace(sequences, steps=found[1])
        rows = lay_out(sequences, self.states, self.blocks, dtype)
        book = () if found is None else jax.tree.map(jnp.asarray, found[0])
        if factored is not None:
            context = _context(factored, book, rows, each)
        return Prepared(context if found is None else Coded(context, book), rows, each)

    def _looks_up(self, sequences: Sequences, dtype: str) -> bool:
        """Whether densities are dear enough to be looked up: no sufficient statistics, or many."""
        factored = self.model.factored
        if factored is None or factored.varying or sequences.total < STEPS:
            return False
        if factored.features is None or factored.natural is None:
            return True
        few = jax.tree.map(lambda a: a[:2], door.cast(sequences.steps, dtype))
        one = jax.eval_shape(lambda a, w: factored.features(a, factored.context(a, w)), few, np.ones(2, dtype))  # pyright: ignore
        return one.shape[1] >= WIDE

    def _check(self, labels: Any) -> None:
        assert isinstance(self.model.latent, Chain)
        most = max(self.model.latent.known_as)
        if labels is not None and labels.max() > most:
            raise ValueError(f"labels hold state {labels.max()}: expected 0 to {most}, or -1 for not known")

    def spread(self, prepared: Prepared, mesh: Mesh) -> Prepared | None:
        """Groups of lanes split over devices, where what they find adds and none waits for another's blocks."""
        groups = prepared.rows["sequence"].shape[0]
        if self.blocks > 1 or groups < mesh.size or not self._adds(prepared):
            return None
        extra, n = -groups % mesh.size, prepared.weights.shape[0]

        def filled(a: Array, padding: Any) -> Array:
            return jnp.concatenate([a, jnp.broadcast_to(padding, (extra, *a.shape[1:])).astype(a.dtype)])

        rows = prepared.rows
        if extra:
            fill = {"x": jax.tree.map(lambda a: a[-1:], rows["x"]), "sequence": ~n, "observed": True, "label": -1}
            rows = {name: jax.tree.map(filled, rows[name], fill[name]) for name in rows}
        whole = everywhere((prepared.context, prepared.weights), mesh)
        return Prepared(whole[0], split(rows, mesh), whole[1], mesh=mesh)

    def _adds(self, prepared: Prepared) -> bool:
        """Whether what an E-step finds of the steps is a sum over them."""
        factored = self.model.factored
        if factored is None or factored.varying:
            return False
        return factored.natural is not None or isinstance(prepared.context, Coded)

    def cost(self, prepared: Prepared) -> int:
        return prepared.rows["sequence"].size * self.states

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
        which = owner(self.walk.laid(prepared).rows["sequence"])
        real, which = which < n, which.reshape(-1)
        return jax.ops.segment_sum(jnp.where(real, scales, 0.0).reshape(-1), which, n + 1)[:n]

    def scores(self, u: Float[Array, " P"], prepared: Prepared) -> Float[Array, "N P"]:
        # Forward derivatives, since one pass gives log p of all sequences; nothing underflows in logarithms.
        careful = replace(self, logarithms=True)
        return jax.jacfwd(lambda v: careful.log_prob(self.model.space.constrain(v), prepared))(u)

    def score_products(self, u: Float[Array, " P"], prepared: Prepared) -> Float[Array, "P P"]:
        scores = jnp.where((prepared.weights != 0)[:, None], self.scores(u, prepared), 0)
        return scores.T @ (prepared.weights[:, None] * scores)

    def draws(self, params: Any, key: Any, n: int) -> Any:
        """One simulated sequence of `n` steps."""
        sample: Any = self.model.sample
        return sample(params, key, n)

    def drawn_from(self, prepared: Prepared) -> tuple[Any, Float[Array, " n"]]:
        # Padding and what is missing weigh nothing.
        rows = prepared.rows
        real = owner(rows["sequence"]) < prepared.weights.shape[0]
        if "observed" in rows:
            real = real & rows["observed"]
        steps = jax.tree.map(lambda a: a.reshape(-1, *a.shape[4:]), rows["x"])
        return steps, real.reshape(-1).astype(prepared.weights.dtype)

    def log_likelihood(self, params: Any, prepared: Prepared) -> Float[Array, ""]:
        return self.walk.log_likelihood(params, prepared)

    def expect(self, params: Any, prepared: Prepared) -> tuple[Float[Array, ""], Expected]:
        factored = self.model.factored
        statistics = None
        if factored is not None and (factored.natural is not None or isinstance(prepared.context, Coded)):
            statistics = _by_features(factored, prepared.context)

        def summarise(rows: Any, smoothed: Array, pairs: Array, w: Array) -> Expected:
            return self._counts(rows, smoothed, pairs, w, statistics)

        if prepared.rows["sequence"].shape[:2] == (1, 1) or self._adds(prepared):
            return self.walk.smooth(params, prepared, summarise)
        # The weights of the states are needed step by step, and make one long stretch.
        rows = jax.tree.map(lambda a: self.walk.joined(a)[None, None], prepared.rows)
        whole = Prepared(prepared.context, rows, prepared.weights)
        return replace(self, blocks=1).walk.smooth(params, whole, summarise)

    def _counts(self, rows: Any, smoothed: Array, pairs: Array, w: Array, statistics: Any) -> Expected:
        """Expected counts of one stretch."""
        k = self.states
        of_step = smoothed * w[:, None]
        start = begins(rows["sequence"])
        first = jnp.sum(jnp.where(start[:, None], of_step, 0.0), axis=(0, 2))
        if pairs.ndim == 4:
            counted = jnp.where(start[:, None, None], 0.0, weighted(w[:, None, None], pairs))
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

        start = begins(self.walk.joined(prepared.rows["sequence"])).reshape(-1)
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

        return self.walk.smooth(params, prepared, lambda rows, q, pairs, w: self._counts(rows, q, pairs, w, by_state))

    def maximize(self, expected: Expected, params: Any, prepared: Prepared) -> Any:
        factored = self.model.factored
        assert factored is not None and factored.maximize is not None
        context, rows = self._flat(prepared)
        if not factored.varying:
            return factored.maximize(expected, params, context)
        return factored.maximize(expected, params, context, rows)


#: What sequences do not have, and what to do instead.
_CANNOT = {
    "predict": ": use viterbi(), the most probable path",
    "posterior": ": use smooth(), or lem.chain.smoothed and lem.chain.pairs",
    "responsibilities": ": use smooth(), or lem.chain.smoothed",
    "flatten": ", whose posterior cannot be flattened: draw more starts, starts=20",
    "stream": ", whose statistics are not averaged over batches yet: fit all sequences at once",
    "average": ": of sequences there is no one length to average over; use kind='observed'",
    "differentiate": ", which is laid out on the host and cannot be differentiated in its data: use lem.fit",
}


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


@partial(jit, static_argnums=0)
def _context(factored: Factored, book: Any, rows: Any, weights: Float[Array, " N"]) -> Any:
    """What the model needs from the data as a whole: steps with the weight of their sequence, none where missing.

    It is a unit for numbers, so that of many groups of lanes some, evenly spaced, tell enough: nothing of the length of
    a very long sequence is made.
    """
    stride = max(1, rows["sequence"].shape[0] // GROUPS)
    rows = jax.tree.map(lambda a: a[::stride], rows)
    each = of_steps(weights, rows["sequence"])
    each = jnp.where(rows["observed"], each, 0.0) if "observed" in rows else each
    x = rows["x"] if isinstance(book, tuple) and not book else jax.tree.map(lambda a: a[rows["x"]], book)
    flat = jax.tree.map(lambda a: a.reshape(-1, *a.shape[4:]), x)
    return factored.context(flat, each.reshape(-1))
