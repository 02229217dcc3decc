"""Missing data and structures of covariance: 100,000 rows of 20 columns with 10 % holes against scikit-learn's
IterativeImputer, and an iteration of each of the 14 structures against that of full covariances.

    python benchmarks/missing.py            # on an idle machine; prints a table
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import numpy as np

import latentem as lem
from latentem.models.mixture import structures

ROWS, COLUMNS, HOLES = 100_000, 20, 0.1


def holes() -> tuple[np.ndarray, np.ndarray]:
    """(the data with holes, without)."""
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(COLUMNS, COLUMNS)) / np.sqrt(COLUMNS)
    x = rng.normal(size=(ROWS, COLUMNS)) @ mix + rng.normal(size=COLUMNS)
    return np.where(rng.random(x.shape) < HOLES, np.nan, x), x


def against_iterative_imputer() -> None:
    """Time to the maximum and to the completed data, and error of what is filled in."""
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    x, whole = holes()
    gone = np.isnan(x)
    patterns = len(np.unique(np.packbits(~gone, axis=1), axis=0))
    began = time.perf_counter()
    fit = lem.fit(lem.MultivariateNormal(), x)
    fitted = time.perf_counter() - began
    filled = fit.impute()
    completed = time.perf_counter() - began
    error = np.sqrt(np.mean((filled - whole)[gone] ** 2))
    print(f"{ROWS} x {COLUMNS}, {patterns} patterns: fit {fitted:.1f} s, filled in {completed:.1f} s")
    print(f"  {fit.status.name}, error {error:.6f}")
    began = time.perf_counter()
    theirs = IterativeImputer(random_state=0).fit_transform(x)
    error = np.sqrt(np.mean((theirs - whole)[gone] ** 2))
    print(f"  IterativeImputer {time.perf_counter() - began:.1f} s, error {error:.6f}")


def structures_against_full(iterations: int = 30) -> None:
    """Seconds of an EM iteration of each structure, relative to full covariances: two lengths of run, compared."""
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(m, s, (20_000, 5)) for m, s in ((0.0, 1.0), (3.0, 2.0), (-4.0, 0.7))])
    seconds = {}
    for name in ("VVV", *structures.SIMPLE, *structures.STRUCTURED):
        times = []
        for count in (5, 5 + iterations, 5, 5 + iterations):
            options = {"max_iterations": count, "tolerance": 0.0, "step_tolerance": 0.0, "polish": False}
            began = time.perf_counter()
            lem.fit(lem.GaussianMixture(3, name), x, key=jax.random.key(0), starts=1, method=lem.Plain(), **options)
            times.append(time.perf_counter() - began)
        seconds[name] = (times[3] - times[2]) / iterations
        print(f"{name}: {1e3 * seconds[name]:.2f} ms an iteration, {seconds[name] / seconds['VVV']:.2f} of VVV")


if __name__ == "__main__":
    against_iterative_imputer()
    structures_against_full()
