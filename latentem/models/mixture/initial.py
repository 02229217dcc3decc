"""Where the fit of a mixture begins: k-means++ seeds, random responsibilities, or the rows whose component is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from latentem.building import assigned, beside_known, coordinates, near, plus_plus, standardised, thin, thin_known
from latentem.constraints import ParameterSpace
from latentem.models.mixture.names import map_named, map_two

Params = dict[str, Any]

#: Part of every row that a start spreads over all components, so that none begins empty or flat.
SOFTNESS = 0.02
#: The same of a component whose rows are known, relative to their number.
SPREAD = 0.1


def initial(mixture: Any, key: Array, x: Any, weights: Float[Array, " N"], label: Any = None) -> Params:
    """Params from k-means++ seeds or from random responsibilities; from the rows whose component is known, where
    `label` (N,) says which, -1 where it does not."""
    context = mixture.context(x, weights)
    if label is not None:
        return _of_known(mixture, key, x, weights, label, context)
    x, weights = thin(x, weights)
    soft = responsibilities(mixture.start, mixture.components, key, x, weights)
    return from_responsibilities(mixture, jax.random.fold_in(key, 1), x, weights[:, None] * soft, context)


def responsibilities(start: str, components: int, key: Array, x: Any, weights: Float[Array, " n"]) -> Array:
    """Parts of the rows (n, K) that the components begin with, each row's adding to 1."""
    if start == "random":
        draws = jax.random.exponential(key, (weights.shape[0], components), weights.dtype)
        found = draws / jnp.sum(draws, axis=1, keepdims=True)
        spread = jnp.ones_like(found)
    else:
        rows = standardised(coordinates(x), weights)
        seeds = plus_plus(key, rows, weights, components)
        found, spread = assigned(rows, seeds), near(rows, weights, seeds)
    soft = found + SOFTNESS / components * spread
    return soft / jnp.sum(soft, axis=1, keepdims=True)


def _of_known(mixture: Any, key: Array, x: Any, weights: Array, label: Array, context: Any) -> Params:
    x, label, weights = thin_known(x, label, weights)
    rows = standardised(coordinates(x), weights)
    parts, known = beside_known(key, rows, weights, label, mixture.components)
    # Spread over all rows, so that a variance of few rows is not too small.
    spread = weights @ parts / jnp.sum(weights)
    soft = weights[:, None] * (parts + jnp.where(known, SPREAD * spread, SOFTNESS / mixture.components))
    return from_responsibilities(mixture, jax.random.fold_in(key, 1), x, soft, context)


def from_responsibilities(mixture: Any, key: Array, x: Any, r: Float[Array, "n K"], context: Any) -> Params:
    """Params of components that hold these parts of the rows."""
    whole = mixture.family.default(x, jnp.sum(r, axis=1), context)
    params = {
        "weights": jnp.sum(r, axis=0) / jnp.sum(r),
        "components": map_named(
            lambda name, a: a if mixture.is_shared(name) else jnp.broadcast_to(a, (mixture.components, *a.shape)), whole
        ),
    }
    if not isinstance(mixture.family, type(mixture)) and replace(mixture, prior=None).closed:
        values = jax.vmap(lambda row: mixture.each("statistics", params, row, context))(x)
        expected = jnp.einsum("nk,nks->ks", r, values)
        reference = mixture.statistics_context(params, context)
        return replace(mixture, prior=None).maximize_components(expected, params, reference)
    # No M-step from statistics: each component's own default, moved a little so that no two are equal.
    space = ParameterSpace.of(mixture.family.constraints())

    def moved(w: Float[Array, " n"], k: Array) -> Params:
        u = space.unconstrain(mixture.family.default(x, w, context))
        return space.constrain(u + 0.1 * jax.random.normal(k, u.shape, u.dtype))

    own = jax.vmap(moved)(r.T, jax.random.split(key, mixture.components))
    shared = map_two(lambda name, a, b: b if mixture.is_shared(name) else a, own, whole)
    return {**params, "components": shared}
