"""What JAX lets pass in a declaration: indices out of range, which it clamps or wraps, and params that nothing uses.

`strict(f)` is f with NaN wherever an index was out of range and the result depends on what was found there: a table
looked up at -1 or beyond its end, but not one whose answer is masked afterwards. It walks what JAX has traced.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core
from jaxtyping import Array

from latentem.model.base import Model
from latentem.numerics.compiled import seldom
from latentem.numerics.lapack import CALLS, closed_program

#: An index that lies outside of every array.
NOWHERE = 2**30
#: Rows looked at.
ROWS = 2000


def strict(f: Callable[..., Any]) -> Callable[..., Any]:
    """f of arrays, NaN where the result hangs on an index out of range."""

    def traced(*args: Any) -> Any:
        program, shape = jax.make_jaxpr(f, return_shape=True)(*args)
        return jax.tree.unflatten(jax.tree.structure(shape), _run(program.jaxpr, program.consts, jax.tree.leaves(args)))

    return traced


def _run(jaxpr: Any, consts: Any, args: Any) -> list[Any]:
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, args, strict=True))
    made = {v: eqn for eqn in jaxpr.eqns for v in eqn.outvars}

    def read(v: Any) -> Any:
        return v.val if isinstance(v, core.Literal) else values[v]

    for eqn in jaxpr.eqns:
        operands = [read(v) for v in eqn.invars]
        values.update(zip(eqn.outvars, _apply(eqn, operands, made, read), strict=True))
    return [read(v) for v in jaxpr.outvars]


def _apply(eqn: Any, operands: list[Any], made: dict[Any, Any], read: Callable[[Any], Any]) -> list[Any]:
    name = eqn.primitive.name
    if name in CALLS:
        called = closed_program(eqn)
        if called is not None:
            return _run(called.jaxpr, called.consts, operands)
    result = eqn.primitive.bind(*operands, **eqn.params)
    if name == "select_n" and _counts_from_the_end(eqn, made):
        return [_or_nowhere(result, operands[0])]
    if name == "gather":
        return [_or_nowhere(result, ~_gathers_inside(eqn, *operands))]
    if name == "dynamic_slice":
        return [_or_nowhere(result, ~_slices_inside(eqn, *operands))]
    return list(result) if eqn.primitive.multiple_results else [result]


def _counts_from_the_end(eqn: Any, made: dict[Any, Any]) -> bool:
    """Whether this chooses i + size where i < 0, which is how JAX lets an index count from the end."""
    if len(eqn.invars) != 3 or not jnp.issubdtype(eqn.outvars[0].aval.dtype, jnp.integer):
        return False
    condition, plain, shifted = eqn.invars
    less, added = made.get(condition), made.get(shifted)
    if less is None or added is None or less.primitive.name != "lt" or added.primitive.name != "add":
        return False
    return less.invars[0] is plain and plain in [v for v in added.invars if not isinstance(v, core.Literal)]


def _or_nowhere(value: Array, outside: Array) -> Array:
    if jnp.issubdtype(value.dtype, jnp.integer):
        far = min(NOWHERE, int(jnp.iinfo(value.dtype).max))
        return jnp.where(outside, jnp.asarray(far, value.dtype), value)
    if jnp.issubdtype(value.dtype, jnp.inexact):
        return jnp.where(outside, jnp.nan, value)
    return value


def _slices_inside(eqn: Any, operand: Any, *starts: Any) -> Array:
    sizes = eqn.params["slice_sizes"]
    inside = [(s >= 0) & (s <= n - size) for s, n, size in zip(starts, operand.shape, sizes, strict=False)]
    return jnp.all(jnp.stack([jnp.asarray(i) for i in inside])) if inside else jnp.asarray(True)


def _gathers_inside(eqn: Any, operand: Any, indices: Any) -> Array:
    """For each entry of the result, whether it was found inside the operand."""
    numbers, sizes = eqn.params["dimension_numbers"], eqn.params["slice_sizes"]
    limits = np.array([operand.shape[d] - sizes[d] for d in numbers.start_index_map])
    inside = jnp.all((indices >= 0) & (indices <= limits), axis=-1)
    result = eqn.outvars[0].aval
    where = [d for d in range(len(result.shape)) if d not in numbers.offset_dims]
    return lax.broadcast_in_dim(inside, result.shape, where)


def index_fault(model: Model, params: Any, rows: Any) -> str:
    """Which of the first rows makes log p(x, z) look up an index that is not there, and hangs on it; empty where none
    does.

    Args:
        model: the declaration, of independent observations on nodes.
        params: at which it is looked at.
        rows: pytree of arrays with leading axis N.
    """
    nodes = model.latent.nodes()
    if nodes is None or not _looks_up(model, _shapes(rows)):
        return ""
    first = jax.tree.map(lambda a: np.asarray(a)[:ROWS], rows)
    faults = np.asarray(_faults(model, params, first, nodes[0]))
    if not faults.any():
        return ""
    row, value = (int(i) for i in np.argwhere(faults)[0])
    shown = ", ".join(f"{name}{_shown(np.asarray(leaf)[row])}" for name, leaf in _named(rows))
    return f"row {row} ({shown}) with z = {jax.tree.map(lambda a: np.asarray(a)[value].tolist(), nodes[0])}"


def _shown(value: Any) -> str:
    return np.array2string(np.asarray(value), precision=4, threshold=6).replace("\n", "")


def _named(rows: Any) -> list[tuple[str, Any]]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(rows)
    return [(f"{jax.tree_util.keystr(path)} = " if path else "x = ", leaf) for path, leaf in leaves[:4]]


def _shapes(tree: Any) -> tuple[Any, tuple[Any, ...]]:
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple((np.shape(a)[1:], str(jnp.result_type(a))) for a in leaves)


def _of(shapes: tuple[Any, tuple[Any, ...]]) -> Any:
    """One row, as shapes."""
    structure, leaves = shapes
    return structure.unflatten([jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in leaves])


def _params(model: Model) -> Any:
    return jax.eval_shape(model.space.constrain, jax.ShapeDtypeStruct((model.space.size,), "float32"))


@lru_cache(maxsize=256)
def _looks_up(model: Model, shapes: tuple[Any, tuple[Any, ...]]) -> bool:
    """Whether log p(x, z) of one row indexes anything at all by what is not a constant."""

    def finds(jaxpr: Any) -> bool:
        return any(
            e.primitive.name in ("gather", "dynamic_slice") or any(finds(getattr(j, "jaxpr", j)) for j in _programs(e))
            for e in jaxpr.eqns
        )

    return finds(
        jax.make_jaxpr(model.complete_log_likelihood)(_params(model), _of(shapes), model.latent.example()).jaxpr
    )


def _programs(eqn: Any) -> list[Any]:
    found = closed_program(eqn)
    return [] if found is None else [found]


@seldom
def _faults(model: Model, params: Any, rows: Any, nodes: Any) -> Array:
    """(n, K): log p(x, z) is NaN only because an index is out of range."""

    def of_pair(x: Any, z: Any) -> Array:
        cll = partial(model.complete_log_likelihood, params)
        return jnp.isnan(strict(cll)(x, z)) & ~jnp.isnan(cll(x, z))

    return jax.vmap(lambda x: jax.vmap(lambda z: of_pair(x, z))(nodes))(rows)


def unused_params(model: Model, rows: Any) -> tuple[str, ...]:
    """Names of the params with something to estimate that appear in no log p(x, z)."""
    return _unused(model, _shapes(rows))


@lru_cache(maxsize=256)
def _unused(model: Model, shapes: tuple[Any, tuple[Any, ...]]) -> tuple[str, ...]:
    params = _params(model)
    program = jax.make_jaxpr(model.complete_log_likelihood)(params, _of(shapes), *model.latent.arguments())
    count = len(jax.tree.leaves(params))
    used = set(_reached(program.jaxpr))
    free = [c.size > 0 for c in model.space.constraints]
    unused = [v not in used for v in program.jaxpr.invars[:count]]
    return tuple(n for n, u, f in zip(model.space.names, unused, free, strict=True) if u and f)


def _reached(jaxpr: Any) -> list[Any]:
    """Variables that the results of a program hang on, whole calls taken to use all of their operands."""
    wanted = {v for v in jaxpr.outvars if not isinstance(v, core.Literal)}
    for eqn in reversed(jaxpr.eqns):
        if any(v in wanted for v in eqn.outvars) or eqn.effects:
            wanted |= {v for v in eqn.invars if not isinstance(v, core.Literal)}
    return list(wanted)


def check_declared(model: Model, params: Any, rows: Any) -> tuple[str, ...]:
    """What a fit says of a declaration of a user's own: notes of params that nothing uses.

    Raises:
        ValueError: log p(x, z) looks up an index that is out of range, and hangs on it.
    """
    if model.declaration is not None or len(model.latent.arguments()) != 1:
        return ()
    fault = index_fault(model, params, rows)
    if fault:
        raise ValueError(
            f"log p(x, z) looks up an index that is out of range in {fault}: count codes from 0, mask missing ones, "
            "and give every table as many entries as there are codes"
        )
    unused = unused_params(model, rows)
    return tuple(f"{name} appears in no log p(x, z): nothing was learned about it" for name in unused)
