"""What the framework relies on, for every family of the registry."""

from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families.registry import QUICK, ROWS, Row
from hypothesis import given, settings
from hypothesis import strategies as st

from latentem.constraints import ParameterSpace
from latentem.families import Family

N = 40
every = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
separable = pytest.mark.parametrize(
    "row",
    [row for row in ROWS if row.family.declare(row.data(np.random.default_rng(0), 20))[0].separable],
    ids=lambda row: row.name,
)


def declared(row: Row, seed: int = 0):
    return row.family.declare(row.data(np.random.default_rng(seed), N))


@lru_cache
def compiled(family: Family):
    """All that a family computes, in one program per family: compiling is most of the time of these tests."""

    @partial(jax.jit, compiler_options=QUICK)
    def compute(params, x, weights):
        scores, slopes = jax.vmap(jax.value_and_grad(family.log_prob), in_axes=(None, 0))(params, x)
        context = family.context(x, weights)
        start = family.default(x, weights, context)
        start_scores = jax.vmap(family.log_prob, in_axes=(None, 0))(start, x)
        statistics = jax.vmap(family.statistics, in_axes=(None, 0, None))(params, x, context)
        several = jax.tree.map(lambda a: jnp.stack([a, a]), params)
        expected = jnp.broadcast_to(jnp.sum(statistics, axis=0), (2, family.width))
        new = family.maximize(expected, several, family.statistics_context(several, context))
        features = family.features_batch(x, context)
        natural = family.natural(params, context)
        return Computed(scores, slopes, context, start, start_scores, statistics, new, features, natural)

    return compute


class Computed(NamedTuple):
    scores: Any
    slopes: Any
    context: Any
    start: Any
    start_scores: Any
    statistics: Any
    new: Any
    features: Any
    natural: Any


def finite(tree) -> bool:
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


@every
def test_log_prob_is_scipys(row: Row, x64) -> None:
    family, x = declared(row)
    rng = np.random.default_rng(1)
    for _ in range(3):
        params = row.params(rng)
        ours = compiled(family)(params, x, np.ones(N)).scores
        theirs = [float(row.reference(params, jax.tree.map(lambda a, n=n: a[n], x))) for n in range(N)]
        np.testing.assert_allclose(ours, theirs, rtol=2e-12, atol=2e-12)


@every
def test_is_a_hashable_value_that_declares_twice_alike(row: Row) -> None:
    family, x = declared(row)
    again, same = family.declare(x)
    assert again == family and hash(again) == hash(family)
    jax.tree.map(np.testing.assert_array_equal, x, same)


@every
def test_starts_lie_in_the_constraints_and_take_no_notice_of_weight_zero(row: Row, x64) -> None:
    family, x = declared(row)
    space = ParameterSpace.of(family.constraints())
    params = row.params(np.random.default_rng(3))
    weights = np.r_[np.full(30, 0.3), np.zeros(N - 30)]
    found = compiled(family)(params, x, weights)
    assert space.contains(params) and space.contains(found.start) and finite(found.start_scores)
    assert jax.tree.map(np.shape, found.start) == jax.tree.map(np.shape, params)
    others = jax.tree.map(lambda a: np.concatenate([a[:30], a[: N - 30]]), x)
    again = compiled(family)(params, others, weights)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14),
        (found.context, found.start),
        (again.context, again.start),
    )


@separable
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_features_times_natural_is_log_prob(row: Row, seed: int) -> None:
    with jax.enable_x64(True):
        family, x = declared(row, seed=seed % 7)
        found = compiled(family)(row.params(np.random.default_rng(seed)), x, np.ones(N))
        features, natural, scores = found.features, found.natural, found.scores
        assert features.shape == (N, family.width) and natural.shape == (family.width,)
        size = 1 + np.abs(scores) + np.abs(features) @ np.abs(natural)
        assert (np.abs(features @ natural - scores) <= 1e-13 * size).all()


@every
def test_statistics_count_first_and_have_the_stated_width(row: Row, x64) -> None:
    family, x = declared(row)
    found = compiled(family)(row.params(np.random.default_rng(2)), x, np.ones(N))
    assert found.statistics.shape == (N, family.width)
    assert (found.statistics[:, 0] == 1).all() and finite(found.statistics)
    assert (found.features[:, 0] == 1).all()


@every
def test_impossible_is_minus_infinity_with_finite_gradients(row: Row, x64) -> None:
    family, x = declared(row)
    params = row.params(np.random.default_rng(4))
    found = compiled(family)(params, x, np.ones(N))
    assert finite((found.scores, found.slopes))
    for value in row.impossible:
        rows = jax.tree.map(lambda a, v: np.concatenate([np.asarray(v)[None], a[1:]]).astype(a.dtype), x, value)
        found = compiled(family)(params, rows, np.ones(N))
        assert found.scores[0] == -np.inf and finite((found.scores[1:], found.slopes))


@every
def test_float32_stays_float32_and_agrees(row: Row) -> None:
    family, x = declared(row)
    params = row.params(np.random.default_rng(5))
    with jax.enable_x64(True):
        exact = compiled(family)(params, x, np.ones(N)).scores
    small = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), (params, x, np.ones(N)))
    found = compiled(family)(*small)
    np.testing.assert_allclose(found.scores, exact, rtol=1e-4, atol=1e-4)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(found))
    # only a separable family is asked for its features
    assert finite(found if family.separable else found._replace(features=0.0, natural=0.0))


@every
def test_samples_fit_back(row: Row, x64) -> None:
    family, x = declared(row)
    if row.name == "custom":
        with pytest.raises(ValueError, match="sample=None: expected a function"):
            family.sample({}, jax.random.key(0))
        return
    params = row.params(np.random.default_rng(6))
    keys = jax.random.split(jax.random.key(0), 20_000)
    draw = jax.jit(jax.vmap(family.sample, in_axes=(None, 0)), compiler_options=QUICK)
    drawn = draw(params, keys)
    assert jax.tree.map(lambda a: a.shape[1:], drawn) == jax.tree.map(lambda a: a.shape[1:], x)
    again, rows = family.declare(drawn)
    if not row.recovers:
        return
    fitted = jax.jit(lambda x, w: again.default(x, w, again.context(x, w)))(rows, np.ones(20_000))
    for name, tolerance in row.recovers.items():
        scale = np.maximum(np.abs(params[name]), 0.2)
        assert (np.abs(fitted[name] - params[name]) <= tolerance * scale).all(), (name, fitted, params)
