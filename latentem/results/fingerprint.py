"""A fingerprint of data and weights: whether a file of a fit belongs to the data it is loaded with."""

from __future__ import annotations

import hashlib
from typing import Any

import jax
import numpy as np

from latentem.data import Data
from latentem.data.sequences import Sequences

#: Entries that are hashed at a time.
BLOCK = 1 << 20


def fingerprint(data: Data) -> str:
    """SHA-256 of the observations as the model reads them, and of weights that are not all 1: the same whatever library
    they came in and whatever type their numbers have."""
    found = hashlib.sha256()
    observations = data.observations
    if isinstance(observations, Sequences):
        _add(found, observations.lengths)
        for part in (observations.labels, observations.observed):
            _add(found, np.zeros(0) if part is None else part)
    for leaf in _arrays(observations):
        _add(found, leaf)
    if weighted(data):
        _add(found, data.weights)
    return found.hexdigest()


def _arrays(observations: Any) -> list[Any]:
    """What the observations are made of."""
    if hasattr(observations, "tocsr"):
        rows = observations.tocsr()
        return [np.array(rows.shape), rows.indptr, rows.indices, rows.data]
    if hasattr(observations, "arrays"):
        return list(observations.arrays())
    return jax.tree.leaves(observations)


def weighted(data: Data) -> bool:
    """Whether observations count for other than 1 each."""
    return bool(np.any(np.asarray(data.weights) != 1.0))


def _add(found: Any, leaf: Any) -> None:
    array = np.asarray(leaf)
    found.update(str(array.shape).encode())
    flat = array.reshape(-1)
    for begin in range(0, len(flat), BLOCK):
        block = flat[begin : begin + BLOCK].astype(np.float64) + 0.0
        found.update(np.where(np.isnan(block), np.nan, block).astype("<f8").tobytes())
