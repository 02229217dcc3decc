"""What an E-step returns for one observation: the distribution of its latent value given the observation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def expectation(probabilities: Float[Array, " K"], values: Any) -> Any:
    """Sum of `probabilities[k] * values[k]` over the leading axis of every leaf; a value of probability zero counts
    for nothing, even when it is infinite."""

    def one(v: Array) -> Array:
        p = probabilities.reshape((-1,) + (1,) * (v.ndim - 1))
        return jnp.sum(jnp.where(p > 0, p * jnp.where(p > 0, v, 0), 0), axis=0)

    return jax.tree.map(one, values)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Weighted:
    """A posterior over K nodes: the values of a finite latent, a quadrature grid, or draws.

    Args:
        nodes: pytree with leading axis K, the latent values.
        log_probabilities: (K,), normalised; `-inf` is an impossible value.
        log_evidence: scalar, log p(x | params).
    """

    nodes: Any
    log_probabilities: Float[Array, " K"]
    log_evidence: Float[Array, ""]

    @classmethod
    def from_log_joint(cls, nodes: Any, log_joint: Float[Array, " K"]) -> Weighted:
        """Normalise log p(x, z_k) + log(node weight). An impossible observation has log_evidence -inf and a uniform
        posterior, so that its gradient is zero rather than NaN."""
        evidence = logsumexp(log_joint)
        impossible = evidence == -jnp.inf
        # Divided by their own sum: where log joints are near 1e13, one minus the evidence no longer adds up to one.
        top = jax.lax.stop_gradient(jnp.max(log_joint))
        shifted = log_joint - jnp.where(jnp.isfinite(top), top, 0.0)
        log_q = jnp.where(
            impossible, -jnp.log(log_joint.shape[0]), shifted - jnp.where(impossible, 0.0, logsumexp(shifted))
        )
        return cls(nodes, log_q, evidence)

    @property
    def probabilities(self) -> Float[Array, " K"]:
        """Probability of each node, (K,)."""
        return jnp.exp(self.log_probabilities)

    def expect(self, f: Callable[[Any], Any]) -> Any:
        """E[f(z) | x] for a function of one latent value returning a pytree."""
        return expectation(self.probabilities, jax.vmap(f)(self.nodes))

    @property
    def entropy(self) -> Float[Array, ""]:
        """Entropy of the posterior over nodes, in nats."""
        return -expectation(self.probabilities, self.log_probabilities)

    def sample(self, key: jax.Array) -> Any:
        """One latent value drawn from the posterior."""
        k = jax.random.categorical(key, self.log_probabilities)
        return jax.tree.map(lambda a: a[k], self.nodes)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Gaussian:
    """A normal posterior.

    Args:
        mean: (d,), or a scalar where the latent value is one.
        covariance: (d, d) positive definite, or a scalar variance.
        log_evidence: scalar, log p(x | params).
    """

    mean: Float[Array, "*d"]
    covariance: Float[Array, "*dd"]
    log_evidence: Float[Array, ""]

    @property
    def _factor(self) -> Float[Array, "d d"]:
        d = self.mean.size
        return jnp.linalg.cholesky(jnp.reshape(self.covariance, (d, d)))

    def expect(self, f: Callable[[Any], Any]) -> Any:
        """E[f(z) | x] by the symmetric cubature of degree 3: exact for polynomials up to cubic, so exact for every
        statistic of a linear-Gaussian model (Stroud 1957)."""
        d = self.mean.size
        spread = jnp.reshape(jnp.sqrt(d) * self._factor.T, (d, *self.mean.shape))
        nodes = jnp.concatenate([self.mean + spread, self.mean - spread])
        return jax.tree.map(lambda v: jnp.mean(v, axis=0), jax.vmap(f)(nodes))

    def log_prob(self, z: Float[Array, "*d"]) -> Float[Array, ""]:
        """Log density of the posterior at `z`."""
        y = jax.scipy.linalg.solve_triangular(self._factor, jnp.ravel(z - self.mean), lower=True)
        return -0.5 * (y @ y + y.size * jnp.log(2 * jnp.pi)) - jnp.sum(jnp.log(jnp.diagonal(self._factor)))

    @property
    def entropy(self) -> Float[Array, ""]:
        """Entropy, in nats."""
        log_det = jnp.sum(jnp.log(jnp.diagonal(self._factor)))
        return 0.5 * self.mean.size * jnp.log(2 * jnp.pi * jnp.e) + log_det

    def sample(self, key: jax.Array) -> Float[Array, "*d"]:
        """One latent value drawn from the posterior."""
        draw = self._factor @ jax.random.normal(key, (self.mean.size,), self.mean.dtype)
        return self.mean + jnp.reshape(draw, self.mean.shape)


@dataclass(frozen=True)
class Completed:
    """A user's posterior object with what it left out filled in from the complete-data log-likelihood."""

    given: Any
    cll: Callable[[Any], Array]

    @property
    def log_evidence(self) -> Float[Array, ""]:
        """The object's own `log_evidence`, or log p(x, z) - log p(z | x) at its most probable node."""
        if hasattr(self.given, "log_evidence"):
            return self.given.log_evidence
        log_q = jax.vmap(self.given.log_prob)(self.given.nodes)
        best = jnp.argmax(log_q)
        return self.cll(jax.tree.map(lambda a: a[best], self.given.nodes)) - log_q[best]

    def expect(self, f: Callable[[Any], Any]) -> Any:
        """The object's own `expect`, or the sum over its nodes."""
        if hasattr(self.given, "expect"):
            return self.given.expect(f)
        return expectation(jnp.exp(jax.vmap(self.given.log_prob)(self.given.nodes)), jax.vmap(f)(self.given.nodes))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.given, name)


def complete(given: Any, cll: Callable[[Any], Array]) -> Any:
    """A posterior from whatever a user's E-step returned: a type of this module, or any object with `expect` and
    `log_evidence`, or with `log_prob` and `nodes`.

    Raises:
        TypeError: when the object has neither pair.
    """
    if isinstance(given, Weighted | Gaussian):
        return given
    by_nodes = hasattr(given, "log_prob") and hasattr(given, "nodes")
    if by_nodes or (hasattr(given, "expect") and hasattr(given, "log_evidence")):
        return Completed(given, cll)
    raise TypeError(
        f"Given(posterior) returned {type(given).__name__}: expected an object with `expect` and `log_evidence`, or "
        "with `log_prob` and `nodes`; return lem.posterior.Weighted or lem.posterior.Gaussian"
    )


def logsumexp(a: Float[Array, "*batch K"]) -> Float[Array, "*batch"]:
    """log(sum(exp(a))) over the last axis; -inf when every entry is -inf, with zero gradient there instead of NaN.

    An entry that is NaN stays visible: the sum is NaN.
    """
    top = jnp.max(a, axis=-1, keepdims=True)
    top = jax.lax.stop_gradient(jnp.where(jnp.isfinite(top), top, 0.0))
    total = jnp.sum(jnp.exp(a - top), axis=-1)
    impossible = total == 0
    return jnp.where(impossible, -jnp.inf, jnp.log(jnp.where(impossible, 1.0, total)) + top[..., 0])
