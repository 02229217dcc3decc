"""Item response theory: a 2PL of 50 items against theta-irt and the Python package mirt.

    python benchmarks/irt.py [10000 100000 1000000] [--peers PYTHON]

Simulated answers, 61 nodes. Seconds until the params change by less than 1e-4 AND the log-likelihood, computed here at
the params each package returns, is within 1e-4 of the maximum: each is run with tighter and tighter tolerances until it
is. Ours to the last digit, which is the default, is printed first. `--peers` is the interpreter of an environment with
`pip install theta-irt mirt`. Cold is the first call of a process, compilation included; warm the best of the calls that
follow.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import timing

import latentem as lem

ITEMS = 50
TOLERANCES = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
WITHIN = 1e-4


def simulated(persons: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    slope, intercept = rng.lognormal(0.0, 0.3, ITEMS), rng.normal(0.0, 1.0, ITEMS)
    answers = np.empty((persons, ITEMS), np.int8)
    for begin in range(0, persons, 10_000):
        ability = rng.normal(size=(min(10_000, persons - begin), 1))
        right = rng.random((len(ability), ITEMS)) < 1 / (1 + np.exp(-(slope * ability + intercept)))
        answers[begin : begin + len(ability)] = right
    return answers


def log_likelihood(x: np.ndarray, slope: np.ndarray, intercept: np.ndarray) -> float:
    """On 61 equally spaced nodes on [-6, 6], in plain NumPy."""
    theta = np.linspace(-6, 6, 61)
    weight = np.exp(-0.5 * theta**2)
    logit = theta[:, None] * slope + intercept
    right, wrong = -np.logaddexp(0, -logit), -np.logaddexp(0, logit)
    total = 0.0
    for begin in range(0, len(x), 20_000):
        part = x[begin : begin + 20_000].astype(float)
        joint = part @ (right - wrong).T + wrong.sum(axis=1) + np.log(weight / weight.sum())
        top = joint.max(axis=1)
        total += float(np.sum(top + np.log(np.exp(joint - top[:, None]).sum(axis=1))))
    return total


def peer(python: str, package: str, x: np.ndarray, best: float, repeats: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "data.npz", Path(folder) / "out.npz"
        np.savez(data, x=x)
        script = Path(__file__).with_name("irt_peers.py")
        short = np.inf
        for tolerance in TOLERANCES:
            command = [python, str(script), str(data), str(out), package, str(tolerance), str(repeats)]
            subprocess.run(command, check=True, capture_output=True)
            found = np.load(out)
            short = best - log_likelihood(x, found["slope"], found["intercept"])
            seconds = found["seconds"]
            if short <= WITHIN:
                break
        reached = "" if short <= WITHIN else f", NOT within {WITHIN:g}"
        print(
            f"  {package:6s} cold {seconds[0]:7.2f} s  warm {seconds[1:].min():7.3f} s  "
            f"(tolerance {tolerance:g}, {short:.1e} below the maximum{reached})",
            flush=True,
        )
        return f"{package} {seconds[1:].min():.4f} {seconds[0]:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("persons", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter with theta-irt and mirt")
    options = parser.parse_args()
    lem.fit(lem.IRT("2pl", items=tuple(f"q{j}" for j in range(4))), simulated(200)[:, :4])  # loads libraries
    for persons in options.persons:
        x = simulated(persons)
        print(f"{persons} x {ITEMS}")
        memory, began = timing.Peak(), time.perf_counter()
        fit = lem.fit(lem.IRT("2pl"), x)
        cold = time.perf_counter() - began
        grown, warm = [memory.grown()], []
        for _ in range(5 if persons <= 100_000 else 2):
            del fit
            memory, began = timing.Peak(), time.perf_counter()
            fit = lem.fit(lem.IRT("2pl"), x)
            warm.append(time.perf_counter() - began)
            grown.append(memory.grown())
        params = fit.params["2pl"]
        own = log_likelihood(x, params["slope"], params["intercept"])
        print(
            f"  ours   cold {cold:7.2f} s  warm {min(warm):7.3f} s  ({fit.evaluations} evaluations, {fit.status.name}, "
            f"log-likelihood {own:.6f}); peak memory +{grown[0]:.0f} MB with the "
            f"compiler, +{max(grown[1:]):.0f} MB warm, for {x.nbytes / 1e6:.0f} MB of answers"
        )
        if persons <= 10_000:
            times = []
            for _ in range(3):
                again, memory = lem.fit(lem.IRT("2pl"), x), timing.Peak()
                began = time.perf_counter()
                again.standard_errors()
                times.append(time.perf_counter() - began)
            print(f"  standard errors: first {times[0]:.2f} s, then {min(times[1:]):.2f} s, +{memory.grown():.0f} MB")
        for step in TOLERANCES:
            warm = []
            for _ in range(6 if persons <= 100_000 else 3):
                began = time.perf_counter()
                fit = lem.fit(lem.IRT("2pl"), x, step_tolerance=step)
                warm.append(time.perf_counter() - began)
            params = fit.params["2pl"]
            short = own - log_likelihood(x, params["slope"], params["intercept"])
            if short < WITHIN:
                break
        told = f"step_tolerance {step:g}, {short:.1e} below the maximum, {fit.evaluations} evaluations"
        print(f"  ours   warm {min(warm):7.3f} s  ({told})")
        if options.peers:
            for package in ("theta", "mirt"):
                line = peer(options.peers, package, x, own, 3 if package == "theta" else 2)
                _, seconds, first = line.split()
                print(f"  {package} / ours: warm {float(seconds) / min(warm):.1f}, cold {float(first) / cold:.1f}")


if __name__ == "__main__":
    main()
