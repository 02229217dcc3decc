"""The log-likelihood of a fit is that of its declaration, and of an integral that finer nodes leave where it is."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm, poisson
from scipy import stats
from scipy.integrate import quad

import latentem as lem

RNG = np.random.default_rng(3)
BURSTS = 1e9 + np.concatenate([RNG.normal(0.0, 5.0, 100), 6.3e8 + RNG.normal(0.0, 5.0, 80)])
GROUPS = RNG.integers(0, 2, (60, 4)).astype(float)


def test_bursts_of_epoch_seconds_are_two_normals_to_the_last_digit() -> None:
    fit = lem.fit(lem.Mixture(lem.families.Gaussian(), 2), BURSTS, key=jax.random.key(0))
    early = BURSTS < 1.3e9
    parts = [BURSTS[early], BURSTS[~early]]
    truth = sum(np.sum(stats.norm.logpdf(p, p.mean(), p.std()) + np.log(len(p) / len(BURSTS))) for p in parts)
    assert fit.status is lem.Status.converged
    assert fit.log_likelihood == pytest.approx(truth, abs=1e-6)
    assert any("row by row" in note for note in fit.notes)
    errors = np.sort(np.ravel(fit.standard_errors()["components"]["mean"]))
    np.testing.assert_allclose(errors, np.sort([p.std() / np.sqrt(len(p)) for p in parts]), rtol=1e-4)


def test_an_inertia_counts_what_lies_beside_a_far_row() -> None:
    x = np.append(RNG.normal(0.0, 1.0, 400), 1e9)
    fit = lem.fit(lem.KMeans(2), x, key=jax.random.key(0), starts=4)
    near = np.delete(x, -1)
    assert fit.inertia() == pytest.approx(np.sum((near - near.mean()) ** 2), rel=1e-9)


def intercept(params: Any, y: Any, z: Any) -> Any:
    eta = params["b"] + z
    return jnp.sum(y * jax.nn.log_sigmoid(eta) + (1 - y) * jax.nn.log_sigmoid(-eta)) + norm.logpdf(z, 0, params["sd"])


def truth(params: Any, y: np.ndarray) -> float:
    b, sd = float(params["b"]), float(params["sd"])

    def of_group(k: float, n: int) -> float:
        def density(z: float) -> float:
            p = 1 / (1 + np.exp(-(b + z)))
            return p**k * (1 - p) ** (n - k) * stats.norm.pdf(z, 0, sd)

        return np.log(quad(density, -12 * sd, 12 * sd, epsabs=0, epsrel=1e-10, limit=200)[0])

    each = {k: of_group(k, y.shape[1]) for k in set(y.sum(axis=1))}
    return sum(each[k] for k in y.sum(axis=1))


SPACE = {"b": lem.real(), "sd": lem.positive()}
WIDE = (RNG.random((60, 12)) < 1 / (1 + np.exp(-4 * RNG.normal(size=(60, 1))))).astype(float)


@pytest.mark.parametrize("method", ["grid", "hermite"])
def test_a_random_intercept_in_its_own_units_is_right_or_not_called_converged(method: Any) -> None:
    model = lem.Model(intercept, lem.Continuous(1, method=method), SPACE)
    fit = lem.fit(model, WIDE, initial={"b": 0.0, "sd": 1.0})
    assert fit.quadrature is not None
    right = abs(fit.log_likelihood - truth(fit.params, WIDE)) < 1e-3
    assert right or not fit.status.ok or fit.quadrature.difference > 1e-3
    assert abs(fit.log_likelihood - truth(fit.params, WIDE)) < 0.1 or not fit.status.ok


def test_nodes_in_units_of_a_param_are_right_for_every_value_of_it() -> None:
    model = lem.Model(intercept, lem.Continuous(1, scale="sd", size=121), SPACE)
    fit = lem.fit(model, WIDE, initial={"b": 0.0, "sd": 1.0})
    assert fit.status is lem.Status.converged and fit.quadrature is not None and fit.quadrature.difference < 1e-3
    assert fit.log_likelihood == pytest.approx(truth(fit.params, WIDE), abs=1e-3)
    with pytest.raises(ValueError, match="params have no 'sigma'"):
        lem.fit(lem.Model(intercept, lem.Continuous(1, scale="sigma"), SPACE), WIDE, initial={"b": 0.0, "sd": 1.0})


def gamma_poisson(params: Any, y: Any, z: Any) -> Any:
    return poisson.logpmf(y, z) + jax.scipy.stats.gamma.logpdf(z, params["shape"], scale=params["scale"])


def test_a_positive_latent_value_is_integrated_over_its_logarithm() -> None:
    y = RNG.poisson(RNG.gamma(3.0, 2.0, 300)).astype(float)
    latent = lem.Continuous(1, method="adaptive", size=21, support="positive")
    space = {"shape": lem.positive(), "scale": lem.positive()}
    fit = lem.fit(lem.Model(gamma_poisson, latent, space), y, initial={"shape": 1.0, "scale": 2.0})
    a, s = float(fit.params["shape"]), float(fit.params["scale"])
    assert fit.log_likelihood == pytest.approx(stats.nbinom.logpmf(y, a, 1 / (1 + s)).sum(), abs=1e-3)


def table(params: Any, x: Any, z: Any) -> Any:
    return jnp.log(params["weight"][z]) + jnp.log(params["p"][z, x])


def test_a_fit_refuses_codes_that_its_tables_do_not_hold() -> None:
    model = lem.Model(table, lem.Finite(2), {"weight": lem.simplex(2), "p": lem.simplex(3).batched(2)})
    with pytest.raises(ValueError, match=r"index that is out of range in row 2 \(x = 3\)") as told:
        lem.fit(model, np.array([1, 2, 3, 1]), key=jax.random.key(0))
    assert "\n" not in str(told.value)


def unused(params: Any, x: Any, z: Any) -> Any:
    return jnp.log(params["weight"][z]) + norm.logpdf(x, params["mean"][z], 1.0)


def test_a_fit_says_which_params_nothing_was_learned_about() -> None:
    space = {"weight": lem.simplex(2), "mean": lem.real(2), "left": lem.real()}
    fit = lem.fit(lem.Model(unused, lem.Finite(2), space), RNG.normal(size=50), key=jax.random.key(0))
    assert "left appears in no log p(x, z): nothing was learned about it" in fit.notes


def test_responsibilities_of_huge_log_densities_add_up_to_one() -> None:
    joint = np.array([-3.1e13, -3.1e13 + 2.5, -3.1e13 + 1.0])
    with jax.enable_x64(True):
        found = lem.posterior.Weighted.from_log_joint(jnp.arange(3), jnp.asarray(joint))
        assert float(jnp.sum(found.probabilities)) == pytest.approx(1.0, abs=1e-12)


def test_degrees_of_freedom_that_run_off_are_an_edge() -> None:
    x = stats.norm.ppf((np.arange(200) + 0.5) / 200)  # tails as thin as a normal's, and thinner
    fit = lem.fit(lem.Mixture(lem.families.StudentT(), 1), x, key=jax.random.key(0))
    assert fit.status is lem.Status.boundary
    assert any("ran off" in note for note in fit.notes)
