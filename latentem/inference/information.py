"""Information matrices: observed (Oakes 1999), complete, from scores, expected."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from latentem.ascent import derivatives
from latentem.data import Data
from latentem.forms import Form, Prepared
from latentem.forms.choose import as_declared
from latentem.inference.estimate import Estimate, Matrix
from latentem.inference.scores import score_products
from latentem.model import Model
from latentem.numerics.compiled import jit
from latentem.numerics.keys import as_key

KINDS = ("observed", "complete", "score", "expected")


def information(
    estimate: Estimate, kind: str = "observed", coordinates: str = "free", key: Any = None, draws: int = 10_000
) -> Matrix:
    """Information about the parameters, (P, P).

    Args:
        estimate: the point and the data.
        kind: "observed", minus the Hessian of log-likelihood + log prior, by Oakes' identity;
            "complete", minus the Hessian of the expected complete-data log-likelihood (+ log prior): what the data
            would tell if the latent values had been seen;
            "score", the weighted sum over observations of the outer product of their scores (+ the prior's curvature);
            "expected", Fisher's: the mean outer product of the scores of `draws` observations simulated at the
            params, times N (+ the prior's curvature); its Monte-Carlo error is of relative order 1 / sqrt(draws).
        coordinates: "free", the vector u that `model.space` maps to params; "natural", the entries of the params named
            by `model.space.free_names` (the first K - 1 of a simplex, the lower triangle of a matrix). The change of
            coordinates is that of a tensor, which is exact where the gradient is zero: at a maximum.
        key: PRNG key of "expected"; `jax.random.key(0)` when left out.
        draws: simulated observations of "expected".

    Raises:
        ValueError: unknown kind or coordinates, hard assignments, no sampler for "expected", a matrix that is not
            finite.

    Source: Oakes (1999), J. R. Statist. Soc. B 61, 479-482; Louis (1982), J. R. Statist. Soc. B 44, 226-233.
    """
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r}: expected one of {KINDS}")
    if coordinates not in ("free", "natural"):
        raise ValueError(f"coordinates={coordinates!r}: expected 'free' or 'natural'")
    model = estimate.model
    form = as_declared(model)
    if why := form.can("information"):
        raise ValueError(f"{model.name}: {why}")
    if kind == "expected":
        matrix = estimate.kept((kind, str(key), draws), lambda: _expected(form, estimate, key, draws))
    else:
        matrix = estimate.kept(kind, lambda: estimate.at_data(_COMPILED[kind]))
    if not np.all(np.isfinite(matrix)):
        raise ValueError(
            f"{model.name}: the {kind} information is not finite at these params; check log p(x, z) for derivatives "
            "that are NaN or infinite there"
        )
    return matrix if coordinates == "free" else _natural(estimate, matrix)


def _natural(estimate: Estimate, matrix: Matrix) -> Matrix:
    inner = estimate.jacobian[estimate.free_entries]
    if len(inner) and not np.linalg.cond(inner) < 1e14:
        edge = [n for n, e in zip(estimate.space.natural_names, estimate.on_edge, strict=True) if e]
        raise ValueError(f"coordinates='natural': no such coordinates at the edge ({', '.join(edge[:5])}); use 'free'")
    half = np.linalg.solve(inner.T, matrix)
    return np.linalg.solve(inner.T, half.T)


def _observed(form: Form, u: Float[Array, " P"], prepared: Prepared) -> Matrix:
    return -np.asarray(derivatives.compiled_expansion(form, prepared, u).hessian)


@partial(jit, static_argnums=0)
def _complete(form: Form, u: Float[Array, " P"], prepared: Prepared) -> Float[Array, "P P"]:
    return -derivatives.complete_hessian(form, prepared, u)


@partial(jit, static_argnums=0)
def _score(form: Form, u: Float[Array, " P"], prepared: Prepared) -> Float[Array, "P P"]:
    return score_products(form, u, prepared) + prior_curvature(form.model, u)


def prior_curvature(model: Model, u: Float[Array, " P"]) -> Float[Array, "P P"]:
    """J' (minus the Hessian of the log prior in the params) J: what the prior adds to an information."""
    if not model.joint_prior:
        return jnp.zeros((u.shape[0], u.shape[0]), u.dtype)
    theta, unravel = ravel_pytree(model.space.constrain(u))
    jacobian = jax.jacfwd(lambda v: ravel_pytree(model.space.constrain(v))[0])(u)
    return -jacobian.T @ jax.hessian(lambda t: model.log_prior(unravel(t)))(theta) @ jacobian


_COMPILED = {"observed": _observed, "complete": _complete, "score": _score}


def _expected(form: Form, estimate: Estimate, key: Any, draws: int) -> Matrix:
    model = form.model
    if why := form.can("average"):
        raise ValueError(f"kind='expected': {why}")
    if model.sample is None:
        raise ValueError(
            f"kind='expected': {model.name} declares no sampler to average over; give lem.Model(..., sample=function "
            "(params, key) -> x), or use kind='observed'"
        )
    if not draws > 0:
        raise ValueError(f"draws={draws!r}: expected a positive number of simulated observations")
    with jax.enable_x64(True):
        key = as_key(0 if key is None else key)
        mean, prior = _simulated(form, draws, jnp.asarray(estimate.u), key)
        return estimate.n_observations * np.asarray(mean) + np.asarray(prior)


@partial(jit, static_argnums=(0, 1))
def _simulated(form: Form, draws: int, u: Float[Array, " P"], key: Any) -> tuple[Array, Array]:
    sample = form.model.sample
    assert sample is not None
    params = form.model.space.constrain(u)
    rows = jax.vmap(lambda k: sample(params, k))(jax.random.split(key, draws))
    weights = jnp.full(draws, 1.0 / draws, u.dtype)
    prepared = form.of_new(Data(rows, weights), str(u.dtype))  # pyright: ignore[reportArgumentType]
    return form.score_products(u, prepared), prior_curvature(form.model, u)
