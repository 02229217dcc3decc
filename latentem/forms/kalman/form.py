"""The form of Gaussian chains: what the drivers ask for, from filter and smoother on lanes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.data import Data
from latentem.data.sequences import Sequences
from latentem.forms.base import Form, Prepared
from latentem.forms.kalman.lanes import Rows, lay_out
from latentem.forms.kalman.moments import Moments, completed_readings, expected_log_density, moments
from latentem.forms.kalman.readings import Told
from latentem.forms.kalman.smoother import Smoothed, smooth
from latentem.forms.kalman.start import Opened, opened
from latentem.forms.kalman.stepwise import Stepwise, expected_stepwise, stepwise
from latentem.forms.kalman.walk import Begun, State, Walk
from latentem.model import Model
from latentem.model.gaussian_chain import GaussianChain, LinearGaussian


class Filtered(NamedTuple):
    """What one pass forwards leaves for one backwards."""

    walk: Walk
    begun: Begun
    states: State
    before: State | None
    opened: Opened


@dataclass(frozen=True)
class KalmanForm(Form):
    """A Gaussian chain on lanes. `Prepared.rows` are `Rows`; the context is the sets of readings that occur, where
    their noise is correlated."""

    unit: ClassVar[str] = "sequence"

    model: Model

    @classmethod
    def of(cls, model: Model, sequences: Any = None) -> KalmanForm | None:
        """The form of this model; None where its latent is no Gaussian chain."""
        given = isinstance(model.latent, GaussianChain) and model.latent.factors is not None
        return cls(model) if given else None

    @property
    def factors(self) -> LinearGaussian:
        """The matrices."""
        assert isinstance(self.model.latent, GaussianChain) and self.model.latent.factors is not None
        return self.model.latent.factors

    def can(self, what: str) -> str | None:
        return CANNOT.get(what) and f"{self.model.name} is a chain{CANNOT[what]}"

    # --- the data

    def of_new(self, data: Data, dtype: str) -> Prepared:
        """Sequences on lanes, on the device."""
        sequences = data.observations
        assert isinstance(sequences, Sequences) and isinstance(self.model.latent, GaussianChain)
        # A lane begins at a state as if it were known, of which a reading without noise would be infinitely precise.
        one = 1 if self.factors.exact else None
        rows, sets = lay_out(sequences, self.model.latent.dim, self.factors.before, dtype, one)
        correlated = _noise_axes(self.model, rows.into.shape[2], rows.at.shape[2], dtype) == 2
        if correlated and self.factors.varying:
            raise ValueError(
                f"{self.model.name}: matrices vary from step to step, and noise is a covariance matrix: expected (p,) "
                "variances of independent noise; make a common error of the readings a state"
            )
        context = jnp.asarray(sets) if correlated else None
        return Prepared(context, jax.device_put(rows), jnp.asarray(np.asarray(data.weights), dtype=dtype))

    def cost(self, prepared: Prepared) -> int:
        assert isinstance(self.model.latent, GaussianChain)
        return prepared.rows.begins.size * self.model.latent.dim**2

    cells = cost

    def thinned(self, prepared: Prepared, rows: int) -> Prepared:
        return prepared

    def chunk(self, prepared: Prepared) -> int:
        return prepared.weights.shape[0]

    def drawn_from(self, prepared: Prepared) -> tuple[Any, Float[Array, " n"]]:
        return prepared.rows, prepared.weights

    # --- recursions

    def forwards(self, params: Any, prepared: Prepared) -> Filtered:
        """Filtered, and what the readings say of the start."""
        n = prepared.weights.shape[0]
        walk = Walk.of(self.factors, params, prepared.rows, prepared.context)
        begun = walk.joined()
        # What going back needs of every step is kept where the data are one stretch, else computed again.
        whole = prepared.rows.begins.shape[0] == 1

        def keep(before: State, after: State, told: Told, x: Rows) -> Any:
            return None if n == 1 else told, before if whole else None

        total, (kept, before), states = walk.filter(begun, keep)
        if n == 1:
            told = Told(jnp.sum(total.logs)[None], jnp.sum(total.gram, axis=-1)[..., None])
        else:
            which = prepared.rows.sequence.reshape(-1)
            logs = jax.ops.segment_sum(kept.logs.reshape(-1), which, n + 1)[:n]
            gram = jnp.moveaxis(kept.gram, -1, 2).reshape(len(which), *kept.gram.shape[2:4])
            told = Told(logs, jnp.moveaxis(jax.ops.segment_sum(gram, which, n + 1)[:n], 0, -1))
        return Filtered(walk, begun, states, before, opened(told, self.factors.integrated))

    def backwards(self, found: Filtered, summarise: Callable[[Rows, Smoothed], Any]) -> Any:
        """What `summarise` makes of the smoothed states of every stretch, leading axis of stretches."""
        table = found.opened.columns

        def columns(mean: Float[Array, "d c B"], sequence: Array) -> Float[Array, "d m B"]:
            if table.shape[1:] == (1, 1):
                return mean
            if table.shape[0] == 1:
                return jnp.einsum("dcb,cm->dmb", mean, table[0])
            padded = jnp.concatenate([table, jnp.zeros_like(table[:1])])
            return jnp.einsum("dcb,bcm->dmb", mean, padded[sequence])

        return smooth(found.walk, found.begun, found.states, found.before, columns, summarise)

    # --- what the drivers ask for

    def row_log_prob(self, params: Any, context: Any, rows: Any) -> Float[Array, " n"]:
        raise TypeError("a chain has no rows: use log_prob")

    def log_prob(self, params: Any, prepared: Prepared) -> Float[Array, " N"]:
        """log p(sequence | params) of every sequence."""
        return self.forwards(params, prepared).opened.log_prob

    def log_likelihood(self, params: Any, prepared: Prepared) -> Float[Array, ""]:
        return jnp.sum(prepared.weights * self.log_prob(params, prepared))

    def expect(self, params: Any, prepared: Prepared) -> tuple[Float[Array, ""], Moments | Stepwise]:
        found = self.forwards(params, prepared)
        if self.factors.varying:
            smoothed = self.backwards(found, lambda rows, smoothed: smoothed)
            return jnp.sum(prepared.weights * found.opened.log_prob), stepwise(smoothed)
        offset = found.walk.system.offset

        def summarise(rows: Rows, smoothed: Smoothed) -> Moments:
            if rows.at.shape[1]:
                known = jnp.einsum("pl,slb->spb", offset, rows.at)
                rows = rows._replace(y=jnp.where(rows.there, rows.y + known, 0.0))
            return moments(rows, smoothed, prepared.weights, prepared.context)

        summed = jax.tree.map(lambda a: jnp.sum(a, axis=0), self.backwards(found, summarise))
        return jnp.sum(prepared.weights * found.opened.log_prob), summed

    def q(self, params: Any, completed: Any, prepared: Prepared) -> Float[Array, ""]:
        if self.factors.varying:
            return expected_stepwise(self.factors, params, completed, prepared.rows, prepared.weights)
        return expected_log_density(self.factors, self.factors.system(params), completed, prepared.context)

    def statistics(self, params: Any, prepared: Prepared) -> tuple[Float[Array, ""], Moments]:
        log_likelihood, found = self.expect(params, prepared)
        assert isinstance(found, Moments)
        if prepared.context is not None:
            filled = completed_readings(found.reading, self.factors.system(params), prepared.context)
            found = found._replace(reading=filled)
        return log_likelihood, found

    def maximize(self, expected: Moments, params: Any, prepared: Prepared) -> Any:
        assert self.factors.maximize is not None
        return self.factors.maximize(expected, params)

    @property
    def has_closed_form(self) -> bool:
        closed = self.factors.maximize is not None
        return closed and (self.factors.includes_prior or not self.model.joint_prior)

    # --- scores of sequences

    def scores(self, u: Float[Array, " P"], prepared: Prepared) -> Float[Array, "N P"]:
        return jax.jacfwd(lambda v: self.log_prob(self.model.space.constrain(v), prepared))(u)

    def score_products(self, u: Float[Array, " P"], prepared: Prepared) -> Float[Array, "P P"]:
        scores = jnp.where((prepared.weights != 0)[:, None], self.scores(u, prepared), 0)
        return scores.T @ (prepared.weights[:, None] * scores)


@lru_cache(maxsize=128)
def _noise_axes(model: Model, moves: int, readings: int, dtype: str) -> int:
    """1 where readings have independent noise, 2 where they have a covariance matrix."""
    factors = KalmanForm(model).factors
    params = jax.eval_shape(model.space.constrain, jax.ShapeDtypeStruct((model.space.size,), dtype))
    step = {name: jax.ShapeDtypeStruct((n,), dtype) for name, n in (("u", moves), ("v", readings))}
    return jax.eval_shape(factors.system, params, *((step,) if factors.varying else ())).noise.ndim


#: What sequences do not have, and what to do instead.
CANNOT = {
    "predict": " of continuous states: use smooth()",
    "posterior": ": use smooth()",
    "rows": ", whose steps are not independent: use its own verbs",
    "flatten": ", whose posterior cannot be flattened: draw more starts, starts=20",
    "stream": ", whose statistics are not averaged over batches: fit all sequences at once, and go on with step()",
    "average": ": of sequences there is no one length to average over; use kind='observed'",
    "differentiate": ", which is laid out on the host and cannot be differentiated in its data: use lem.fit",
}
