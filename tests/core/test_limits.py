"""Sizes without a bound are refused in one line; what is computed row by row needs little beside its result."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import latentem as lem
from latentem.cli.environment import drop_bad
from latentem.inference.influence import influence
from latentem.inference.scores import scores_per_observation
from latentem.numerics.chunks import chunked_map

F = lem.families
X = np.random.default_rng(0).poisson(3.0, 40).astype(float)


@pytest.mark.parametrize(
    ("too_much", "told"),
    [
        (lambda: lem.fit(lem.Mixture(F.Categorical(), 2), np.array([0, 1, 2**62]), key=0), "Categorical: category"),
        (lambda: lem.fit(lem.Mixture(F.Categorical(), 2), np.array([0, 1, 10**9]), key=0), "Categorical: category"),
        (lambda: lem.fit(lem.Mixture(F.Poisson(), 2), X, key=0, starts=10**9), "starts=1000000000"),
        (lambda: lem.Continuous(3, size=10**5), "Continuous"),
        (lambda: lem.Finite(10**9), "Finite"),
        (lambda: lem.HSMM(2, F.Poisson(), lem.durations.Poisson(10**6)), "last up to 1000000 steps"),
        (lambda: lem.bootstrap(lem.fit(lem.Mixture(F.Poisson(), 1), X), 0, 10**12), "replicates=1000000000000"),
    ],
)
def test_sizes_without_a_bound_are_refused_in_one_line(too_much: Callable[[], Any], told: str) -> None:
    with pytest.raises(ValueError, match=told) as error:
        too_much()
    assert "GiB" in str(error.value) and "\n" not in str(error.value)


def test_a_map_over_chunks_is_the_map_and_copies_nothing() -> None:
    rows = {"x": jnp.arange(1000.0), "y": jnp.ones((1000, 2))}

    def f(part: Any) -> Any:
        return part["x"][:, None] * part["y"], part["x"] > 3

    for size in (1000, 128, 250):
        found = jax.jit(lambda r, size=size: chunked_map(f, r, 1000, size))(rows)
        for a, b in zip(found, f(rows), strict=True):
            np.testing.assert_array_equal(a, b)
    big = jax.ShapeDtypeStruct((200_000, 2), jnp.float32)
    compiled = jax.jit(lambda a: chunked_map(lambda b: jnp.exp(b), a, 200_000, 1024)).lower(big).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 200_000


def test_influence_by_parts_is_that_of_all_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = lem.fit(lem.Mixture(F.Poisson(), 1), X)
    whole = influence(fit._estimate)
    monkeypatch.setattr("latentem.inference.scores.ROWS", 16)
    parts = influence(fit._estimate)
    np.testing.assert_allclose(parts.displacement, whole.displacement, rtol=1e-12)
    np.testing.assert_allclose(*(i.params["components"]["rate"] for i in (parts, whole)), rtol=1e-12)
    assert scores_per_observation(fit._estimate).shape == (40, 1)


def test_replicates_in_blocks_are_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = lem.fit(lem.Mixture(F.Poisson(), 1), X)
    whole = lem.bootstrap(fit, 0, 7)
    monkeypatch.setattr("latentem.comparing.bootstrap.BLOCK_BYTES", 3 * 6 * X.nbytes)
    blocks = lem.bootstrap(fit, 0, 7)
    np.testing.assert_allclose(blocks.log_likelihood, whole.log_likelihood, rtol=1e-12)


def test_entries_of_a_cache_that_cannot_be_read_are_dropped(tmp_path: Any) -> None:
    import zlib

    (tmp_path / "good-cache").write_bytes(zlib.compress(b"a program"))
    (tmp_path / "bad-cache").write_bytes(b"half a prog")
    (tmp_path / "empty-cache").write_bytes(b"")
    assert drop_bad(tmp_path) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["good-cache"]
