"""What a data set is: named columns and where they were published."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np
from jaxtyping import Float

Columns = Mapping[str, Sequence[Any] | range]


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A published table: columns by name, each also an attribute.

    Args:
        name: what the table is called here.
        columns: column name -> array of shape (N,).
        source: the publication it was typed from.

    Example:
        >>> from latentem import datasets
        >>> datasets.hasselblad().deaths[:3].tolist()
        [0, 1, 2]
    """

    name: str
    columns: dict[str, np.ndarray]
    source: str

    def __getattr__(self, column: str) -> np.ndarray:
        columns = self.__dict__.get("columns", {})
        if column in columns:
            return columns[column]
        raise AttributeError(f"{column!r} is no column of this data set: choose one of {', '.join(columns)}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.columns]

    def __repr__(self) -> str:
        rows = len(next(iter(self.columns.values())))
        return f"Dataset({self.name}: {rows} rows of {', '.join(self.columns)})"

    def matrix(self, *names: str) -> Float[np.ndarray, "N D"]:
        """Columns side by side.

        Args:
            names: the columns to take, in order; without any, every column of real numbers.

        Returns:
            A float64 array of shape (N, D).

        Raises:
            ValueError: a column is unknown or holds text.
        """
        real = [name for name, column in self.columns.items() if column.dtype.kind == "f"]
        chosen = list(names) or real
        for name in chosen:
            if name not in self.columns or self.columns[name].dtype.kind == "U":
                known = ", ".join(self.columns)
                raise ValueError(f"{self.name} has no column of numbers {name!r}: choose from {known}")
        if not chosen:
            raise ValueError(f"{self.name} has no column of real numbers: name the columns to take")
        return np.stack([self.columns[name].astype(np.float64) for name in chosen], axis=1)


def published(source: str) -> Callable[[Callable[[], Columns]], Callable[[], Dataset]]:
    """Turn a function that returns typed-in columns into a loader of a Dataset, citing its source once.

    Args:
        source: the publication, in one sentence.

    Returns:
        A decorator; what it makes takes no argument and returns a new Dataset at each call.
    """

    def decorate(columns: Callable[[], Columns]) -> Callable[[], Dataset]:
        @wraps(columns)
        def load() -> Dataset:
            arrays = {name: np.array(values) for name, values in columns().items()}
            return Dataset(columns.__name__, arrays, source)

        load.__annotations__ = {"return": Dataset}
        # Python's option -OO removes docstrings.
        load.__doc__ = f"{(columns.__doc__ or '').rstrip()}\n\n    Source:\n        {source}\n    "
        return load

    return decorate


def patterns(names: Sequence[str], counts: Mapping[str, int]) -> Columns:
    """Columns from answer patterns and how often each was given.

    Args:
        names: one name per answer of a pattern.
        counts: pattern, one digit an answer (`"01101"`) -> its frequency.

    Returns:
        One column of digits per name, then `frequency`.
    """
    answers = {name: [int(pattern[i]) for pattern in counts] for i, name in enumerate(names)}
    return {**answers, "frequency": list(counts.values())}
