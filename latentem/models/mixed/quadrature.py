"""A generalised model of one effect of one grouping: each level integrated by itself, on nodes around its mode.

References:
    Pinheiro, J. C. and Chao, E. C. (2006). Efficient Laplacian and adaptive Gaussian quadrature algorithms for
    multilevel generalized linear mixed models. Journal of Computational and Graphical Statistics 15, 58-81.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from latentem.building import jit
from latentem.field import NotPositiveDefinite, Records


class Quadrature:
    """A model of one effect of one grouping at given parameters: each level integrated by itself, on Gauss-Hermite
    nodes around its mode."""

    def __init__(self, records: Records, theta: np.ndarray, nodes: int) -> None:
        laplace = records.at(theta)
        codes = records.seen[:, 0]
        q = records.size
        at = records.symbolic.entries(np.arange(q), np.arange(q))
        spread = np.sqrt(laplace.factor.inverse[at])
        points, weights = np.polynomial.hermite_e.hermegauss(nodes)
        log_weights = np.log(weights) + 0.5 * points**2
        value, self.score = (
            np.asarray(a)
            for a in _by_quadrature(
                records.model, theta, records.rows, records.weights, codes, laplace.mode, spread, points, log_weights
            )
        )
        self.log_likelihood = self.evidence = float(value)
        if not np.isfinite(value):
            raise NotPositiveDefinite("the log-likelihood is not finite")


@partial(jit, static_argnums=0)
def _by_quadrature(
    model: Any, u: Any, rows: Any, weights: Any, codes: Any, mode: Any, spread: Any, points: Any, log_weights: Any
) -> Any:
    """(log-likelihood, its gradient in u); the nodes stay where they are."""
    z = mode[:, None] + spread[:, None] * points  # (q, K)

    def value(v: Any) -> Any:
        params = model.space.constrain(v)

        def of_record(x: Any, nodes: Any) -> Any:
            name = next(iter(model.latent.structures))
            return jax.vmap(lambda s: model.complete_log_likelihood(params, x, {name: s[None]}))(nodes)

        each = weights[:, None] * jax.vmap(of_record)(rows, z[codes])
        summed = jax.ops.segment_sum(each, codes, num_segments=len(mode)) - 0.5 * z**2 + log_weights
        return jnp.sum(jax.scipy.special.logsumexp(summed, axis=1) + jnp.log(spread)) - 0.5 * len(mode) * jnp.log(
            2 * jnp.pi
        )

    return jax.value_and_grad(value)(u)
