"""Checks of a declaration before anything is compiled: what the model is, and that log p(x, z) is one number."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from latentem.data.sequences import Sequences
from latentem.model.advice import explained
from latentem.model.base import Model
from latentem.model.latents import Continuous
from latentem.model.product import Product
from latentem.numerics.compiled import jit


def check_declaration(model: Model, observations: Any) -> None:
    """Raise in one line when log p(x, z) of the first observation is not a floating scalar.

    To be called in the precision of the fit: JAX remembers a NumPy array that a density closes over in the precision in
    which it was first traced.
    """
    observations = observations.steps if isinstance(observations, Sequences) else observations
    shapes = tuple((a.shape[1:], str(a.dtype)) for a in jax.tree.leaves(observations))
    _check_shapes(model, jax.tree.structure(observations), shapes, jnp.result_type(float).name)


@lru_cache(maxsize=256)
def _check_shapes(model: Model, structure: Any, shapes: tuple[tuple[tuple[int, ...], str], ...], real: str) -> None:
    leaves = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in shapes]
    x = jax.tree.unflatten(structure, leaves)
    values = jax.tree.map(lambda z: jax.ShapeDtypeStruct(z.shape, z.dtype), model.latent.arguments())
    params = jax.eval_shape(model.space.constrain, jax.ShapeDtypeStruct((model.space.size,), real))
    try:
        out = jax.eval_shape(model.complete_log_likelihood, params, x, *values)
    except Exception as error:
        latent = dict(zip(("z", "previous"), values, strict=False))
        raise TypeError(
            f"{_called(model)} failed for one observation: {explained(error, params, x, **latent)}"
        ) from error
    if out is None:
        raise TypeError(f"{_called(model)} returned None: expected one number; end the function with return")
    if not hasattr(out, "shape"):
        raise TypeError(
            f"complete_log_likelihood returned {type(out).__name__}: expected one number per observation and z"
        )
    if out.shape != ():
        raise ValueError(
            f"complete_log_likelihood returned an array of shape {out.shape}: expected a scalar for ONE observation x "
            "and ONE latent value z; sum over the parts of x"
        )
    if not jnp.issubdtype(out.dtype, jnp.floating):
        raise TypeError(f"complete_log_likelihood returned dtype {out.dtype}: expected a real log-density")


def _called(model: Model) -> str:
    """The function of the user's, for messages."""
    if model.declaration is not None:
        return f"the density of a {model.name}"
    arguments = ", ".join(("params", "x", *("z", "previous")[: len(model.latent.arguments())]))
    return f"complete_log_likelihood({arguments})"


def check_quadratic(model: Model, params: Any, rows: Any) -> None:
    """Raise in one line when a latent's Hessian method is asked for and log p(x, z) is not quadratic in z.

    Args:
        model: the declaration.
        params: at which it is looked at.
        rows: observations, of which the first is looked at.
    """
    if _quadratic_part(model) is None:
        return
    first = jax.tree.map(lambda a: a[0], rows)
    here, there = (np.asarray(h) for h in _hessians(model, params, first))
    if np.any(np.linalg.eigvalsh(here) >= 0) or not np.all(np.isfinite(here)):
        raise ValueError(
            "Continuous(method='hessian'): log p(x, z) has no maximum in z at the initial params: check that it "
            "includes log p(z), or use method='grid'"
        )
    if not np.allclose(here, there, rtol=1e-4, atol=1e-6 * np.max(np.abs(here))):
        raise ValueError(
            "Continuous(method='hessian'): log p(x, z) is not quadratic in z (its Hessian changes with z): use "
            "method='grid' or 'hermite', or lem.Given(posterior)"
        )


def _quadratic_part(model: Model) -> tuple[str | None, Continuous] | None:
    """(the name of the part, the latent) that is integrated by its Hessian, if there is one."""
    latent = model.latent
    name, part = latent.integrated or (None, None) if isinstance(latent, Product) else (None, latent)
    return (name, part) if isinstance(part, Continuous) and part.method == "hessian" else None


@partial(jit, static_argnums=0)
def _hessians(model: Model, params: Any, x: Any) -> tuple[Any, Any]:
    found = _quadratic_part(model)
    assert found is not None
    name, latent = found
    example = latent.example()

    def cll(z: Any) -> Any:
        part = jnp.reshape(z, example.shape)
        whole = part if name is None else {**model.latent.example(), name: part}  # pyright: ignore[reportGeneralTypeIssues]
        return model.complete_log_likelihood(params, x, whole)

    curvature = jax.hessian(cll)
    return curvature(jnp.zeros(example.size)), curvature(jnp.linspace(0.7, 1.9, example.size))
