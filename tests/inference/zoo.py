"""Models that the tests of inference share, each fitted once: small, and unlike one another."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr
from jax.scipy.stats import multivariate_normal, norm, poisson

import latentem as lem
from latentem import datasets
from latentem.posterior import Weighted


@dataclass(frozen=True)
class Case:
    """A model, its data, and where its fit starts."""

    name: str
    model: Any
    x: Any
    initial: Any = None
    weights: Any = None

    def fit(self, **options: Any) -> lem.Fit:
        return lem.fit(self.model, self.x, weights=self.weights, initial=self.initial, **options)


def london_times(params: Any, x: Any, z: Any) -> Any:
    weight = jnp.where(z == 0, params["weight"], 1 - params["weight"])
    return jnp.log(weight) + poisson.logpmf(x, params["rate"][z])


def linkage(params: Any, cell: Any, z: Any) -> Any:
    t = params["t"]
    nothing = jnp.zeros_like(t)
    p = 0.25 * jnp.array([[2.0 + nothing, t], [1 - t, nothing], [1 - t, nothing], [t, nothing]])[cell, z]
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1.0)), -jnp.inf)


GENOTYPES = np.array([[0, 0], [0, 2], [1, 1], [1, 2], [0, 1], [2, 2]])  # of A, B, O: AA AO BB BO AB OO
PHENOTYPE = np.array([0, 0, 1, 1, 2, 3])  # A B AB O


def abo(params: Any, phenotype: Any, z: Any) -> Any:
    first, second = jnp.asarray(GENOTYPES)[z]
    gene = jnp.log(params["gene"])
    chance = gene[first] + gene[second] + jnp.where(first == second, 0.0, jnp.log(2.0))
    return jnp.where(jnp.asarray(PHENOTYPE)[z] == phenotype, chance, -jnp.inf)


def zero_inflated(params: Any, children: Any, z: Any) -> Any:
    without = jnp.where(children == 0, jnp.log(params["none"]), -jnp.inf)
    return jnp.where(z == 0, without, jnp.log1p(-params["none"]) + poisson.logpmf(children, params["rate"]))


def log_life(params: Any, x: Any, z: Any) -> Any:
    return norm.logpdf(z, params["intercept"] + params["slope"] * x["heat"], params["sigma"])


def truncated(params: Any, x: Any) -> Weighted:
    """Posterior of the log life: known, or normal truncated from below at the end of the test. Two nodes with its mean
    and variance: the log density is quadratic in z."""
    location, sigma = params["intercept"] + params["slope"] * x["heat"], params["sigma"]
    a = (x["log_hours"] - location) / sigma
    hazard = jnp.exp(norm.logpdf(a) - log_ndtr(-a))
    spread = jnp.sqrt(jnp.where(x["censored"], 1 + a * hazard - hazard**2, 1.0)) * sigma
    mean = jnp.where(x["censored"], location + sigma * hazard, x["log_hours"])
    nodes = mean + jnp.where(x["censored"], spread, 0.0) * jnp.array([-1.0, 1.0])
    evidence = jnp.where(x["censored"], log_ndtr(-a), norm.logpdf(a) - jnp.log(sigma))
    return Weighted(nodes, jnp.full(2, -jnp.log(2.0)), evidence)


def two_factors(params: Any, x: Any, z: Any) -> Any:
    given = norm.logpdf(x, params["mean"] + params["loadings"] @ z, jnp.sqrt(params["noise"]))
    return jnp.sum(given) + jnp.sum(norm.logpdf(z))


def two_parameter_logistic(params: Any, answers: Any, ability: Any) -> Any:
    logit = params["slope"] * ability + params["intercept"]
    return jnp.sum(jax.nn.log_sigmoid(jnp.where(answers == 1, logit, -logit))) + norm.logpdf(ability)


def around_origin(params: Any, x: Any, z: Any) -> Any:
    """Three normal clusters of one covariance, the first of them around a fixed point."""
    mean = jnp.where(z == 0, params["origin"], params["mean"][jnp.maximum(z - 1, 0)])
    return jnp.log(params["weight"][z]) + multivariate_normal.logpdf(x, mean, params["covariance"])


def smoothed(params: Any) -> Any:
    """A prior given as a function: Gamma(2, 1) on each rate, up to a constant."""
    return jnp.sum(jnp.log(params["rate"]) - params["rate"])


FAITHFUL = datasets.old_faithful().matrix()
ATTITUDE = datasets.attitude().matrix()
TIMES = datasets.hasselblad()
WIDOWS = datasets.widows()
LSAT = datasets.lsat6()
MOTORS = datasets.motorette()
TWO_RATES = {"weight": lem.unit(), "rate": lem.positive(2)}
START = {"weight": 0.5, "rate": [1.0, 3.0]}
CLUSTERS = {
    "weight": lem.simplex(3),
    "origin": lem.fixed([2.0, 54.0]),
    "mean": lem.real((2, 2)),
    "covariance": lem.covariance(2),
}

HASSELBLAD = Case(
    "hasselblad",
    lem.Model(london_times, lem.Finite(2), TWO_RATES, name="hasselblad"),
    TIMES.deaths,
    START,
    TIMES.frequency,
)
LINKAGE = Case(
    "linkage",
    lem.Model(linkage, lem.Finite(2), {"t": lem.unit()}),
    datasets.genetic_linkage().cell,
    {"t": 0.5},
    datasets.genetic_linkage().frequency,
)
ABO = Case(
    "abo",
    lem.Model(abo, lem.Finite(6), {"gene": lem.simplex(3)}),
    np.arange(4),
    {"gene": [0.4, 0.3, 0.3]},
    datasets.abo_blood().frequency,
)
ZIP = Case(
    "zip",
    lem.Model(zero_inflated, lem.Finite(2), {"none": lem.unit(), "rate": lem.positive()}),
    WIDOWS.children,
    {"none": 0.5, "rate": 1.0},
    WIDOWS.frequency,
)
TOBIT = Case(
    "tobit",
    lem.Model(log_life, lem.Given(truncated), {"intercept": lem.real(), "slope": lem.real(), "sigma": lem.positive()}),
    {
        "heat": 1000 / (MOTORS.temperature + 273.2),
        "log_hours": np.log10(MOTORS.hours),
        "censored": MOTORS.censored,
    },
    {"intercept": -5.0, "slope": 4.0, "sigma": 0.3},
)
FACTORS = Case(
    "factors",
    lem.Model(
        two_factors,
        lem.Continuous(2, method="hessian"),
        {"mean": lem.real(7), "loadings": lem.real((7, 2)), "noise": lem.positive(7)},
    ),
    ATTITUDE,
    {
        "mean": ATTITUDE.mean(axis=0),
        "loadings": 0.5 * np.random.default_rng(0).normal(size=(7, 2)) * ATTITUDE.std(axis=0)[:, None],
        "noise": 0.5 * ATTITUDE.var(axis=0),
    },
)
LOGISTIC = Case(
    "2pl",
    lem.Model(two_parameter_logistic, lem.Continuous(1), {"slope": lem.real(5), "intercept": lem.real(5)}),
    LSAT.matrix("item_1", "item_2", "item_3", "item_4", "item_5"),
    {"slope": np.ones(5), "intercept": np.zeros(5)},
    LSAT.frequency,
)
CLUSTERED = Case(
    "simplex, covariance, fixed",
    lem.Model(around_origin, lem.Finite(3), CLUSTERS),
    FAITHFUL,
    {
        "weight": [0.4, 0.2, 0.4],
        "origin": [2.0, 54.0],
        "mean": [[3.8, 77.0], [4.5, 81.0]],
        "covariance": [[0.1, 0.5], [0.5, 34.0]],
    },
)
PENALISED = Case(
    "with a prior",
    lem.Model(london_times, lem.Finite(2), TWO_RATES, prior=smoothed),
    TIMES.deaths,
    START,
    TIMES.frequency,
)
GAUSSIANS = Case(
    "full gaussians",
    lem.GaussianMixture(2),
    FAITHFUL,
    {
        "weights": [0.4, 0.6],
        "components": {
            "mean": [[2.0, 55.0], [4.3, 80.0]],
            "covariance": np.broadcast_to(np.diag([0.2, 35.0]), (2, 2, 2)),
        },
    },
)
TIED = Case(
    "tied gaussians",
    lem.GaussianMixture(3, "tied"),
    FAITHFUL,
    # All three means near the grand mean: plain EM lingers around the saddle of one component.
    {
        "weights": [1 / 3] * 3,
        "components": {
            "mean": FAITHFUL.mean(axis=0) + np.outer([-0.003, 0.0, 0.003], FAITHFUL.std(axis=0) * [1.0, -1.0]),
            "covariance": np.cov(FAITHFUL.T, bias=True),
        },
    },
)
HELD = Case(
    "fixed weights",
    lem.Mixture(lem.families.Poisson(), 2, fixed={"weights": [0.36, 0.64]}),
    TIMES.deaths,
    {"weights": [0.36, 0.64], "components": {"rate": [1.0, 3.0]}},
    TIMES.frequency,
)
MURRAY = Case(
    "murray",
    lem.Mixture(lem.families.Gaussian("full"), 1, fixed={"mean": np.zeros((1, 2)), "weights": np.ones(1)}),
    datasets.murray().matrix(),
    {"weights": [1.0], "components": {"mean": np.zeros((1, 2)), "covariance": [[[2.0, 0.4], [0.4, 2.0]]]}},
)

CASES = (
    HASSELBLAD,
    LINKAGE,
    ABO,
    ZIP,
    TOBIT,
    FACTORS,
    LOGISTIC,
    CLUSTERED,
    PENALISED,
    GAUSSIANS,
    TIED,
    HELD,
    MURRAY,
)


@cache
def fitted(name: str) -> lem.Fit:
    """The fit of a case, once for all tests."""
    return next(case for case in CASES if case.name == name).fit()
