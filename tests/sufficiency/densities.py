"""Log-densities as people write them, with the rank that theory gives each: the features of x that its formula shows.

Two components of latent class z unless said otherwise, so that log weight[z] adds the constant feature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import stats
from jax.scipy.special import gammaln
from jax.scipy.stats import multivariate_normal, norm, poisson

import latentem as lem

Rng = np.random.Generator


@dataclass(frozen=True)
class Density:
    """One row of the table: a model, its data, and the rank, or None where the density does not separate."""

    name: str
    model: lem.Model
    data: Callable[[Rng], Any]
    rank: int | None


SEPARABLE: list[Density] = []
REFUSED: list[Density] = []


def density(params: dict, data: Callable[[Rng], Any], rank: int | None, latent: Any = None) -> Callable:
    """Register `log_prob(params, x, z)`; with two classes log weight[z] is added."""

    def register(log_prob: Callable) -> Callable:
        if latent is None:
            declared, on = {"weight": lem.simplex(2), **params}, lem.Finite(2)

            def cll(p: Any, x: Any, z: Any) -> Any:
                return jnp.log(p["weight"][z]) + log_prob(p, x, z)
        else:
            declared, on, cll = params, latent, log_prob
        model = lem.Model(cll, on, declared, name=log_prob.__name__)
        row = Density(log_prob.__name__.replace("_", " "), model, data, rank)
        (REFUSED if rank is None else SEPARABLE).append(row)
        return log_prob

    return register


def real(n: int = 400, *shape: int) -> Callable[[Rng], Any]:
    return lambda rng: 1.0 + 1.5 * rng.standard_normal((n, *shape))


def positive(n: int = 400) -> Callable[[Rng], Any]:
    return lambda rng: rng.gamma(2.0, 1.5, n)


def counts(n: int = 400) -> Callable[[Rng], Any]:
    return lambda rng: np.concatenate([rng.poisson(rng.gamma(2.0, 3.0, n)), np.arange(12)]).astype(float)


def answers(items: int, n: int = 400, levels: int = 2) -> Callable[[Rng], Any]:
    return lambda rng: rng.integers(0, levels, (n, items))


def normal_trait(z: Any) -> Any:
    return norm.logpdf(z)


# One real number: features 1, x, x^2, whatever the parameters are called.


@density({"mean": lem.real(2), "sd": lem.positive(2)}, real(), 3)
def gaussian_mean_sd(p, x, z):
    return norm.logpdf(x, p["mean"][z], p["sd"][z])


@density({"mean": lem.real(2), "precision": lem.positive(2)}, real(), 3)
def gaussian_mean_precision(p, x, z):
    return 0.5 * jnp.log(p["precision"][z] / (2 * jnp.pi)) - 0.5 * p["precision"][z] * (x - p["mean"][z]) ** 2


@density({"a": lem.real(2), "b": lem.positive(2)}, real(), 3)
def gaussian_natural(p, x, z):
    a, b = p["a"][z], p["b"][z]
    return a * x - b * x**2 - a**2 / (4 * b) + 0.5 * jnp.log(b / jnp.pi)


@density({"mean": lem.real(2)}, real(), 3)
def gaussian_unit_variance(p, x, z):
    return -0.5 * (x - p["mean"][z]) ** 2


# d = 2: 1 + 2 + 3.
@density({"mean": lem.real((2, 2)), "diagonal": lem.positive((2, 2)), "below": lem.real(2)}, real(400, 2), 6)
def gaussian_by_cholesky(p, x, z):
    factor = jnp.diag(p["diagonal"][z]).at[1, 0].set(p["below"][z])
    y = jax.scipy.linalg.solve_triangular(factor, x - p["mean"][z], lower=True)
    return -0.5 * y @ y - jnp.sum(jnp.log(p["diagonal"][z]))


# d = 3: 1 + 3 + 6.
@density({"mean": lem.real((2, 3)), "covariance": lem.covariance(3, batch=2)}, real(400, 3), 10)
def gaussian_by_jax_scipy(p, x, z):
    return multivariate_normal.logpdf(x, p["mean"][z], p["covariance"][z])


@density({"mean": lem.real((2, 3)), "sd": lem.positive((2, 3))}, real(400, 3), 7)
def gaussian_diagonal(p, x, z):
    return jnp.sum(norm.logpdf(x, p["mean"][z], p["sd"][z]))


# 1, x, |x|^2.
@density({"mean": lem.real((2, 3)), "sd": lem.positive(2)}, real(400, 3), 5)
def gaussian_spherical(p, x, z):
    return jnp.sum(norm.logpdf(x, p["mean"][z], p["sd"][z]))


def with_gaps(rng: Rng) -> Any:
    x = real(400, 3)(rng)
    x[rng.random(x.shape) < 0.2] = np.nan
    return x


# A constant, and for each column: observed or not, x, x^2.
@density({"mean": lem.real((2, 3)), "sd": lem.positive((2, 3))}, with_gaps, 10)
def gaussian_nan_is_missing(p, x, z):
    seen = ~jnp.isnan(x)
    return jnp.sum(jnp.where(seen, norm.logpdf(jnp.where(seen, x, 0.0), p["mean"][z], p["sd"][z]), 0.0))


@density({"mean": lem.real(2), "sd": lem.positive(2)}, positive(), 3)
def log_normal(p, x, z):
    return norm.logpdf(jnp.log(x), p["mean"][z], p["sd"][z]) - jnp.log(x)


# Counts.


# Hasselblad (1969): the constant, the count, its log factorial.
@density({"rate": lem.positive(2)}, counts(), 3)
def poisson_counts(p, x, z):
    return poisson.logpmf(x, p["rate"][z])


def exposed(rng: Rng) -> Any:
    exposure = rng.uniform(0.5, 3.0, 400)
    return {"count": rng.poisson(2.0 * exposure), "exposure": exposure}


# The count, the exposure, count log(exposure) - log factorial, and the constant.
@density({"rate": lem.positive(2)}, exposed, 4)
def poisson_with_exposure(p, x, z):
    return poisson.logpmf(x["count"], p["rate"][z] * x["exposure"])


@density(
    {"rate": lem.positive(2)},
    lambda rng: np.concatenate([1 + rng.poisson(3.0, 300), np.arange(1, 13)]).astype(float),
    3,
)
def truncated_poisson(p, x, z):
    rate = p["rate"][z]
    return x * jnp.log(rate) - rate - gammaln(x + 1) - jnp.log1p(-jnp.exp(-rate))


# z = 0 is impossible for x > 0: the indicator of x = 0, and Poisson's three.
@density({"zero": lem.unit(), "rate": lem.positive()}, counts(), 4, lem.Finite(2))
def zero_inflated_poisson(p, x, z):
    structural = jnp.where(x == 0, jnp.log(p["zero"]), -jnp.inf)
    return jnp.where(z == 0, structural, jnp.log1p(-p["zero"]) + poisson.logpmf(x, p["rate"]))


@density({"chance": lem.unit(2)}, counts(), 2)
def geometric(p, x, z):
    return jnp.log(p["chance"][z]) + x * jnp.log1p(-p["chance"][z])


@density({"chance": lem.unit(2)}, counts(), 3)
def negative_binomial_fixed_dispersion(p, x, z):
    q = p["chance"][z]
    return gammaln(x + 2.5) - gammaln(x + 1) + 2.5 * jnp.log(q) + x * jnp.log1p(-q)


def trials(rng: Rng) -> Any:
    n = rng.integers(5, 20, 400)
    return {"hits": rng.binomial(n, 0.4), "trials": n}


# Hits, trials, log binomial coefficient, constant.
@density({"chance": lem.unit(2)}, trials, 4)
def binomial_with_trials(p, x, z):
    return stats.binom.logpmf(x["hits"], x["trials"], p["chance"][z])


def tallies(rng: Rng) -> Any:
    return np.stack([rng.multinomial(n, [0.4, 0.3, 0.2, 0.1]) for n in rng.integers(8, 20, 400)]).astype(float)


# Four tallies, log multinomial coefficient, constant.
@density({"share": lem.simplex(4, batch=2)}, tallies, 6)
def multinomial_tallies(p, x, z):
    return gammaln(jnp.sum(x) + 1) - jnp.sum(gammaln(x + 1)) + x @ jnp.log(p["share"][z])


# Rao (1965, p. 369): cells (2 + t, 1 - t, 1 - t, t) / 4. Two middle cells share a probability; log 4 counts the total.
@density({"t": lem.unit(2)}, tallies, 5)
def linkage_tallies(p, x, z):
    t = p["t"][z]
    chances = jnp.stack([2 + t, 1 - t, 1 - t, t]) / 4
    return gammaln(jnp.sum(x) + 1) - jnp.sum(gammaln(x + 1)) + x @ jnp.log(chances)


# The same before cells are merged, at three loci: z says whether the first locus' cell 0 came with chance 1/2 or t/4,
# and z = 1 is impossible in its other cells. 1 and two per locus, and in cell 0 of the first the others again: 7 + 4.
@density({"t": lem.unit(3)}, answers(3, 400, 4), 11, lem.Finite(2))
def linkage_cells(p, x, z):
    t = p["t"]
    cells = jnp.log(jnp.stack([jnp.full(3, 0.5), (1 - t) / 4, (1 - t) / 4, t / 4]))
    split = jnp.where(x[0] == 0, jnp.log(t[0] / 4), -jnp.inf)
    return jnp.where(z == 0, cells[x[0], 0], split) + cells[x[1], 1] + cells[x[2], 2]


# Categories: a constant, and the categories but one of each column.


@density({"logit": lem.real((2, 8))}, answers(8), 9)
def bernoulli_by_logit(p, x, z):
    return jnp.sum(x * p["logit"][z] - jax.nn.softplus(p["logit"][z]))


@density({"chance": lem.unit((2, 8))}, lambda rng: rng.random((400, 8)) < 0.4, 9)
def bernoulli_by_probability(p, x, z):
    return jnp.sum(jnp.where(x, jnp.log(p["chance"][z]), jnp.log1p(-p["chance"][z])))


@density({"share": lem.simplex(4, batch=(2, 4))}, answers(4, 400, 4), 13)
def categorical_by_gather(p, x, z):
    return jnp.sum(jnp.log(p["share"][z][jnp.arange(4), x]))


@density({"share": lem.simplex(4, batch=(2, 4))}, answers(4, 400, 4), 13)
def categorical_by_one_hot(p, x, z):
    return jnp.sum(jax.nn.one_hot(x, 4) * jnp.log(p["share"][z]))


GRID = lem.Continuous(1, size=7)


# Bock and Aitkin (1981): J answers and the constant.
@density({"slope": lem.real(8), "easiness": lem.real(8)}, answers(8), 9, GRID)
def two_parameter_logistic(p, x, z):
    logit = p["slope"] * z + p["easiness"]
    return jnp.sum(x * logit - jax.nn.softplus(logit)) + normal_trait(z)


@density({"slope": lem.real(6), "easiness": lem.real(6), "guess": lem.unit(6)}, answers(6), 7, GRID)
def three_parameter_logistic(p, x, z):
    right = p["guess"] + (1 - p["guess"]) * jax.nn.sigmoid(p["slope"] * z + p["easiness"])
    return jnp.sum(jnp.where(x == 1, jnp.log(right), jnp.log1p(-right))) + normal_trait(z)


@density({"slope": lem.positive(4), "step": lem.ordered(3, batch=4)}, answers(4, 400, 4), 13, lem.Continuous(1, size=5))
def graded_response(p, x, z):
    at_least = jax.nn.sigmoid(p["slope"][:, None] * (z - p["step"]))
    edges = jnp.concatenate([jnp.ones((4, 1)), at_least, jnp.zeros((4, 1))], axis=1)
    return jnp.sum(jnp.log(edges[jnp.arange(4), x] - edges[jnp.arange(4), x + 1])) + normal_trait(z)


# 1, x_j, x_j^2.
@density({"mean": lem.real(5), "loading": lem.real(5), "sd": lem.positive(5)}, real(400, 5), 11, GRID)
def factor_analysis_at_nodes(p, x, z):
    return jnp.sum(norm.logpdf(x, p["mean"] + p["loading"] * z, p["sd"])) + normal_trait(z)


# Positive, bounded and circular numbers.


@density({"rate": lem.positive(2)}, positive(), 2)
def exponential(p, x, z):
    return jnp.log(p["rate"][z]) - p["rate"][z] * x


@density({"shape": lem.positive(2), "rate": lem.positive(2)}, positive(), 3)
def gamma_shape_rate(p, x, z):
    return stats.gamma.logpdf(x, p["shape"][z], scale=1 / p["rate"][z])


@density({"a": lem.positive(2), "b": lem.positive(2)}, lambda rng: rng.beta(2.0, 3.0, 400), 3)
def beta_distribution(p, x, z):
    return stats.beta.logpdf(x, p["a"][z], p["b"][z])


@density({"mean": lem.positive(2), "shape": lem.positive(2)}, positive(), 4)
def inverse_gaussian(p, x, z):  # 1, x, 1/x, log x
    mean, shape = p["mean"][z], p["shape"][z]
    return 0.5 * jnp.log(shape / (2 * jnp.pi * x**3)) - shape * (x - mean) ** 2 / (2 * mean**2 * x)


@density({"scale": lem.positive(2)}, positive(), 3)
def weibull_fixed_shape(p, x, z):
    y = x / p["scale"][z]
    return jnp.log(1.7 / p["scale"][z]) + 0.7 * jnp.log(y) - y**1.7


@density({"index": lem.positive(2)}, lambda rng: 1 + rng.pareto(2.0, 400), 2)
def pareto_fixed_minimum(p, x, z):
    return stats.pareto.logpdf(x, p["index"][z])


@density({"mean": lem.real(2)}, real(), 3)
def gumbel_fixed_scale(p, x, z):
    return -(x - p["mean"][z]) - jnp.exp(-(x - p["mean"][z]))


@density({"scale": lem.positive(2)}, real(), 2)
def laplace_fixed_location(p, x, z):
    return stats.laplace.logpdf(x, scale=p["scale"][z])


@density({"mean": lem.real(2), "kappa": lem.positive(2)}, lambda rng: rng.vonmises(0.5, 2.0, 400), 3)
def von_mises(p, x, z):
    return stats.vonmises.logpdf(x - p["mean"][z], p["kappa"][z])


@density({"alpha": lem.positive((2, 3))}, lambda rng: rng.dirichlet([2.0, 3.0, 4.0], 400), 4)
def dirichlet(p, x, z):
    a = p["alpha"][z]
    return gammaln(jnp.sum(a)) - jnp.sum(gammaln(a)) + jnp.sum((a - 1) * jnp.log(x))


# Several columns, covariates, time.


def lifetimes(rng: Rng) -> Any:
    life, end = rng.exponential(2.0, 400), rng.uniform(1.0, 4.0, 400)
    return {"time": np.minimum(life, end), "died": life < end}


@density({"rate": lem.positive(2)}, lifetimes, 3)
def censored_exponential(p, x, z):
    return jnp.where(x["died"], jnp.log(p["rate"][z]), 0.0) - p["rate"][z] * x["time"]


def mixed_columns(rng: Rng) -> Any:
    return {
        "y": rng.standard_normal((400, 2)),
        "flag": rng.random(400) < 0.3,
        "kind": rng.integers(0, 3, 400),
    }


# 1, y, y^2, the flag, two of three kinds.
@density(
    {"mean": lem.real((2, 2)), "sd": lem.positive((2, 2)), "chance": lem.unit(2), "share": lem.simplex(3, batch=2)},
    mixed_columns,
    8,
)
def floats_flags_and_kinds(p, x, z):
    flag = jnp.where(x["flag"], jnp.log(p["chance"][z]), jnp.log1p(-p["chance"][z]))
    gaussian = jnp.sum(norm.logpdf(x["y"], p["mean"][z], p["sd"][z]))
    return gaussian + flag + jnp.log(p["share"][z, x["kind"]])


def grouped(rng: Rng) -> Any:
    return {
        "y": rng.poisson(2.0, 600),
        "group": rng.integers(0, 3, 600),
        "treated": rng.random(600) < 0.5,
    }


# The six cells of (group, treated), y with each of four coefficients, log factorial.
@density({"base": lem.real((2, 3)), "effect": lem.real(2)}, grouped, 11)
def poisson_regression_discrete_covariates(p, x, z):
    rate = jnp.exp(p["base"][z, x["group"]] + p["effect"][z] * x["treated"])
    return poisson.logpmf(x["y"], rate)


def line(rng: Rng) -> Any:
    return {"y": rng.standard_normal(400), "t": rng.uniform(-1.0, 1.0, 400)}


# y^2, y t, t^2, y, t, 1: a line through continuous covariates is still quadratic.
@density({"at_zero": lem.real(2), "slope": lem.real(2), "sd": lem.positive(2)}, line, 6)
def linear_regression_continuous_covariate(p, x, z):
    return norm.logpdf(x["y"], p["at_zero"][z] + p["slope"][z] * x["t"], p["sd"][z])


def transitions(rng: Rng) -> Any:
    return {
        "before": rng.integers(0, 3, 400),
        "after": rng.integers(0, 3, 400),
        "y": rng.standard_normal(400),
    }


# Nine pairs of states, y in each state, y^2.
@density({"transition": lem.simplex(3, batch=(2, 3)), "mean": lem.real(3), "sd": lem.positive()}, transitions, 13)
def hmm_transition_and_emission(p, x, z):
    step = jnp.log(p["transition"][z, x["before"], x["after"]])
    return step + norm.logpdf(x["y"], p["mean"][x["after"]], p["sd"])


# What does not separate.


@density({"mean": lem.real(2), "scale": lem.positive(2)}, real(), None)
def student_t_marginal(p, x, z):
    return stats.t.logpdf(x, 4.0, p["mean"][z], p["scale"][z])


@density({"mean": lem.real((2, 2))}, real(), None)
def mixture_inside_the_density(p, x, z):
    return jnp.logaddexp(norm.logpdf(x, p["mean"][z, 0]), norm.logpdf(x, p["mean"][z, 1]))


def labelled(rng: Rng) -> Any:
    return {"y": rng.random(400) < 0.5, "t": rng.standard_normal((400, 2))}


@density({"slope": lem.real((2, 2)), "at_zero": lem.real(2)}, labelled, None)
def logistic_regression_continuous_covariates(p, x, z):
    logit = p["at_zero"][z] + x["t"] @ p["slope"][z]
    return jnp.where(x["y"], logit, 0.0) - jax.nn.softplus(logit)


@density({"scale": lem.positive(2), "shape": lem.positive(2)}, positive(), None)
def weibull_free_shape(p, x, z):
    k, y = p["shape"][z], x / p["scale"][z]
    return jnp.log(k / p["scale"][z]) + (k - 1) * jnp.log(y) - y**k


@density({"location": lem.real(2), "scale": lem.positive(2)}, real(), None)
def laplace_location(p, x, z):
    return stats.laplace.logpdf(x, p["location"][z], p["scale"][z])


@density({"location": lem.real(2), "scale": lem.positive(2)}, real(), None)
def cauchy(p, x, z):
    return stats.cauchy.logpdf(x, p["location"][z], p["scale"][z])


@density({"location": lem.real(2), "scale": lem.positive(2)}, real(), None)
def logistic_distribution(p, x, z):
    return stats.logistic.logpdf(x, p["location"][z], p["scale"][z])


def rates(rng: Rng) -> Any:
    return {"y": rng.poisson(2.0, 400), "t": rng.uniform(-2.0, 2.0, 400)}


@density({"at_zero": lem.real(2), "slope": lem.real(2)}, rates, None)
def poisson_regression_continuous_covariate(p, x, z):
    return poisson.logpmf(x["y"], jnp.exp(p["at_zero"][z] + p["slope"][z] * x["t"]))


@density({"mean": lem.real(2), "a": lem.real(2), "b": lem.real(2)}, line, None)
def gaussian_with_log_linear_variance(p, x, z):
    return norm.logpdf(x["y"], p["mean"][z], jnp.exp(p["a"][z] + p["b"][z] * x["t"]))


@density({"chance": lem.unit(2), "dispersion": lem.positive(2)}, lambda rng: rng.negative_binomial(3, 0.05, 600), None)
def negative_binomial_free_dispersion(p, x, z):
    r, q = p["dispersion"][z], p["chance"][z]
    return gammaln(x + r) - gammaln(r) - gammaln(x + 1.0) + r * jnp.log(q) + x * jnp.log1p(-q)
