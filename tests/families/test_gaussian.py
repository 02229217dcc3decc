"""Gaussians: shifted data, collapse onto the floor, missing entries against brute force."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from latentem.families import Gaussian
from latentem.families.gaussian.location_scatter import above_floor
from latentem.families.gaussian.symmetric import pack

STRUCTURES = ("full", "diagonal", "spherical")


def draw(rng, dim: int):
    root = rng.normal(size=(dim, dim))
    return {"mean": rng.normal(size=dim), "covariance": root @ root.T + 0.1 * np.eye(dim)}


@lru_cache
def both_ways(family: Gaussian):
    """The log densities of 50 rows from features and natural parameters, and directly."""

    @jax.jit
    def compute(params, x):
        context = family.context(x, jnp.ones(50))
        ours = family.features_batch(x, context) @ family.natural(params, context)
        return ours, jax.vmap(family.log_prob, in_axes=(None, 0))(params, x)

    return compute


@lru_cache
def default_and_scores(family: Gaussian):
    """The start from all rows, and their log densities there."""

    @jax.jit
    def compute(x):
        weights = jnp.ones(len(x))
        params = family.default(x, weights, family.context(x, weights))
        return params, jax.vmap(family.log_prob, in_axes=(None, 0))(params, x)

    return compute


@lru_cache
def two_components(family: Gaussian, first: int):
    """Context, M-step, that of the first component alone, and natural parameters.

    Rows up to `first` are one component, the others another.
    """

    @jax.jit
    def compute(x):
        weights = jnp.ones(len(x))
        context = family.context(x, weights)
        features = family.features_batch(x, context)
        expected = jnp.stack([features[:first].sum(0), features[first:].sum(0)])
        start = jax.tree.map(lambda a: jnp.stack([a, a]), family.default(x, weights, context))
        new = family.maximize(expected, start, context)
        alone = family.maximize(expected[:1], jax.tree.map(lambda a: a[:1], start), context)
        return context, new, alone, jax.vmap(family.natural, in_axes=(0, None))(new, context)

    return compute


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shift=st.sampled_from([0.0, 1e3, -1e6]), dim=st.sampled_from([1, 4]))
@pytest.mark.parametrize("structure", STRUCTURES)
def test_features_do_not_cancel_far_from_the_origin(structure, seed, shift, dim) -> None:
    with jax.enable_x64(True):
        rng = np.random.default_rng(seed)
        scale = 10.0 ** rng.uniform(-2, 2, dim)
        params = draw(rng, dim)
        x = rng.multivariate_normal(params["mean"], params["covariance"], 50) * scale + shift
        params = {
            "mean": params["mean"] * scale + shift,
            "covariance": params["covariance"] * np.outer(scale, scale),
        }
        if structure != "full":
            variance = np.diag(params.pop("covariance"))
            params["variance"] = variance if structure == "diagonal" else variance.mean()
        family, x = Gaussian(structure).declare(x)
        ours, scores = both_ways(family)(params, x)
        # what a relative change of 1e-16 of x does to the density is not the features' doing
        rounding = 4e-16 * np.abs(shift) * np.sum(1 / np.sqrt(np.diag(np.cov(x.T).reshape(dim, dim))))
        np.testing.assert_allclose(ours, scores, rtol=1e-12, atol=1e-12 + 100 * rounding * np.abs(scores).max())


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("width", [0.0, 1e-9])
def test_a_collapsing_component_stops_at_the_floor(structure, width, x64) -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(50, 3)) * 5, 2 + width * rng.normal(size=(8, 3))])
    family, x = Gaussian(structure).declare(x)
    context, new, alone, natural = two_components(family, 50)(x)
    if structure == "full":
        scaled = new["covariance"] / np.outer(context[1], context[1])
        lowest = np.linalg.eigvalsh(scaled)[:, 0]
    else:
        lowest = np.min(np.atleast_2d(new["variance"].reshape(2, -1) / context[1] ** 2), axis=1)
    np.testing.assert_allclose(lowest[1], 1e-9, rtol=1e-5)
    assert lowest[0] > 1e-3
    assert np.isfinite(natural).all()
    # the healthy component is what it would be alone
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[0], b[0], rtol=1e-12), new, alone)


def test_the_floor_holds_for_each_of_many_starts_and_can_be_differentiated(x64) -> None:
    rng = np.random.default_rng(5)
    root = rng.normal(size=(2, 3, 4, 4))
    sound = root @ np.swapaxes(root, -1, -2) + 0.1 * np.eye(4)
    np.testing.assert_array_equal(jax.jit(jax.vmap(above_floor))(sound), sound)
    some = sound.copy()
    some[1, 2] = np.diag([1.0, 1.0, 0.0, 0.0])
    raised = jax.jit(jax.vmap(above_floor))(some)
    np.testing.assert_allclose(raised[1, 2], np.diag([1.0, 1.0, 1e-9, 1e-9]), atol=1e-12)
    some[1, 2] = raised[1, 2]
    np.testing.assert_array_equal(raised, some)
    for differentiate in (jax.jacfwd, jax.jacrev):
        slope = jax.jit(differentiate(above_floor))(sound[0, 0])
        np.testing.assert_array_equal(slope.reshape(16, 16), np.eye(16))
    held = jax.jit(jax.vmap(jax.jacfwd(above_floor)))(some[1] - 1e-9 * np.eye(4))
    assert (held[2] == 0).all() and (held[0] != 0).any()


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_constant_column_is_legal(structure, x64) -> None:
    x = np.stack([np.random.default_rng(0).normal(size=30), np.full(30, 7.1)], axis=1)
    family, x = Gaussian(structure).declare(x)
    params, scores = default_and_scores(family)(x)
    np.testing.assert_allclose(params["mean"][1], 7.1)
    assert np.isfinite(scores).all()


def test_context_is_the_weighted_mean_and_deviation_of_observed_entries(x64) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2)) * [1e-3, 50] + [1e5, 3]
    x[rng.random(x.shape) < 0.2] = np.nan
    weights = rng.integers(0, 4, 60).astype(float)
    centre, scale, _ = Gaussian().declare(x)[0].context(x, weights)
    repeated = np.repeat(x, weights.astype(int), axis=0)
    np.testing.assert_allclose(centre, np.nanmean(repeated, axis=0), rtol=1e-14)
    np.testing.assert_allclose(scale, np.nanstd(repeated, axis=0), rtol=1e-9)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_missing_entries_score_by_the_marginal_density(structure, x64) -> None:
    rng = np.random.default_rng(1)
    params = draw(rng, 4)
    if structure == "diagonal":
        params = {"mean": params["mean"], "variance": rng.gamma(2.0, 1.0, 4)}
    if structure == "spherical":
        params = {"mean": params["mean"], "variance": 1.7}
    x = rng.normal(size=(60, 4))
    x[rng.random(x.shape) < 0.4] = np.nan
    x[0], x[1] = np.nan, 1.0
    family, x = Gaussian(structure).declare(x)
    assert family.missing and family.separable == (structure != "full")
    matrix = params.get("covariance", np.eye(4) * params.get("variance", 1.0))
    score_rows = jax.jit(jax.vmap(jax.value_and_grad(family.log_prob), in_axes=(None, 0)))
    scores, slopes = score_rows(jax.tree.map(jnp.asarray, params), x)
    for row, score in zip(x, scores, strict=True):
        seen = ~np.isnan(row)
        if not seen.any():
            assert score == 0
            continue
        marginal = stats.multivariate_normal(params["mean"][seen], matrix[np.ix_(seen, seen)])
        np.testing.assert_allclose(score, marginal.logpdf(row[seen]), rtol=1e-12)
    # gradients through the missing entries are finite too
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))


def test_statistics_are_conditional_expectations(x64) -> None:
    rng = np.random.default_rng(2)
    params = draw(rng, 4)
    x = rng.normal(size=(40, 4)) * [1, 10, 0.1, 1]
    x[rng.random(x.shape) < 0.4] = np.nan
    x[0] = np.nan
    family, x = Gaussian().declare(x)
    context = jax.jit(family.context)(x, np.ones(40))
    reference = family.statistics_context(params, context)
    np.testing.assert_array_equal(reference[0], params["mean"])
    ours = jax.jit(jax.vmap(family.statistics, in_axes=(None, 0, None)))(params, x, context)
    for row, statistic in zip(x, ours, strict=True):
        mean, second = brute_force(params["mean"], params["covariance"], row)
        error = (mean - params["mean"]) / context[1]
        about = second - np.outer(mean, params["mean"]) - np.outer(params["mean"], mean)
        about = (about + np.outer(params["mean"], params["mean"])) / np.outer(context[1], context[1])
        np.testing.assert_allclose(statistic, np.r_[1, error, pack(about)], rtol=1e-9, atol=1e-10)


def brute_force(mean, covariance, row):
    """E[x] and E[x x^T] given the observed entries, by partitioning the normal distribution."""
    seen = ~np.isnan(row)
    filled, rest = np.where(seen, row, mean), np.zeros_like(covariance)
    if not seen.any():
        rest = covariance
    elif not seen.all():
        cross = covariance[np.ix_(~seen, seen)] @ np.linalg.inv(covariance[np.ix_(seen, seen)])
        filled[~seen] = mean[~seen] + cross @ (row[seen] - mean[seen])
        rest[np.ix_(~seen, ~seen)] = covariance[np.ix_(~seen, ~seen)] - cross @ covariance[np.ix_(seen, ~seen)]
    return filled, np.outer(filled, filled) + rest


def test_em_on_missing_entries_climbs_to_a_stationary_point(x64) -> None:
    rng = np.random.default_rng(3)
    truth = draw(rng, 3)
    x = rng.multivariate_normal(truth["mean"], truth["covariance"], 80) * [1, 100, 1] + [0, 1e4, 0]
    x[rng.random(x.shape) < 0.2] = np.nan
    family, x = Gaussian().declare(x)
    context = jax.jit(family.context)(x, np.ones(80))

    @jax.jit
    def step(params):
        statistics = jax.vmap(family.statistics, in_axes=(None, 0, None))(params, x, context)
        several = jax.tree.map(lambda a: a[None], params)
        reference = family.statistics_context(several, context)
        new = family.maximize(jnp.sum(statistics, 0)[None], several, reference)
        return jax.tree.map(lambda a: a[0], new), likelihood(params)

    def likelihood(params):
        return jnp.sum(jax.vmap(family.log_prob, in_axes=(None, 0))(params, x))

    params, trace = default_and_scores(family)(x)[0], []
    for _ in range(300):
        params, value = step(params)
        trace.append(float(value))
    assert (np.diff(trace) > -1e-10 * abs(trace[-1])).all()
    slope = jax.jit(jax.grad(likelihood))(params)
    np.testing.assert_allclose(slope["mean"] * context[1], 0, atol=1e-8)
    np.testing.assert_allclose(slope["covariance"] * np.outer(context[1], context[1]), 0, atol=1e-8)


def test_fifty_dimensions(x64) -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(200, 50))
    family, x = Gaussian().declare(x)
    params, scores = default_and_scores(family)(x)
    np.testing.assert_allclose(params["covariance"], np.cov(x.T, bias=True), rtol=1e-10, atol=1e-12)
    context = jax.jit(family.context)(x, np.ones(200))
    natural = jax.jit(family.natural)(params, context)
    theirs = stats.multivariate_normal(x.mean(0), np.cov(x.T, bias=True)).logpdf(x)
    np.testing.assert_allclose(jax.jit(family.features_batch)(x, context) @ natural, theirs, rtol=1e-11)
    np.testing.assert_allclose(scores, theirs, rtol=1e-11)
