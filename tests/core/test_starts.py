"""Starts come from the data, and what is spurious leads nobody astray; optima by SciPy from the truth."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import beta, norm
from scipy import stats
from scipy.optimize import minimize

import latentem as lem

F = lem.families
RNG = np.random.default_rng(0)
SHARES = np.concatenate([RNG.beta(2, 12, 100), RNG.beta(12, 3, 100)])
HIGH = np.concatenate([RNG.normal(1000, 1, 100), RNG.normal(1010, 2, 100)])
FAR = np.concatenate([RNG.normal(0, 1, 200), 1e6 + RNG.normal(0, 10, 5)])


def best(log_density: Any, x: np.ndarray, start: np.ndarray) -> float:
    """The maximum of a mixture of two by SciPy; v is the log odds of the first, then the log params of both."""

    def minus(v: np.ndarray) -> float:
        first, second = np.split(v[1:], 2)
        log_w = -np.logaddexp(0, -v[0]), -np.logaddexp(0, v[0])
        return -float(np.sum(np.logaddexp(log_w[0] + log_density(x, first), log_w[1] + log_density(x, second))))

    return -min(minimize(minus, start, method=m, options={"maxiter": 20000}).fun for m in ("BFGS", "Nelder-Mead"))


def beta_density(params: Any, x: Any) -> Any:
    return beta.logpdf(x, params["a"], params["b"])


def test_a_custom_family_starts_from_what_fits_the_seeds() -> None:
    truth = best(
        lambda x, p: stats.beta.logpdf(x, *np.exp(p)), SHARES, np.concatenate([[0.0], np.log([2, 12]), np.log([12, 3])])
    )
    mixture = lem.Mixture(F.Custom(beta_density, {"a": lem.positive(), "b": lem.positive()}), 2)
    for key in range(3):
        fit = lem.fit(mixture, SHARES, key=key)
        assert fit.status is lem.Status.converged
        assert fit.log_likelihood == pytest.approx(truth, abs=1e-4)


def two_normals(params: Any, x: Any, z: Any) -> Any:
    return jnp.log(params["weight"][z]) + norm.logpdf(x, params["mean"][z], params["sd"][z])


def test_a_model_of_ones_own_starts_where_the_data_are() -> None:
    truth = best(
        lambda x, p: stats.norm.logpdf(x, 1000 + p[0], np.exp(p[1])), HIGH, np.array([0.0, 0.0, 0.0, 10.0, np.log(2)])
    )
    space = {"weight": lem.simplex(2), "mean": lem.real(2), "sd": lem.positive(2)}
    model = lem.Model(two_normals, lem.Finite(2), space)
    for key in range(3):
        assert lem.fit(model, HIGH, key=key).log_likelihood == pytest.approx(truth, abs=1e-4)


def censored(params: Any, x: Any, z: Any) -> Any:
    shape, scale = params["shape"][z], params["scale"][z]
    u = x["time"] / scale
    event = jnp.log(shape / scale) + (shape - 1) * jnp.log(u)
    return jnp.log(params["weight"][z]) + x["event"] * event - u**shape


@pytest.mark.slow
def test_a_censored_mixture_is_found_from_every_set_of_starts() -> None:
    rng = np.random.default_rng(0)
    time = np.concatenate([2 * rng.weibull(1.5, 60), 20 * rng.weibull(3, 60)])
    event, time = (time < 15).astype(float), np.minimum(time, 15.0)

    def log_density(_: Any, p: np.ndarray) -> np.ndarray:
        k, s = np.exp(p)
        return event * (np.log(k / s) + (k - 1) * np.log(time / s)) - (time / s) ** k

    truth = best(log_density, time, np.concatenate([[0.0], np.log([1.5, 2]), np.log([3, 20])]))
    space = {"weight": lem.simplex(2), "shape": lem.positive(2), "scale": lem.positive(2)}
    model = lem.Model(censored, lem.Finite(2), space)
    for key in range(5):
        fit = lem.fit(model, {"time": time, "event": event}, key=key, starts=3)
        assert fit.log_likelihood == pytest.approx(truth, abs=1e-4)


def test_rows_far_away_do_not_lift_the_floor_of_variances() -> None:
    parts = [FAR[:200], FAR[200:]]
    truth = sum(np.sum(stats.norm.logpdf(p, p.mean(), p.std()) + np.log(len(p) / 205)) for p in parts)
    fit = lem.fit(lem.GaussianMixture(2), FAR, key=0)
    assert fit.log_likelihood == pytest.approx(truth, abs=1e-3)
    variances = np.sort(np.ravel(fit.params["components"]["covariance"]))
    np.testing.assert_allclose(variances, sorted(p.var() for p in parts), rtol=1e-4)


def test_clusters_far_apart_do_not_hide_a_collapse() -> None:
    x = np.concatenate([c + RNG.normal(size=30) for c in (0, 1e4)])
    x = np.append(x, 3e4)  # a row by itself: a component on it has no bound
    fit = lem.fit(lem.GaussianMixture(3), x, key=0, starts=2)
    assert fit.status is lem.Status.boundary and any("collapsed" in note for note in fit.notes)


@pytest.mark.parametrize(
    ("x", "told"),
    [
        (np.column_stack([np.ones(40), RNG.normal(size=40)]), "column 0 is 1 in all rows"),
        (RNG.normal(size=(40, 1)) * [1.0, 2.0] + [0.0, 1.0], "column 1 is a linear function of those before it"),
        (np.ones((40, 2)), "all rows are equal"),
    ],
)
def test_degenerate_data_have_a_status_and_words_of_their_own(x: np.ndarray, told: str) -> None:
    fit = lem.fit(lem.GaussianMixture(2), x, key=0)
    assert fit.status is lem.Status.degenerate and not fit.status.ok
    assert told in fit.notes[0]


def test_ten_rows_of_one_normal_end_in_a_spike_or_a_maximum_never_in_a_fall() -> None:
    for key in range(4):
        fit = lem.fit(lem.GaussianMixture(2), np.random.default_rng(key).normal(size=10), key=key)
        assert fit.status in (lem.Status.boundary, lem.Status.converged)


def test_true_zeros_of_a_simplex_are_no_empty_component() -> None:
    like = RNG.random((60, 4)) * (RNG.random((60, 4)) < 0.6) + 1e-9
    like[:, 3] = 0.1 * like[:, :3].max(axis=1)  # never the best explanation

    def abundance(params: Any, x: Any, z: Any) -> Any:
        return jnp.log(params["share"][z]) + jnp.log(x[z])

    fit = lem.fit(lem.Model(abundance, lem.Finite(4), {"share": lem.simplex(4)}), like, key=0, starts=2)
    assert fit.params["share"][3] < 1e-8
    assert not any("spurious" in note for note in fit.notes)
