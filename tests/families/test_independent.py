"""Columns side by side: missing values leave a row exactly, and families nest."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from latentem.families import Bernoulli, Gaussian, Independent, NegativeBinomial, Poisson, StudentT


def test_a_missing_column_has_no_features_and_no_density(x64) -> None:
    family = Independent({"a": Poisson(), "b": Gaussian()})
    x = {"a": [1.0, np.nan, 3.0], "b": [np.nan, 2.0, 5.0]}
    family, x = family.declare(x)
    assert family.separable
    context = jax.jit(family.context)(x, np.ones(3))
    features = jax.jit(family.features_batch)(x, context)
    np.testing.assert_array_equal(features[:, 0], 1)
    # 1, x and log x! of the counts; XLA's logarithm of the gamma function is 0 to rounding where x! = 1
    np.testing.assert_allclose(features[:, 1:4], [[1, 1, 0], [0, 0, 0], [1, 3, np.log(6)]], rtol=1e-14, atol=1e-15)
    np.testing.assert_array_equal(features[0, 4:], 0)
    params = {"a": {"rate": 2.0}, "b": {"mean": np.array([1.0]), "covariance": np.array([[4.0]])}}
    scores = jax.jit(jax.vmap(family.log_prob, in_axes=(None, 0)))(params, x)
    a, b = stats.poisson.logpmf([1, 3], 2.0), stats.norm.logpdf([2, 5], 1, 2)
    np.testing.assert_allclose(scores, [a[0], b[0], a[1] + b[1]], rtol=1e-13)
    default = jax.jit(family.default)(x, np.ones(3), context)
    np.testing.assert_allclose(default["a"]["rate"], 2.0, rtol=1e-14)
    np.testing.assert_allclose(default["b"]["mean"], 3.5, rtol=1e-14)


def test_a_block_with_gaps_is_left_to_the_gaussian(x64) -> None:
    block = np.array([[1.0, np.nan], [2.0, 3.0], [0.5, 4.0]])
    family, x = Independent({"n": Poisson(), "block": Gaussian()}).declare({"n": [1, 2, np.nan], "block": block})
    assert family.missing == (True, False) and not family.separable
    params = {
        "n": {"rate": 2.0},
        "block": {"mean": np.array([1.0, 3.0]), "covariance": np.array([[2, 0.5], [0.5, 1]])},
    }
    score = jax.jit(family.log_prob)(params, jax.tree.map(lambda a: a[0], x))
    np.testing.assert_allclose(score, stats.poisson.logpmf(1, 2.0) + stats.norm.logpdf(1, 1, np.sqrt(2)), rtol=1e-13)
    several = jax.tree.map(lambda a: jnp.stack([a, a]), params)
    context = family.statistics_context(several, jax.jit(family.context)(x, np.ones(3)))
    np.testing.assert_array_equal(context[1][0], several["block"]["mean"])


def test_independent_nests(x64) -> None:
    inner = Independent({"smokes": Bernoulli(), "visits": Poisson()})
    data = {"person": {"smokes": [0, 1, np.nan], "visits": [3, 4, 5]}, "height": [1.7, 1.8, 1.9]}
    family, x = Independent({"person": inner, "height": Gaussian()}).declare(data)
    context = jax.jit(family.context)(x, np.ones(3))
    params = jax.jit(family.default)(x, np.ones(3), context)
    np.testing.assert_allclose(params["person"]["smokes"]["probability"], 0.5)
    scores = jax.jit(jax.vmap(family.log_prob, in_axes=(None, 0)))(params, x)
    features, natural = jax.jit(family.features_batch)(x, context), jax.jit(family.natural)(params, context)
    np.testing.assert_allclose(features @ natural, scores, rtol=1e-12)
    several = jax.tree.map(lambda a: jnp.stack([a, a + 0.1]), params)
    expected = jnp.stack([features.sum(0)] * 2)
    held_rate = frozenset({"person.visits.rate"})
    held = jax.jit(lambda e, p: family.maximize(e, p, context, fixed=held_rate))(expected, several)
    np.testing.assert_array_equal(held["person"]["visits"]["rate"], several["person"]["visits"]["rate"])
    np.testing.assert_allclose(held["person"]["smokes"]["probability"], 0.5)


def test_parts_decide_what_the_whole_can() -> None:
    assert not Independent({"a": Poisson(), "b": NegativeBinomial()}).separable
    assert not Independent({"a": Poisson(), "b": NegativeBinomial()}).has_closed_form()
    assert Independent({"a": Poisson(), "b": StudentT(1)}).has_closed_form()
    assert Independent({"a": Poisson(), "b": NegativeBinomial()}).has_closed_form(fixed=frozenset({"b"}))
