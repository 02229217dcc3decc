"""Every log-density of the table separates to the rank of its formula, or is refused with the reason."""

from typing import Any

import jax
import numpy as np
import pytest
from sufficiency import densities

import latentem as lem
from latentem.sufficiency.duplicates import collapse

#: Free vectors this test draws, at two scales.
FRESH = 4


def rows_of(data: Any) -> Any:
    host = jax.tree.map(np.asarray, data)
    collapsed = collapse(host, np.ones(len(jax.tree.leaves(host)[0])))
    return host if collapsed is None else collapsed.observations


def tabulated(model: lem.Model, u: np.ndarray, rows: Any) -> np.ndarray:
    """log p(x_b, z_k | params of u_a), (A, K, B)."""
    nodes = model.latent.nodes()
    assert nodes is not None

    @jax.jit
    def of(u: Any, z: Any, rows: Any) -> Any:
        at = jax.vmap(model.complete_log_likelihood, (None, 0, None))
        return jax.vmap(lambda v: jax.vmap(lambda w: at(model.space.constrain(v), rows, w), out_axes=0)(z))(u)

    with jax.enable_x64(True):
        return np.asarray(of(u, nodes[0], jax.tree.map(jax.numpy.asarray, rows)))


def error_at(model: lem.Model, found: lem.Compression, rows: Any, u: np.ndarray) -> float:
    """Largest error of log p rebuilt from anchors and coordinates, relative to the largest |log p| of a (params, z)."""
    count = jax.tree.leaves(rows)[0].shape[0]
    together = jax.tree.map(lambda a, b: np.concatenate([a, b]), rows, found.anchors)
    values = tabulated(model, u, together)
    values = np.where(values == -np.inf, 0.0, values)  # impossible latent values are masked
    truth, at_anchors = values[..., :count], values[..., count:]
    error = np.abs(truth - at_anchors @ found.coordinates.T).max(axis=2)
    return float(np.max(error / np.abs(truth).max(axis=2)))


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
