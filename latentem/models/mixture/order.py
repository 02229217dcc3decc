"""What a declaration says of components or states, with these in another order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int

UNKNOWN = "relabel: the prior is a function of the params: declare the model with another one, and fit"

Order = Int[np.ndarray, " K"]


def values(held: Any, order: Order, axes: tuple[int, ...] = (0,)) -> Any:
    """An array with its entries along some axes in another order; itself where that makes no difference."""
    array = found = np.asarray(held)
    for axis in axes:
        if array.ndim > axis and array.shape[axis] == len(order):
            found = np.take(found, order, axis=axis)
    return held if np.array_equal(array, found, equal_nan=array.dtype.kind == "f") else found


def mapped(old: Mapping[str, Any], new: dict[str, Any]) -> Any:
    """`new`, or `old` where nothing in it is another."""
    return old if all(new[name] is old[name] for name in old) else new


def priors(prior: Any, constraints: Any, order: Order, axes: tuple[int, ...] = (0,)) -> Any:
    """Priors of params, nested as these are.

    Args:
        prior: of them.
        constraints: of them; a shared one has no axis over components, and its prior stays.
        order: of the components.
        axes: of each param, over components.

    Raises:
        ValueError: a prior that is a function, of which nobody knows what it says of which component.
    """
    if prior is None:
        return None
    if isinstance(prior, Mapping):
        return mapped(prior, {name: priors(part, constraints[name], order, axes) for name, part in prior.items()})
    if not hasattr(prior, "permuted"):
        raise ValueError(UNKNOWN)
    ndim = len(constraints.shape)
    return prior.permuted(order, axes, ndim) if ndim and constraints.shape[0] == len(order) else prior
