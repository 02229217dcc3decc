"""Pytrees as users write them: dicts in their own order, lists as arrays, leaves with a name for messages."""

from collections.abc import Callable
from typing import Any

from jax.tree_util import DictKey, keystr, tree_map_with_path
from jaxtyping import PyTree

Path = tuple[Any, ...]


def label(path: Path) -> str:
    """How a leaf is called in a message.

    Args:
        path: a key path of `jax.tree_util`.

    >>> label((DictKey("x"),))
    "observations['x']"
    """
    return f"observations{keystr(path)}"


def map_in_order(convert: Callable[[Path, Any], Any], tree: PyTree, path: Path = ()) -> PyTree:
    """`jax.tree_util.tree_map_with_path`, but a list is a leaf and a dict keeps its own order.

    JAX sorts a dict by its keys; a user's columns keep the order that the user gave them.

    Args:
        convert: (path, leaf) -> what replaces the leaf.
        tree: a pytree.
        path: where the tree itself lies.
    """
    if type(tree) is dict:  # an OrderedDict keeps its order under JAX, and its type
        return {key: map_in_order(convert, value, (*path, DictKey(key))) for key, value in tree.items()}

    def inner(below: Path, leaf: Any) -> Any:
        whole = (*path, *below)
        return map_in_order(convert, leaf, whole) if type(leaf) is dict else convert(whole, leaf)

    return tree_map_with_path(inner, tree, is_leaf=lambda leaf: type(leaf) in (list, dict))


def labelled_leaves(tree: PyTree) -> list[tuple[str, Any]]:
    """The leaves of a tree in its own order, each with its label.

    Args:
        tree: a pytree of arrays.
    """
    found: list[tuple[str, Any]] = []
    map_in_order(lambda path, leaf: found.append((label(path), leaf)), tree)
    return found
