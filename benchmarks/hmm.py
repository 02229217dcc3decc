"""Hidden Markov models against hmmlearn (its scaling implementation) and dynamax: seconds per EM iteration.

    python benchmarks/hmm.py [diagonal|wide|categorical|long|ragged|memory ...] [--dynamax PYTHON]

Same data, same start, same number of iterations in one run; times are the difference between a long and a short run, so
that set-up drops out. dynamax is not among the tests' packages: give the interpreter of an environment that has it.
The peak of memory belongs to a process: run `memory` alone (Linux).
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import timing
from hmmlearn import hmm as peer

import latentem as lem

logging.getLogger("hmmlearn").setLevel(logging.ERROR)
SHORT, LONG = 2, 12


def per_iteration(run: Callable[[int], Any]) -> float:
    a = time.perf_counter()
    run(SHORT)
    b = time.perf_counter()
    run(LONG)
    return ((time.perf_counter() - b) - (b - a)) / (LONG - SHORT)


def gaussian_start(k: int, d: int) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    matrix = 0.9 * np.eye(k) + 0.1 / k
    return {
        "initial": np.full(k, 1 / k),
        "transition": matrix / matrix.sum(axis=1, keepdims=True),
        "emission": {"mean": 2 * rng.standard_normal((k, d)), "variance": np.ones((k, d))},
    }


def gaussian_data(k: int, d: int, lengths: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    state = np.repeat(rng.integers(k, size=lengths.sum() // 10 + 1), 10)[: lengths.sum()]
    return 2 * rng.standard_normal((k, d))[state] + rng.standard_normal((lengths.sum(), d))


def ours(model: lem.HMM, series: lem.Sequences, start: Any, **more: Any) -> Callable[[int], Any]:
    options: dict[str, Any] = {"method": lem.Plain(), "tolerance": 0.0, "polish": False, **more}
    return lambda n: lem.fit(model, series, initial=start, max_iterations=n, **options)


def theirs_gaussian(start: Any, x: np.ndarray, lengths: np.ndarray) -> Callable[[int], Any]:
    k, d = start["emission"]["mean"].shape

    def run(n: int) -> Any:
        m = peer.GaussianHMM(
            k, "diag", implementation="scaling", n_iter=n, tol=-np.inf, init_params="", covars_prior=0.0,
            covars_weight=1.0, means_weight=0.0, min_covar=0.0,
        )  # fmt: skip
        m.startprob_, m.transmat_ = start["initial"], start["transition"]
        m.means_, m.covars_ = start["emission"]["mean"], start["emission"]["variance"]
        return m.fit(x, lengths)

    return run


def theirs_categorical(start: Any, x: np.ndarray, lengths: np.ndarray) -> Callable[[int], Any]:
    k = len(start["initial"])

    def run(n: int) -> Any:
        m = peer.CategoricalHMM(k, implementation="scaling", n_iter=n, tol=-np.inf, init_params="")
        m.startprob_, m.transmat_ = start["initial"], start["transition"]
        m.emissionprob_ = start["emission"]["probabilities"]
        return m.fit(x[:, None], lengths)

    return run


def compare(name: str, model: lem.HMM, x: np.ndarray, lengths: np.ndarray, start: Any, theirs: Any, dyn: Any) -> None:
    series = lem.sequences(x, lengths=lengths)
    run = ours(model, series, start)
    began = time.perf_counter()
    run(LONG)
    cold = time.perf_counter() - began
    times: list[list[float]] = [[], []]
    for _ in range(3):
        times[0].append(per_iteration(run))
        times[1].append(per_iteration(theirs))
    timing.report(f"{name}, s/iteration", cold, times[0], "hmmlearn", times[1])
    if dyn is not None:
        seconds = dynamax(dyn, model, x, lengths, start)
        print(f"    dynamax {seconds:.4f} s; ratio {seconds / median(times[0]):.2f}", flush=True)


def dynamax(python: str, model: lem.HMM, x: np.ndarray, lengths: np.ndarray, start: Any) -> float:
    """Seconds per EM iteration of dynamax in float64, measured by `dynamax_hmm.py` in its own environment."""
    kind = "gaussian" if isinstance(model.emission, lem.families.Gaussian) else "categorical"
    with tempfile.TemporaryDirectory() as folder:
        arrays = {f"emission_{name}": value for name, value in start["emission"].items()}
        np.savez(
            Path(folder) / "case.npz", x=x, lengths=lengths, initial=start["initial"],
            transition=start["transition"], **arrays,
        )  # fmt: skip
        script = Path(__file__).with_name("dynamax_hmm.py")
        done = subprocess.run([python, str(script), folder, kind], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])["seconds"]


def diagonal(dyn: Any, k: int = 5, d: int = 5, n: int = 200, t: int = 1000, name: str = "K5 D5 200x1000") -> None:
    lengths = np.full(n, t)
    x, start = gaussian_data(k, d, lengths), gaussian_start(k, d)
    model = lem.HMM(k, lem.families.Gaussian("diagonal"))
    compare(f"{name} diagonal Gaussian", model, x, lengths, start, theirs_gaussian(start, x, lengths), dyn)


def categorical(dyn: Any) -> None:
    k, v, lengths = 10, 100, np.full(100, 1000)
    rng = np.random.default_rng(0)
    state = np.repeat(rng.integers(k, size=10_000), 10)
    of_state = np.cumsum(rng.dirichlet(np.full(v, 0.3), k), axis=1)
    x = np.minimum((rng.uniform(size=(len(state), 1)) > of_state[state]).sum(axis=1), v - 1)
    start = {**gaussian_start(k, 1), "emission": {"probabilities": rng.dirichlet(np.ones(v), k)}}
    model = lem.HMM(k, lem.families.Categorical(v))
    compare("K10 V100 100x1000 categorical", model, x, lengths, start, theirs_categorical(start, x, lengths), dyn)


def ragged(dyn: Any) -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(10, 1001, 1000)
    equal = np.full(1000, lengths.sum() // 1000)
    model, start, times = lem.HMM(5, lem.families.Gaussian("diagonal")), gaussian_start(5, 5), ([], [])
    runs = []
    for sizes in (lengths, equal):
        x = gaussian_data(5, 5, sizes)
        runs.append(ours(model, lem.sequences(x, lengths=sizes), start))
        runs[-1](LONG)
    for _ in range(3):
        for run, kept in zip(runs, times, strict=True):
            kept.append(per_iteration(run))
    print(f"ragged 10 to 1000: {median(times[0]):.4f} s; equal lengths {median(times[1]):.4f} s per iteration; "
          f"ratio {median(times[0]) / median(times[1]):.2f}")  # fmt: skip


def of_memory(dyn: Any) -> None:
    """Peak memory of EM on one sequence of a million steps: of a first fit, which compiles, and of later ones."""
    x, start = gaussian_data(4, 1, np.array([1_000_000])), gaussian_start(4, 1)
    data = x.nbytes / 2**20
    for dtype in ("float64", "float32"):
        run, grown = ours(lem.HMM(4, lem.families.Gaussian("diagonal")), lem.sequences(x), start, dtype=dtype), []
        for _ in range(6):
            memory = timing.Peak()
            run(LONG)
            grown.append(memory.grown())
        first, later = grown[0], sorted(grown[1:])
        print(
            f"K4 D1 1x1000000 {dtype}, beyond the data ({data:.1f} MB): first fit {first:.0f} MB, then "
            f"{later[0]:.1f} to {later[-1]:.1f}, median {median(later):.1f} MB, {median(later) / data:.2f} x"
        )


JOBS = {
    "diagonal": diagonal,
    "wide": lambda dyn: diagonal(dyn, 50, 10, 10, 2000, "K50 D10 10x2000"),
    "categorical": categorical,
    "long": lambda dyn: diagonal(dyn, 4, 1, 1, 1_000_000, "K4 D1 1x1000000"),
    "ragged": ragged,
    "memory": of_memory,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("jobs", nargs="*")
    parser.add_argument("--dynamax", metavar="PYTHON")
    options = parser.parse_args()
    print(timing.machine())
    for job in options.jobs or JOBS:
        JOBS[job](options.dynamax)
