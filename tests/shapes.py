"""One small model of every shape of latent, its data and its fit: what tests that go over all of them share.

Each is fitted once in a process. Data are as small as they may be, and of one length, so that little is compiled.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from contracts.registry import (
    CHAIN,
    chain_first,
    chain_step,
    factor_posterior,
    one_factor,
    poisson,
    poisson_maximize,
    poisson_statistics,
    rasch,
)
from jax.scipy.stats import norm

import latentem as lem

N = 24
KEY = jax.random.key(3)


@dataclass(frozen=True, eq=False)
class Shape:
    """A model, data for it and a start; `model` makes an equal model anew at each call."""

    name: str
    model: Callable[[], Any]
    data: Any
    start: Any = None

    def fit(self, **options: Any) -> lem.Fit:
        """A fit from the start of the shape."""
        return lem.fit(self.model(), options.pop("data", self.data), **{"key": KEY, "initial": self.start, **options})


@cache
def fitted(shape: Shape) -> lem.Fit:
    """The fit that all tests of a process share."""
    return shape.fit()


RNG = np.random.default_rng(8)
COUNTS = np.where(np.arange(N) % 2 == 0, RNG.poisson(1.0, N), RNG.poisson(8.0, N)).astype(float)
RUNS = np.where(np.arange(N) // 4 % 2 == 0, RNG.poisson(1.0, N), RNG.poisson(8.0, N)).astype(float)
ABILITY = RNG.normal(size=(N, 1))
ANSWERS = (RNG.random((N, 3)) < 1 / (1 + np.exp(-ABILITY - [0.5, 0.0, -0.5]))).astype(float)
FACTORS = RNG.normal(size=(N, 1)) * [1.0, 0.8, -0.6] + 0.7 * RNG.normal(size=(N, 3))
PERSONS = RNG.normal(size=(20 * N, 1)) * [1.5, 1.0, 1.2, 0.9] + [0.5, -0.5, 0.0, 0.8]
TESTLETS = (RNG.random(PERSONS.shape) < 1 / (1 + np.exp(-PERSONS))).astype(float)

WALK, NOISE = np.random.default_rng(12).normal(size=(2, N))
LEVELS = np.cumsum(WALK) + 1.5 * NOISE

POISSON = {"weight": lem.simplex(2), "rate": lem.positive(2)}
POISSON_START = {"weight": [0.4, 0.6], "rate": [1.5, 6.0]}
RASCH = {"difficulty": lem.real(3)}
RASCH_START = {"difficulty": [0.1, 0.0, -0.1]}
FACTOR = {"loading": lem.real(3), "noise": lem.positive(3)}
FACTOR_START = {"loading": [0.8, 0.7, -0.4], "noise": [0.6, 0.6, 0.6]}


def draw_count(params: Any, key: Any) -> Any:
    """One observation of the mixture of two Poisson distributions."""
    z, x = jax.random.split(key)
    kind = (jax.random.uniform(z) > params["weight"][0]).astype(int)
    return jax.random.poisson(x, params["rate"][kind]).astype(float)


def draw_answers(params: Any, key: Any) -> Any:
    """The answers of one person."""
    z, x = jax.random.split(key)
    chance = jax.nn.sigmoid(jax.random.normal(z) - params["difficulty"])
    return (jax.random.uniform(x, (3,)) < chance).astype(float)


def two_nodes(params: Any, x: Any, z: Any) -> Any:
    """One answer pattern and an ability of two dimensions, for nodes that are not a product."""
    ability = 0.8 * z[0] + 0.6 * z[1]
    agreement = jnp.where(x > 0, 1.0, -1.0) * (ability - params["difficulty"])
    return jnp.sum(norm.logpdf(z)) + jnp.sum(jax.nn.log_sigmoid(agreement))


def draw_chain(params: Any, key: Any, n: int) -> Any:
    """A sequence of n steps."""
    begin, rest = jax.random.split(key)

    def move(z: Any, k: Any) -> Any:
        x, following = jax.random.split(k)
        count = jax.random.poisson(x, params["rate"][z]).astype(float)
        return jax.random.categorical(following, jnp.log(params["moves"][z])), count

    first = jax.random.categorical(begin, jnp.log(params["first"]))
    return jax.lax.scan(move, first, jax.random.split(rest, n))[1]


CHAIN_START = {"first": [0.5, 0.5], "moves": [[0.7, 0.3], [0.4, 0.6]], "rate": [1.5, 6.0]}


def rasch_on(method: Any, size: int) -> Callable[[], lem.Model]:
    """The Rasch model with an ability on nodes of one kind."""
    return lambda: lem.Model(rasch, lem.Continuous(1, method, size=size), RASCH, sample=draw_answers)


def counts_model(latent: Any) -> lem.Model:
    """The mixture of two Poisson distributions with this latent, and its M-step."""
    m_step = lem.ClosedForm(poisson_statistics, poisson_maximize)
    return lem.Model(poisson, latent, POISSON, m_step=m_step, sample=draw_count)


SHAPES = (
    Shape("finite", lambda: counts_model(lem.Finite(2)), COUNTS, POISSON_START),
    Shape("hard", lambda: counts_model(lem.Finite(2, hard=True)), COUNTS + 1.0, POISSON_START),
    Shape("grid", rasch_on("grid", 31), ANSWERS, RASCH_START),
    Shape("hermite", rasch_on("hermite", 9), ANSWERS, RASCH_START),
    Shape("adaptive", rasch_on("adaptive", 5), ANSWERS, RASCH_START),
    Shape("sobol", lambda: lem.Model(two_nodes, lem.Continuous(2, "sobol", size=256), RASCH), ANSWERS, RASCH_START),
    Shape("hessian", lambda: lem.Model(one_factor, lem.Continuous(1, "hessian"), FACTOR), FACTORS, FACTOR_START),
    Shape("given", lambda: lem.Model(one_factor, lem.Given(factor_posterior), FACTOR), FACTORS, FACTOR_START),
    Shape(
        "chain",
        lambda: lem.Model(chain_step, lem.Chain(2, chain_first), CHAIN, sample=draw_chain),
        [RUNS[:10], RUNS[10:]],
        CHAIN_START,
    ),
    Shape("hmm", lambda: lem.HMM(2, lem.families.Poisson()), [RUNS[:10], RUNS[10:]]),
    Shape("hsmm", lambda: lem.HSMM(2, lem.families.Poisson(), lem.durations.Poisson(6)), [RUNS[:10], RUNS[10:]]),
    Shape("local level", lem.LocalLevel, [LEVELS[:12], LEVELS[12:]]),
    Shape(
        "state space",
        lambda: lem.StateSpace(1, process="identity", initial=([0.0], [[1.0]])),
        [LEVELS[:12], LEVELS[12:]],
    ),
    Shape("2pl", lambda: lem.IRT("2pl", nodes=9), TESTLETS),
    Shape("bifactor", lambda: lem.IRT("rasch", specific=("a", "a", "b", "b"), variance="fixed", nodes=5), TESTLETS),
    Shape("mixture", lambda: lem.Mixture(lem.families.Poisson(), 2), COUNTS),
    Shape("mixture of one", lambda: lem.Mixture(lem.families.Poisson(), 1), COUNTS),
    Shape("k-means", lambda: lem.KMeans(2), FACTORS),
)
