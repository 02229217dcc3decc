"""The declaration row by row: log p(x, z) evaluated on every observation and latent value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.data import Data
from latentem.forms.base import Form, Prepared, context_of, on_device
from latentem.model import Model
from latentem.numerics.chunks import chunk_rows, weighted
from latentem.posterior import expectation


def _bytes_of_row(rows: Any) -> int:
    return sum(int(np.prod(a.shape[1:])) * a.dtype.itemsize for a in jax.tree.leaves(rows))


@dataclass(frozen=True)
class RowForm(Form):
    """The declaration evaluated on every observation and latent value, with vmap."""

    model: Model

    def of_new(self, data: Data, dtype: str) -> Prepared:
        rows, weights = on_device(data, dtype)
        m_step = self.model.m_step
        context = () if m_step is None or m_step.context is None else context_of(m_step, rows, weights)
        return Prepared(context, rows, weights)

    def chunk(self, prepared: Prepared) -> int:
        return chunk_rows(prepared.lanes * self.values * (8 + _bytes_of_row(prepared.rows)))

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

        return prepared.sum(lambda rows, w: jnp.sum(weighted(w, jax.vmap(of_row)(rows))), self.chunk(prepared))

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

        return prepared.sum(of_chunk, self.chunk(prepared))

    def maximize(self, expected: Any, params: Any, prepared: Prepared) -> Any:
        m_step = self.model.m_step
        assert m_step is not None
        return m_step.maximize(expected, params, *(() if m_step.context is None else (prepared.context,)))


def _scaled(q: Float[Array, " K"], values: Array) -> Array:
    weight = q.reshape((-1,) + (1,) * (values.ndim - 1))
    return jnp.where(weight > 0, weight * jnp.where(weight > 0, values, 0), 0)
