"""The form of a Gaussian chain whose step is declared as a log density: its quadratic is found, not asked for.

What the M-step sees are means and covariances of w = (z, previous), by `information`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.data import Data, door
from latentem.data.sequences import Sequences
from latentem.forms.base import Form, Prepared
from latentem.forms.kalman.form import CANNOT
from latentem.forms.kalman.information import Pairs, Quadratic, backwards, forwards
from latentem.model import Model
from latentem.model.gaussian_chain import GaussianChain
from latentem.numerics.compiled import jit


@dataclass(frozen=True)
class StepForm(Form):
    """A declared Gaussian chain. Rows of `Prepared` are {"x": padded steps (N, T, ...), "there": (N, T)}."""

    unit: ClassVar[str] = "sequence"

    model: Model

    @classmethod
    def of(cls, model: Model, sequences: Any = None) -> StepForm | None:
        """The form of this model; None where its latent is no Gaussian chain that declares its step."""
        declared = isinstance(model.latent, GaussianChain) and model.latent.factors is None
        return cls(model) if declared else None

    def can(self, what: str) -> str | None:
        return CANNOT.get(what) and f"{self.model.name} is a chain{CANNOT[what]}"

    @property
    def dim(self) -> int:
        """d."""
        assert isinstance(self.model.latent, GaussianChain)
        return self.model.latent.dim

    # --- the data

    def of_new(self, data: Data, dtype: str) -> Prepared:
        """Sequences padded to the longest, on the device.

        Raises:
            ValueError: the declared step is not quadratic in z and previous.
        """
        sequences = data.observations
        assert isinstance(sequences, Sequences)
        steps = door.cast(sequences.steps, dtype)
        place = np.arange(sequences.lengths.max())
        there = place < sequences.lengths[:, None]
        rows = sequences.starts[:, None] + np.minimum(place, sequences.lengths[:, None] - 1)
        x = jax.tree.map(lambda a: jnp.asarray(np.asarray(a)[rows]), steps)
        prepared = Prepared((), {"x": x, "there": jnp.asarray(there)}, jnp.asarray(np.asarray(data.weights), dtype))
        self._refuse_other_than_quadratic(prepared, dtype)
        return prepared

    def _refuse_other_than_quadratic(self, prepared: Prepared, dtype: str) -> None:
        size = self.model.space.size
        u = jnp.asarray(np.linspace(-0.4, 0.4, size), dtype)
        here, there = (np.asarray(a) for a in _curvatures(self, u, prepared))
        scale = max(float(np.abs(here).max()), 1e-30)
        if np.isfinite(here).all() and np.abs(here - there).max() > (1e-6 if dtype == "float64" else 1e-2) * scale:
            raise ValueError(
                f"{self.model.name}: log p(x, z | previous) is not quadratic in z and previous (its Hessian changes "
                "with them), so that the chain is not Gaussian: check the declaration"
            )

    def cost(self, prepared: Prepared) -> int:
        return prepared.rows["there"].size * 4 * self.dim**2

    def thinned(self, prepared: Prepared, rows: int) -> Prepared:
        return prepared

    def chunk(self, prepared: Prepared) -> int:
        return prepared.weights.shape[0]

    # --- recursions

    def quadratics(self, params: Any, rows: Any) -> Quadratic:
        """Of every step, (N, T, ...); the first has no curvature in previous."""
        latent, d = self.model.latent, self.dim
        assert isinstance(latent, GaussianChain) and latent.first is not None
        opening, step = latent.first, self.model.complete_log_likelihood

        def of(f: Any, x: Any) -> Quadratic:
            zero = jnp.zeros(2 * d, rows["dtype"].dtype)
            return Quadratic(f(x, zero), jax.grad(f, 1)(x, zero), jax.hessian(f, 1)(x, zero))

        def first(x: Any, w: Array) -> Array:
            return opening(params, x, w[:d])

        def later(x: Any, w: Array) -> Array:
            return step(params, x, w[:d], w[d:])

        every = jax.vmap(jax.vmap(partial(of, later)))(rows["x"])
        begin = jax.vmap(partial(of, first))(jax.tree.map(lambda a: a[:, 0], rows["x"]))
        return jax.tree.map(lambda a, b: a.at[:, 0].set(b), every, begin)

    def _forwards(self, params: Any, prepared: Prepared) -> tuple[Float[Array, " N"], Any]:
        rows = {**prepared.rows, "dtype": prepared.weights}
        return jax.vmap(forwards)(self.quadratics(params, rows), prepared.rows["there"])

    # --- what the drivers ask for

    def row_log_prob(self, params: Any, context: Any, rows: Any) -> Float[Array, " n"]:
        raise TypeError("a chain has no rows: use log_prob")

    def log_prob(self, params: Any, prepared: Prepared) -> Float[Array, " N"]:
        """log p(sequence | params) of every sequence."""
        return self._forwards(params, prepared)[0]

    def log_likelihood(self, params: Any, prepared: Prepared) -> Float[Array, ""]:
        return jnp.sum(prepared.weights * self.log_prob(params, prepared))

    def expect(self, params: Any, prepared: Prepared) -> tuple[Float[Array, ""], Pairs]:
        log_prob, found = self._forwards(params, prepared)
        return jnp.sum(prepared.weights * log_prob), jax.vmap(backwards)(found, prepared.rows["there"])

    def q(self, params: Any, completed: Pairs, prepared: Prepared) -> Float[Array, ""]:
        latent, d = self.model.latent, self.dim
        assert isinstance(latent, GaussianChain) and latent.first is not None
        opening, step = latent.first, self.model.complete_log_likelihood

        def mean_of(f: Any, centre: Array, root: Array) -> Array:
            # Exact for quadratics: points in both directions along each column of the root.
            away = jnp.sqrt(1.0 * root.shape[1]) * root.T
            return jnp.mean(jax.vmap(f)(jnp.concatenate([centre + away, centre - away])))

        def one(x: Any, centre: Array, root: Array) -> Array:
            return mean_of(lambda w: step(params, x, w[:d], w[d:]), centre, root)

        def first(x: Any, centre: Array, root: Array) -> Array:
            return mean_of(lambda z: opening(params, x, z), centre[:d], root[:d, :d])

        x, there = prepared.rows["x"], prepared.rows["there"]
        later = jax.vmap(jax.vmap(one))(
            jax.tree.map(lambda a: a[:, 1:], x), completed.mean[:, 1:], completed.root[:, 1:]
        )
        begin = jax.vmap(first)(jax.tree.map(lambda a: a[:, 0], x), completed.mean[:, 0], completed.root[:, 0])
        total = begin + jnp.sum(jnp.where(there[:, 1:], later, 0.0), axis=1)
        return jnp.sum(prepared.weights * total)

    def statistics(self, params: Any, prepared: Prepared) -> tuple[Float[Array, ""], Any]:
        raise TypeError("a declared chain has no M-step in closed form")

    def maximize(self, expected: Any, params: Any, prepared: Prepared) -> Any:
        raise TypeError("a declared chain has no M-step in closed form")

    @property
    def has_closed_form(self) -> bool:
        return False

    def scores(self, u: Float[Array, " P"], prepared: Prepared) -> Float[Array, "N P"]:
        return jax.jacfwd(lambda v: self.log_prob(self.model.space.constrain(v), prepared))(u)

    def score_products(self, u: Float[Array, " P"], prepared: Prepared) -> Float[Array, "P P"]:
        scores = jnp.where((prepared.weights != 0)[:, None], self.scores(u, prepared), 0)
        return scores.T @ (prepared.weights[:, None] * scores)


@partial(jit, static_argnums=0)
def _curvatures(form: StepForm, u: Array, prepared: Prepared) -> tuple[Array, Array]:
    """Hessian of the second step of the first sequence at two places."""
    d, params = form.dim, form.model.space.constrain(u)
    x = jax.tree.map(lambda a: a[0, min(1, a.shape[1] - 1)], prepared.rows["x"])
    hessian = jax.hessian(lambda w: form.model.complete_log_likelihood(params, x, w[:d], w[d:]))
    w = jnp.linspace(0.7, 1.9, 2 * d).astype(prepared.weights.dtype)
    return hessian(0.0 * w), hessian(w)
