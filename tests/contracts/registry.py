"""One row per model: what the contract tests of this folder run over.

Every family of `families.registry` is here as a mixture of two, so a new family joins both registries with one row.
A new model joins with one row of `MODELS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from families.registry import ROWS as FAMILIES
from families.registry import Row as FamilyRow
from jax.scipy.stats import norm

import latentem as lem
from latentem import families
from latentem.posterior import Gaussian as NormalPosterior

#: Observations of every row: small, and one shape for all scalar data.
N = 24

Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class Row:
    """A model, data for it, and an observation that it deems impossible, if there is one.

    `model` makes the model anew at each call: what it returns is equal, not identical.
    """

    name: str
    model: Callable[[], Any]
    data: Callable[[Rng, int], Any]
    impossible: Any = None


# --- models declared by hand


def _log(p: Any) -> Any:
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1.0)), -jnp.inf)


def poisson(params: Any, x: Any, z: Any) -> Any:
    rate = params["rate"][z]
    possible = x >= 0
    count = jnp.where(possible, x, 0)
    score = _log(params["weight"][z]) + count * jnp.log(rate) - rate - jax.lax.lgamma(count + 1.0)
    return jnp.where(possible, score, -jnp.inf)


def poisson_statistics(params: Any, x: Any, z: Any) -> Any:
    one = jnp.arange(2) == z
    return {"count": 1.0 * one, "total": x * one}


def poisson_maximize(expected: Any, params: Any) -> Any:
    count = expected["count"]
    mean = expected["total"] / jnp.where(count > 0, count, 1.0)
    return {"weight": count / jnp.sum(count), "rate": jnp.where(count > 0, mean, params["rate"])}


def poisson_features(x: Any, context: Any) -> Any:
    return jnp.stack([jnp.ones_like(x), x, -jax.lax.lgamma(x + 1.0)], axis=1)


def poisson_natural(params: Any, context: Any) -> Any:
    rate = params["rate"]
    return jnp.stack([_log(params["weight"]) - rate, jnp.log(rate), jnp.ones_like(rate)], axis=1)


def counts(rng: Rng, n: int) -> np.ndarray:
    return np.where(rng.random(n) < 0.4, rng.poisson(1.0, n), rng.poisson(8.0, n)).astype(float)


POISSON = {"weight": lem.simplex(2), "rate": lem.positive(2)}


def rasch(params: Any, answers: Any, ability: Any) -> Any:
    agreement = jnp.where(answers > 0, 1.0, -1.0) * (ability - params["difficulty"])
    return norm.logpdf(ability) + jnp.sum(jax.nn.log_sigmoid(agreement))


def answers(rng: Rng, n: int) -> np.ndarray:
    ability = rng.normal(size=(n, 1))
    return (rng.random((n, 3)) < 1 / (1 + np.exp(-ability - [0.5, 0.0, -0.5]))).astype(float)


def one_factor(params: Any, x: Any, z: Any) -> Any:
    given = norm.logpdf(x, params["loading"] * z, jnp.sqrt(params["noise"]))
    return jnp.sum(given) + norm.logpdf(z)


def factor_posterior(params: Any, x: Any) -> NormalPosterior:
    precision = 1.0 + jnp.sum(params["loading"] ** 2 / params["noise"])
    mean = jnp.sum(params["loading"] * x / params["noise"]) / precision
    alone = jnp.sum(norm.logpdf(x, 0.0, jnp.sqrt(params["noise"])))
    return NormalPosterior(mean, 1.0 / precision, alone + 0.5 * precision * mean**2 - 0.5 * jnp.log(precision))


def factor_start(key: Any, x: Any, weights: Any) -> Any:
    return {"loading": 0.5 + 0.2 * jax.random.normal(key, (3,)), "noise": jnp.ones(3)}


def factors(rng: Rng, n: int) -> np.ndarray:
    return rng.normal(size=(n, 1)) * [1.0, 0.8, -0.6] + 0.7 * rng.normal(size=(n, 3))


FACTOR = {"loading": lem.real(3), "noise": lem.positive(3)}


def blobs(rng: Rng, n: int) -> np.ndarray:
    return np.where(rng.random((n, 1)) < 0.5, 0.0, 4.0) + rng.normal(size=(n, 2))


PRIOR = {
    "weights": lem.priors.Dirichlet(2.0),
    "components": {"covariance": lem.priors.InverseWishart(5.0, [[1.0, 0.0], [0.0, 1.0]])},
}


def chain_step(params: Any, x: Any, z: Any, previous: Any) -> Any:
    """A step of a chain of two states that emit counts."""
    rate = params["rate"][z]
    return _log(params["moves"][previous, z]) + x * jnp.log(rate) - rate - jax.lax.lgamma(x + 1.0)


def chain_first(params: Any, x: Any, z: Any) -> Any:
    """Its first step."""
    rate = params["rate"][z]
    return _log(params["first"][z]) + x * jnp.log(rate) - rate - jax.lax.lgamma(x + 1.0)


CHAIN = {"first": lem.fixed([0.5, 0.5]), "moves": lem.simplex(2).batched(2), "rate": lem.positive(2)}


def short_series(rng: Rng, n: int) -> list[np.ndarray]:
    return list(np.where(np.arange(4) // 2 % 2, rng.poisson(1.0, (n, 4)), rng.poisson(8.0, (n, 4))).astype(float))


def short_levels(rng: Rng, n: int) -> list[np.ndarray]:
    return list(np.cumsum(rng.normal(size=(n, 4)), axis=1) + rng.normal(size=(n, 4)))


def testlets(rng: Rng, n: int) -> np.ndarray:
    made = (rng.random((n, 4)) < 1 / (1 + np.exp(-rng.normal(size=(n, 1))))).astype(float)
    made[:2] = [[0.0] * 4, [1.0] * 4]  # every item has both categories
    return made


MODELS = (
    Row(
        "declared, derived M-step",
        lambda: lem.Model(poisson, lem.Finite(2), POISSON),
        counts,
        impossible=-1.0,
    ),
    Row(
        "declared, prior",
        lambda: lem.Model(poisson, lem.Finite(2), POISSON, prior={"rate": lem.priors.Gamma(2.0, 0.5)}),
        counts,
        impossible=-1.0,
    ),
    Row(
        "declared, closed M-step",
        lambda: lem.Model(poisson, lem.Finite(2), POISSON, m_step=lem.ClosedForm(poisson_statistics, poisson_maximize)),
        counts,
        impossible=-1.0,
    ),
    Row(
        "declared, separable",
        lambda: lem.Model(poisson, lem.Finite(2), POISSON, separable=lem.Separable(poisson_features, poisson_natural)),
        counts,
    ),
    Row(
        "latent on a grid",
        lambda: lem.Model(rasch, lem.Continuous(1, size=21), {"difficulty": lem.real(3)}),
        answers,
    ),
    Row(
        "latent by its Hessian",
        lambda: lem.Model(one_factor, lem.Continuous(1, "hessian"), FACTOR, initial=factor_start),
        factors,
    ),
    Row(
        "posterior supplied",
        lambda: lem.Model(one_factor, lem.Given(factor_posterior), FACTOR, initial=factor_start),
        factors,
    ),
    Row("gaussian mixture, tied", lambda: lem.GaussianMixture(2, "tied"), blobs),
    Row("gaussian mixture, prior", lambda: lem.GaussianMixture(2, prior=PRIOR), blobs),
    Row(
        "mixture, weights fixed",
        lambda: lem.Mixture(families.Poisson(), 2, fixed={"weights": [0.4, 0.6]}),
        counts,
        impossible=-1.0,
    ),
    Row("mixture of mixtures", lambda: lem.Mixture(lem.Mixture(families.Poisson(), 2), 2), counts, impossible=-1.0),
    Row("k-means", lambda: lem.KMeans(2), blobs),
    Row("chain by hand", lambda: lem.Model(chain_step, lem.Chain(2, chain_first), CHAIN), short_series),
    Row("hidden Markov model", lambda: lem.HMM(2, families.Poisson()), short_series),
    Row("local level", lem.LocalLevel, short_levels),
    Row("state space", lambda: lem.StateSpace(1, process="identity", initial=([0.0], [[1.0]])), short_levels),
    Row("2pl", lambda: lem.IRT("2pl", nodes=9), testlets),
    Row("bifactor", lambda: lem.IRT("rasch", specific=("a", "a", "b", "b"), nodes=5), testlets),
)


def _as_mixture(row: FamilyRow) -> Row:
    return Row(
        f"mixture of {row.name}",
        lambda: lem.Mixture(row.family, 2),
        row.data,
        row.impossible[0] if row.impossible else None,
    )


#: Variants whose mixtures take the same path as those of their families.
VARIANTS = {"gaussian diagonal with gaps", "gaussian spherical with gaps", "independent columns of a matrix"}
ROWS = (*(_as_mixture(row) for row in FAMILIES if row.name not in VARIANTS), *MODELS)
