"""Sums and maps over chunks of rows are those over all rows."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from latentem.numerics.chunks import chunk_rows, chunked_map, chunked_sum, weighted

N, SIZE = 1000, 256  # the last of four chunks overlaps the one before it


def moments(rows: Any, weights: Any) -> Any:
    values = rows["x"] * rows["k"]
    return {"sum": jnp.sum(weighted(weights, values)), "squares": weighted(weights, values) @ rows["x"]}


@pytest.fixture(scope="module")
def rows() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"x": rng.normal(size=N), "k": rng.integers(0, 5, N)}


@pytest.mark.parametrize("n", [N, 4 * SIZE, SIZE + 1, SIZE, 7])
def test_a_sum_in_chunks_is_the_sum(rows: Any, n: int, x64: None) -> None:
    rows = jax.tree.map(lambda a: jnp.resize(a, n), rows)
    weights = jnp.arange(n) % 4 * 0.5
    whole, parts = moments(rows, weights), chunked_sum(moments, rows, weights, SIZE)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), parts, whole)


def test_a_row_of_weight_zero_counts_for_nothing_even_when_infinite(rows: Any, x64: None) -> None:
    weights = np.ones(N)
    weights[[0, 300, 999]] = 0
    broken = {"x": np.where(weights == 0, -99.0, rows["x"]), "k": rows["k"]}

    def log_prob(scale: Any, x: Any) -> Any:
        return jnp.where(x > -90, scale * x, -jnp.inf)

    def total(scale: Any) -> Any:
        def of_chunk(r: Any, w: Any) -> Any:
            return jnp.sum(weighted(w, log_prob(scale, r["x"])))

        return chunked_sum(of_chunk, jax.tree.map(jnp.asarray, broken), jnp.asarray(weights), SIZE)

    value, slope = jax.value_and_grad(total)(2.0)
    expected = np.sum(rows["x"][weights > 0])
    assert value == pytest.approx(2 * expected, rel=1e-12)
    assert slope == pytest.approx(expected, rel=1e-12)


def test_derivatives_pass_through_chunks(rows: Any, x64: None) -> None:
    arrays, weights = jax.tree.map(jnp.asarray, rows), jnp.ones(N)

    def f(r: Any, w: Any, p: Any) -> Any:
        return jnp.sum(w * jnp.sin(p * r["x"] + r["k"]))

    def in_chunks(p: Any) -> Any:
        return chunked_sum(lambda r, w: f(r, w, p), arrays, weights, SIZE)

    for derivative in (jax.grad, lambda g: jax.jacfwd(jax.grad(g))):
        expected = derivative(lambda p: f(arrays, weights, p))(0.7)
        assert derivative(in_chunks)(0.7) == pytest.approx(float(expected), rel=1e-11)


def test_float32_sums_are_compensated() -> None:
    n = 2**20
    values = (0.1 + np.random.default_rng(1).random(n)).astype(np.float32)
    exact = np.sum(values.astype(np.float64))
    ours = chunked_sum(lambda r, w: jnp.sum(w * r), jnp.asarray(values), jnp.ones(n, jnp.float32), SIZE)
    assert ours.dtype == jnp.float32
    assert abs(float(ours) - exact) <= 1.5e-7 * exact
    # What a running sum loses: the reason for the compensation.
    running = np.float32(0)
    for chunk in values.reshape(-1, SIZE):
        running += np.sum(chunk)
    assert abs(float(running) - exact) > abs(float(ours) - exact)


def test_an_infinite_float32_sum_is_infinite() -> None:
    values = jnp.where(jnp.arange(N) == 500, -jnp.inf, 1.0).astype(jnp.float32)
    total = chunked_sum(lambda r, w: jnp.sum(r), values, jnp.ones(N, jnp.float32), SIZE)
    assert total == -jnp.inf


@pytest.mark.parametrize("n", [N, 4 * SIZE, SIZE, 3])
def test_a_map_in_chunks_is_the_map(rows: Any, n: int, x64: None) -> None:
    rows = jax.tree.map(lambda a: jnp.resize(a, n), rows)

    def f(r: Any) -> Any:
        return {"y": jnp.exp(r["x"]), "pair": jnp.stack([r["x"], r["k"]], axis=1)}

    jax.tree.map(np.testing.assert_array_equal, chunked_map(f, rows, n, SIZE), f(rows))


@pytest.mark.parametrize("bytes_per_row", [0, 1, 8, 1000, 10**9])
def test_chunks_are_powers_of_two_and_not_tiny(bytes_per_row: int) -> None:
    size = chunk_rows(bytes_per_row)
    assert size >= 256 and size & (size - 1) == 0
