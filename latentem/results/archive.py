"""The file of a Fit: a NumPy archive with a JSON header, no pickle; nothing that is read is executed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

FORMAT = "latentem fit 1"


def write(path: Path, header: Mapping[str, Any], params: Any, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write one file.

    Args:
        path: of the file; .npz is added where it is missing.
        header: plain values, by name.
        params: a pytree of arrays in dicts and lists.
        arrays: others, by name.

    Returns:
        The path written.
    """
    path = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    whole = {"format": FORMAT, **header, "params": [_keys(p) for p, _ in leaves]}
    of_params = {f"param{i}": np.asarray(a) for i, (_, a) in enumerate(leaves)}
    with open(path, "wb") as file:
        np.savez(
            file,
            header=np.frombuffer(json.dumps(whole).encode(), np.uint8),
            **arrays,  # pyright: ignore[reportArgumentType]
            **of_params,  # pyright: ignore[reportArgumentType]
        )
    return path


def read(path: Path, names: Sequence[str]) -> tuple[dict[str, Any], Any, dict[str, np.ndarray]]:
    """(header, params, arrays of these names) of a file that `write` wrote.

    Raises:
        ValueError: the file is none that this version can read.
        FileNotFoundError: no such file.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; Fit.save(path) writes one")
    try:
        # Opened here: what np.load opens itself stays open when the archive turns out to be broken.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as found:
            header = json.loads(bytes(found["header"]).decode())
            if not isinstance(header, dict) or header.get("format") != FORMAT:
                raise ValueError("its header names another format")
            leaves = [found[f"param{i}"] for i in range(len(header["params"]))]
            return header, _nested(header["params"], leaves), {name: found[name] for name in names}
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise refused(path, error) from None


def refused(path: Path, why: Exception) -> ValueError:
    """The error of a file that is none that this version can read."""
    return ValueError(f"{path}: expected a file written by Fit.save ({FORMAT!r}), but {why}")


def _keys(path: Any) -> list[str | int]:
    return [k.key if hasattr(k, "key") else k.idx for k in path]


def _nested(paths: list[list[str | int]], arrays: list[np.ndarray]) -> Any:
    """The pytree of dicts and lists whose leaves lie at `paths`."""
    if paths == [[]]:
        return arrays[0]
    tree: dict[Any, Any] = {}
    for path, array in zip(paths, arrays, strict=True):
        node = tree
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = array

    def restore(node: Any) -> Any:
        if not isinstance(node, dict):
            return node
        children = {k: restore(v) for k, v in node.items()}
        return [children[i] for i in range(len(children))] if all(isinstance(k, int) for k in children) else children

    return restore(tree)
