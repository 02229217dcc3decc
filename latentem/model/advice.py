"""What to write instead, where a density cannot be traced: one table from exceptions to advice."""

from __future__ import annotations

import difflib
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax

#: Longest part of a message that is told.
LONGEST = 160


class Case(NamedTuple):
    """A kind of mistake.

    Args:
        applies: whether an exception, with its first line and what the function was given, is of this kind.
        advice: what to write instead; of what the function was given.
    """

    applies: Callable[[Exception, str, Mapping[str, Any]], bool]
    advice: str | Callable[[Exception, Mapping[str, Any]], str]


def _kind(*kinds: Any) -> Callable[..., bool]:
    return lambda error, text, given: isinstance(error, kinds)


def _says(*parts: str) -> Callable[..., bool]:
    return lambda error, text, given: any(part in text for part in parts)


def _columns(value: Any) -> list[str]:
    return [str(name) for name in value] if isinstance(value, Mapping) else []


def _names(tree: Any) -> list[str]:
    """All names in nested dicts."""
    if not isinstance(tree, Mapping):
        return []
    return [*map(str, tree), *(name for inner in tree.values() for name in _names(inner))]


def _missing(error: Exception, given: Mapping[str, Any]) -> str:
    name = error.args[0] if error.args else ""
    x, params = given.get("x"), _names(given.get("params"))
    if not isinstance(name, str):
        return f"x is a dict of columns {', '.join(_columns(x))}: write x[{(_columns(x) or ['name'])[0]!r}]"
    near = difflib.get_close_matches(name, [*params, *_columns(x)], n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}? " if near else ""
    columns = f"; x has columns {', '.join(_columns(x))}" if _columns(x) else ""
    return f"{hint}params are {', '.join(params) or 'none'}{columns}"


def _shapes(error: Exception, given: Mapping[str, Any]) -> str:
    leaves, _ = jax.tree_util.tree_flatten_with_path(dict(given))
    names = [(jax.tree_util.keystr(path[:1])[2:-2] + jax.tree_util.keystr(path[1:]), a.shape) for path, a in leaves]
    return f"shapes of ONE observation and ONE latent value: {', '.join(f'{n} {s}' for n, s in names[:8])}"


def _is_dict(error: Exception, text: str, given: Mapping[str, Any]) -> bool:
    return "'dict'" in text or "<class 'dict'>" in text


def _of_dict(error: Exception, given: Mapping[str, Any]) -> str:
    x = given.get("x")
    if isinstance(x, Mapping):
        first = (_columns(x) or ["name"])[0]
        return f"x is a dict of the columns {', '.join(_columns(x))}: write x[{first!r}], or pass the data as an array"
    return "params is a dict: write params['name']"


#: The first that applies is told.
CASES: tuple[Case, ...] = (
    Case(
        _kind(jax.errors.TracerBoolConversionError),
        "z, x and params are traced, so that Python's if, and, or, while cannot look at them: write "
        "jnp.where(condition, a, b), & and |",
    ),
    Case(
        _kind(jax.errors.TracerArrayConversionError),
        "a function of NumPy or SciPy cannot be traced: write jnp.log for np.log, jax.scipy.stats for scipy.stats",
    ),
    Case(
        _kind(jax.errors.NonConcreteBooleanIndexError),
        "a mask as an index has no fixed size: write jnp.where(mask, a, 0)",
    ),
    Case(
        _kind(jax.errors.TracerIntegerConversionError),
        "a list, tuple or range takes no traced index: make it an array, jnp.asarray(values)[z]",
    ),
    Case(
        _kind(jax.errors.ConcretizationTypeError),
        "float(), int(), math.log() and shapes cannot come from z, x or params: write jnp.log, and sizes as numbers",
    ),
    Case(
        _says("unhashable type"),
        "a dict takes no traced key: keep the param of all latent values in one array, params['rate'][z]",
    ),
    Case(_kind(KeyError), _missing),
    Case(
        _says("string indexing", "Unexpected input type for array: <class 'str'>", "indices must be integers"),
        "x is an array: for x['name'] pass a table, or a dict of columns, as the data",
    ),
    Case(_is_dict, _of_dict),
    Case(
        _says("positional argument"),
        "expected the arguments (params, x, z), and (params, x, z, previous) of a chain",
    ),
    Case(
        _says(
            "incompatible shapes",
            "Incompatible shapes",
            "dot_general",
            "must have equal",
            "broadcast",
            "Too many indices",
        ),
        _shapes,
    ),
    Case(
        _says("has no attribute"),
        "x and params hold JAX arrays and dicts of them: write functions of jax.numpy",
    ),
)


def explained(error: Exception, params: Any = None, x: Any = None, **more: Any) -> str:
    """An exception of tracing as one line: what it is, and what to write instead.

    Args:
        error: the exception.
        params, x, more: what the function was given, as shapes.
    """
    first = first_line(error)
    told = f"{type(error).__name__}: {first}"
    given = {name: value for name, value in {"params": params, "x": x, **more}.items() if value is not None}
    case = next((case for case in CASES if case.applies(error, str(error), given)), None)
    if case is None:
        return told
    advice = case.advice if isinstance(case.advice, str) else case.advice(error, given)
    return f"{told}: {advice}"


def first_line(error: Exception) -> str:
    """The first line of a message, and not too much of it."""
    lines = str(error).strip().splitlines()
    text = re.sub(r"\s+", " ", lines[0]).rstrip(".:") if lines else ""
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


@contextmanager
def traced(what: str) -> Iterator[None]:
    """Exceptions of tracing as one TypeError that names the function of the user's in which they came up.

    Args:
        what: what was traced, where no function of the user's is found.
    """
    try:
        yield
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
        raise TypeError(f"{_place(error) or what} cannot be traced: {explained(error)}") from error


def _place(error: Exception) -> str:
    """The innermost function that is neither of this package nor of JAX."""
    own = str(Path(__file__).parents[1])
    inner = ("/jax/", "/jaxlib/", "/numpy/", "/scipy/", "/equinox/", "/jaxtyping/", "<frozen", "contextlib.py")
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = frame.filename.replace("\\", "/")
        if not path.startswith(own) and not any(part in path for part in inner):
            return f"{frame.name}, line {frame.lineno} of {Path(path).name},"
    return ""
