"""features(x) . natural(params): two matrix products for each EM iteration."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from latentem.data import Data
from latentem.forms.base import Form, Prepared, context_of, on_device
from latentem.model import Model, Separable
from latentem.numerics.chunks import chunk_rows, weighted


@dataclass(frozen=True)
class SeparableForm(Form):
    """features(x) . natural(params): the E-step and the expected statistics are one matrix product each."""

    model: Model
    separable: Separable

    def of_new(self, data: Data, dtype: str) -> Prepared:
        rows, weights = on_device(data, dtype)
        return Prepared(context_of(self.separable, rows, weights), rows, weights)

    def can(self, what: str) -> str | None:
        if what == "flatten" and self.separable.e_step is not None:
            return f"the posterior of {self.model.name} cannot be flattened: it has an E-step of its own"
        return super().can(what)

    @cached_property
    def _log_node_weights(self) -> np.ndarray | None:
        nodes = self.model.latent.nodes()
        return nodes[1] if nodes is not None and np.any(nodes[1]) else None

    def chunk(self, prepared: Prepared) -> int:
        one = jax.tree.map(lambda a: jax.ShapeDtypeStruct((1, *a.shape[1:]), a.dtype), prepared.rows)
        parts = jax.tree.leaves(jax.eval_shape(self.separable.features, one, prepared.context))
        width = sum(part.shape[1] for part in parts)
        if self.separable.e_step is not None:
            params = jax.eval_shape(
                self.model.space.constrain, jax.ShapeDtypeStruct((self.model.space.size,), "float32")
            )
            natural = jax.tree.leaves(jax.eval_shape(self.separable.natural, params, prepared.context))
            return chunk_rows(8 * (width + prepared.lanes * 2 * sum(part.shape[0] for part in natural)))
        return chunk_rows(8 * (width + prepared.lanes * self.values))

    def log_joint(self, params: Any, context: Any, rows: Any, features: Any) -> Float[Array, "K n"]:
        """log p(x_n, z_k) + log(node weight) of a chunk of rows."""
        joint = log_products(self.separable, self.separable.natural(params, context), features)
        if self._log_node_weights is not None:
            joint = joint + jnp.asarray(self._log_node_weights, joint.dtype)[:, None]
        if self.separable.impossible is not None:
            joint = jnp.where(self.separable.impossible(rows, context).T, -jnp.inf, joint)
        return joint

    def row_log_prob(self, params: Any, context: Any, rows: Any) -> Float[Array, " n"]:
        features = self.separable.features(rows, context)
        if self.separable.e_step is not None:
            unweighted = jnp.zeros(jax.tree.leaves(features)[0].shape[0])
            return self.separable.e_step(self.separable.natural(params, context), features, unweighted)[0]
        return self.likelihood(params, context, rows, features)[0]

    def likelihood(
        self, params: Any, context: Any, rows: Any, features: Any
    ) -> tuple[Float[Array, " n"], Float[Array, "K n"], Float[Array, " n"]]:
        """(log evidence (n,), responsibilities (K, n) up to a factor, the factor they are to be divided by (n,)) of a
        chunk of rows; an impossible row belongs to no component."""
        joint = self.log_joint(params, context, rows, features)
        top = jnp.max(joint, axis=0)
        top = jnp.where(jnp.isfinite(top), top, 0.0)
        likelihood = jnp.exp(joint - top)
        total = jnp.sum(likelihood, axis=0)
        impossible = total == 0
        safe = jnp.where(impossible, 1.0, total)
        return jnp.where(impossible, -jnp.inf, jnp.log(safe) + top), likelihood, safe

    def expect(self, params: Any, prepared: Prepared) -> tuple[Float[Array, ""], Any]:
        context = prepared.context

        def of_chunk(rows: Any, w: Float[Array, " n"]) -> tuple[Float[Array, ""], Any]:
            features = self.separable.features(rows, context)
            if self.separable.e_step is not None:
                evidence, sums = self.separable.e_step(self.separable.natural(params, context), features, w)
                return jnp.sum(weighted(w, evidence)), sums
            evidence, likelihood, total = self.likelihood(params, context, rows, features)
            return jnp.sum(weighted(w, evidence)), weighted_features(self.separable, likelihood, w / total, features)

        return prepared.sum(of_chunk, self.chunk(prepared))

    def q(self, params: Any, completed: Any, prepared: Prepared) -> Float[Array, ""]:
        natural = self.separable.natural(params, prepared.context)
        pairs = zip(jax.tree.leaves(completed), jax.tree.leaves(natural), strict=True)
        return jnp.sum(jnp.stack([jnp.sum(weighted(a, b)) for a, b in pairs]))

    @property
    def has_closed_form(self) -> bool:
        form = self.separable
        return form.maximize is not None and (form.includes_prior or not self.model.joint_prior)

    def statistics(self, params: Any, prepared: Prepared) -> tuple[Float[Array, ""], Any]:
        return self.expect(params, prepared)

    def maximize(self, expected: Any, params: Any, prepared: Prepared) -> Any:
        assert self.separable.maximize is not None
        return self.separable.maximize(expected, params, prepared.context)


@dataclass(frozen=True)
class GivenSeparableForm(SeparableForm):
    """A separable log-density under a posterior the user supplies on nodes that all observations share.

    Rows are {"x": observations, ...}: responsibilities come from the user's posterior of x, everything that follows
    from the features.
    """

    def can(self, what: str) -> str | None:
        if what == "flatten":
            return f"the posterior of {self.model.name} cannot be flattened: it is given"
        return super().can(what)

    def likelihood(
        self, params: Any, context: Any, rows: Any, features: Any
    ) -> tuple[Float[Array, " n"], Float[Array, "K n"], Float[Array, " n"]]:
        def of_row(x: Any) -> tuple[Float[Array, ""], Float[Array, " K"]]:
            posterior = self.model.posterior(params, x)
            probabilities = getattr(posterior, "probabilities", None)
            if probabilities is None:
                probabilities = jnp.exp(jax.vmap(posterior.log_prob)(posterior.nodes))
            return posterior.log_evidence, probabilities

        evidence, probabilities = jax.vmap(of_row)(rows["x"])
        return evidence, probabilities.T, jnp.ones_like(evidence)

    def row_log_prob(self, params: Any, context: Any, rows: Any) -> Float[Array, " n"]:
        return jax.vmap(lambda x: self.model.log_evidence(params, x))(rows["x"])


def log_products(separable: Separable, coefficients: Any, features: Any) -> Float[Array, "K n"]:
    """features . natural of n observations. They are the minor axis: everything elementwise and every reduction over k
    then runs along contiguous memory, which is several times faster than (n, K) for small K."""
    if separable.basis is None:
        return _outer(coefficients, features)
    (lead, loadings), (first, rest) = coefficients, features
    return _outer(lead, first) + jnp.asarray(separable.basis(), loadings.dtype) @ _outer(loadings, rest)


def weighted_features(
    separable: Separable, likelihood: Float[Array, "K n"], scale: Float[Array, " n"], features: Any
) -> Any:
    """Sums of the features, weighted by likelihood (K, n) * scale (n,): whichever is smaller gets scaled."""
    if separable.basis is None:
        return _weighted_sum(likelihood, scale, features)
    first, rest = features
    basis = jnp.asarray(separable.basis(), likelihood.dtype)
    return _weighted_sum(likelihood, scale, first), _weighted_sum(basis.T @ likelihood, scale, rest)


def _weighted_sum(
    likelihood: Float[Array, "K n"], scale: Float[Array, " n"], features: Float[Array, "n S"]
) -> Float[Array, "K S"]:
    if features.shape[1] < likelihood.shape[0]:
        return likelihood @ (features * scale[:, None])
    return (likelihood * scale) @ features


def _outer(a: Float[Array, "m S"], b: Float[Array, "n S"]) -> Float[Array, "m n"]:
    return lax.dot_general(a, b, (((1,), (1,)), ((), ())))
