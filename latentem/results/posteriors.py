"""Posteriors of N observations: each answer has a leading axis N."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from latentem import posterior as posteriors
from latentem.numerics.keys import as_key


class Posteriors:
    """The posterior of the latent value of each of N observations.

    Answers are NaN for observations that are impossible, or whose density cannot be computed. What the posterior of one
    observation has by name, such as `nodes`, `log_probabilities`, `covariance` and `log_evidence`, is here with a
    leading axis N; `posteriors[n]` is that of one observation.

    >>> x = np.array([0.0, 1.0, 0.0, 8.0, 9.0])
    >>> posterior = lem.fit(lem.Mixture(lem.families.Poisson(), 2), x, key=0).posterior()
    >>> posterior.probabilities.shape, posterior.entropy.shape, len(posterior)
    ((5, 2), (5,), 5)
    """

    def __init__(self, each: Any, dtype: str = "float64") -> None:
        self.each = each
        self.dtype = dtype

    def __len__(self) -> int:
        return len(self.each.log_evidence)

    def __getitem__(self, n: int) -> Any:
        """The posterior of observation n."""
        return jax.tree.map(lambda a: a[n], self.each)

    @property
    def probabilities(self) -> np.ndarray:
        """Probability of each node, (N, K), for posteriors on nodes."""
        if not hasattr(self.each, "log_probabilities"):
            raise AttributeError(f"a {type(self.each).__name__} posterior has no nodes: use mean, sd or sample(key)")
        return self._known(np.exp(self.each.log_probabilities))

    def expect(self, f: Callable[[Any], Any]) -> Any:
        """E[f(z) | x_n] for a function of ONE latent value: a pytree of arrays (N, ...)."""
        return self._of_each(lambda one: one.expect(f))

    @property
    def mean(self) -> Any:
        """E[z | x_n], (N, ...)."""
        return self.expect(lambda z: jnp.asarray(z, jnp.result_type(float)))

    @property
    def sd(self) -> Any:
        """Standard deviation of z given x_n, (N, ...)."""
        if isinstance(self.each, posteriors.Gaussian):
            covariance = self.each.covariance
            d = int(np.prod(self.each.mean.shape[1:], dtype=int))
            variance = np.diagonal(np.reshape(covariance, (len(self), d, d)), axis1=1, axis2=2)
            return self._known(np.sqrt(variance).reshape(self.each.mean.shape))

        def of(one: Any) -> Any:
            mean = one.expect(lambda z: jnp.asarray(z, jnp.result_type(float)))
            return jnp.sqrt(one.expect(lambda z: (z - mean) ** 2))

        return self._of_each(of)

    @property
    def entropy(self) -> np.ndarray:
        """Entropy of each posterior, (N,), in nats."""
        return self._of_each(lambda one: one.entropy)

    def sample(self, key: Any, draws: int | None = None) -> Any:
        """One latent value of each posterior, (N, ...); `draws` of them, (draws, N, ...), where that is given.

        Args:
            key: a seed, such as 0, or a key of `jax.random.key`.
        """
        key = as_key(key, "sample")
        with jax.enable_x64(self.dtype == "float64"):
            keys = jax.random.split(key, (draws or 1, len(self)))
            drawn = jax.vmap(lambda row: jax.vmap(lambda one, k: one.sample(k))(self.each, row))(keys)
            drawn = jax.tree.map(np.asarray, drawn)
        return drawn if draws else jax.tree.map(lambda a: a[0], drawn)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "each":
            raise AttributeError(name)
        return getattr(self.each, name)

    def _of_each(self, f: Callable[[Any], Any]) -> Any:
        with jax.enable_x64(self.dtype == "float64"):
            return jax.tree.map(lambda a: self._known(np.asarray(a)), jax.vmap(f)(self.each))

    def _known(self, values: np.ndarray) -> np.ndarray:
        lost = ~np.isfinite(self.each.log_evidence)
        return np.where(lost.reshape((-1,) + (1,) * (values.ndim - 1)), np.nan, values) if lost.any() else values
