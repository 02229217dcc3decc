"""Dotted names of the parameters of a family: nested dicts, leaf by leaf."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def map_named(f: Callable[[str, Any], Any], tree: Any, prefix: str = "") -> Any:
    """`f(dotted name, leaf)` over nested dicts of parameters."""
    if isinstance(tree, dict):
        return {name: map_named(f, inner, f"{prefix}.{name}" if prefix else name) for name, inner in tree.items()}
    return f(prefix, tree)


def map_two(f: Callable[[str, Any, Any], Any], tree: Any, other: Any, prefix: str = "") -> Any:
    if isinstance(tree, dict):
        return {k: map_two(f, v, other[k], f"{prefix}.{k}" if prefix else k) for k, v in tree.items()}
    return f(prefix, tree, other)


def names(tree: Any) -> list[str]:
    found: list[str] = []
    map_named(lambda name, _: found.append(name), tree)
    return found


def covers(name: str, parameter: str) -> bool:
    """Whether `name` is a parameter or the column that holds it."""
    return parameter == name or parameter.startswith(name + ".")
