"""What a form is: how log p(x, z | params) is computed on all observations, so that an E-step adds over rows.

Everything above (M-steps, drivers, information) is written once against the methods of `Form`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from latentem.data import Data, door
from latentem.model import Model
from latentem.numerics.chunks import chunk_rows, chunked_map, chunked_sum, weighted
from latentem.numerics.compiled import jit
from latentem.numerics.devices import everywhere, split

#: What an observation costs whose latent value has nodes of its own, or none, in latent values.
OWN_NODES = 16


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Prepared:
    """Data as a form wants them.

    Args:
        context: pytree, what the form took from the data as a whole.
        rows: pytree with leading axis N.
        weights: (N,).
        lanes: how many params are computed on these data side by side, which share the cache.
        mesh: the devices that the rows are split over; None for one.
    """

    context: Any
    rows: Any
    weights: Float[Array, " N"]
    lanes: int = field(default=1, metadata={"static": True})
    mesh: Mesh | None = field(default=None, metadata={"static": True})

    def sum(self, f: Callable[[Any, Array], Any], size: int) -> Any:
        """The sum over all rows of `f(rows, weights)`, in chunks of `size`, on all the devices they lie on."""
        return chunked_sum(f, self.rows, self.weights, size, self.mesh)


class Form(ABC):
    """A way to compute a model on data. Frozen and hashable: a static argument of everything that is compiled.

    To add one: `of_new`, `chunk`, `row_log_prob`, `expect` and `q`; `statistics` and `maximize` with
    `has_closed_form`; `can` says what it cannot do, and a rule in `choose.RULES` when it applies. One that does not add
    over rows also says its `unit`, and answers `log_prob`, `scores` and `score_products` for its units.
    """

    #: What adds, and has a log_prob, a weight and a score: "row", "sequence" or "data set".
    unit: ClassVar[str] = "row"
    #: False where the objective is a bound or an approximation.
    exact: ClassVar[bool] = True

    model: Model

    @abstractmethod
    def of_new(self, data: Data, dtype: str) -> Prepared:
        """Checked data as this form wants them, on the device; nobody else makes `Prepared`."""

    def of_model(self, model: Model) -> Form:
        """The same way to compute another model."""
        return replace(self, model=model)  # pyright: ignore[reportArgumentType]

    def can(self, what: str) -> str | None:
        """None where this form can do `what`, else why not and what to do instead, in one line.

        "predict" (the most probable latent value of each unit), "posterior" and "responsibilities" (of each unit),
        "flatten" (E-steps at a temperature), "stream" (statistics of batches, averaged), "information" (curvature of
        the objective), "average" (over simulated units), "differentiate" (in the data).
        """
        latent, name = self.model.latent, self.model.name
        if what == "predict" and latent.choices is None:
            return f"the latent of {name} is not finite: use posterior(x)"
        if what == "flatten" and (latent.hard or latent.nodes() is None):
            return f"the posterior of {name} cannot be flattened: expected lem.Finite(k) or a grid"
        if what == "information" and latent.hard:
            return "hard assignments maximise no likelihood, so there is no information matrix"
        return None

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

    @property
    def values(self) -> int:
        """Latent values that an E-step goes through for one row."""
        nodes = self.model.latent.nodes()
        return OWN_NODES if nodes is None else len(nodes[1])

    def cost(self, prepared: Prepared) -> int:
        """How many (observation, latent value) pairs an E-step goes through."""
        return prepared.weights.shape[0] * self.values

    def thinned(self, prepared: Prepared, rows: int) -> Prepared:
        """About `rows` of the rows, for a first look at many starts."""
        n = prepared.weights.shape[0]
        if n <= rows:
            return prepared
        stride = n // rows
        thin = jax.tree.map(lambda a: a[::stride], (prepared.rows, prepared.weights))
        return Prepared(prepared.context, *thin)

    def spread(self, prepared: Prepared, mesh: Mesh) -> Prepared | None:
        """The same data split over devices; None where this form computes on one.

        Where rows do not go into equal parts, rows of weight zero follow them.
        """
        if self.unit != "row":
            return None
        extra = -prepared.weights.shape[0] % mesh.size

        def filled(a: Array) -> Array:
            return jnp.concatenate([a, jnp.repeat(a[-1:], extra, axis=0)]) if extra else a

        weights = jnp.pad(prepared.weights, (0, extra))
        rows, weights = split((jax.tree.map(filled, prepared.rows), weights), mesh)
        return Prepared(everywhere(prepared.context, mesh), rows, weights, mesh=mesh)

    def draws(self, params: Any, key: Any, n: int) -> Any:
        """`n` simulated observations, for a model with a sampler."""
        sample: Any = self.model.sample
        return jax.vmap(lambda k: sample(params, k))(jax.random.split(key, n))

    def drawn_from(self, prepared: Prepared) -> tuple[Any, Float[Array, " n"]]:
        """(observations, the weight of each) that `Model.initial` draws a start from."""
        return prepared.rows, prepared.weights

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
        return prepared.sum(
            lambda rows, w: jnp.sum(weighted(w, self.row_log_prob(params, prepared.context, rows))),
            self.chunk(prepared),
        )

    def scores(self, u: Float[Array, " P"], prepared: Prepared) -> Float[Array, "N P"]:
        """Gradient of log p(x_n | params) in the free vector u, of every row."""
        return chunked_map(
            lambda rows: self._row_scores(u, prepared.context, rows),
            prepared.rows,
            prepared.weights.shape[0],
            self._chunk_of_scores(u, prepared),
        )

    def score_products(self, u: Float[Array, " P"], prepared: Prepared) -> Float[Array, "P P"]:
        """sum_n w_n s_n s_n', without the (N, P) scores ever being stored."""

        def of_chunk(rows: Any, w: Float[Array, " n"]) -> Float[Array, "P P"]:
            scores = jnp.where((w != 0)[:, None], self._row_scores(u, prepared.context, rows), 0)
            return scores.T @ (w[:, None] * scores)

        return prepared.sum(of_chunk, self._chunk_of_scores(u, prepared))

    def _row_scores(self, u: Float[Array, " P"], context: Any, rows: Any) -> Float[Array, "n P"]:
        def log_prob(v: Array, row: Any) -> Array:
            one = jax.tree.map(lambda a: a[None], row)
            return self.row_log_prob(self.model.space.constrain(v), context, one)[0]

        scores = jax.vmap(jax.grad(log_prob), in_axes=(None, 0))(u, rows)
        return jnp.where(jnp.isfinite(scores), scores, jnp.nan)

    def _chunk_of_scores(self, u: Float[Array, " P"], prepared: Prepared) -> int:
        return min(self.chunk(prepared), chunk_rows(8 * 4 * max(1, u.shape[0])))


def on_device(data: Data, dtype: str) -> tuple[Any, Float[Array, " N"]]:
    """(rows, weights) of checked data on the device."""
    return jax.device_put(door.cast(data.observations, dtype)), jnp.asarray(data.weights, dtype=dtype)


context_of = jit(lambda source, rows, weights: source.context(rows, weights), static_argnums=0)
"""What a formula, or an M-step in closed form, needs from the data as a whole, compiled."""


def _log_posterior(model: Model, params: Any, rows: Any) -> Float[Array, "n K"]:
    def of_row(x: Any) -> Float[Array, " K"]:
        posterior = model.posterior(params, x)
        if model.latent.choices is None and not hasattr(posterior, "log_probabilities"):
            told = f"the posterior of {model.name} is not a sum over nodes"
            raise ValueError(f"responsibilities: {told}; use posterior(x)")
        return model.latent.told(posterior)

    return jax.vmap(of_row)(rows)
