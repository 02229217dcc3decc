"""Coordinates of all rows in the anchors, and the proof that they predict log p: one pass over blocks of rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from latentem.data import door
from latentem.forms.anchors import basis as finding
from latentem.forms.anchors.basis import Basis, Refused
from latentem.forms.anchors.compression import Compression, count_rows, latent_nodes
from latentem.model import Model

#: Rows per block of the pass over all data.
BLOCK = 65_536
#: Rows that anchors failed to predict join the next sample, at most this many per search.
HARD = 64


class UnseenMask(Exception):
    """Some observations outside the sample, `rows`, have impossible latent values; the sample showed none."""

    def __init__(self, rows: np.ndarray) -> None:
        super().__init__()
        self.rows = rows


class Coordinates(NamedTuple):
    """All rows in the anchors.

    Args:
        error: largest relative error of log p at fresh params.
        anchors: the observations that stand for all.
        coordinates: (N, R).
        possible: (N, K) latent values that are possible, None where all are.
        anchor_possible: the same of the anchors.
        failing: indices of rows that are not predicted, some of them; what is behind them was not looked at.
    """

    error: float
    anchors: Any
    coordinates: np.ndarray
    possible: np.ndarray | None
    anchor_possible: np.ndarray | None
    failing: np.ndarray

    @property
    def kept(self) -> dict[str, Any]:
        """What a `Compression` keeps of them."""
        return {name: value for name, value in self._asdict().items() if name != "failing"}


def coordinates_of_all(
    model: Model, nodes: np.ndarray, rows: Any, sample: Any, basis: Basis, possible: Any, centre: np.ndarray, rng: Any
) -> Coordinates:
    """Coordinates of every row and the largest error at fresh params, in one pass over blocks of rows.

    Raises:
        UnseenMask: rows with impossible latent values, of which the sample had none.
        Refused: a row whose impossible values are not structural.
    """
    n = count_rows(rows)
    anchor_rows = finding.take(sample, basis.anchors)
    fresh = np.concatenate([finding.draws(rng, centre, finding.FRESH_DRAWS), centre[None]])
    anchor_possible = None if possible is None else possible[basis.anchors]
    u_all = np.empty((n, basis.rank))
    possible_all = None if possible is None else np.ones((n, len(nodes)), dtype=bool)
    error, failing = 0.0, np.zeros(0, dtype=int)
    for start in range(0, n, BLOCK):
        index = np.arange(start, min(start + BLOCK, n))
        block = finding.take(rows, index)
        here = None
        if possible is not None:
            here = finding.structural(model, nodes, block, basis.moderate)
            here = np.ones((len(index), len(nodes)), dtype=bool) if here is None else here
            assert possible_all is not None
            possible_all[index] = here
        coordinate = finding.coordinates(basis, model, nodes, block, here)
        if not np.all(np.isfinite(coordinate)):
            if possible is None:  # impossible values that the sample did not show: look again with masks
                raise UnseenMask(_some(index[~np.all(np.isfinite(coordinate), axis=1)], rng))
            raise Refused("log p(x, z) is not finite for some rows")
        u_all[index] = coordinate
        each = finding.prediction_error(model, nodes, block, here, fresh, coordinate, anchor_rows, anchor_possible, rng)
        error = max(error, float(np.max(each)))
        if not error <= finding.REQUIRED_ERROR:
            failing = _some(index[~(each <= finding.REQUIRED_ERROR)], rng)
            break
    return Coordinates(error, anchor_rows, u_all, possible_all, anchor_possible, failing)


def _some(index: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return index if len(index) <= HARD else rng.choice(index, HARD, replace=False)


def final_error(problem: Any, params: Any) -> float:
    """Largest relative error of log p on the anchors at the params a fit reached and next to them, over all rows."""
    found: Compression = problem.compression
    model = problem.form.model
    rng = np.random.default_rng(2)
    with jax.enable_x64(True):
        host = jax.tree.map(np.asarray, door.cast(problem.distinct, "float64"))
        nodes = latent_nodes(model, host)
        assert nodes is not None
        exact = jax.tree.map(lambda a: np.asarray(a, dtype=np.float64), params)
        u = np.asarray(model.space.unconstrain(exact))
        fresh = np.stack([u, u + 0.05 * rng.standard_normal(u.shape)])
        error = 0.0
        for start in range(0, count_rows(host), BLOCK):
            index = np.arange(start, min(start + BLOCK, count_rows(host)))
            here = None if found.possible is None else found.possible[index]
            each = finding.prediction_error(
                model,
                nodes,
                finding.take(host, index),
                here,
                fresh,
                found.coordinates[index],
                found.anchors,
                found.anchor_possible,
                rng,
                strict=True,
            )
            error = max(error, float(np.max(each)))
    return error
