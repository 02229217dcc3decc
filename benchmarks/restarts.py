"""Sixty starts as one vmapped program against one start: a mixture of three normals in one dimension."""

from __future__ import annotations

import time
from statistics import median

import jax
import numpy as np
from timing import machine  # sets threads before JAX is imported

import latentem as lem
from latentem import datasets

MODEL = lem.GaussianMixture(3)
STARTS = 60


def seconds(x: np.ndarray, starts: int, seed: int) -> tuple[float, lem.Fit]:
    """(wall time, Fit)."""
    began = time.perf_counter()
    found = lem.fit(MODEL, x, key=jax.random.key(seed), starts=starts)
    return time.perf_counter() - began, found


if __name__ == "__main__":
    print(machine())
    rng = np.random.default_rng(0)
    simulated = np.concatenate([rng.normal(-3, 1, 1200), rng.normal(0, 0.5, 800), rng.normal(2.5, 1.2, 1000)])
    for name, x in (
        ("Old Faithful, waiting, N=272", datasets.old_faithful().waiting),
        ("simulated, N=3000", simulated),
    ):
        cold = [seconds(x, starts, 0)[0] for starts in (1, STARTS)]
        one, many = [], []
        for seed in range(1, 8):
            one.append(seconds(x, 1, seed)[0])
            many.append(seconds(x, STARTS, seed)[0])
        found = seconds(x, STARTS, 0)[1]
        print(
            f"{name}: cold {cold[0]:.1f} s and {cold[1]:.1f} s; warm {median(one) * 1e3:.1f} ms for 1 start, "
            f"{median(many) * 1e3:.1f} ms for {STARTS}: ratio {median(many) / median(one):.1f}",
            flush=True,
        )
        for optimum in found.optima:
            print(f"  {optimum.objective:.6f} reached by {optimum.starts} starts {optimum.spurious}")
