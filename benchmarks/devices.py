"""Two devices against one, on two cores: the same fits, for the same number of iterations, in one run.

    python benchmarks/devices.py [full|hmm|irt|kmeans|small ...]

Times are per EM iteration: the difference between a long and a short fit, so that set-up drops out; for `small`, a
whole warm fit with all devices allowed and with one.
"""

import sys
from collections.abc import Callable

import jax
import numpy as np
import timing
from mixtures import per_iteration, simulated

import latentem as lem

PLAIN = {"method": lem.Plain(), "tolerance": 0.0, "polish": False, "exclude_degenerate": False}


def compare(name: str, fit: Callable[[int, int], object], short: int, long: int) -> None:
    """Seconds per iteration of `fit(iterations, devices)` on one device and on two."""
    for devices in (1, 2):
        fit(short, devices)
    one, two = per_iteration(lambda n: fit(n, 1), lambda n: fit(n, 2), short, long, repeats=5)  # pyright: ignore
    a, b = np.median(one), np.median(two)
    print(f"{name}: one device {a:.4f} s, two {b:.4f} s an iteration; ratio {a / b:.2f}", flush=True)


def full() -> None:
    k = 10
    x, means = simulated(1_000_000, 10, k)
    start = {
        "weights": np.full(k, 1 / k),
        "components": {"mean": means, "covariance": np.broadcast_to(np.eye(10), (k, 10, 10))},
    }
    model = lem.GaussianMixture(k)
    compare(
        "full covariance 1e6 x 10, K 10",
        lambda n, d: lem.fit(model, x, initial=start, max_iterations=n, devices=d, **PLAIN),
        2,
        8,
    )


def kmeans() -> None:
    x, means = simulated(1_000_000, 10, 100)
    model = lem.KMeans(100)
    compare(
        "k-means 1e6 x 10, K 100",
        lambda n, d: lem.fit(model, x, initial={"centers": means}, max_iterations=n, devices=d, **PLAIN),
        2,
        8,
    )


def hmm() -> None:
    rng = np.random.default_rng(0)
    data = lem.sequences([rng.normal(size=(1000, 1)) + rng.integers(0, 5, (1000, 1)) for _ in range(200)])
    model = lem.HMM(5, lem.families.Gaussian())
    compare(
        "HMM 200 x 1000, K 5",
        lambda n, d: lem.fit(model, data, key=jax.random.key(0), max_iterations=n, devices=d, **PLAIN),
        10,
        60,
    )


def irt() -> None:
    rng = np.random.default_rng(0)
    ability, difficulty = rng.normal(size=(100_000, 1)), rng.normal(size=50)
    answers = (rng.random((100_000, 50)) < 1 / (1 + np.exp(difficulty - ability))).astype(np.int8)
    model = lem.IRT("2pl")
    compare(
        "2PL 1e5 x 50",
        lambda n, d: lem.fit(model, answers, max_iterations=n, devices=d, **PLAIN),
        2,
        8,
    )


def small() -> None:
    x = lem.datasets.old_faithful().matrix()
    model = lem.GaussianMixture(2)

    def run(devices: int | None) -> object:
        return lem.fit(model, x, key=jax.random.key(0), devices=devices)

    run(1), run(None)
    one, all_ = timing.alternate(lambda: run(1), lambda: run(None), repeats=15)
    timing.report("Old Faithful, a warm fit with all devices allowed", 0.0, all_, "one device", one)


if __name__ == "__main__":
    lem.use_cores(2)
    print(timing.machine())
    for case in sys.argv[1:] or ("full", "hmm", "irt", "kmeans", "small"):
        globals()[case]()
