"""Hard E-steps: every observation goes wholly to its most probable latent value (classification EM; Celeux and Govaert
1992), k-means among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from latentem.forms.base import Prepared
from latentem.forms.separable import SeparableForm
from latentem.model import Model, Separable
from latentem.model.latents import Finite
from latentem.numerics.chunks import weighted

#: Latent values from which on the scores of one observation lie side by side, so that reductions over them are
#: contiguous; fewer do not fill a vector register, and reductions run over observations instead.
SIDE_BY_SIDE = 32


@dataclass(frozen=True)
class HardForm(SeparableForm):
    """features(x) . natural(params), of which the largest over the latent values counts and the others do not."""

    @property
    def side_by_side(self) -> bool:
        """Whether the scores of one observation are contiguous."""
        latent = self.model.latent
        return isinstance(latent, Finite) and latent.size >= SIDE_BY_SIDE

    def chunk(self, prepared: Prepared) -> int:
        # Chunks long enough for XLA to split the reductions over cores, of which there are few besides the product.
        return super().chunk(prepared) * (2 if self.side_by_side else 1)

    def scores(self, params: Any, context: Any, rows: Any, features: Float[Array, "n S"]) -> tuple[Array, int]:
        """(log p(x_n, z_k) of a chunk of rows, the axis of k)."""
        natural = self.separable.natural(params, context)
        axis = int(self.side_by_side)
        joint = features @ natural.T if axis else natural @ features.T
        if self.separable.impossible is not None:
            never = self.separable.impossible(rows, context)
            joint = jnp.where(never if axis else never.T, -jnp.inf, joint)
        return joint, axis

    def row_log_prob(self, params: Any, context: Any, rows: Any) -> Float[Array, " n"]:
        joint, axis = self.scores(params, context, rows, self.separable.features(rows, context))
        return jnp.max(joint, axis)

    def row_most_probable(self, params: Any, context: Any, rows: Any) -> Int[Array, " n"]:
        return largest(*self.scores(params, context, rows, self.separable.features(rows, context)))[1]

    def expect(self, params: Any, prepared: Prepared) -> tuple[Float[Array, ""], Any]:
        context = prepared.context

        def of_chunk(rows: Any, w: Float[Array, " n"]) -> tuple[Float[Array, ""], Float[Array, "K S"]]:
            features = self.separable.features(rows, context)
            joint, axis = self.scores(params, context, rows, features)
            top, best = largest(joint, axis)
            empty = jnp.zeros((joint.shape[axis], features.shape[1]), features.dtype)
            return jnp.sum(weighted(w, top)), empty.at[best].add(features * w[:, None])

        return prepared.sum(of_chunk, self.chunk(prepared))


def largest(scores: Array, axis: int) -> tuple[Float[Array, " n"], Int[Array, " n"]]:
    """(largest entry, the first index that has it) along one axis of two.

    Two plain reductions, which XLA vectorises where its own argmax is scalar code; along contiguous entries, indices
    of the scores' own type fill the same lanes. NaN equals nothing: it stays, with the last index, and the loop
    refuses it.
    """
    top = jnp.max(scores, axis, keepdims=True)
    index = lax.broadcasted_iota(scores.dtype if axis else jnp.int32, scores.shape, axis)
    first = jnp.min(jnp.where(scores == top, index, scores.shape[axis] - 1), axis)
    return jnp.squeeze(top, axis), first.astype(jnp.int32)


def formula(model: Model, separable: Separable) -> SeparableForm:
    """The form that computes this model by this formula."""
    return HardForm(model, separable) if model.latent.hard else SeparableForm(model, separable)
