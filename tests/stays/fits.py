"""One small fit of each family and ready model, on columns of one table, which the tests of this folder share."""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import latentem as lem

F = lem.families
N = 24
RNG = np.random.default_rng(0)
SIDE = (np.arange(N) % 2).astype(float)
PLANE = RNG.normal(size=(N, 2)) + 5 * SIDE[:, None]
COUNT = RNG.poisson(2 + 6 * SIDE).astype(float)
YES = (RNG.random(N) < 0.2 + 0.6 * SIDE).astype(float)
KIND = ((RNG.integers(0, 3, N) + SIDE) % 3).astype(float)
COLUMNS = {
    "a": PLANE[:, 0],
    "b": PLANE[:, 1],
    "count": COUNT,
    "size": RNG.gamma(2.0 + 3 * SIDE, 1.0),
    "yes": YES,
    "kind": KIND,
    "z": np.linspace(-1, 1, N),
    **{f"q{j}": (RNG.random(N) < 0.3 + 0.15 * j).astype(float) for j in range(4)},
    "when": np.array(["2020-01-01"] * N, "M8[D]"),
    "who": np.array([f"person {i}" for i in range(N)], dtype=object),
}
FEW = {"max_iterations": 3, "polish": False, "method": lem.Plain(), "key": 0}
MIXED = F.Independent({"count": F.Poisson(), "yes": F.Bernoulli(), "a": F.Gaussian()})
#: Name -> (model, columns it is given).
MODELS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "gaussian": (lem.GaussianMixture(2), ("a", "b")),
    "diagonal": (lem.GaussianMixture(2, "diagonal"), ("a", "b")),
    "student": (lem.Mixture(F.StudentT(), 2), ("a", "b")),
    "multinomial": (lem.Mixture(F.Multinomial(), 2), ("count", "yes")),
    "poisson": (lem.Mixture(F.Poisson(), 2), ("count",)),
    "negative binomial": (lem.Mixture(F.NegativeBinomial(), 2), ("count",)),
    "bernoulli": (lem.Mixture(F.Bernoulli(), 2), ("yes",)),
    "categorical": (lem.Mixture(F.Categorical(), 2), ("kind",)),
    "exponential": (lem.Mixture(F.Exponential(), 2), ("size",)),
    "gamma": (lem.Mixture(F.Gamma(), 2), ("size",)),
    "von mises": (lem.Mixture(F.VonMises(), 2), ("a",)),
    "independent": (lem.Mixture(MIXED, 2), ("count", "yes", "a")),
    "regression": (lem.Mixture(F.GaussianRegression("a", ("z",)), 2), ("a", "z")),
    "logistic": (lem.Mixture(F.BernoulliRegression("yes", ("z",)), 2), ("yes", "z")),
    "k-means": (lem.KMeans(2), ("a", "b")),
    "hmm": (lem.HMM(2, F.Gaussian()), ("a", "b")),
    "hmm of symbols": (lem.HMM(2, F.Categorical()), ("kind",)),
    "hmm of regressions": (lem.HMM(2, F.GaussianRegression("a", ("z",))), ("a", "z")),
    "hmm with covariates": (lem.HMM(2, F.Poisson(), covariates=("z",)), ("count", "z")),
    "hsmm": (lem.HSMM(2, F.Poisson(), lem.durations.Poisson(3)), ("count",)),
}
#: Beside these, what has abilities in place of components.
ABILITIES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "item response": (lem.IRT("rasch", nodes=9), ("q0", "q1", "q2", "q3")),
    "latent regression": (lem.IRT("rasch", covariates=("z",), nodes=9), ("q0", "q1", "q2", "q3", "z")),
}
ALL = MODELS | ABILITIES
CHAINS = [name for name in MODELS if name.startswith("h")]
ROWS = [name for name in MODELS if name not in CHAINS]
every, of_all, of_rows, of_chains = (pytest.mark.parametrize("name", names) for names in (MODELS, ALL, ROWS, CHAINS))


def table(names: Any, rows: Any = slice(None)) -> dict[str, Any]:
    return {name: COLUMNS[name][rows] for name in names}


@cache
def fitted(name: str) -> lem.Fit:
    model, names = ALL[name]
    return lem.fit(model, pd.DataFrame(table(names)), **FEW)
