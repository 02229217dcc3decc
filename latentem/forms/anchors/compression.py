"""What is found about a density's sufficient statistics, and the latent values over which it is looked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from latentem.model import Model


@dataclass(frozen=True)
class Compression:
    """What was found about a density's sufficient statistics.

    Args:
        verdict: whether the density separates and is represented by anchors.
        reason: why, in one line.
        rank: R, the number of sufficient statistics (the constant included); None where none was found.
        gap: ratio of the last singular value kept to the first one dropped.
        error: largest relative error of log p predicted at fresh params, over ALL observations.
        anchors: the R observations that stand for all, pytree with leading axis R.
        rows: distinct observations the fit runs on.
        observations: observations given.
        seconds: wall time of the search, compilation included.
    """

    verdict: bool
    reason: str
    rank: int | None = None
    gap: float | None = None
    error: float | None = None
    anchors: Any = None
    rows: int = 0
    observations: int = 0
    seconds: float = 0.0
    provisional: bool = field(default=False, repr=False, compare=False)
    coordinates: Any = field(default=None, repr=False, compare=False)
    possible: Any = field(default=None, repr=False, compare=False)
    anchor_possible: Any = field(default=None, repr=False, compare=False)
    basis: Any = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        duplicates = f"; {self.observations} observations are {self.rows} distinct rows" if self._collapsed else ""
        if not self.verdict:
            return f"not compressed: {self.reason}{duplicates}"
        if self.rank is None:
            return f"{self.reason}{duplicates}"
        return f"{self.rank} anchors for {self.rows} rows, error {self.error:.0e} at fresh params{duplicates}"

    @property
    def _collapsed(self) -> bool:
        return self.rows < self.observations


def latent_nodes(model: Model, observations: Any) -> np.ndarray | None:
    """(K, ...) latent values that all observations share, also of a `Given` posterior on common nodes; None without."""
    nodes = model.latent.nodes()
    if nodes is not None:
        return None if isinstance(nodes[0], dict) else np.asarray(nodes[0])
    x = jax.tree.map(lambda a: jnp.asarray(a[:1]), observations)
    u = jnp.zeros((1, model.space.size))

    def of(v: Any, row: Any) -> Any:
        return getattr(model.posterior(model.space.constrain(v), row), "nodes", None)

    try:
        # vmap refuses out_axes=None for what depends on a mapped argument: nodes that move with x or the params.
        shared = jax.vmap(of, out_axes=None)(u, x)
    except (TypeError, ValueError):
        return None
    return None if shared is None or isinstance(shared, dict | tuple | list) else np.asarray(shared)


def count_rows(rows: Any) -> int:
    """N of a pytree of arrays with that leading axis."""
    return jax.tree.leaves(rows)[0].shape[0]
