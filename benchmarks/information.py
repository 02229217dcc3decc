"""Memory and time of the observed information of a two-parameter logistic model: 50 items, 10,000 people, 100
parameters.

The (rows, nodes, parameters) array that a naive Hessian would keep is 10,000 x 61 x 100 x 8 bytes = 488 MB for one of
its several factors; the information is computed in chunks of rows and blocks of columns instead.
"""

from __future__ import annotations

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import timing  # sets threads before JAX is imported
from jax.scipy.stats import norm

import latentem as lem
from latentem.data import Data
from latentem.inference.errors import errors
from latentem.inference.estimate import Estimate

PEOPLE, ITEMS = 10_000, 50


def two_parameter_logistic(params: Any, answers: Any, ability: Any) -> Any:
    """log p(answers, ability) of one person."""
    logit = params["slope"] * ability + params["intercept"]
    return jnp.sum(jax.nn.log_sigmoid(jnp.where(answers == 1, logit, -logit))) + norm.logpdf(ability)


MODEL = lem.Model(two_parameter_logistic, lem.Continuous(1), {"slope": lem.real(ITEMS), "intercept": lem.real(ITEMS)})


def simulated(people: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """(params, answers)."""
    rng = np.random.default_rng(0)
    params = {"slope": rng.uniform(0.7, 1.8, ITEMS), "intercept": rng.normal(size=ITEMS)}
    ability = rng.normal(size=(people, 1))
    chance = 1 / (1 + np.exp(-(params["slope"] * ability + params["intercept"])))
    return params, (rng.uniform(size=(people, ITEMS)) < chance).astype(np.float64)


def measure(kind: str, people: int = PEOPLE) -> tuple[float, float, float]:
    """(MB added to the peak, cold seconds, warm seconds) of standard errors of one kind."""
    params, answers = simulated(people)
    data = Data(answers, np.ones(people))
    with jax.enable_x64(True):
        jnp.zeros(1).block_until_ready()
    memory, times = timing.Peak(), []
    for _ in range(2):
        began = time.perf_counter()
        errors(Estimate(MODEL, data, params), kind)
        times.append(time.perf_counter() - began)
    return memory.grown(), times[0], times[1]


if __name__ == "__main__":
    print(timing.machine())
    for kind in ("observed", "score"):
        added, cold, warm = measure(kind)
        print(f"{kind}: {added:.0f} MB more than before, cold {cold:.1f} s, warm {warm:.1f} s", flush=True)
