"""Names of the entries of params: what their axes run over, as a ready model and its data say."""

from __future__ import annotations

from typing import Any

import numpy as np

from latentem.constraints.base import Batched
from latentem.constraints.matrices import Correlation, Covariance
from latentem.data.layout import Axis, Layout
from latentem.model.base import Model


def axes_of(model: Model) -> tuple[tuple[Axis, ...], ...]:
    """The axes of each param, in the order of `model.space`; numbered where nothing says more."""
    ready, layout = model.declaration, model.layout or Layout()
    found = []
    for path, constraint in zip(model.space.paths, model.space.constraints, strict=True):
        known = ready.axes(path, layout) if hasattr(ready, "axes") else ()
        shape = constraint.shape
        known = (*known, *(Axis("") for _ in shape))[: len(shape)]
        found.append(tuple(axis if _fits(axis, n) else Axis(axis.kind) for axis, n in zip(known, shape, strict=True)))
    return tuple(found)


def _fits(axis: Axis, size: int) -> bool:
    return axis.labels is None or len(axis.labels) == size


def labels_of(axes: tuple[Axis, ...], index: tuple[int, ...]) -> tuple[Any, ...]:
    """What the entry at an index is called, axis by axis."""
    return tuple(i if axis.labels is None else axis.labels[i] for axis, i in zip(axes, index, strict=True))


def entries_of(model: Model) -> list[str]:
    """A name for each entry of the raveled params, such as `components.mean[0,waiting]`."""
    found = []
    for name, constraint, axes in zip(model.space.names, model.space.constraints, axes_of(model), strict=True):
        for index in np.ndindex(*constraint.shape):
            found.append(named(name, labels_of(axes, index)))
    return found


def named(name: str, labels: tuple[Any, ...]) -> str:
    """`name[label,label]`."""
    return f"{name}[{','.join(map(str, labels))}]" if labels else name


def is_symmetric(constraint: Any) -> bool:
    """Whether entries above the diagonal are those below it."""
    inner = constraint.inner if isinstance(constraint, Batched) else constraint
    return isinstance(inner, Covariance | Correlation)
