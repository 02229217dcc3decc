"""Batched LAPACK calls in pieces that never wait for the thread pool: what keeps a program from hanging.

On a CPU, a LAPACK call of JAX on a large batch of matrices splits the batch over XLA's thread pool and waits until
the parts are done. XLA itself runs the independent calls of a program in that pool. Once as many such calls wait as
the pool has threads, no thread is left for the parts they wait for, and the program never ends: two cores and two
independent triangular solves of 10,000 small matrices are enough. Nothing that XLA can be asked for prevents it.

A batch whose work lies below a threshold of JAX is computed where it was called, without the pool. `in_pieces`
rewrites a program so that every batched LAPACK call is a loop over such pieces. It walks what JAX has traced, so that
derivatives and what a user declared are covered alike.

What flows in: a function of arrays. What flows out: a function of the same results. To add a LAPACK primitive that JAX
learns: a line in COST.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import Tracer
from jax.extend import core

#: Work of a piece, in floating-point operations as JAX counts them; JAX uses its pool from 200,000 on.
PIECE = 100_000


def _decomposition(times: int) -> Callable[..., int]:
    """A matrix of rows by columns, at `times` operations for each rows * columns * max(rows, columns)."""
    return lambda a, *_: times * a.shape[-2] * a.shape[-1] * max(a.shape[-2:])


#: Operations of ONE matrix, from the operands, by the name of the primitive; never less than JAX's own count.
COST: dict[str, Callable[..., int]] = {
    "cholesky": _decomposition(1),
    "eig": _decomposition(30),
    "eigh": _decomposition(5),
    "geqp3": _decomposition(2),
    "geqrf": _decomposition(2),
    "hessenberg": _decomposition(10),
    "householder_product": _decomposition(4),
    "lu": _decomposition(1),
    "ormqr": lambda a, taus, c: 4 * c.shape[-2] * c.shape[-1] * taus.shape[-1],
    "schur": _decomposition(30),
    "svd": _decomposition(10),
    "triangular_solve": lambda a, b: a.shape[-1] * b.shape[-2] * b.shape[-1],
    "tridiagonal": _decomposition(4),
}

#: What is said of a program with an array in another precision than the program's. JAX keeps a NumPy array that a
#: function closes over in the precision in which it was first traced, as long as a program that has it is remembered;
#: a second one in the other precision then takes the wrong array.
OTHER_PRECISION = ("an array in another precision", "requires arguments to have the same dtypes")
IN_BOTH = (
    "a function was traced in float32 and in float64, and JAX takes a NumPy array that it uses in the first of both: "
    "write jnp.asarray(array, dtype=jnp.result_type(float)) inside it, or begin a new process"
)

#: Primitives that call one program with their operands. Derivatives have been taken by the time a program is rewritten:
#: what is called can stand in the place of the call.
CALLS = ("jit", "pjit", "closed_call", "core_call", "remat2", "checkpoint", "custom_jvp_call", "custom_vjp_call")


def in_pieces(f: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, to be traced, with every batched LAPACK call of it in pieces."""

    @wraps(f)
    def traced(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = jax.tree.flatten((args, kwargs))
        # What is not traced is static; it stays as it is.
        where = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tracer)]

        def of_arrays(*arrays: Any) -> Any:
            whole = dict(enumerate(leaves)) | dict(zip(where, arrays, strict=True))
            given, named = structure.unflatten(whole.values())
            return f(*given, **named)

        arrays = [leaves[i] for i in where]
        try:
            program, shape = jax.make_jaxpr(of_arrays, return_shape=True)(*arrays)
            return jax.tree.structure(shape).unflatten(_run(program.jaxpr, program.consts, arrays))
        except TypeError as error:
            if not any(told in str(error) for told in OTHER_PRECISION):
                raise
            raise TypeError(IN_BOTH) from None

    return traced


def _batch(eqn: Any) -> int:
    return math.prod(eqn.invars[0].aval.shape[:-2])


def _is_large(eqn: Any) -> bool:
    """A LAPACK call on a batch that might be split over the pool."""
    cost = COST.get(eqn.primitive.name)
    return cost is not None and _batch(eqn) > 1 and _batch(eqn) * cost(*(v.aval for v in eqn.invars)) > PIECE


def _jaxprs(value: Any) -> list[Any]:
    """The programs inside a parameter of an equation."""
    if isinstance(value, core.ClosedJaxpr):
        return [value.jaxpr]
    if isinstance(value, core.Jaxpr):
        return [value]
    if isinstance(value, tuple | list):
        return [j for v in value for j in _jaxprs(v)]
    return []


def _waits(jaxpr: Any) -> bool:
    """Whether a program, or one inside it, makes a LAPACK call on a large batch."""
    return any(
        _is_large(e) or any(_waits(j) for value in e.params.values() for j in _jaxprs(value)) for e in jaxpr.eqns
    )


def _run(jaxpr: Any, consts: Any, args: Any) -> list[Any]:
    """The outputs of a program, equation by equation."""
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, args, strict=True))
    for eqn in jaxpr.eqns:
        operands = [v.val if isinstance(v, core.Literal) else values[v] for v in eqn.invars]
        found = _apply(eqn, operands)
        if any(v.aval.dtype != a.dtype for v, a in zip(eqn.outvars, found, strict=True)):
            raise TypeError(f"{eqn.primitive.name}: {OTHER_PRECISION[0]}")
        values.update(zip(eqn.outvars, found, strict=True))
    return [v.val if isinstance(v, core.Literal) else values[v] for v in jaxpr.outvars]


def _apply(eqn: Any, operands: list[Any]) -> list[Any]:
    if _is_large(eqn):
        return _pieces(eqn, operands)
    inner = {name: value for name, value in eqn.params.items() if any(map(_waits, _jaxprs(value)))}
    if not inner:
        return _bind(eqn, operands, eqn.params)
    name = eqn.primitive.name
    if name in ("while", "scan", "cond"):
        return _bind(eqn, operands, {**eqn.params, **{key: _rewritten(value) for key, value in inner.items()}})
    if name == "custom_linear_solve":
        # Four programs share the constants before the right-hand sides; one of them solves.
        lengths, programs = eqn.params["const_lengths"], eqn.params["jaxprs"]
        before = lengths.matvec + lengths.vecmat
        return _closed(programs.solve, [*operands[before : before + lengths.solve], *operands[sum(lengths) :]])
    if name in CALLS:
        return _closed(closed_program(eqn), operands)
    if name == "shard_map":
        return _on_devices(eqn, operands)
    return _bind(eqn, operands, eqn.params)


def _on_devices(eqn: Any, operands: list[Any]) -> list[Any]:
    """A program that every device runs on its part, with the calls inside it in pieces."""
    params = eqn.params
    f = jax.shard_map(
        lambda *args: tuple(_closed(params["jaxpr"], list(args))),
        mesh=params["mesh"],
        in_specs=params["in_specs"],
        out_specs=params["out_specs"],
        axis_names=params["manual_axes"],
        check_vma=params["check_vma"],
    )
    return list(f(*operands))


def closed_program(eqn: Any) -> Any:
    """The program that an equation among CALLS calls with its operands; None of another equation."""
    if eqn.primitive.name not in CALLS:
        return None
    found = next(v for v in eqn.params.values() if isinstance(v, core.ClosedJaxpr | core.Jaxpr))
    return found if isinstance(found, core.ClosedJaxpr) else core.ClosedJaxpr(found, ())


def _closed(program: Any, operands: list[Any]) -> list[Any]:
    if isinstance(program, core.ClosedJaxpr):
        return _run(program.jaxpr, program.consts, operands)
    return _run(program, (), operands)


def _rewritten(value: Any) -> Any:
    """A program, or several, with the calls inside it in pieces."""
    if isinstance(value, tuple | list):
        return type(value)(map(_rewritten, value))
    shapes = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype, weak_type=v.aval.weak_type) for v in value.jaxpr.invars]
    return jax.make_jaxpr(lambda *args: _closed(value, list(args)))(*shapes)


def _bind(eqn: Any, operands: list[Any], params: Any) -> list[Any]:
    found = eqn.primitive.get_bind_params(params)
    functions, rest = found if isinstance(found, tuple) else ((), found)  # JAX up to 0.10.0 gives functions apart
    with eqn.ctx.manager:
        result = eqn.primitive.bind(*functions, *operands, **rest)
    return list(result) if eqn.primitive.multiple_results else [result]


def _pieces(eqn: Any, operands: list[Any]) -> list[Any]:
    """One LAPACK call as a loop over pieces of its batch, and the rest that fills none."""
    batch = eqn.invars[0].aval.shape[:-2]
    n = math.prod(batch)
    size = min(n, max(1, PIECE // COST[eqn.primitive.name](*operands)))
    rows = [a.reshape(n, *a.shape[len(batch) :]) for a in operands]
    call = partial(_bind, eqn, params=eqn.params)
    count = n // size
    main = [a[: count * size].reshape(count, size, *a.shape[1:]) for a in rows]
    parts = [a.reshape(count * size, *a.shape[2:]) for a in lax.map(call, main)]
    if count * size < n:
        rest = call([a[count * size :] for a in rows])
        parts = [jnp.concatenate(pair) for pair in zip(parts, rest, strict=True)]
    return [a.reshape(*batch, *a.shape[1:]) for a in parts]
