"""Forms: how log p(x, z | params) is computed on all observations, so that an E-step adds over rows.

`RowForm` evaluates the declaration on every observation. `SeparableForm` uses features . natural(params): two matrix
products per EM iteration. Everything above (M-steps, driver, information) is written once against the shared methods.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from latentem.chunks import chunk_rows, chunked_map, chunked_sum, weighted
from latentem.model import Model, Separable
from latentem.posterior import expectation


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Prepared:
    """Data as a form wants them.

    Args:
        context: pytree, what the form took from the data as a whole.
        rows: pytree with leading axis N.
        weights: (N,).
        lanes: how many params are computed on these data side by side, which share the cache.
    """

    context: Any
    rows: Any
    weights: Float[Array, " N"]
    lanes: int = field(default=1, metadata={"static": True})


class Form(ABC):
    """A way to compute a model on data. Frozen and hashable: a static argument of everything that is compiled."""

    model: Model

    @abstractmethod
    def chunk(self, prepared: Prepared) -> int:
        """Rows per chunk."""

    @abstractmethod
    def row_log_prob(self, params: Any, context: Any, rows: Any) -> Float[Array, " n"]:
        """log p(x_n | params) of a chunk of rows."""

    @abstractmethod
    def expect(self, params: Any, prepared: Prepared) -> tuple[Float[Array, ""], Any]:
        """E-step: (log-likelihood, completed data) where `completed` is what `q` needs."""

    @abstractmethod
    def q(self, params: Any, completed: Any, prepared: Prepared) -> Float[Array, ""]:
        """Expected complete-data log-likelihood of `params` given completed data."""

    @abstractmethod
    def statistics(self, params: Any, prepared: Prepared) -> tuple[Float[Array, ""], Any]:
        """E-step of the closed form: (log-likelihood, expected statistics)."""

    @abstractmethod
    def maximize(self, expected: Any, params: Any, prepared: Prepared) -> Any:
        """The closed-form M-step on what `statistics` returned."""

    @property
    @abstractmethod
    def has_closed_form(self) -> bool:
        """Whether the M-step has a closed form that maximises the objective, prior included."""

    def careful(self) -> Form | None:
        """A slower form that keeps digits where this one answers NaN, if there is one."""
        return None

    def cells(self, prepared: Prepared) -> int:
        """How many (observation, latent value) pairs an E-step goes through."""
        nodes = self.model.latent.nodes()
        return prepared.weights.shape[0] * (16 if nodes is None else len(nodes[1]))

    def thinned(self, prepared: Prepared, rows: int) -> Prepared:
        """About `rows` of the rows, for a first look at many starts."""
        n = prepared.weights.shape[0]
        if n <= rows:
            return prepared
        stride = n // rows
        thin = jax.tree.map(lambda a: a[::stride], (prepared.rows, prepared.weights))
        return Prepared(prepared.context, *thin)

    def row_most_probable(self, params: Any, context: Any, rows: Any) -> Int[Array, " n"]:
        """The latent value of the largest posterior probability of a chunk of rows; the first of equals."""
        return jnp.argmax(_log_posterior(self.model, params, rows), axis=1)

    def most_probable(self, params: Any, prepared: Prepared) -> Int[Array, " N"]:
        """The latent value of the largest posterior probability of every row; the first of equals."""
        return self._map(self.row_most_probable, params, prepared)

    def responsibilities(self, params: Any, prepared: Prepared) -> Float[Array, "N K"]:
        """p(z_k | x_n) of every row, as declared, for latents on nodes."""
        return self._map(lambda params, _, rows: jnp.exp(_log_posterior(self.model, params, rows)), params, prepared)

    def _map(self, f: Callable[[Any, Any, Any], Any], params: Any, prepared: Prepared) -> Any:
        return chunked_map(
            lambda rows: f(params, prepared.context, rows),
            prepared.rows,
            prepared.weights.shape[0],
            self.chunk(prepared),
        )

    def log_prob(self, params: Any, prepared: Prepared) -> Float[Array, " N"]:
        """log p(x_n | params) of every row."""
        return self._map(self.row_log_prob, params, prepared)

    def log_likelihood(self, params: Any, prepared: Prepared) -> Float[Array, ""]:
        """Observed-data log-likelihood."""
        return chunked_sum(
            lambda rows, w: jnp.sum(weighted(w, self.row_log_prob(params, prepared.context, rows))),
            prepared.rows,
            prepared.weights,
            self.chunk(prepared),
        )


def _log_posterior(model: Model, params: Any, rows: Any) -> Float[Array, "n K"]:
    def of_row(x: Any) -> Float[Array, " K"]:
        posterior = model.posterior(params, x)
        if not hasattr(posterior, "log_probabilities"):
            told = f"the posterior of {model.name} is not a sum over nodes"
            raise ValueError(f"responsibilities: {told}; use posterior(x)")
        return posterior.log_probabilities

    return jax.vmap(of_row)(rows)


def _bytes_of_row(rows: Any) -> int:
    return sum(int(np.prod(a.shape[1:])) * a.dtype.itemsize for a in jax.tree.leaves(rows))


@dataclass(frozen=True)
class RowForm(Form):
    """The declaration evaluated on every observation and latent value, with vmap."""

    model: Model

    def chunk(self, prepared: Prepared) -> int:
        nodes = self.model.latent.nodes()
        values = 16 if nodes is None else len(nodes[1])
        return chunk_rows(prepared.lanes * values * (8 + _bytes_of_row(prepared.rows)))

    def row_log_prob(self, params: Any, context: Any, rows: Any) -> Float[Array, " n"]:
        return jax.vmap(lambda x: self.model.log_evidence(params, x))(rows)

    def expect(self, params: Any, prepared: Prepared) -> tuple[Float[Array, ""], Any]:
        # The completed data of rows are the rows and the params that weigh them; q computes the posterior anew, chunk
        # by chunk, so that responsibilities are never stored.
        return self.log_likelihood(params, prepared), params

    def q(self, params: Any, completed: Any, prepared: Prepared) -> Float[Array, ""]:
        cll = self.model.complete_log_likelihood

        def of_row(x: Any) -> Float[Array, ""]:
            return self.model.posterior(completed, x).expect(lambda z: cll(params, x, z))

        return chunked_sum(
            lambda rows, w: jnp.sum(weighted(w, jax.vmap(of_row)(rows))),
            prepared.rows,
            prepared.weights,
            self.chunk(prepared),
        )

    @property
    def has_closed_form(self) -> bool:
        m_step = self.model.m_step
        return m_step is not None and (m_step.includes_prior or not self.model.joint_prior)

    def statistics(self, params: Any, prepared: Prepared) -> tuple[Float[Array, ""], Any]:
        m_step = self.model.m_step
        assert m_step is not None
        extra = () if m_step.context is None else (prepared.context,)

        def of_row(x: Any) -> tuple[Float[Array, ""], Any]:
            posterior = self.model.posterior(params, x)
            if not m_step.per_value:
                return posterior.log_evidence, posterior.expect(lambda z: m_step.statistics(params, x, z, *extra))
            values = jax.vmap(lambda z: m_step.statistics(params, x, z, *extra))(posterior.nodes)
            q = posterior.probabilities
            return posterior.log_evidence, jax.tree.map(lambda v: _scaled(q, v), values)

        def of_chunk(rows: Any, w: Float[Array, " n"]) -> tuple[Float[Array, ""], Any]:
            evidence, values = jax.vmap(of_row)(rows)
            return jnp.sum(weighted(w, evidence)), expectation(w, values)

        return chunked_sum(of_chunk, prepared.rows, prepared.weights, self.chunk(prepared))

    def maximize(self, expected: Any, params: Any, prepared: Prepared) -> Any:
        m_step = self.model.m_step
        assert m_step is not None
        return m_step.maximize(expected, params, *(() if m_step.context is None else (prepared.context,)))


def _scaled(q: Float[Array, " K"], values: Array) -> Array:
    weight = q.reshape((-1,) + (1,) * (values.ndim - 1))
    return jnp.where(weight > 0, weight * jnp.where(weight > 0, values, 0), 0)


@dataclass(frozen=True)
class SeparableForm(Form):
    """features(x) . natural(params): the E-step and the expected statistics are one matrix product each."""

    model: Model
    separable: Separable

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
        nodes = self.model.latent.nodes()
        return chunk_rows(8 * (width + prepared.lanes * (16 if nodes is None else len(nodes[1]))))

    def log_joint(self, params: Any, context: Any, rows: Any, features: Any) -> Float[Array, "K n"]:
        """log p(x_n, z_k) + log(node weight) of a chunk of rows."""
        joint = self.separable.log_joint(self.separable.natural(params, context), features)
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
            return jnp.sum(weighted(w, evidence)), self.separable.statistics(likelihood, w / total, features)

        return chunked_sum(of_chunk, prepared.rows, prepared.weights, self.chunk(prepared))

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
