"""Fresh processes that fit, each with a time limit: how many never end.

    python benchmarks/hang.py [--before FOLDER] [--processes 20] [--limit 90] [CASE ...]

FOLDER is a checkout of an earlier version; its processes run in turn with those of the version installed, so that both
meet the same machine. A machine that is busy with something else hides what hangs: run it alone.
"""

import argparse
import os
import subprocess
import sys
import time

HEAD = """
import threading
import jax, jax.numpy as jnp, numpy as np, latentem as lem
F, rng, key = lem.families, np.random.default_rng(0), jax.random.key

def holes(x, columns, part=0.1):
    x = np.array(x, float)
    x[:, :columns] = np.where(rng.random((len(x), columns)) < part, np.nan, x[:, :columns])
    return x

def groups(n, d, k):
    return rng.normal(size=(n, d)) + 3 * rng.integers(0, k, (n, 1))
"""

CASES = {
    "air quality": """
x = lem.datasets.airquality().matrix("ozone", "solar", "wind", "temperature")
for i in range(FITS): lem.fit(lem.GaussianMixture(2), x, key=key(1 + i))
""",
    "NaN in 5 columns": """
x = holes(groups(2000, 5, 3), 5)
for i in range(FITS): lem.fit(lem.GaussianMixture(3), x, key=key(i), max_iterations=100)
""",
    "factor analysis": """
def cll(p, x, z):
    seen = ~jnp.isnan(x)
    r = jnp.where(seen, jnp.where(seen, x, 0.0) - p["mean"] - p["loadings"] @ z, 0.0)
    return -0.5 * jnp.sum(jnp.where(seen, r**2 / p["noise"] + jnp.log(2 * jnp.pi * p["noise"]), 0.0)) - 0.5 * z @ z
model = lem.Model(cll, lem.Continuous(2, method="hessian"),
                  {"mean": lem.real(6), "loadings": lem.real((6, 2)), "noise": lem.positive(6)})
x = holes(rng.normal(size=(3000, 2)) @ rng.normal(size=(2, 6)) + rng.normal(size=(3000, 6)), 6)
for i in range(FITS):
    start = {"mean": np.zeros(6), "loadings": rng.normal(size=(6, 2)), "noise": np.ones(6)}
    lem.fit(model, x, initial=start, max_iterations=20)
""",
    "HMM": """
x = [holes(groups(200, 3, 2), 3) for _ in range(5)]
for i in range(FITS): lem.fit(lem.HMM(2, F.Gaussian()), lem.sequences(x), key=key(i), max_iterations=50)
""",
    "regressions": """
a, b = rng.normal(size=(2, 2000))
data = {"a": a, "b": b, "y": (a - b) * rng.choice([-1, 1], 2000) + rng.normal(size=2000)}
model = lem.Mixture(F.GaussianRegression("y", ("a", "b")), 2)
for i in range(FITS): lem.fit(model, data, key=key(i), max_iterations=100)
""",
    "IRT": """
theta = rng.normal(size=(1000, 2)); b = rng.normal(size=(2, 12))
x = (rng.random((1000, 12)) < 1 / (1 + np.exp(-theta @ b))).astype(int)
for i in range(FITS): lem.fit(lem.IRT("2pl", dimensions=2), x, key=key(i), max_iterations=20)
""",
    "Student t": """
x = groups(3000, 4, 2)
for i in range(FITS): lem.fit(lem.Mixture(F.StudentT(), 2), x, key=key(i), max_iterations=100)
""",
    "k-means": """
x = groups(20_000, 5, 4)
for i in range(FITS): lem.fit(lem.KMeans(4), x, key=key(i))
""",
    "own rows": """
def cll(p, x, z):
    m = jnp.eye(3) + jnp.outer(x["s"], x["s"])
    r = x["y"] - jnp.where(z == 0, p["low"], p["high"])
    return jnp.log(0.5) - 0.5 * r @ jnp.linalg.solve(m, r) - 0.5 * jnp.linalg.slogdet(m)[1]
x = {"y": rng.normal(size=(5000, 3)), "s": rng.normal(size=(5000, 3))}
model = lem.Model(cll, lem.Finite(2), {"low": lem.real(3), "high": lem.real(3)})
for i in range(FITS):
    start = {"low": rng.normal(size=3), "high": rng.normal(size=3)}
    lem.fit(model, x, initial=start, max_iterations=5, compress=False)
""",
    "20 starts": """
x = holes(groups(500, 4, 3), 2)
for i in range(FITS): lem.fit(lem.GaussianMixture(3), x, key=key(i), starts=20, max_iterations=100)
""",
    "two threads": """
x = holes(groups(1000, 4, 2), 4)
lem.fit(lem.GaussianMixture(2), x, key=key(0), max_iterations=50)  # traced in one thread
def run(seed):
    for i in range(FITS): lem.fit(lem.GaussianMixture(2), x, key=key(seed + i), max_iterations=50)
both = [threading.Thread(target=run, args=(1000 * s,)) for s in (1, 2)]
for t in both: t.start()
for t in both: t.join()
""",
}


def ends(case: str, fits: int, limit: float, folder: str | None) -> bool:
    """Whether a fresh process that runs `case` ends in time; one that fails stops the benchmark."""
    # Nothing is imported from the folder this is called in: FOLDER must come first.
    environment = dict(os.environ, OPENBLAS_NUM_THREADS="1", JAX_PLATFORMS="cpu", PYTHONSAFEPATH="1")
    if folder:
        environment["PYTHONPATH"] = folder
    script = HEAD + f"FITS = {fits}\n" + CASES[case]
    try:
        subprocess.run([sys.executable, "-c", script], check=True, timeout=limit, env=environment, capture_output=True)
    except subprocess.TimeoutExpired:
        return False
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{case}: {error.stderr.decode()[-2000:]}") from None
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; all by default")
    parser.add_argument("--before", help="checkout of an earlier version")
    parser.add_argument("--processes", type=int, default=20)
    parser.add_argument("--fits", type=int, default=25)
    parser.add_argument("--limit", type=float, default=90, help="seconds")
    parser.add_argument("--every", type=int, default=4, help="an earlier process after this many new ones")
    options = parser.parse_args()
    for case in options.cases or CASES:
        began, new, old, old_runs = time.perf_counter(), 0, 0, 0
        for i in range(options.processes):
            new += not ends(case, options.fits, options.limit, None)
            if options.before and i % options.every == 0:
                old_runs += 1
                old += not ends(case, options.fits, options.limit, options.before)
        told = f"; before: {old} of {old_runs}" if options.before else ""
        load, seconds = os.getloadavg()[0], time.perf_counter() - began
        print(f"{case}: {new} of {options.processes} hang{told}  ({seconds:.0f} s, load {load:.1f})", flush=True)


if __name__ == "__main__":
    main()
