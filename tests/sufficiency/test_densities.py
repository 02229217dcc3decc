"""Every log-density of the table separates to the rank of its formula, or is refused with the reason."""

from typing import Any

import jax
import numpy as np
import pytest
from sufficiency import densities

import latentem as lem
from latentem.data.duplicates import collapse
from latentem.forms.anchors.compression import latent_nodes
from latentem.forms.anchors.tabulate import table

#: Free vectors this test draws, at two scales.
FRESH = 4


def rows_of(data: Any) -> Any:
    host = jax.tree.map(np.asarray, data)
    collapsed = collapse(host, np.ones(len(jax.tree.leaves(host)[0])))
    return host if collapsed is None else collapsed.observations


def error_at(model: lem.Model, found: lem.Compression, rows: Any, u: np.ndarray) -> float:
    """Largest error of log p rebuilt from anchors and coordinates, relative to the largest |log p| of a (params, z)."""
    nodes = latent_nodes(model, rows)
    assert nodes is not None
    z = np.tile(nodes, len(u))
    u = np.repeat(u, len(nodes), axis=0)
    with jax.enable_x64(True):
        truth, at_anchors = table(model, u, z, rows), table(model, u, z, found.anchors)
    # Impossible latent values are masked.
    truth, at_anchors = (np.where(v == -np.inf, 0.0, v) for v in (truth, at_anchors))
    error = np.abs(truth - at_anchors @ found.coordinates.T).max(axis=1)
    return float(np.max(error / np.abs(truth).max(axis=1)))


def test_the_table_is_as_long_as_promised() -> None:
    assert len(densities.SEPARABLE) >= 28
    assert len(densities.REFUSED) >= 6
    assert len(densities.SEPARABLE) + len(densities.REFUSED) >= 34


@pytest.mark.parametrize("row", densities.SEPARABLE, ids=lambda row: row.name)
def test_separates(row: densities.Density) -> None:
    data = row.data(np.random.default_rng(5))
    found = lem.sufficiency(row.model, data, jax.random.key(1))
    assert found.verdict, found.reason
    assert found.rank == row.rank
    assert found.gap is not None and found.gap > 1e6
    assert found.error is not None and found.error < 1e-11
    rng = np.random.default_rng(77)
    u = rng.standard_normal((FRESH, row.model.space.size)) * np.resize([0.3, 1.0], FRESH)[:, None]
    assert error_at(row.model, found, rows_of(data), u) <= 1e-11


@pytest.mark.parametrize("row", densities.REFUSED, ids=lambda row: row.name)
def test_is_refused(row: densities.Density) -> None:
    found = lem.sufficiency(row.model, row.data(np.random.default_rng(5)), jax.random.key(1))
    assert not found.verdict
    assert "does not separate" in found.reason or "anchors would save nothing" in found.reason
    assert "\n" not in found.reason
    assert str(found).startswith("not compressed: ")
