"""Counts through operators, topics, word alignment, segmentation: against SciPy's bare products, scikit-learn and NLTK.

    python benchmarks/counts.py [mlem|topics|ibm1|segment ...]

Each pair runs in one process in the order A B A B; `mlem` are seconds per iteration, the others whole fits. CPU seconds
are printed too, since wall time on a shared machine says more about the others on it.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
import timing

import latentem as lem


def mlem() -> None:
    """64 x 64 pixels, 60 angles, 91 bins: the same 200 iterations, with and without everything around them."""
    a = lem.datasets.tomography.parallel_beam(64, 60, 91)
    rng = np.random.default_rng(0)
    y = rng.poisson(a @ (20 * lem.datasets.tomography.shepp_logan(64).ravel()) + 0.5).astype(float)
    transposed, sensitivity, n = a.T.tocsr(), np.asarray(a.sum(axis=0)).ravel(), 200
    model = lem.Emission(a, background=0.5)

    def products() -> None:
        x = np.ones(4096)
        for _ in range(n):
            transposed @ (a @ x)

    def bare() -> None:
        x = np.ones(4096)
        for _ in range(n):
            x = x / sensitivity * (transposed @ (y / (a @ x + 0.5)))

    _, _, form = model.on_host(y, None)

    def ours() -> None:
        x = np.ones(4096)
        for _ in range(n):
            x, _ = form.update(x)

    compare("MLEM, 200 iterations", ours, "a bare loop of MLEM in SciPy", bare, 7)
    compare("MLEM, 200 iterations", ours, "the two products alone", products, 7)


def topics() -> None:
    """3,000 documents, 5,000 words, 20 topics: seconds to the log-likelihood of 50 iterations of scikit-learn's NMF."""
    from sklearn.decomposition import NMF

    rng = np.random.default_rng(0)
    d, v, k = 3000, 5000, 20
    phi, theta = rng.dirichlet(np.full(v, 0.05), k), rng.dirichlet(np.full(k, 0.2), d)
    x = sp.csr_matrix(np.array([rng.multinomial(100, p) for p in theta @ phi]).astype(float))
    start = {"documents": rng.dirichlet(np.ones(k), d), "topics": rng.dirichlet(np.ones(v), k)}
    found: dict[str, float] = {}

    def theirs() -> None:
        nmf = NMF(k, beta_loss="kullback-leibler", solver="mu", init="custom", max_iter=50, tol=0)
        w = nmf.fit_transform(x, W=start["documents"] * 100, H=start["topics"].copy())
        p = w @ nmf.components_
        p /= p.sum(axis=1, keepdims=True)
        at = x.tocoo()
        found["goal"] = float(at.data @ np.log(p[at.row, at.col]))

    theirs()

    def ours() -> None:
        fit = lem.fit(lem.Topics(k), x, initial=start, callback=lambda s: s.objective >= found["goal"])
        found["ours"], found["evaluations"] = fit.log_likelihood, fit.evaluations

    compare("topics, time to NMF's log-likelihood", ours, "NMF(KL), 50 iterations", theirs, 1)
    print(found)


def ibm1() -> None:
    """1,500 sentence pairs of 15 words, 5 iterations, reading and linking included."""
    import nltk.translate.ibm1 as peer
    from nltk.translate import AlignedSent

    rng = np.random.default_rng(0)
    pairs = [([f"{c}{i}" for i in rng.zipf(1.3, 15) % 2000] for c in "fe") for _ in range(1500)]
    targets, sources = (list(side) for side in zip(*pairs, strict=True))
    corpus = [AlignedSent(t, s) for t, s in zip(targets, sources, strict=True)]

    def ours() -> None:
        lem.fit(lem.WordAlignment(), (sources, targets), max_iterations=5, tolerance=0.0)

    compare("IBM 1, 5 iterations", ours, "NLTK", lambda: peer.IBMModel1(corpus, 5), 3)


def segment() -> None:
    """512 x 512 pixels, 3 classes, to convergence."""
    down, right = np.mgrid[:512, :512]
    truth = ((right - 256) ** 2 + (down - 256) ** 2 < 160**2).astype(int)
    truth[80:200, 240:440] = 2
    image = truth + 0.7 * np.random.default_rng(0).normal(size=truth.shape)
    for _ in range(2):
        wall, cpu = time.perf_counter(), time.process_time()
        fit = lem.fit(lem.Segmentation(3, coupling=1.5), image)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        told = f"{fit.iterations} iterations, accuracy {(fit.labels == truth).mean():.4f}"
        print(f"segmentation of 512 x 512: {wall:.2f} s, {cpu:.2f} s of CPU; {told}", flush=True)


def compare(name: str, ours: Callable[[], Any], peer: str, theirs: Callable[[], Any], repeats: int) -> None:
    """Wall and CPU seconds of both in turn, least of each, and their ratios."""
    ours()
    seconds: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for _ in range(repeats):
        for mine, run in ((True, ours), (False, theirs)):
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            seconds[mine].append((time.perf_counter() - wall, time.process_time() - cpu))
    (a, b), (c, d) = ((min(w for w, _ in s), min(p for _, p in s)) for s in (seconds[True], seconds[False]))
    ratio = f"ratio {c / a:.2f} of wall, {d / b:.2f} of CPU"
    print(f"{name}: {a:.4f} s ({b:.4f} of CPU); {peer} {c:.4f} s ({d:.4f}); {ratio}", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    every = {f.__name__: f for f in (mlem, topics, ibm1, segment)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", nargs="*", choices=[[], *every], default=[])
    print(timing.machine())
    for name in parser.parse_args().which or every:
        every[name]()
    print(timing.machine())
