"""What a form is: how log p(x, z | params) is computed on all observations, so that an E-step adds over rows.

Everything above (M-steps, drivers, information) is written once against the methods of `Form`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from latentem.model import Model
from latentem.numerics.chunks import chunked_map, chunked_sum, weighted


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
