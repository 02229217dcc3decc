"""The prior of all parameters: independent parts by name, or a function of all of them."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from latentem.priors.base import Prior

Path = tuple[Any, ...]


class Space(Protocol):
    """What `Joint.of` asks of a parameter space: its tree of declared parameters."""

    @property
    def tree(self) -> PyTree: ...


@dataclass(frozen=True)
class Joint:
    """The prior of all parameters: independent parts, each on the parameter (or subtree) at one path.

    `entries` holds (path, part); a part is a `Prior` or a function of the value there that returns a log
    density. The path () stands for all parameters together. A joint without entries is false.
    """

    entries: tuple[tuple[Path, Prior | Callable[[Any], Any]], ...] = ()

    @classmethod
    def of(cls, prior: Any, space: Space | None = None) -> Joint:
        """Return the joint prior that a user's declaration stands for.

        Args:
            prior: None; a dict, nested like the parameters, of name -> `Prior` or function of that
            parameter; a
                function of all parameters; or a `Joint`.
            space: a parameter space; when given, every path must be in it.

        Returns:
            A hashable value.

        Raises:
            TypeError: for an entry that is neither a prior nor a function.
            ValueError: for a name that `space` lacks, or a prior that does not fit the parameter's shape.

        >>> round(float(Joint.of({"rate": lem.priors.Gamma(1, 1)}).log_prob({"rate": 2.0, "weight": 0.5})), 4)
        -2.0
        """
        joint = prior if isinstance(prior, Joint) else cls(tuple(_walk(prior, ())))
        if space is not None:
            for path, part in joint.entries:
                _check_entry(path, part, space.tree)
        return joint

    def __bool__(self) -> bool:
        return bool(self.entries)

    def get(self, path: str | Path) -> Prior | Callable[[Any], Any] | None:
        """Return the part at a path, a tuple of keys or a dotted name; None if there is none."""
        wanted = path.split(".") if isinstance(path, str) else [str(key) for key in path]
        return next((part for own, part in self.entries if [str(key) for key in own] == wanted), None)

    def log_prob(self, params: PyTree) -> Float[Array, ""]:
        """Return the sum of the parts' log densities at the parameters; 0 without entries."""
        total = jnp.zeros(())
        for i, (path, part) in enumerate(self.entries):
            value = params
            for key in path:
                value = value[key]
            term = jnp.asarray(part.log_prob(value) if isinstance(part, Prior) else part(value))
            total = term if i == 0 else total + term
        return total


def _walk(prior: Any, path: Path) -> Iterator[tuple[Path, Prior | Callable[[Any], Any]]]:
    if isinstance(prior, Mapping):
        for key, inner in prior.items():
            yield from _walk(inner, (*path, key))
    elif isinstance(prior, Prior) or (callable(prior) and not isinstance(prior, type)):
        yield path, prior
    elif prior is not None:
        expected = "expected a prior such as priors.Gamma(2.0, 1.0), a function returning a log density, or a dict"
        raise TypeError(f"{_named(path)} = {reprlib.repr(prior)}: {expected}")


def _check_entry(path: Path, part: Prior | Callable[[Any], Any], tree: Any) -> None:
    for depth, key in enumerate(path):
        names: list[Any] = list(tree) if isinstance(tree, Mapping) else []
        if isinstance(tree, (list, tuple)):
            names = list(range(len(tree)))
        if key not in names:
            known = ", ".join(map(repr, names)) or "nothing below it"
            raise ValueError(f"{_named(path[: depth + 1])}: no such parameter; expected one of {known}")
        tree = tree[key]
    if isinstance(part, Prior):
        if not hasattr(tree, "describe"):
            raise ValueError(f"{_named(path)} = {part}: expected a dict of priors by name, or a function")
        try:
            _try(part, tuple(tree.shape), jnp.result_type(float))
        except ValueError as error:
            raise ValueError(f"{_named(path)}: {error}") from None


@lru_cache(maxsize=256)
def _try(part: Prior, shape: tuple[int, ...], dtype: Any) -> None:
    """Trace a prior on a param of this shape, once: models are replaced often, and their priors stay."""
    jax.eval_shape(part.log_prob, jax.ShapeDtypeStruct(shape, dtype))


def _named(path: Path) -> str:
    return "prior" + "".join(f"[{key!r}]" for key in path)
