"""State space models against pykalman and dynamax: seconds per EM iteration.

    python benchmarks/statespace.py [frame|small|ragged|long ...] [--peers pykalman,dynamax]

Same data, same start and number of iterations in one run; times are the difference between a long and a short run, so
that compilation and set-up drop out. Peers are installed by hand: `pip install pykalman dynamax`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import timing

import latentem as lem


def per_iteration(run: Callable[[int], Any], short: int, long: int) -> tuple[float, float]:
    """(wall, CPU) seconds of one iteration; the first call compiles."""
    run(short)
    a, b = time.perf_counter(), time.process_time()
    run(short)
    c, d = time.perf_counter(), time.process_time()
    run(long)
    wall, cpu = (time.perf_counter() - c) - (c - a), (time.process_time() - d) - (d - b)
    return wall / (long - short), cpu / (long - short)


def system(d: int, p: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Matrices of a stable model."""
    a = rng.normal(size=(d, d))
    a *= 0.95 / np.abs(np.linalg.eigvals(a)).max()
    return {
        "transition": a,
        "process": 0.5 * np.eye(d),
        "observation": rng.normal(size=(p, d)),
        "noise": np.eye(p),
        "initial_mean": np.zeros(d),
        "initial_covariance": np.eye(d),
    }


def drawn(start: dict[str, np.ndarray], n: int, rng: np.random.Generator) -> np.ndarray:
    """Readings (n, p)."""
    state, found = np.zeros(len(start["process"])), np.empty((n, len(start["noise"])))
    for t in range(n):
        state = start["transition"] @ state + rng.normal(size=state.shape) * 0.7
        found[t] = start["observation"] @ state + rng.normal(size=found.shape[1])
    return found


def own(d: int, start: dict[str, np.ndarray], data: Any) -> Callable[[int], Any]:
    """EM of all matrices, the first state given."""
    model = lem.StateSpace(d, noise="free", initial=(start["initial_mean"], start["initial_covariance"]))

    def run(iterations: int) -> Any:
        return lem.fit(
            model, data, initial=start, method=lem.Plain(), tolerance=0.0, max_iterations=iterations, polish=False
        )

    return run


def pykalman(d: int, start: dict[str, np.ndarray], data: np.ndarray) -> Callable[[int], Any]:
    from pykalman import KalmanFilter

    def run(iterations: int) -> Any:
        names = ["transition_matrices", "observation_matrices", "transition_covariance", "observation_covariance"]
        values = [start[name] for name in ("transition", "observation", "process", "noise")]
        model = KalmanFilter(
            **dict(zip(names, values, strict=True)),
            initial_state_mean=start["initial_mean"],
            initial_state_covariance=start["initial_covariance"],
            em_vars=names,
        )
        return model.em(data, n_iter=iterations)

    return run


def dynamax(d: int, start: dict[str, np.ndarray], data: np.ndarray) -> Callable[[int], Any]:
    import jax.numpy as jnp
    from dynamax.linear_gaussian_ssm import LinearGaussianSSM

    model = LinearGaussianSSM(d, data.shape[1], has_dynamics_bias=False, has_emissions_bias=False)

    def run(iterations: int) -> Any:
        with jax.enable_x64(True):
            params, props = model.initialize(
                jax.random.PRNGKey(0),
                initial_mean=jnp.asarray(start["initial_mean"]),
                initial_covariance=jnp.asarray(start["initial_covariance"]),
                dynamics_weights=jnp.asarray(start["transition"]),
                dynamics_covariance=jnp.asarray(start["process"]),
                emission_weights=jnp.asarray(start["observation"]),
                emission_covariance=jnp.asarray(start["noise"]),
            )
            batch = jnp.asarray(data)[None]
            return model.fit_em(params, props, batch, num_iters=iterations, verbose=False)

    return run


def compare(title: str, d: int, start: Any, data: np.ndarray, peers: list[str], counts: tuple[int, int]) -> None:
    print(f"{title}; {timing.machine()}")
    wall, cpu = per_iteration(own(d, start, data), *counts)
    print(f"  latentem  {1e3 * wall:9.2f} ms an iteration, CPU {1e3 * cpu:9.2f} ms", flush=True)
    for name in peers:
        theirs = {"pykalman": pykalman, "dynamax": dynamax}[name](d, start, data)
        other, used = per_iteration(theirs, 1, 3)
        told = f"{1e3 * other:9.2f} ms an iteration, CPU {1e3 * used:9.2f} ms"
        print(f"  {name:9} {told}: {other / wall:.1f}x, CPU {used / cpu:.1f}x", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=["frame", "small", "ragged", "long"])
    parser.add_argument("--peers", default="pykalman,dynamax")
    options = parser.parse_args()
    peers, rng = [name for name in options.peers.split(",") if name], np.random.default_rng(0)
    if "frame" in options.cases:
        start = system(6, 3, rng)
        compare("T = 4000, d = 6, p = 3", 6, start, drawn(start, 4000, rng), peers, (5, 25))
    if "small" in options.cases:
        start = system(1, 1, rng)
        compare("T = 100, d = 1, p = 1", 1, start, drawn(start, 100, rng), peers[:1], (100, 2100))
    if "ragged" in options.cases:
        start = system(2, 1, rng)
        series = [drawn(start, int(n), rng) for n in rng.integers(900, 1100, 200)]
        for k in (50, 200):
            wall, cpu = per_iteration(own(2, start, lem.sequences(series[:k])), 3, 13)
            print(f"{k} series of 1,000 steps, d = 2: {1e3 * wall:.1f} ms an iteration, CPU {1e3 * cpu:.1f} ms")
    if "long" in options.cases:
        start = system(2, 1, rng)
        data = drawn(start, 1_000_000, rng)
        own(2, start, data)(1)
        peak = timing.Peak()
        own(2, start, data)(1)
        print(f"10^6 steps, d = 2: peak {peak.grown():.0f} MB beside {data.nbytes / 1e6:.0f} MB of data")
        wall, cpu = per_iteration(own(2, start, data), 1, 4)
        print(f"10^6 steps, d = 2: {wall:.2f} s an iteration, CPU {cpu:.2f} s; {timing.machine()}")


if __name__ == "__main__":
    main()
