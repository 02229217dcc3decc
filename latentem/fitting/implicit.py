"""The maximiser as a differentiable function of weights, data and prior: EM and Newton forward, the implicit function
theorem backward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util, lax
from jax.core import Tracer
from jaxtyping import Array, Float

from latentem.ascent import derivatives
from latentem.ascent.acceleration import SQUAREM
from latentem.ascent.iteration import em_map
from latentem.ascent.loop import Stopping, at, iterate
from latentem.ascent.mstep import Newton, resolve
from latentem.data import Data
from latentem.forms import Form, Prepared
from latentem.forms.choose import as_declared
from latentem.model import Model
from latentem.model.declared import declare
from latentem.numerics.compiled import forget_other_precision, jit
from latentem.numerics.newton import newton_ascent

Vector = Float[Array, " P"]

#: Eigenvalues of the information, relative to the largest, below which a direction counts as not identified.
SINGULAR = 1e-11
#: Change of the objective, relative to max(N, |objective|), at which Newton takes over from EM.
GAIN = 1e-8


@dataclass(frozen=True)
class _Setup:
    """What a solution compiles for."""

    model: Model
    prior: Callable[[Any, Any], Array] | None
    iterations: int

    def form(self, hyperparameters: Any) -> Form:
        """The model with the prior at these hyperparameters."""
        if self.prior is None:
            return as_declared(self.model)
        extra = self.prior

        def log_prior(params: Any) -> Array:
            return self.model.log_prior(params) + extra(params, hyperparameters)

        return as_declared(replace(self.model, prior=log_prior))


def solve(
    model: Any,
    data: Any,
    *,
    initial: Any,
    weights: Any = None,
    prior: Callable[[Any, Any], Any] | None = None,
    hyperparameters: Any = None,
    iterations: int = 300,
) -> Any:
    """Params that maximise log-likelihood + log prior, as a function that JAX can differentiate in reverse mode.

    Unlike `lem.fit` this is for use inside `jax.grad` and `jax.jit`: it runs in the precision of the caller (turn on
    float64 with `jax.enable_x64(True)`: the theorem needs an exact maximum), returns JAX arrays, and cannot raise
    once it is traced.

    Args:
        model: a `Model`; a ready model only where `data` is not traced (inside `jax.grad` pass `fit.model`).
        data: observations, pytree of arrays with leading axis N; floating leaves are differentiated.
        initial: params to start from, usually `fit.params`: the solution is the maximum that EM reaches from there.
        weights: (N,), differentiated; ones when left out.
        prior: `(params, hyperparameters) -> log density`, added to what the model has.
        hyperparameters: pytree of arrays, differentiated.
        iterations: most accelerated EM iterations before Newton takes over.

    Returns:
        Pytree of params. Its derivative is NaN where the theorem does not hold: the iteration has not come to a
        maximum, or the information is singular along what is asked for (the residual of the linear solve is checked).

    Raises:
        TypeError, ValueError: a model, initial params or weights that cannot be used.

    >>> def log_density(params, x, z):
    ...     return -0.5 * (x - params["mean"]) ** 2
    >>> model = lem.Model(log_density, lem.Finite(1), {"mean": lem.real()})
    >>> x = jnp.array([1.0, 2.0, 6.0])
    >>> mean = lambda w: lem.solve(model, x, initial={"mean": 0.0}, weights=w)["mean"]
    >>> [round(float(g), 3) for g in jax.grad(mean)(jnp.ones(3))]
    [-0.667, -0.333, 1.0]

    Source: Krantz and Parks (2002), The Implicit Function Theorem; Blondel et al. (2022), NeurIPS 35.
    """
    model, rows = _declared(model, data)
    if why := as_declared(model).can("differentiate"):
        raise ValueError(f"solve: {why}")
    if not _traced((rows, weights)):
        forget_other_precision(jnp.result_type(float).name)
        rows = model.latent.read(rows, weights).observations
    rows = jax.tree.map(jnp.asarray, rows)
    counts = {a.shape[0] if a.ndim else None for a in jax.tree.leaves(rows)}
    if len(counts) != 1 or None in counts:
        raise ValueError(
            f"data with leading axes {sorted(map(str, counts))}: expected arrays with one common leading axis N"
        )
    (n,) = counts
    dtype = jnp.result_type(float)
    weights = jnp.ones(n, dtype) if weights is None else jnp.asarray(weights, dtype)
    if weights.shape != (n,):
        raise ValueError(f"weights have shape {weights.shape}: expected ({n},), one for each row of the observations")
    if iterations < 0:
        raise ValueError(f"iterations={iterations!r}: expected at least 0")
    if not _traced(initial):
        with jax.ensure_compile_time_eval():
            initial = model.space.check(initial)
    initial = jax.tree.map(lambda a: jnp.asarray(a, dtype), initial)
    hyperparameters = jax.tree.map(lambda a: jnp.asarray(a, dtype), hyperparameters)
    setup = _Setup(model, prior, iterations)
    leaves, treedef = jax.tree.flatten(rows)
    floats = tuple(a for a in leaves if jnp.issubdtype(a.dtype, jnp.floating))
    others = tuple(a for a in leaves if not jnp.issubdtype(a.dtype, jnp.floating))
    kinds = tuple(bool(jnp.issubdtype(a.dtype, jnp.floating)) for a in leaves)
    return _solved((setup, treedef, kinds), lax.stop_gradient(initial), floats, others, weights, hyperparameters)


def _declared(model: Any, data: Any) -> tuple[Model, Any]:
    if isinstance(model, Model):
        return model, data
    if _traced(data):
        raise TypeError("a ready model cannot look at traced data: pass the Model it became, `fit.model`")
    return declare(model, data)


def _traced(tree: Any) -> bool:
    return any(isinstance(a, Tracer) for a in jax.tree.leaves(tree))


def _rows(treedef: Any, kinds: tuple[bool, ...], floats: tuple[Array, ...], others: tuple[Array, ...]) -> Any:
    real, rest = iter(floats), iter(others)
    return jax.tree.unflatten(treedef, [next(real) if kind else next(rest) for kind in kinds])


def _score(setup: Any, u: Vector, floats: Any, others: Any, weights: Array, hyperparameters: Any) -> Vector:
    problem, treedef, kinds = setup
    form = problem.form(hyperparameters)
    return derivatives.score(form, _prepared(form, _rows(treedef, kinds, floats, others), weights), u)


def _prepared(form: Form, rows: Any, weights: Array) -> Prepared:
    return form.of_new(Data(rows, weights), str(weights.dtype))  # pyright: ignore[reportArgumentType]


@partial(jit, static_argnums=0)
def _climbed(setup: Any, initial: Any, floats: Any, others: Any, weights: Array, hyperparameters: Any) -> Vector:
    problem, treedef, kinds = setup
    form = problem.form(hyperparameters)
    space = problem.model.space
    prepared = _prepared(form, _rows(treedef, kinds, floats, others), weights)
    em, unravel = em_map(form, resolve("auto", form) if problem.prior is None else Newton(), prepared, initial)
    begun = at(SQUAREM(), flatten_util.ravel_pytree(initial)[0])
    end = iterate(SQUAREM(), em, begun, Stopping(GAIN, 0.0, problem.iterations), jnp.sum(weights))
    return newton_ascent(
        partial(derivatives.objective, form, prepared),
        partial(derivatives.score_and_hessian, form, prepared),
        space.unconstrain(unravel(end.safe)),
        iterations=100,
        tolerance=1e-17,
    ).u


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _solved(setup: Any, initial: Any, floats: Any, others: Any, weights: Array, hyperparameters: Any) -> Any:
    return _forward(setup, initial, floats, others, weights, hyperparameters)[0]


def _forward(
    setup: Any, initial: Any, floats: Any, others: Any, weights: Array, hyperparameters: Any
) -> tuple[Any, Any]:
    u = _climbed(setup, initial, floats, others, weights, hyperparameters)
    space = setup[0].model.space
    return space.with_fixed(space.constrain(u)), (initial, u, floats, others, weights, hyperparameters)


@partial(jit, static_argnums=0)
def _pull_back(setup: Any, kept: Any, cotangent: Any) -> Any:
    """Cotangents of (floats, weights, hyperparameters): -score' (Hessian)^-1 (cotangent in u)."""
    _, u, floats, others, weights, hyperparameters = kept
    space = setup[0].model.space
    _, through_params = jax.vjp(lambda v: space.with_fixed(space.constrain(v)), u)
    (target,) = through_params(cotangent)

    def score(v: Vector, f: Any, w: Array, h: Any) -> Vector:
        return _score(setup, v, f, others, w, h)

    gradient = score(u, floats, weights, hyperparameters)
    raw = derivatives.jacobian_in_blocks(lambda v: score(v, floats, weights, hyperparameters), u)
    hessian = 0.5 * (raw + raw.T)
    eigenvalues, vectors = jnp.linalg.eigh(-hessian)
    size = jnp.max(jnp.abs(eigenvalues), initial=0.0)
    singular = jnp.maximum(SINGULAR, 100 * jnp.finfo(u.dtype).eps) * size
    inverse = jnp.where(jnp.abs(eigenvalues) > singular, 1.0 / jnp.where(eigenvalues == 0, 1.0, eigenvalues), 0.0)
    adjoint = vectors @ (inverse * (vectors.T @ target))
    residual = jnp.linalg.norm(-hessian @ adjoint - target)
    left = jnp.abs(gradient @ (vectors @ (inverse * (vectors.T @ gradient))))
    tight = 1e-9 if u.dtype == jnp.float64 else 1e-4
    sound = residual <= jnp.sqrt(tight) * jnp.linalg.norm(target)
    sound = sound & (left <= tight * (1 + jnp.sum(weights)))
    adjoint = jnp.where(sound, adjoint, jnp.nan)
    _, through_score = jax.vjp(lambda f, w, h: score(u, f, w, h), floats, weights, hyperparameters)
    return through_score(adjoint)


def _backward(setup: Any, kept: Any, cotangent: Any) -> Any:
    initial, _, _, others, _, _ = kept
    floats, weights, hyperparameters = _pull_back(setup, kept, cotangent)
    still = jax.tree.map(jnp.zeros_like, initial)
    none = tuple(np.zeros(a.shape, jax.dtypes.float0) for a in others)
    return still, floats, none, weights, hyperparameters


_solved.defvjp(_forward, _backward)
