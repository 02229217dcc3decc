"""How programs are compiled and waited for: the one place that calls `jax.jit`.

Every program of the package goes through `jit`, which keeps it from hanging on a CPU (`latentem.numerics.lapack` says
why it would) and ends on Ctrl-C while it runs; `seldom` is the same for programs that run a few times. JAX's own
settings are left alone.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, cached_property, update_wrapper, wraps
from pathlib import Path
from typing import Any

import jax
from jax.core import Tracer

from latentem.numerics.lapack import in_pieces

#: Share of the memory maps that the system allows a process, at which compiled programs are dropped.
FULL = 0.7
#: Calls between two looks; a look costs milliseconds, and this many fits stay far below what FULL leaves free.
CALLS = 4

#: Options of XLA that make it compile fast on a CPU: its older code generator.
QUICK: dict[str, Any] = {"xla_cpu_use_fusion_emitters": False}

_MAPS, _LIMIT = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
_calls = 0

#: What `ahead` has compiled, and how many of them it remembers.
_seen: set[Any] = set()
MOST = 256


#: The precision in which functions were traced last.
_precision = ""


def forget_other_precision(dtype: str) -> None:
    """Drop what JAX has traced when it was in another precision: it keeps the NumPy arrays that functions close over in
    the precision in which it first met them, and a program in the other precision would take those.

    Args:
        dtype: "float64" or "float32", in which functions are traced next.
    """
    global _precision
    if _precision not in ("", dtype):
        forget()
    _precision = dtype


def forget() -> None:
    """Drop what JAX has traced and compiled."""
    jax.clear_caches()
    _seen.clear()
    gc.collect()


def make_room() -> bool:
    """Drop what JAX has compiled when this process has used most of its memory maps; True when it did.

    Each fit of a new model leaves about a thousand memory maps behind, and a process that runs out of them crashes
    inside the compiler, with everything it has fitted.
    Nothing but time is lost: what is needed again is compiled again, or read from a persistent compilation cache. Only
    Linux limits memory maps; elsewhere nothing is done.
    """
    global _calls
    _calls += 1
    if _calls % CALLS or not _LIMIT.exists():
        return False
    if _MAPS.read_bytes().count(b"\n") < FULL * int(_LIMIT.read_text()):
        return False
    forget()
    return True


#: Seconds for which a program is looked at without pause; then so much of the time it has taken passes between two
#: looks, and at most so many seconds: what is lost by looking late is a fiftieth.
NO_PAUSE, SHARE, LONGEST_PAUSE = 2e-4, 0.02, 0.05


def patient(result: Any) -> Any:
    """`result`, a pytree of arrays, once it is there; Ctrl-C is heard while it is computed."""
    for leaf in jax.tree.leaves(result):
        if isinstance(leaf, Tracer) or not hasattr(leaf, "is_ready"):
            continue
        began = time.perf_counter()
        while not leaf.is_ready():
            taken = time.perf_counter() - began
            time.sleep(0 if taken < NO_PAUSE else min(SHARE * taken, LONGEST_PAUSE))
    return result


#: Held by the thread that traces.
_tracing = threading.RLock()


def one_at_a_time(f: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, to be traced, which one thread traces at a time; what is traced compiles and runs freely.

    Two threads that trace one `custom_jvp` race inside JAX ("Store occupied").
    """

    @wraps(f)
    def traced(*args: Any, **kwargs: Any) -> Any:
        with _tracing:
            return f(*args, **kwargs)

    return traced


class jit:
    """`jax.jit`, for programs that always end, and that several threads may call.

    Args:
        f: what to compile.
        static_argnums, static_argnames: as for `jax.jit`.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        static_argnums: int | tuple[int, ...] | None = None,
        static_argnames: str | tuple[str, ...] | None = None,
    ) -> None:
        self._f, self._static = f, {"static_argnums": static_argnums, "static_argnames": static_argnames}
        # What f holds stays its own: it may be a derivative of another `jit`, with a program of that one.
        update_wrapper(self, f, updated=())

    @cached_property
    def _program(self) -> Any:
        # The backend is asked for when a program is first needed, not when this module is imported.
        if jax.default_backend() != "cpu":
            return jax.jit(one_at_a_time(self._f), **self._static)
        return jax.jit(one_at_a_time(in_pieces(self._f)), compiler_options=self._options(), **self._static)

    def _options(self) -> dict[str, Any] | None:
        return None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return patient(self._program(*args, **kwargs))

    def lower(self, *args: Any, **kwargs: Any) -> Any:
        """As that of `jax.jit`."""
        return self._program.lower(*args, **kwargs)

    def clear_cache(self) -> None:
        """As that of `jax.jit`."""
        self._program.clear_cache()


class seldom(jit):
    """`jit` of a function that runs a few times a fit, such as its starts and its second derivatives.

    On a CPU, XLA's older code generator is asked for: it compiles such programs in two thirds of the time and with less
    memory. Loops over rows run slower by it, so that EM itself is compiled as usual.

    Args:
        f: what to compile; not to be called from inside another compiled function.
        static_argnums: as for `jax.jit`.
    """

    def __init__(self, f: Callable[..., Any], static_argnums: int | tuple[int, ...] = 0) -> None:
        super().__init__(f, static_argnums)

    def _options(self) -> dict[str, Any] | None:
        return _quick()


@cache
def _quick() -> dict[str, Any] | None:
    """QUICK, or None where this XLA does not know it."""
    if jax.default_backend() != "cpu":
        return None
    try:
        jax.jit(lambda: 0, compiler_options=QUICK).lower().compile()
    except jax.errors.JaxRuntimeError:  # XLA's "No such compile option"
        return None
    return QUICK


@contextmanager
def ahead(program: Any, static: Any, *args: Any) -> Iterator[None]:
    """Compile `program(static, *args)` on another core while the block runs, the first time such arguments come.

    A program that does not compile says so when it is called, not here.

    Args:
        program: what `seldom(f)`, or `jax.jit(f, static_argnums=0)`, returned.
        static: its static argument.
        args: pytrees of arrays.
    """
    leaves, structure = jax.tree.flatten(args)
    shapes = tuple((a.shape, a.dtype) for a in leaves)
    signature = (program, static, structure, shapes)
    if signature in _seen:
        yield
        return
    if len(_seen) >= MOST:
        _seen.clear()
    _seen.add(signature)
    # Traced in this thread: what a user declared runs in no other.
    lowered = _lowered(program, static, *args)
    if lowered is None:
        yield
        return
    with ThreadPoolExecutor(1) as other:
        other.submit(lowered.compile)
        yield


def _lowered(program: Any, *args: Any) -> Any:
    """The program, traced; None where it cannot be. Whoever calls it is told why: a fit that ends before it needs its
    second derivatives must not fail because there are none."""
    try:
        return program.lower(*args)
    except Exception:
        return None
