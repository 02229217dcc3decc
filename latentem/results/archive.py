"""The file of a Fit: a NumPy archive with a JSON header, no pickle; nothing that is read is executed.

Entries are stored, never compressed, so that a file holds no more than its size; every size is looked at before
anything is read.
"""

from __future__ import annotations

import ast
import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from latentem.results.files import atomically

FORMAT = "latentem fit 2"
#: Formats that are read: the first had no declaration.
READ = ("latentem fit 1", FORMAT)
#: Largest header in bytes, deepest tree of params.
HEADER, DEEPEST = 1 << 26, 30
#: What damaged and hostile files make Python's and NumPy's readers raise.
BROKEN = (
    ValueError,
    ArithmeticError,
    LookupError,
    TypeError,
    AttributeError,
    SyntaxError,
    RuntimeError,
    MemoryError,
    OSError,
    EOFError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)


def write(path: Path, header: Mapping[str, Any], params: Any, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write one file, whole or not at all.

    Args:
        path: of the file; .npz is added where it is missing.
        header: plain values, by name.
        params: a pytree of arrays in dicts and lists.
        arrays: others, by name.

    Returns:
        The path written.

    Raises:
        ValueError: the path is a folder.
        OSError: the file cannot be written; nothing is left of it, and one that was there before stays.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder: expected a name for the file, such as {path / 'fit.npz'}")
    path = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
    atomically(path, content(header, params, arrays))
    return path


def content(header: Mapping[str, Any], params: Any, arrays: Mapping[str, np.ndarray]) -> Callable[[Any], None]:
    """What writes the content into a binary file: see `write`."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    whole = {"format": FORMAT, **header, "params": [_keys(p) for p, _ in leaves]}
    of_params = {f"param{i}": np.asarray(a) for i, (_, a) in enumerate(leaves)}

    def body(file: Any) -> None:
        text = np.frombuffer(json.dumps(whole).encode(), np.uint8)
        np.savez(file, header=text, **arrays, **of_params)  # pyright: ignore[reportArgumentType]

    return body


def read(path: Path, names: Sequence[str]) -> tuple[dict[str, Any], Any, dict[str, np.ndarray]]:
    """(header, params, arrays of these names) of a file that `write` wrote.

    Raises:
        ValueError: the file is none that this version can read.
        FileNotFoundError: no such file.
    """
    beside = path.with_name(path.name + ".npz")
    if not path.is_file() and path.suffix != ".npz" and beside.is_file():
        path = beside
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; Fit.save(path) writes one")
    if path.is_dir():
        raise ValueError(f"{path} is a folder: expected a file written by Fit.save")
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            with zipfile.ZipFile(file) as found:
                entries = _entries(found, size)
                header = _header(_array(found, entries["header.npy"]))
                leaves = [_numbers(_array(found, entries[f"param{i}.npy"])) for i in range(len(header["params"]))]
                params = _nested(header["params"], leaves)
                return header, params, {name: _numbers(_array(found, entries[f"{name}.npy"])) for name in names}
    except BROKEN as error:
        raise refused(path, error) from None


def refused(path: Path, why: Exception) -> ValueError:
    """The error of a file that is none that this version can read."""
    told = (
        f"it has no {why}" if isinstance(why, KeyError) else str(why).strip().partition("\n")[0] or type(why).__name__
    )
    return ValueError(f"{path}: expected a file written by Fit.save ({FORMAT!r}), but {told[:200]}")


def _entries(found: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """The entries by name, none of them larger than the file."""
    infos = found.infolist()
    if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
        raise ValueError("it holds compressed entries")
    if sum(info.file_size for info in infos) > size:
        raise ValueError("its entries claim more than its size")
    return {info.filename: info for info in infos}


def _array(found: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """One array, of no more entries than there are bytes for."""
    stream = io.BytesIO(found.read(info))
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"an array of it has format {version}")
    (length,) = struct.unpack("<H" if version == (1, 0) else "<I", stream.read(2 if version == (1, 0) else 4))
    if length > 10_000:
        raise ValueError("an array of it has a header too long")
    described = ast.literal_eval(stream.read(length).decode("latin1"))
    kind, shape, fortran = np.dtype(described["descr"]), described["shape"], described["fortran_order"]
    if kind.kind not in "biuf" or not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"an array of it holds {kind} of shape {shape}")
    count = 1
    for n in shape:
        count *= n
    rest = stream.read()
    if len(shape) > 30 or count * kind.itemsize != len(rest):
        raise ValueError("an array of it has another size than it claims")
    flat = np.frombuffer(rest, kind).copy()
    return flat.reshape(shape[::-1]).T if fortran is True else flat.reshape(shape)


def _numbers(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder("="))


def _header(text: np.ndarray) -> dict[str, Any]:
    if text.dtype != np.uint8 or text.size > HEADER:
        raise ValueError("its header is no text")
    header = json.loads(text.tobytes().decode())
    if not isinstance(header, dict) or header.get("format") not in READ:
        raise ValueError("its header names another format")
    paths = header.get("params")
    if not isinstance(paths, list) or len(paths) > 10_000:
        raise ValueError("its header does not say where the params lie")
    for path in paths:
        if not isinstance(path, list) or len(path) > DEEPEST or not all(type(key) in (str, int) for key in path):
            raise ValueError("its header does not say where the params lie")
    return header


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
        if path[-1] in node:
            raise ValueError("two of its params lie at one place")
        node[path[-1]] = array

    def restore(node: Any) -> Any:
        if not isinstance(node, dict):
            return node
        children = {k: restore(v) for k, v in node.items()}
        whole = children and all(isinstance(k, int) for k in children)
        return [children[i] for i in range(len(children))] if whole else children

    return restore(tree)
