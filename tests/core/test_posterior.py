"""What an E-step returns for one observation."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from latentem.posterior import Gaussian, Weighted, complete, expectation, logsumexp


def test_weights_of_nodes_are_bayes_rule(x64: None) -> None:
    joint = np.array([-1.0, -700.0, -2.5, -np.inf])
    posterior = Weighted.from_log_joint(jnp.arange(4), jnp.asarray(joint))
    assert posterior.log_evidence == pytest.approx(special.logsumexp(joint), rel=1e-15)
    np.testing.assert_allclose(posterior.probabilities, special.softmax(joint), rtol=1e-12)
    assert posterior.entropy == pytest.approx(stats.entropy(special.softmax(joint)), rel=1e-12)
    assert posterior.expect(lambda z: 2.0 * z) == pytest.approx(2 * special.softmax(joint) @ np.arange(4))


def test_an_impossible_value_counts_for_nothing(x64: None) -> None:
    posterior = Weighted.from_log_joint(jnp.arange(2), jnp.array([0.0, -jnp.inf]))
    assert posterior.expect(lambda z: jnp.where(z == 0, 1.0, -jnp.inf)) == 1.0

    def q(log_joint: Any) -> Any:
        values = jnp.array([1.0, -jnp.inf])
        return expectation(Weighted.from_log_joint(jnp.arange(2), log_joint).probabilities, values)

    assert np.isfinite(jax.grad(q)(jnp.array([0.0, -jnp.inf]))).all()


def test_an_impossible_observation_has_no_evidence_and_no_gradient(x64: None) -> None:
    nothing = jnp.array([-jnp.inf, -jnp.inf])
    posterior = Weighted.from_log_joint(jnp.arange(2), nothing)
    assert posterior.log_evidence == -jnp.inf
    np.testing.assert_allclose(posterior.probabilities, [0.5, 0.5])
    np.testing.assert_array_equal(jax.grad(logsumexp)(nothing), [0.0, 0.0])
    batch = jnp.array([[0.0, 1.0], [-jnp.inf, -jnp.inf]])
    assert np.isfinite(jax.grad(lambda a: logsumexp(a)[0])(batch)).all()


def test_draws_follow_the_posterior() -> None:
    posterior = Weighted.from_log_joint(jnp.array([1.0, 5.0]), jnp.log(jnp.array([0.3, 0.1])))
    draws = jax.vmap(posterior.sample)(jax.random.split(jax.random.key(0), 4000))
    assert float(jnp.mean(draws == 5.0)) == pytest.approx(0.25, abs=0.03)


MEAN = np.array([0.5, -1.0, 2.0])
COVARIANCE = np.array([[2.0, 0.3, 0.1], [0.3, 1.0, -0.2], [0.1, -0.2, 0.5]])


def test_a_normal_posterior_is_scipys(x64: None) -> None:
    posterior = Gaussian(jnp.asarray(MEAN), jnp.asarray(COVARIANCE), jnp.asarray(-1.0))
    reference = stats.multivariate_normal(MEAN, COVARIANCE)
    z = np.array([0.1, 0.2, 0.3])
    assert posterior.log_prob(jnp.asarray(z)) == pytest.approx(reference.logpdf(z), rel=1e-13)
    assert posterior.entropy == pytest.approx(reference.entropy(), rel=1e-13)
    draws = jax.vmap(posterior.sample)(jax.random.split(jax.random.key(1), 20_000))
    np.testing.assert_allclose(np.cov(draws.T), COVARIANCE, atol=0.05)


def test_expectations_of_cubics_are_exact(x64: None) -> None:
    posterior = Gaussian(jnp.asarray(MEAN), jnp.asarray(COVARIANCE), jnp.asarray(0.0))
    second = posterior.expect(lambda z: {"square": jnp.outer(z, z), "cube": z[0] * z[1] * z[2]})
    np.testing.assert_allclose(second["square"], COVARIANCE + np.outer(MEAN, MEAN), rtol=1e-13)
    m, c = MEAN, COVARIANCE
    cube = m[0] * m[1] * m[2] + m[0] * c[1, 2] + m[1] * c[0, 2] + m[2] * c[0, 1]
    assert second["cube"] == pytest.approx(cube, rel=1e-13)
    one = Gaussian(jnp.asarray(0.7), jnp.asarray(4.0), jnp.asarray(0.0))
    assert one.expect(lambda z: z**3) == pytest.approx(0.7**3 + 3 * 0.7 * 4.0, rel=1e-13)
    assert one.log_prob(jnp.asarray(1.0)) == pytest.approx(stats.norm.logpdf(1.0, 0.7, 2.0), rel=1e-14)


def test_a_posterior_object_that_says_too_little_is_refused() -> None:
    class Nothing:
        nodes = jnp.arange(2)

    with pytest.raises(TypeError, match="Given.posterior. returned Nothing: expected an object with `expect`") as told:
        complete(Nothing(), lambda z: z)
    assert "\n" not in str(told.value)
