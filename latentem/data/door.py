"""The only door for user data: arrays, tables and weights come in, a checked `Data` comes out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, PyTree

from latentem.data.tables import Labels, column, columns_of, is_structured, is_table
from latentem.data.trees import Path, label, labelled_leaves, map_in_order

BLOCK_BYTES = 1 << 22  # what one step of a scan over the data may allocate


@dataclass(frozen=True, eq=False)
class Data:
    """N independent observations and their weights, checked.

    Args:
        observations: a pytree of NumPy or JAX arrays with one leading axis N; NaN is a missing entry.
        weights: shape (N,), float64, not negative, not all zero; read only where the user gave none.
        sizes: shape (N,), steps of each observation where one is a sequence.
    """

    observations: PyTree
    weights: Float[np.ndarray, " N"]
    sizes: np.ndarray | None = None

    @property
    def n(self) -> int:
        """Number of rows N."""
        return len(self.weights)

    def take(self, index: np.ndarray, weights: Any = None) -> "Data":
        """The observations at these places, with their weights or with these."""
        own = np.asarray(self.weights)[index] if weights is None else np.asarray(weights, dtype=np.float64)
        if self.sizes is not None:
            return Data(self.observations.take(index), own, self.sizes[index])
        return Data(jax.tree.map(lambda a: np.asarray(a)[index], self.observations), own)

    @cached_property
    def total(self) -> float:
        """Sum of the weights: the number of observations that the rows stand for; of steps where they are sequences."""
        return float(self.weights.sum() if self.sizes is None else self.weights @ self.sizes)


def read(observations: Any, weights: Any = None) -> Data:
    """Check user data, once, before anything is compiled.

    Args:
        observations: an array of shape (N, ...), a list of N rows, a pandas, Polars or Arrow table (it
            becomes a dict of its columns), or a dict, tuple or other pytree of these. NaN: a missing entry.
        weights: shape (N,), what each row counts for (a frequency, say); 1 each by default.

    Returns:
        The Data. Arrays keep their dtype and are not copied where they are NumPy or JAX arrays already.

    Raises:
        ValueError: no rows, leading axes that differ, a scalar, an infinite entry; weights of another length,
            negative, not finite or all zero.
        TypeError: entries that are not numbers; a table when narwhals is not installed.

    Example:
        >>> read({"x": [1.0, 2.5], "count": [3, 4]}).n
        2
    """
    if hasattr(type(observations), "read"):  # sequences are not rows: they read themselves
        return observations.read(weights)
    tree = arrays(observations)
    leaves = labelled_leaves(tree)
    n = _rows(leaves)
    if n == 0:
        raise ValueError("observations have 0 rows: give at least one")
    for name, leaf in leaves:
        _refuse_infinite(name, leaf)
    return Data(tree, _weights(weights, n))


def arrays(observations: Any) -> PyTree:
    """The same tree with each leaf an array with rows, each table a dict of its columns, each list an array.

    Args:
        observations: as in `read`.

    Returns:
        A pytree of NumPy or JAX arrays of at least one axis.

    Raises:
        ValueError: a scalar, or a list whose rows differ in length.
        TypeError: entries that are not numbers.
    """

    def convert(path: Path, leaf: Any) -> PyTree:
        name = label(path)
        if is_table(leaf) or is_structured(leaf):
            return {key: _array(f"{name}[{key!r}]", values) for key, values in columns_of(leaf, name).items()}
        return _array(name, leaf)

    return map_in_order(convert, observations)


def as_matrix(observations: Any, columns: Sequence[str | int] | None = None) -> Float[Array | np.ndarray, "N D"]:
    """Observations as one matrix of real numbers.

    Args:
        observations: an array of shape (N,) or (N, D), a table, or a dict or tuple of arrays of shapes (N,)
            or (N, d), laid side by side in their order.
        columns: which columns to take, by name (dict or table) or by number (array); all by default.

    Returns:
        Shape (N, D), floating; integers become float64. Not copied where it is such a matrix already.

    Raises:
        ValueError: an unknown column, an array of more than two axes, or a different number of rows.
        TypeError: entries that are not numbers.

    Example:
        >>> as_matrix({"a": [1, 2], "b": [3, 4]}, columns=["b"]).tolist()
        [[3.0], [4.0]]
    """
    tree = arrays(observations)
    if columns is not None:
        tree = _chosen(tree, columns)
    leaves = labelled_leaves(tree)
    _rows(leaves)
    blocks = []
    for name, leaf in leaves:
        if leaf.ndim > 2:
            raise ValueError(f"{name} has shape {leaf.shape}: expected (N,) or (N, D) for a matrix of rows")
        floating = jax.numpy.issubdtype(leaf.dtype, np.floating)
        block = leaf if floating else np.asarray(leaf).astype(np.float64)
        blocks.append(block.reshape(-1, 1) if block.ndim == 1 else block)
    return blocks[0] if len(blocks) == 1 else np.concatenate([np.asarray(block) for block in blocks], axis=1)


def cast(observations: PyTree, dtype: Any) -> PyTree:
    """Cast the floating leaves; counts, categories and flags keep their dtype.

    Args:
        observations: a pytree of NumPy or JAX arrays, as `read` returns.
        dtype: the floating dtype of the fit. For JAX arrays and float64, call inside `jax.enable_x64(True)`.

    Returns:
        The same tree; leaves that have the dtype already are not copied.

    Raises:
        ValueError: a number too large for the dtype.

    Example:
        >>> cast({"x": np.ones(2), "k": np.arange(2)}, "float32")["x"].dtype
        dtype('float32')
    """

    def convert(path: Path, leaf: Any) -> Any:
        if not jax.numpy.issubdtype(leaf.dtype, np.floating) or leaf.dtype == np.dtype(dtype):
            return leaf
        try:
            with np.errstate(over="raise"):
                return leaf.astype(dtype)
        except FloatingPointError:
            limit = float(np.finfo(dtype).max)
            told = f"{label(path)} holds numbers above {limit:.4g}, the largest {np.dtype(dtype).name}"
            raise ValueError(f"{told}: rescale it or use float64") from None

    return map_in_order(convert, observations)


def _array(name: str, leaf: Any) -> Any:
    """One array of numbers with at least one axis."""
    array = column(name, leaf)
    if isinstance(array, Labels):
        told = f"{name} holds {array.kind}: expected real numbers"
        raise TypeError(f"{told}; write categories as 0, 1, ... and missing entries as nan")
    if array.ndim == 0:
        raise ValueError(f"{name} is a scalar: expected an array with one row per observation")
    if isinstance(array, np.ndarray) and not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array


def _rows(leaves: list[tuple[str, Any]]) -> int:
    """The leading axis that all arrays share."""
    if not leaves:
        raise ValueError("observations hold no array: give an array, a table, or a dict of arrays")
    lengths = [len(leaf) for _, leaf in leaves]
    if len(set(lengths)) > 1:
        told = ", ".join(f"{name} has {rows}" for (name, _), rows in zip(leaves, lengths, strict=True))
        raise ValueError(f"observations differ in their number of rows ({told}): give each the same number")
    return lengths[0]


def has_nan(array: np.ndarray) -> bool:
    """Whether an entry is NaN, found without a second array of the length of the data."""
    return array.dtype.kind == "f" and bool(np.isnan(np.min(array, initial=np.inf)))


def all_finite(array: np.ndarray) -> bool:
    """Whether no entry is NaN or infinite, found without a second array of the length of the data."""
    return array.dtype.kind != "f" or bool(
        np.isfinite(np.min(array, initial=0.0)) and np.isfinite(np.max(array, initial=0.0))
    )


def _blocks(array: Any) -> Iterator[tuple[int, np.ndarray]]:
    """The rows in blocks of bounded size, each with the number of its first row."""
    host = np.asarray(array)
    rows = max(1, BLOCK_BYTES // max(1, host[:1].size))
    for start in range(0, len(host), rows):
        yield start, host[start : start + rows]


def _refuse_infinite(name: str, array: Any) -> None:
    if not jax.numpy.issubdtype(array.dtype, np.floating):
        return
    for start, block in _blocks(array):
        infinite = np.isinf(block)
        if infinite.any():
            row, *rest = (int(i) for i in np.argwhere(infinite)[0])
            place = ", ".join(str(i) for i in (start + row, *rest))
            told = f"{name}[{place}] = {float(block[(row, *rest)])}"
            raise ValueError(f"{told}: expected finite numbers; remove the row, or write nan if it is missing")


def _weights(weights: Any, n: int) -> Float[np.ndarray, " N"]:
    if weights is None:
        # A view of one number: N ones would cost as much memory as a column of the data.
        return np.broadcast_to(np.float64(1.0), (n,))
    try:
        array = np.asarray(weights)
    except ValueError:
        raise ValueError(f"weights are not an array: expected {n} numbers, one for each row") from None
    if array.dtype.kind not in "biuf" and not jax.numpy.issubdtype(array.dtype, np.floating):
        raise TypeError(f"weights hold entries of type {array.dtype}: expected {n} numbers, one for each row")
    if array.shape != (n,):
        raise ValueError(f"weights have shape {array.shape}: expected ({n},), one for each row of the observations")
    array = array.astype(np.float64, copy=False)
    for start, block in _blocks(array):
        wrong = ~((block >= 0) & np.isfinite(block))
        if wrong.any():
            row = int(np.argmax(wrong))
            told = f"weights[{start + row}] = {float(block[row])}"
            raise ValueError(f"{told}: expected finite numbers of at least 0; weigh a row by 0 to leave it out")
    if not array.any():
        raise ValueError("weights are all 0: expected at least one above 0")
    return array


def _chosen(tree: PyTree, columns: Sequence[str | int]) -> PyTree:
    """The columns asked for, in the order asked for."""
    if isinstance(columns, str):
        raise ValueError(f"columns = {columns!r}: expected a list of names, such as [{columns!r}]")
    if isinstance(tree, dict):
        for name in columns:
            if name not in tree:
                raise ValueError(f"no column is called {name!r}: choose from {', '.join(map(str, tree))}")
        return tuple(tree[name] for name in columns)
    if not hasattr(tree, "ndim") or tree.ndim != 2 or not all(isinstance(i, int) for i in columns):
        asked = f"columns = {list(columns)}"
        raise ValueError(f"{asked}: expected names for a dict or table, numbers for an (N, D) array")
    width = tree.shape[1]
    for i in columns:
        if not 0 <= int(i) < width:
            raise ValueError(f"there is no column {i}: the array has columns 0 to {width - 1}")
    return tree[:, np.array(columns, dtype=int)]
