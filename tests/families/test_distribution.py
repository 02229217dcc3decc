"""Distribution functions and quantiles of families of one number, against SciPy."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families.registry import QUICK
from scipy import stats

import latentem as lem
from latentem import families as F

LINE = np.linspace(-3.0, 6.0, 13)
POSITIVE = np.array([0.01, 0.3, 1.0, 2.5, 7.0, 30.0])
WHOLE = np.arange(0.0, 9.0)
LEVELS = np.array([1e-6, 0.02, 0.3, 0.5, 0.77, 0.999])
GAUSS = {"mean": np.array([1.5]), "covariance": np.array([[2.3]])}

CASES: tuple[tuple[Any, dict[str, Any], Any, np.ndarray], ...] = (
    (F.Gaussian(dim=1), GAUSS, stats.norm(1.5, np.sqrt(2.3)), LINE),
    (
        F.StudentT(1),
        {"location": np.array([1.0]), "scale": np.array([[4.0]]), "df": 3.5},
        stats.t(3.5, loc=1.0, scale=2.0),
        LINE,
    ),
    (F.Poisson(), {"rate": 2.7}, stats.poisson(2.7), WHOLE),
    (F.NegativeBinomial(), {"mean": 2.5, "dispersion": 1.3}, stats.nbinom(1.3, 1.3 / 3.8), WHOLE),
    (F.Bernoulli(), {"probability": 0.3}, stats.bernoulli(0.3), np.array([-1.0, 0.0, 0.5, 1.0])),
    (
        F.Categorical(3),
        {"probabilities": np.array([0.2, 0.5, 0.3])},
        stats.rv_discrete(values=([0, 1, 2], [0.2, 0.5, 0.3])),
        WHOLE[:4],
    ),
    (F.Binomial(9), {"probability": 0.4}, stats.binom(9, 0.4), WHOLE),
    (F.Exponential(), {"rate": 0.4}, stats.expon(scale=2.5), POSITIVE),
    (F.Gamma(), {"shape": 0.6, "rate": 0.2}, stats.gamma(0.6, scale=5.0), POSITIVE),
    (F.LogNormal(), {"mean": 0.5, "variance": 1.7}, stats.lognorm(np.sqrt(1.7), scale=np.exp(0.5)), POSITIVE),
    (F.Weibull(), {"shape": 1.8, "scale": 3.0}, stats.weibull_min(1.8, scale=3.0), POSITIVE),
    (F.Beta(), {"a": 0.7, "b": 2.2}, stats.beta(0.7, 2.2), np.linspace(0.0, 1.0, 7)),
    (F.VonMises(), {"mean": 0.0, "concentration": 2.3}, stats.vonmises(2.3), np.linspace(-3.1, 3.1, 9)),
    (
        F.Truncated(F.Gaussian(dim=1), 0.0, 3.0),
        GAUSS,
        stats.truncnorm(-1.5 / np.sqrt(2.3), 1.5 / np.sqrt(2.3), 1.5, np.sqrt(2.3)),
        LINE,
    ),
)


@pytest.mark.parametrize(("family", "params", "law", "x"), CASES, ids=lambda v: type(v).__name__)
def test_cdf_and_quantile_are_scipys(family: Any, params: dict[str, Any], law: Any, x: np.ndarray, x64) -> None:
    @partial(jax.jit, compiler_options=QUICK)
    def both(x: Any, p: Any) -> Any:
        upto = jax.vmap(lambda x: family.cdf(params, x))(x)
        return (
            upto,
            jax.vmap(lambda x: family.survival(params, x))(x),
            jax.vmap(lambda p: family.quantile(params, p))(p),
        )

    cdf, survival, quantile = both(x, LEVELS)
    np.testing.assert_allclose(cdf, law.cdf(x), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(survival, law.sf(x), rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(quantile, law.ppf(LEVELS), rtol=1e-8, atol=1e-12)


def test_counts_with_zeros_of_their_own_and_hurdles_add_up(x64) -> None:
    for family in (F.ZeroInflated(F.Poisson()), F.Hurdle(F.Poisson())):
        params = {"zero": 0.3, "family": {"rate": 2.0}}
        mass = np.exp([float(family.log_prob(params, k)) for k in WHOLE])
        upto = np.array([float(family.cdf(params, k)) for k in WHOLE])
        np.testing.assert_allclose(np.cumsum(mass), upto, rtol=1e-12)
        assert float(family.mean(params)) == pytest.approx(WHOLE @ mass, abs=0.01)


def test_a_family_of_vectors_says_that_it_has_no_distribution_function() -> None:
    with pytest.raises(ValueError, match="Multinomial has no distribution function: expected a family of one number"):
        F.Multinomial(3).cdf({}, 0.0)
    with pytest.raises(ValueError, match="vectors have no distribution function here"):
        F.Gaussian(dim=2).cdf({"mean": jnp.zeros(2), "covariance": jnp.eye(2)}, 0.0)


def test_lifetimes_of_which_no_end_was_seen() -> None:
    """Freireich et al. (1963): weeks of remission under 6-mercaptopurine. The rate of an exponential model is ends over
    weeks, 9 / 359; the Weibull model is at its score equations."""
    weeks = np.array([6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35], float)
    ended = np.r_[np.ones(9), np.zeros(12)]
    table = {"weeks": weeks, "relapse": ended}
    fit = lem.fit(lem.Mixture(F.Weibull("weeks", "relapse"), 1), table)
    shape, scale = (fit.params["components"][name][0] for name in ("shape", "scale"))
    assert fit.status.ok
    assert scale**shape == pytest.approx(np.sum(weeks**shape) / 9, rel=1e-6)
    slope = 9 / shape + np.sum(ended * np.log(weeks)) - 9 * np.sum(weeks**shape * np.log(weeks)) / np.sum(weeks**shape)
    assert abs(slope) < 1e-5
    open_ended = {"from": weeks, "to": np.where(ended == 1, weeks, np.nan)}
    fit = lem.fit(lem.Mixture(F.Censored(F.Exponential(), "from", "to"), 1), open_ended)
    assert fit.params["components"]["rate"][0] == pytest.approx(9 / 359, rel=1e-7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: F.Weibull("time"), "expected the names of both columns"),
        (lambda: F.Binomial(0), "expected a number of trials, or names of columns"),
        (lambda: F.Binomial(3).declare([1, 4]), r"Binomial: observations\[1\] = 4: expected at most 3, the trials"),
        (lambda: F.Beta().declare([0.5, 1.0]), r"Beta: observations\[1\] = 1: expected a number between 0 and 1"),
        (lambda: F.Ordinal().declare([0, 1, 1]), "Ordinal: 2 categories: expected at least 3; use Bernoulli"),
        (lambda: F.ZeroInflated(F.Gamma()), "ZeroInflated: Gamma is no family of counts: expected one such as"),
        (lambda: F.Hurdle(F.Poisson()).declare([0, 0]), "Hurdle: every observation is 0: expected some that are not"),
        (lambda: F.Truncated(F.Poisson()), "Truncated: lower=None, upper=None: expected at least one end"),
        (
            lambda: F.Truncated(F.Poisson(), 1).declare([1, 0]),
            r"Truncated: observations\[1\] = 0: expected a number from 1",
        ),
        (lambda: F.Truncated(F.NegativeBinomial(), 1), "no distribution function that can be differentiated"),
        (lambda: F.Censored(F.Poisson(), "a", "a"), "expected the names of two columns"),
        (
            lambda: F.Censored(F.Poisson(), "a", "b").declare({"a": [1.0, 3.0], "b": [2.0, 2.0]}),
            "Censored: row 1 lies from 3 to 2: expected a of at most b",
        ),
        (
            lambda: F.CategoricalRegression("y").declare({"y": [0.0, 0.0]}),
            "column 'y' has one category: expected at least",
        ),
        (
            lambda: F.PoissonRegression("y", weights="n").declare({"y": [1.0, 2.0], "n": [1.0, 0.0]}),
            "expected a positive number; remove rows that stand for nothing",
        ),
    ],
)
def test_bad_input_is_refused_in_one_line(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
