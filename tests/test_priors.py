"""Priors: densities against SciPy, support, derivatives, declarations; the joint prior."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st
from hypothesis import given, settings, strategies

from latentem import priors
from latentem.constraints import ParameterSpace, covariance, positive, real, simplex
from latentem.priors import Beta, Dirichlet, Gamma, InverseGamma, InverseWishart, Joint, LogNormal, Normal

SCALE = np.array([[2.0, 0.3, 0.0], [0.3, 1.0, -0.2], [0.0, -0.2, 0.5]])

# Prior, SciPy's log density of one entry (row, matrix), a sampler of n values inside the support.
CASES = {
    "Dirichlet": (
        Dirichlet([0.5, 1.0, 3.5]),
        st.dirichlet([0.5, 1.0, 3.5]).logpdf,
        lambda g, n: g.dirichlet([2.0, 1.0, 1.0], n),
    ),
    "symmetric Dirichlet": (
        Dirichlet(2.0),
        st.dirichlet([2.0] * 4).logpdf,
        lambda g, n: g.dirichlet(np.ones(4), n),
    ),
    "Beta": (Beta(0.5, 3.0), st.beta(0.5, 3.0).logpdf, lambda g, n: g.uniform(0, 1, n)),
    "Gamma": (Gamma(2.5, 4.0), st.gamma(2.5, scale=1 / 4).logpdf, lambda g, n: g.exponential(2, n)),
    "InverseGamma": (
        InverseGamma(2.5, 4.0),
        st.invgamma(2.5, scale=4).logpdf,
        lambda g, n: g.exponential(2, n),
    ),
    "Normal": (Normal(-1.0, 3.0), st.norm(-1.0, 3.0).logpdf, lambda g, n: g.normal(0, 9, n)),
    "LogNormal": (
        LogNormal(0.7, 2.0),
        st.lognorm(s=2.0, scale=np.exp(0.7)).logpdf,
        lambda g, n: g.exponential(2, n),
    ),
    "InverseWishart": (
        InverseWishart(4.5, SCALE),
        st.invwishart(4.5, SCALE).logpdf,
        lambda g, n: np.array([np.cov(g.normal(size=(3, 8))) for _ in range(n)]),
    ),
    "spherical InverseWishart": (
        InverseWishart(3, 2.0),
        st.invwishart(3, 2.0 * np.eye(2)).logpdf,
        lambda g, n: np.array([np.cov(g.normal(size=(2, 8))) for _ in range(n)]),
    ),
}
every = pytest.mark.parametrize("name", CASES)


@partial(jax.jit, static_argnums=0)
def density(prior, value):
    """The log density, its gradient and the diagonal of its Hessian along the gradient."""
    gradient = jax.grad(prior.log_prob)
    direction = jnp.ones_like(value)
    return prior.log_prob(value), gradient(value), jax.jvp(gradient, (value,), (direction,))[1]


@every
@settings(max_examples=20, deadline=None)
@given(seed=strategies.integers(0, 2**32 - 1))
def test_same_density_as_scipy_summed_over_the_batch(name, seed):
    prior, logpdf, sample = CASES[name]
    values = sample(np.random.default_rng(seed), 4)
    with jax.enable_x64(True):
        found, gradient, curvature = density(prior, values)
    expected = sum(float(logpdf(value)) for value in values)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    assert found.shape == () and np.all(np.isfinite(gradient)) and np.all(np.isfinite(curvature))


@every
def test_one_value_and_float32(name):
    prior, logpdf, sample = CASES[name]
    value = sample(np.random.default_rng(1), 1)[0]
    found, gradient, _ = density(prior, jnp.asarray(value, jnp.float32))
    assert found.dtype == gradient.dtype == jnp.float32
    np.testing.assert_allclose(found, logpdf(value), rtol=2e-5, atol=2e-5)


@every
def test_strict_promotion(name, x64):
    prior, _, sample = CASES[name]
    value = sample(np.random.default_rng(1), 2)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        for dtype in (jnp.float32, jnp.float64):
            assert jax.eval_shape(prior.log_prob, jnp.asarray(value, dtype)).dtype == dtype


@every
def test_gradient_is_that_of_the_scipy_density(name, x64):
    prior, logpdf, sample = CASES[name]
    values = sample(np.random.default_rng(2), 4)
    value = values[0]
    if name.endswith("Dirichlet"):  # SciPy refuses what does not add up to 1, so step along the simplex
        step = np.zeros_like(value)
        step[0], step[1] = 1.0, -1.0
    else:
        step = np.eye(len(value)) if value.ndim == 2 else np.ones_like(value)
    h = 1e-5 * float(np.min(np.abs(value[value != 0])))
    expected = (float(logpdf(value + h * step)) - float(logpdf(value - h * step))) / (2 * h)
    found = np.sum(np.asarray(density(prior, values)[1])[0] * step)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_array_arguments_broadcast_to_the_parameter(x64):
    x = np.array([[0.5, 1.0], [2.0, 3.0], [0.1, 0.2]])
    found = Gamma([2.0, 5.0], 3.0).log_prob(x)
    np.testing.assert_allclose(found, np.sum(st.gamma([2.0, 5.0], scale=1 / 3).logpdf(x)), rtol=1e-12)
    found = Normal(np.arange(3.0)[:, None], [1.0, 2.0]).log_prob(x)
    np.testing.assert_allclose(found, np.sum(st.norm(np.arange(3.0)[:, None], [1.0, 2.0]).logpdf(x)), rtol=1e-12)
    rows = np.array([[0.2, 0.8], [0.5, 0.5]])
    found = Dirichlet([[2.0, 1.0], [3.0, 4.0]]).log_prob(rows)
    expected = st.dirichlet([2.0, 1.0]).logpdf(rows[0]) + st.dirichlet([3.0, 4.0]).logpdf(rows[1])
    np.testing.assert_allclose(found, expected, rtol=1e-12)


OUTSIDE = [
    (Dirichlet(1.0), [0.5, 0.6]),
    (Dirichlet(1.0), [1.5, -0.5]),
    (Dirichlet(2.0), [1.0, 0.0]),
    (Dirichlet([0.5, 2.0, 1.0]), [0.0, 0.0, 1.0]),
    (Beta(2, 2), 1.1),
    (Beta(2, 2), [-0.1, 0.5]),
    (Beta(0.5, 2), 1.0),
    (Gamma(2, 1), [1.0, 0.0]),
    (Gamma(1, 1), -1.0),
    (Gamma(0.5, 1), np.inf),
    (InverseGamma(2, 1), 0.0),
    (InverseGamma(2, 1), -1.0),
    (InverseGamma(2, 1), np.inf),
    (Normal(0, 1), np.inf),
    (Normal(0, 1), np.nan),
    (LogNormal(0, 1), 0.0),
    (LogNormal(0, 1), -2.0),
    (LogNormal(0, 1), np.inf),
    (InverseWishart(3, 1), [[1.0, 2.0], [2.0, 1.0]]),
    (InverseWishart(3, 1), [[1.0, 1.0], [1.0, 1.0]]),
    (InverseWishart(3, 1), [[1.0, 0.5], [0.1, 1.0]]),
    (InverseWishart(3, 1), [[[1.0, 0.0], [0.0, 1.0]], [[np.nan, 0.0], [0.0, 1.0]]]),
]


@pytest.mark.parametrize(("prior", "value"), OUTSIDE)
def test_outside_the_support(prior, value, x64):
    found, gradient, _ = density(prior, np.array(value, float))
    assert found == -np.inf
    assert not np.any(np.isnan(gradient))


def test_edges_of_the_support_that_have_a_density(x64):
    np.testing.assert_allclose(Dirichlet([1.0, 2.0]).log_prob(np.array([0.0, 1.0])), np.log(2.0))
    np.testing.assert_allclose(Dirichlet(1.0).log_prob(np.array([0.0, 0.0, 1.0])), np.log(2.0))
    np.testing.assert_allclose(Beta(1, 2).log_prob(0.0), np.log(2.0))
    np.testing.assert_allclose(Gamma(1, 3.0).log_prob(0.0), np.log(3.0))
    assert Gamma(0.5, 1).log_prob(0.0) == np.inf == st.gamma(0.5).logpdf(0.0)


# --- declarations


def test_priors_are_hashable_values():
    assert Gamma(2, 1) == Gamma(2.0, np.float64(1)) != Gamma(2, 2)
    assert hash(Dirichlet(np.array([1.0, 2.0]))) == hash(Dirichlet([1, 2]))
    assert Dirichlet(jnp.array([1.0, 2.0])).concentration == (1.0, 2.0)
    assert InverseWishart(4, SCALE) == InverseWishart(4, SCALE.tolist())
    assert jax.tree.leaves(Gamma(2, 1)) == [Gamma(2, 1)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dirichlet(0.0), "Dirichlet(concentration=0.0): expected positive numbers"),
        (lambda: Dirichlet([1.0, -1.0]), "Dirichlet(concentration=[1.0, -1.0]): expected positive numbers"),
        (lambda: Beta(1, None), "Beta(b=None): expected positive numbers"),
        (lambda: Gamma("a", 1), "Gamma(shape='a'): expected positive numbers"),
        (lambda: Gamma(1, np.inf), "Gamma(rate=inf): expected positive numbers"),
        (lambda: InverseGamma(np.nan, 1), "InverseGamma(shape=nan): expected positive numbers"),
        (lambda: Normal(np.inf, 1), "Normal(mean=inf): expected finite numbers"),
        (lambda: Normal(0, -1), "Normal(sd=-1): expected positive numbers"),
        (lambda: Normal([0, 1], [1, 1, 1]), "Normal: shapes [(2,), (3,)] of mean, sd do not broadcast"),
        (lambda: LogNormal([[0], [0, 1]], 1), "LogNormal(mean=[[0], [0, 1]]): expected finite numbers"),
        (
            lambda: InverseWishart([3, 3], 1),
            "InverseWishart(df=(3.0, 3.0), scale=1.0): expected one number",
        ),
        (lambda: InverseWishart(1, SCALE), "InverseWishart(df=1.0) of 3 by 3 matrices: expected df above 2"),
        (
            lambda: InverseWishart(3, -1),
            "InverseWishart(df=3.0, scale=-1.0): expected a symmetric",
        ),
        (lambda: InverseWishart(3, [1, 2]), "InverseWishart(df=3.0, scale=(1.0, 2.0)): expected a symmetric"),
        (
            lambda: InverseWishart(3, [[1, 0.5], [0, 1]]),
            "InverseWishart(df=3.0, scale=((1.0, 0.5), (0.0, 1.0))): exp",
        ),
        (lambda: InverseWishart(3, SCALE - 2 * np.eye(3)), "InverseWishart(df=3.0, scale="),
        (
            lambda: Gamma([1, 2, 3], 1).log_prob(np.ones(2)),
            "Gamma(shape=(1.0, 2.0, 3.0), rate=1.0): its shape (3,) does not broadcast to the",
        ),
        (
            lambda: InverseWishart(3, 1).log_prob(np.ones(2)),
            "InverseWishart(df=3.0, scale=1.0): expected square matrices of its size,",
        ),
        (
            lambda: InverseWishart(1, 1).log_prob(np.eye(3)),
            "InverseWishart(df=1.0) of 3 by 3 matrices: expected df",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)) as caught:
        make()
    assert "\n" not in str(caught.value)


# --- the joint prior

SPACE = ParameterSpace.of({"weight": simplex(2), "components": {"mean": real((2, 1)), "covariance": covariance(1, 2)}})
PARAMS = {
    "weight": np.array([0.25, 0.75]),
    "components": {"mean": np.array([[0.0], [1.0]]), "covariance": np.array([[[1.0]], [[2.0]]])},
}


def test_joint_sums_its_parts(x64):
    def ridge(mean):
        return -jnp.sum(mean**2)

    joint = Joint.of(
        {"weight": Dirichlet(2.0), "components": {"mean": ridge, "covariance": InverseWishart(3, 1)}}, SPACE
    )
    expected = st.dirichlet([2.0, 2.0]).logpdf([0.25, 0.75]) - 1.0
    expected += st.invwishart(3, [[1]]).logpdf(1.0) + st.invwishart(3, [[1]]).logpdf(2.0)
    np.testing.assert_allclose(jax.jit(joint.log_prob)(PARAMS), expected, rtol=1e-12)
    assert joint and hash(joint) == hash(Joint.of(joint, SPACE)) and Joint.of(joint) is joint
    assert joint.entries[0] == (("weight",), Dirichlet(2.0))
    assert joint.get("components.mean") is joint.get(("components", "mean")) is ridge
    assert joint.get("components") is None and joint.get(()) is None


def test_joint_of_a_function_of_all_parameters():
    def whole(params):
        return -params["weight"][0]

    joint = Joint.of(whole, SPACE)
    assert joint.entries == (((), whole),) and joint.get(()) is whole
    np.testing.assert_allclose(joint.log_prob(PARAMS), -0.25)
    part = Joint.of({"components": lambda components: components["mean"][1, 0]}, SPACE)
    np.testing.assert_allclose(part.log_prob(PARAMS), 1.0)


@pytest.mark.parametrize("nothing", [None, {}, {"weight": None}])
def test_empty_joint(nothing):
    joint = Joint.of(nothing, SPACE)
    assert not joint and joint == Joint() and float(joint.log_prob(PARAMS)) == 0.0


def test_joint_of_parameters_in_lists():
    space = ParameterSpace.of([positive(), positive(2)])
    joint = Joint.of({1: Gamma(1, 1)}, space)
    np.testing.assert_allclose(joint.log_prob([0.5, np.array([1.0, 2.0])]), -3.0, rtol=1e-6)
    assert joint.get("1") == joint.get((1,)) == Gamma(1, 1)


def test_joint_of_a_single_parameter():
    np.testing.assert_allclose(Joint.of(Gamma(1, 1), ParameterSpace.of(positive())).log_prob(2.0), -2.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("prior", "error", "message"),
    [
        (
            {"rate": Gamma(1, 1)},
            ValueError,
            "prior['rate']: no such parameter; expected one of 'components', 'weight'",
        ),
        (
            {"components": {"sd": Gamma(1, 1)}},
            ValueError,
            "prior['components']['sd']: no such parameter; expected one of 'covariance', 'mean'",
        ),
        (
            {"weight": {"a": Gamma(1, 1)}},
            ValueError,
            "prior['weight']['a']: no such parameter; expected one of nothing below it",
        ),
        (
            {"weight": 3.0},
            TypeError,
            "prior['weight'] = 3.0: expected a prior such as priors.Gamma(2.0, 1.0), ",
        ),
        ({"weight": Dirichlet}, TypeError, "prior['weight'] = <class "),
        (
            {"components": Gamma(1, 1)},
            ValueError,
            "prior['components'] = Gamma(shape=1.0, rate=1.0): expected a dict",
        ),
        (Gamma(1, 1), ValueError, "prior = Gamma(shape=1.0, rate=1.0): expected a dict of priors by name"),
        (
            {"weight": Dirichlet([1, 2, 3])},
            ValueError,
            "prior['weight']: Dirichlet(concentration=(1.0, 2.0, 3.0)): its shape (3,) does not broadcast to",
        ),
        (
            {"components": {"covariance": InverseWishart(3, SCALE)}},
            ValueError,
            "prior['components']['covariance']: InverseWishart",
        ),
    ],
)
def test_bad_joints(prior, error, message):
    with pytest.raises(error) as caught:
        Joint.of(prior, SPACE)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_every_prior_is_tested():
    public = {value for value in vars(priors).values() if isinstance(value, type) and issubclass(value, priors.Prior)}
    assert public - {priors.Prior} == {type(case[0]) for case in CASES.values()}
