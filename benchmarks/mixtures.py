"""Gaussian mixtures and k-means against scikit-learn: same data, same start, same number of iterations, in one run.

    python benchmarks/mixtures.py [full|wide|diagonal|kmeans|small ...]

Times are medians per EM (Lloyd) iteration: the difference between a long and a short run, so that set-up drops out.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable

import jax
import numpy as np
import timing
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

import latentem as lem

warnings.simplefilter("ignore", ConvergenceWarning)


def simulated(n: int, d: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = 3 * rng.standard_normal((k, d))
    mixing = np.eye(d) + 0.3 * rng.standard_normal((k, d, d))
    label = rng.integers(k, size=n)
    x = np.empty((n, d))
    for j in range(k):
        rows = label == j
        x[rows] = centres[j] + rng.standard_normal((rows.sum(), d)) @ mixing[j].T
    return x, centres + rng.standard_normal((k, d))


def per_iteration(
    ours: Callable[[int], float], theirs: Callable[[int], float], short: int, long: int, repeats: int = 7
) -> list[list[float]]:
    """Seconds per iteration of each: the difference between a long and a short run, in turn."""
    times: list[list[float]] = [[], []]
    for _ in range(repeats):
        for f, kept in ((ours, times[0]), (theirs, times[1])):
            a = time.perf_counter()
            f(short)
            b = time.perf_counter()
            f(long)
            c = time.perf_counter()
            kept.append(((c - b) - (b - a)) / (long - short))
    return times


def mixture(n: int, d: int, k: int, covariance: str, iterations: tuple[int, int] = (2, 8)) -> None:
    x, means = simulated(n, d, k)
    name = {"full": "covariance", "diagonal": "variance"}[covariance]
    spread = np.broadcast_to(np.eye(d), (k, d, d)) if covariance == "full" else np.ones((k, d))
    initial = {"weights": np.full(k, 1 / k), "components": {"mean": means, name: spread}}
    ours_model = lem.GaussianMixture(k, covariance)

    def ours(count: int) -> float:
        fit = lem.fit(
            ours_model, x, initial=initial, method=lem.Plain(), tolerance=0.0, max_iterations=count, polish=False
        )
        return fit.log_likelihood

    def theirs(count: int) -> float:
        kind = {"full": "full", "diagonal": "diag"}[covariance]
        peer = GaussianMixture(
            k, covariance_type=kind, tol=0.0, reg_covar=0.0, max_iter=count, init_params="random_from_data",
            weights_init=initial["weights"], means_init=means, precisions_init=spread, random_state=0,
        )  # fmt: skip
        peer.fit(x)
        return peer.score(x) * n

    memory, began = timing.Peak(), time.perf_counter()
    ours(iterations[1])
    cold = time.perf_counter() - began
    extra, memory = memory.grown(), timing.Peak()
    ours(iterations[1])
    again = memory.grown()
    times = per_iteration(ours, theirs, *iterations)
    agree = abs(ours(iterations[1]) - theirs(iterations[1])) / n
    timing.report(f"{covariance} N={n} D={d} K={k}, s/iteration", cold, times[0], "scikit-learn", times[1])
    print(f"    memory beyond the data: {again:.0f} MB, the first time, with the compiler, {extra:.0f} MB", end="")
    print(f" (data {x.nbytes / 2**20:.0f} MB)")
    print(f"    log-likelihood per row differs by {agree:.1e}")


def kmeans(n: int, d: int, k: int, iterations: tuple[int, int] = (2, 18)) -> None:
    x, means = simulated(n, d, k)
    model = lem.KMeans(k)

    def ours(count: int) -> float:
        fit = lem.fit(
            model, x, initial={"centers": means}, method=lem.Plain(), tolerance=0.0, max_iterations=count, polish=False
        )
        return fit.inertia()

    def theirs(count: int) -> float:
        options: dict = {"init": means, "n_init": 1, "max_iter": count, "tol": 0.0, "algorithm": "lloyd"}
        return KMeans(k, **options).fit(x).inertia_

    began = time.perf_counter()
    ours(iterations[1])
    cold = time.perf_counter() - began
    times = per_iteration(ours, theirs, *iterations)
    timing.report(f"k-means N={n} D={d} K={k}, s/iteration", cold, times[0], "scikit-learn", times[1])
    print(f"    inertia differs by {abs(ours(iterations[1]) / theirs(iterations[1]) - 1):.1e}")


def small() -> None:
    from latentem.datasets import old_faithful

    data = old_faithful()
    x = np.column_stack([data.eruptions, data.waiting])
    model = lem.GaussianMixture(2)
    began = time.perf_counter()
    lem.fit(model, x, key=jax.random.key(0))
    cold = time.perf_counter() - began
    times = timing.alternate(
        lambda: lem.fit(model, x, key=jax.random.key(0)),
        lambda: GaussianMixture(2, tol=1e-10, max_iter=1000, random_state=0).fit(x),
        repeats=9,
    )
    timing.report("Old Faithful K=2, whole fit", cold, times[0], "scikit-learn", times[1])


JOBS = {
    "full": lambda: mixture(1_000_000, 10, 10, "full"),
    "wide": lambda: mixture(100_000, 50, 20, "full"),
    "diagonal": lambda: mixture(1_000_000, 10, 10, "diagonal"),
    "kmeans": lambda: kmeans(1_000_000, 10, 100),
    "small": small,
}

if __name__ == "__main__":
    print(timing.machine())
    for job in sys.argv[1:] or JOBS:
        JOBS[job]()
