"""What the framework relies on, for every family of the registry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families.registry import ROWS, Row
from hypothesis import given, settings
from hypothesis import strategies as st

from latentem.constraints import ParameterSpace

every = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
separable = pytest.mark.parametrize(
    "row",
    [row for row in ROWS if row.family.declare(row.data(np.random.default_rng(0), 20))[0].separable],
    ids=lambda row: row.name,
)


def declared(row: Row, n: int = 40, seed: int = 0):
    return row.family.declare(row.data(np.random.default_rng(seed), n))


def first(x, n: int = 0):
    return jax.tree.map(lambda a: a[n], x)


@every
def test_log_prob_is_scipys(row: Row, x64) -> None:
    family, x = declared(row)
    rng = np.random.default_rng(1)
    for _ in range(3):
        params = row.params(rng)
        ours = jax.jit(jax.vmap(family.log_prob, in_axes=(None, 0)))(params, x)
        theirs = [float(row.reference(params, first(x, n))) for n in range(40)]
        np.testing.assert_allclose(ours, theirs, rtol=2e-12, atol=2e-12)


@every
def test_is_a_hashable_value_that_declares_twice_alike(row: Row) -> None:
    family, x = declared(row)
    again, same = family.declare(x)
    assert again == family and hash(again) == hash(family)
    jax.tree.map(np.testing.assert_array_equal, x, same)


@every
def test_params_and_default_lie_in_the_constraints(row: Row, x64) -> None:
    family, x = declared(row)
    space = ParameterSpace.of(family.constraints())
    assert bool(space.contains(row.params(np.random.default_rng(3))))
    for weights in (np.ones(40), np.r_[np.zeros(20), np.full(20, 0.3)]):
        default = family.default(x, weights, family.context(x, weights))
        assert bool(space.contains(default))
        shapes = jax.tree.map(lambda a: np.shape(a), row.params(np.random.default_rng(3)))
        assert jax.tree.map(lambda a: np.shape(a), default) == shapes
        scores = jax.vmap(family.log_prob, in_axes=(None, 0))(default, x)
        assert np.isfinite(scores).all()


@separable
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_features_times_natural_is_log_prob(row: Row, seed: int) -> None:
    with jax.enable_x64(True):
        rng = np.random.default_rng(seed)
        family, x = declared(row, seed=seed % 7)
        params, context = row.params(rng), family.context(x, np.ones(40))
        features = family.features_batch(x, context)
        natural = family.natural(params, context)
        assert features.shape == (40, family.width) and natural.shape == (family.width,)
        assert (features[:, 0] == 1).all()
        scores = jax.vmap(family.log_prob, in_axes=(None, 0))(params, x)
        size = 1 + np.abs(scores) + np.abs(features) @ np.abs(natural)
        assert (np.abs(features @ natural - scores) <= 1e-13 * size).all()


@every
def test_statistics_count_first_and_have_the_stated_width(row: Row, x64) -> None:
    family, x = declared(row)
    params, context = row.params(np.random.default_rng(2)), family.context(x, np.ones(40))
    statistics = jax.vmap(family.statistics, in_axes=(None, 0, None))(params, x, context)
    assert statistics.shape == (40, family.width)
    assert (statistics[:, 0] == 1).all() and np.isfinite(statistics).all()


@every
def test_rows_of_weight_zero_change_nothing(row: Row, x64) -> None:
    family, x = declared(row)
    weights = np.r_[np.ones(30), np.zeros(10)]
    whole = family.context(x, weights)
    part = family.context(jax.tree.map(lambda a: a[:30], x), weights[:30])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13), whole, part)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13),
        family.default(x, weights, whole),
        family.default(jax.tree.map(lambda a: a[:30], x), weights[:30], part),
    )


@every
def test_impossible_is_minus_infinity_with_finite_gradients(row: Row, x64) -> None:
    family, x = declared(row)
    params = jax.tree.map(jnp.asarray, row.params(np.random.default_rng(4)))
    for value in row.impossible:
        score, slope = jax.value_and_grad(family.log_prob)(params, value)
        assert score == -np.inf
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
    slope = jax.grad(lambda p: jnp.sum(jax.vmap(family.log_prob, in_axes=(None, 0))(p, x)))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))


@every
def test_float32_stays_float32_and_agrees(row: Row) -> None:
    family, x = declared(row)
    params = row.params(np.random.default_rng(5))
    with jax.enable_x64(True):
        exact = jax.vmap(family.log_prob, in_axes=(None, 0))(params, x)
    small, weights = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), (params, np.ones(40)))
    rows = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), x)
    scores = jax.vmap(family.log_prob, in_axes=(None, 0))(small, rows)
    assert scores.dtype == jnp.float32
    np.testing.assert_allclose(scores, exact, rtol=1e-4, atol=1e-4)
    context = family.context(rows, weights)
    several = jax.tree.map(lambda a: jnp.stack([a, a]), small)
    expected = jnp.sum(jax.vmap(family.statistics, in_axes=(None, 0, None))(small, rows, context), axis=0)
    new = family.maximize(
        jnp.stack([expected, expected]), several, family.statistics_context(several, context)
    )
    for leaf in jax.tree.leaves((context, family.default(rows, weights, context), expected, new)):
        assert leaf.dtype == jnp.float32 and np.isfinite(leaf).all()


@every
def test_samples_fit_back(row: Row, x64) -> None:
    family, x = declared(row)
    if row.name == "custom":
        with pytest.raises(ValueError, match="sample=None: expected a function"):
            family.sample({}, jax.random.key(0))
        return
    params = row.params(np.random.default_rng(6))
    keys = jax.random.split(jax.random.key(0), 20_000)
    drawn = jax.jit(jax.vmap(family.sample, in_axes=(None, 0)))(params, keys)
    assert jax.tree.map(lambda a: a.shape[1:], drawn) == jax.tree.map(lambda a: a.shape[1:], x)
    again, rows = family.declare(drawn)
    weights = np.ones(20_000)
    fitted = again.default(rows, weights, again.context(rows, weights))
    for name, tolerance in row.recovers.items():
        scale = np.maximum(np.abs(params[name]), 0.2)
        assert (np.abs(fitted[name] - params[name]) <= tolerance * scale).all(), (name, fitted, params)
