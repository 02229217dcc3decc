"""Automatic sufficiency: a plain-jnp Gaussian mixture against hand-written closed-form EM, L-BFGS and
`GaussianMixture`.

    python benchmarks/sufficiency.py [speed|scaling ...]

Same data, start and number of EM iterations in one run; compilation and set-up apart.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import timing
from jax.scipy.stats import multivariate_normal

import latentem as lem

D, K = 3, 3


def complete_log_likelihood(params, x, z):
    return jnp.log(params["weight"][z]) + multivariate_normal.logpdf(x, params["mean"][z], params["covariance"][z])


custom = lem.Model(
    complete_log_likelihood,
    lem.Finite(K),
    {"weight": lem.simplex(K), "mean": lem.real((K, D)), "covariance": lem.covariance(D, batch=K)},
)


def simulated(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0, 0.0], [4.0, 0.0, 1.0], [0.0, 4.0, -1.0]])
    mixing = np.eye(D) + 0.3 * rng.standard_normal((K, D, D))
    label = rng.integers(K, size=n)
    return centres[label] + np.einsum("nij,nj->ni", mixing[label], rng.standard_normal((n, D)))


def start() -> dict:
    means = np.array([[0.5, 0.5, 0.0], [3.0, 0.5, 0.0], [0.5, 3.0, 0.0]])
    return {"weight": np.full(K, 1 / K), "mean": means, "covariance": np.broadcast_to(2 * np.eye(D), (K, D, D)).copy()}


@partial(jax.jit, static_argnums=4)
def by_hand(x, weight, mean, covariance, iterations):
    """Vectorised closed-form EM in jax.numpy, as one would write it."""

    def step(carry, _):
        weight, mean, covariance = carry
        factor = jnp.linalg.cholesky(covariance)
        centred = x[:, None, :] - mean
        y = jnp.einsum("kij,nkj->nki", jnp.linalg.inv(factor), centred)
        log_joint = (
            jnp.log(weight) - 0.5 * jnp.sum(y**2, -1) - jnp.sum(jnp.log(jnp.diagonal(factor, axis1=1, axis2=2)), -1)
        )
        r = jax.nn.softmax(log_joint, axis=1)
        count = r.sum(0)
        mean = r.T @ x / count[:, None]
        centred = x[:, None, :] - mean
        covariance = jnp.einsum("nk,nki,nkj->kij", r, centred, centred) / count[:, None, None]
        return (count / len(x), mean, covariance), None

    return jax.lax.scan(step, (weight, mean, covariance), None, length=iterations)[0]


def fit(model, x, initial, count, **options) -> Any:
    return lem.fit(
        model, x, initial=initial, method=lem.Plain(), tolerance=0.0, max_iterations=count, polish=False, **options
    )


def speed(n: int = 100_000, iterations: int = 20) -> None:
    x, initial = simulated(n), start()
    began = time.perf_counter()
    first = fit(custom, x, initial, iterations)
    cold = time.perf_counter() - began
    print(f"N={n}: first fit {cold:.2f} s, of which sufficiency {first.compression.seconds:.2f} s; {first.compression}")
    ready = lem.GaussianMixture(K)
    names = {"weights": initial["weight"], "components": {k: initial[k] for k in ("mean", "covariance")}}
    with jax.enable_x64(True):
        arrays = [jnp.asarray(a) for a in (x, initial["weight"], initial["mean"], initial["covariance"])]

        def hand(count: int):
            return jax.block_until_ready(by_hand(*arrays, count))

        times: dict[str, list[float]] = {"anchors": [], "hand-written": [], "GaussianMixture": []}
        runs = {
            "anchors": lambda c: fit(custom, x, initial, c),
            "hand-written": hand,
            "GaussianMixture": lambda c: fit(ready, x, names, c),
        }
        for run in runs.values():
            run(1)
            run(iterations + 1)
        for _ in range(5):
            for name, run in runs.items():
                a = time.perf_counter()
                run(1)
                b = time.perf_counter()
                run(iterations + 1)
                times[name].append((time.perf_counter() - b) - (b - a))
    seconds = {name: median(t) for name, t in times.items()}
    setups = sorted(fit(custom, x, initial, 1).compression.seconds for _ in range(3))
    print(f"{iterations} iterations, warm: " + ", ".join(f"{name} {s:.4f} s" for name, s in seconds.items()))
    print(f"set-up (detection and coordinates), warm: {setups[1]:.3f} s")
    print(f"hand-written / anchors {seconds['hand-written'] / seconds['anchors']:.2f}")
    print(f"anchors / GaussianMixture {seconds['anchors'] / seconds['GaussianMixture']:.2f}")
    fit(custom, x, initial, 1, compress=False, m_step="gradient")
    a = time.perf_counter()
    fit(custom, x, initial, 2, compress=False, m_step="gradient")
    slow = (time.perf_counter() - a) / 2 * iterations
    print(
        f"L-BFGS M-step on the full data: {slow:.1f} s for {iterations} iterations; / anchors "
        f"{slow / seconds['anchors']:.0f}"
    )


def scaling() -> None:
    from latentem.ascent.mstep import Newton
    from latentem.ascent.mstep.step import em_iteration
    from latentem.forms import SeparableForm

    for n in (10_000, 100_000, 1_000_000):
        x, initial = simulated(n), start()
        found = fit(custom, x, initial, 1)
        form, prepared = found.problem.form, found.problem.prepared
        assert isinstance(form, SeparableForm)
        with jax.enable_x64(True):
            params = jax.tree.map(jnp.asarray, initial)
            e_step = jax.jit(lambda p, d, form=form: form.expect(p, d))
            whole = jax.jit(lambda p, d, form=form: em_iteration(form, Newton(), p, d))
            _, completed = jax.block_until_ready(e_step(params, prepared))
            jax.block_until_ready(whole(params, prepared))
            t_e, t_all = [], []
            for _ in range(9):
                a = time.perf_counter()
                jax.block_until_ready(e_step(params, prepared))
                b = time.perf_counter()
                jax.block_until_ready(whole(params, prepared))
                t_e.append(b - a)
                t_all.append(time.perf_counter() - b)
        e, m = median(t_e), median(t_all) - median(t_e)
        print(
            f"N={n}: E-step {1e3 * e:.2f} ms, M-step {1e3 * m:.2f} ms, set-up {found.compression.seconds:.2f} s",
            flush=True,
        )


JOBS = {"speed": speed, "scaling": scaling}

if __name__ == "__main__":
    print(timing.machine())
    for job in sys.argv[1:] or JOBS:
        JOBS[job]()
