"""Latent values of several named parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm
from scipy import stats

import latentem as lem

T = np.arange(4.0)
RNG = np.random.default_rng(5)
KIND = RNG.integers(0, 2, 60)
Y = np.where(KIND, 1.0, -1.0)[:, None] * T + 0.6 * RNG.normal(size=(60, 1)) + 0.5 * RNG.normal(size=(60, 4))
PARAMS = {
    "weight": lem.simplex(2),
    "slope": lem.ordered(2),
    "between": lem.positive(),
    "noise": lem.positive(),
}
START = {"weight": [0.4, 0.6], "slope": [-0.5, 0.5], "between": 0.8, "noise": 0.7}


def growth(params, x, z):
    """A person of a kind with a slope, around which all her readings are moved by u ~ N(0, between)."""
    level = params["between"] * z["u"]
    told = norm.logpdf(x, params["slope"][z["kind"]] * T + level, params["noise"])
    return jnp.log(params["weight"][z["kind"]]) + norm.logpdf(z["u"]) + jnp.sum(told)


def summed_inside(params, x, z):
    """The same, u summed over by hand."""
    found = lem.Continuous(1, "hermite", 15).nodes()
    assert found is not None
    nodes, log_weights = (jnp.asarray(a) for a in found)
    return jax.scipy.special.logsumexp(jax.vmap(lambda u: growth(params, x, {"kind": z, "u": u}))(nodes) + log_weights)


def exactly(params: dict) -> float:
    """Log-likelihood of the normal mixture that it is."""
    cov = params["between"] ** 2 + params["noise"] ** 2 * np.eye(4)
    of = [
        w * stats.multivariate_normal(s * T, cov).pdf(Y) for w, s in zip(params["weight"], params["slope"], strict=True)
    ]
    return float(np.log(np.sum(of, axis=0)).sum())


@pytest.fixture(scope="module")
def on_nodes() -> lem.Fit:
    model = lem.Model(growth, lem.Product(kind=lem.Finite(2), u=lem.Continuous(1, "hermite", 15)), PARAMS)
    return lem.fit(model, Y, initial=START)


def test_equals_a_sum_inside(on_nodes: lem.Fit) -> None:
    by_hand = lem.fit(lem.Model(summed_inside, lem.Finite(2), PARAMS), Y, initial=START)
    assert on_nodes.log_likelihood == pytest.approx(by_hand.log_likelihood, abs=1e-8)
    for a, b in zip(jax.tree.leaves(on_nodes.params), jax.tree.leaves(by_hand.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    np.testing.assert_allclose(on_nodes.responsibilities(), by_hand.responsibilities(), atol=1e-6)
    assert on_nodes.responsibilities().shape == (60, 2)
    assert np.mean(on_nodes.predict() == KIND) > 0.95


def test_a_normal_part_is_exact() -> None:
    latent = lem.Product(u=lem.Continuous(1, "hessian"), kind=lem.Finite(2))
    fit = lem.fit(lem.Model(growth, latent, PARAMS), Y, initial=START)
    assert fit.status.ok
    assert fit.log_likelihood == pytest.approx(exactly(fit.params), abs=1e-9)
    for name in ("slope", "noise"):  # no higher nearby
        for step in (-1e-4, 1e-4):
            assert exactly({**fit.params, name: fit.params[name] + step}) < fit.log_likelihood
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(fit.standard_errors()))
    posterior = fit.posterior(Y[:3])
    shrunk = posterior.expect(lambda z: z["u"])
    weight = 4 * fit.params["between"] / (4 * fit.params["between"] ** 2 + fit.params["noise"] ** 2)
    centred = Y[:3].mean(axis=1)[:, None] - fit.params["slope"] * T.mean()
    np.testing.assert_allclose(shrunk, np.sum(fit.responsibilities(Y[:3]) * weight * centred, axis=1), rtol=1e-8)


def test_marginals(on_nodes: lem.Fit) -> None:
    with jax.enable_x64(True):
        one = on_nodes.model.posterior(on_nodes.as_arrays(), jnp.asarray(Y[0]))
        values, mass, kinds, classes = map(np.asarray, (*one.marginal("u"), *one.marginal("kind")))
    assert (values.shape, mass.shape, kinds.tolist()) == ((15,), (15,), [0, 1])
    assert float(mass.sum()) == pytest.approx(1.0)
    np.testing.assert_allclose(classes, on_nodes.responsibilities(Y[:1])[0], rtol=1e-12)
    with pytest.raises(ValueError, match="parts with nodes are 'kind', 'u'"):
        one.marginal("v")


@pytest.mark.parametrize(
    ("parts", "kind", "told"),
    [
        ({"a": lem.Finite(2)}, ValueError, r"Product of 1 part\(s\)"),
        ({"a": lem.Finite(2), "b": 3}, TypeError, "expected lem.Finite"),
        ({"a": lem.Finite(2), "b": lem.Finite(2, hard=True)}, ValueError, "assigned hard"),
        (
            {"a": lem.Continuous(1, "hessian"), "b": lem.Continuous(1, "adaptive")},
            ValueError,
            "no common nodes",
        ),
    ],
)
def test_refused(parts: dict, kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told):
        lem.Product(**parts)


def test_a_part_that_is_not_there() -> None:
    def misspelt(params, x, z):
        return growth(params, x, {"kind": z["class"], "u": z["u"]})

    model = lem.Model(misspelt, lem.Product(kind=lem.Finite(2), u=lem.Continuous(1)), PARAMS)
    with pytest.raises((ValueError, KeyError, TypeError), match="class"):
        lem.fit(model, Y, initial=START)
