"""Random fits to nasty data: whatever comes, a good status means a right number.

Data are seeded and of one shape for each model, so that hundreds of fits share a few programs: few rows are rows of
weight zero. What is refused is refused in one line; what is fitted reports the log-likelihood of its declaration, a
trace that never falls, responsibilities that add up to one; what has converged does not climb under plain EM.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import latentem as lem
from latentem.ascent.iteration import compiled_step
from latentem.ascent.mstep import resolve

F = lem.families
N = 20


def numbers(rng: np.random.Generator, kind: str, columns: int = 2) -> np.ndarray:
    """(N, columns) numbers: two clusters, and what is nasty about them."""
    x = rng.normal(size=(N, columns)) + rng.integers(0, 2, (N, 1)) * rng.uniform(0.5, 6)
    if kind == "scales":
        x = x * 10.0 ** rng.integers(-12, 13, columns)
    elif kind == "offset":
        x = x + 1e9
    elif kind == "outlier":
        x[rng.integers(N)] = 1e10 * rng.choice([-1, 1])
    elif kind == "duplicates":
        x = x[rng.integers(0, 5, N)]
    elif kind == "rounded":
        x = np.round(x)
    elif kind == "constant":
        x[:, rng.integers(columns)] = rng.normal()
    elif kind == "equal":
        x = np.broadcast_to(x[:1], x.shape).copy()
    elif kind == "collinear":
        x[:, -1] = 2 * x[:, 0] + 1
    elif kind == "far":
        x = x + 1e6 * rng.integers(0, 2, (N, 1))
    return x


def counts(rng: np.random.Generator, kind: str) -> np.ndarray:
    rate = np.where(rng.random(N) < 0.5, rng.uniform(0.2, 3), rng.uniform(2, 30))
    x = rng.poisson(rate).astype(float)
    if kind == "scales":
        x = rng.poisson(rate * 10.0 ** rng.integers(0, 9)).astype(float)
    elif kind in ("outlier", "far"):
        x[rng.integers(N)] = 1e9
    elif kind in ("equal", "constant"):
        x[:] = rng.integers(0, 3)
    elif kind == "duplicates":
        x = x[rng.integers(0, 3, N)]
    return x


def codes(rng: np.random.Generator, kind: str) -> np.ndarray:
    x = rng.integers(0, 3, N)
    if kind in ("equal", "constant"):
        x[:] = 2
    x[0] = 2  # the largest is always there, so that shapes are those of one program
    return x.astype(float)


KINDS = "plain scales offset outlier duplicates rounded constant equal collinear far".split() + [
    "zero weights",
    "fractional",
    "one row",
    "tiny",
    "missing",
]


def weights(rng: np.random.Generator, kind: str) -> np.ndarray:
    if kind == "zero weights":
        return rng.integers(0, 3, N).astype(float) + np.eye(N)[0]
    if kind == "fractional":
        return rng.uniform(0.01, 3, N)
    if kind == "one row":
        return np.eye(N)[rng.integers(N)]
    if kind == "tiny":
        return (np.arange(N) < rng.integers(2, 6)).astype(float)
    return np.ones(N)


def gamma(rng: np.random.Generator, kind: str) -> np.ndarray:
    return np.abs(numbers(rng, kind, 1)[:, 0]) + 1e-300


def with_gaps(rng: np.random.Generator, kind: str) -> np.ndarray:
    x = numbers(rng, kind)
    if kind == "missing":
        x[rng.random(x.shape) < 0.3] = np.nan
    x[0, 0], x[1, 1] = np.nan, np.nan  # some are always missing: another program else
    return x


def answers(rng: np.random.Generator, kind: str) -> np.ndarray:
    right = rng.random((N, 4)) < 1 / (1 + np.exp(-rng.normal(size=(N, 1)) - rng.normal(size=4)))
    right[0], right[1] = True, False  # an item with one category is refused, and there are many here
    return right.astype(float)


def laplace(params: Any, x: Any) -> Any:
    return -abs(x - params["middle"]) / params["width"] - jax.numpy.log(2 * params["width"])


Maker = Callable[[np.random.Generator, str], np.ndarray]
EVERY_RUN: dict[str, tuple[Any, Maker]] = {
    "full": (lem.GaussianMixture(2), numbers),
    "diagonal": (lem.GaussianMixture(3, "diagonal"), numbers),
    "poisson": (lem.Mixture(F.Poisson(), 2), counts),
    "categorical": (lem.Mixture(F.Categorical(3), 2), codes),
    "k-means": (lem.KMeans(2), numbers),
}
NIGHTLY: dict[str, tuple[Any, Maker]] = {
    **EVERY_RUN,
    "spherical": (lem.GaussianMixture(2, "spherical"), numbers),
    "tied": (lem.GaussianMixture(2, "tied"), numbers),
    "missing": (lem.GaussianMixture(2, "diagonal"), with_gaps),
    "missing full": (lem.GaussianMixture(2), with_gaps),
    "student": (lem.Mixture(F.StudentT(), 2), numbers),
    "gamma": (lem.Mixture(F.Gamma(), 2), gamma),
    "exponential": (lem.Mixture(F.Exponential(), 2), gamma),
    "negative binomial": (lem.Mixture(F.NegativeBinomial(), 2), counts),
    "bernoulli": (lem.Mixture(F.Bernoulli(), 2), answers),
    "one": (lem.Mixture(F.Gaussian(), 1), numbers),
    "hmm": (lem.HMM(2, F.Gaussian("diagonal")), numbers),
    "hmm of counts": (lem.HMM(2, F.Poisson()), counts),
    "rasch": (lem.IRT("rasch", nodes=15), answers),
    "2pl": (lem.IRT("2pl", nodes=15), answers),
}


def climbs(fit: lem.Fit) -> float:
    """Nats that ten plain EM iterations gain, by the form of the fit."""
    assert fit.problem is not None
    form, prepared = fit.problem.form, fit.problem.prepared
    with jax.enable_x64(fit.dtype == "float64"):
        by = resolve("auto", form)
        params, values = fit.as_arrays(), []
        for _ in range(10):
            params, objective = compiled_step(form, by, params, prepared)
            values.append(float(objective))
    return values[-1] - values[0]


def looked_at(name: str, model: Any, make: Maker, seed: int, told: Counter[str]) -> str:
    """What is wrong with one fit; empty where nothing is."""
    rng = np.random.default_rng([seed, sum(map(ord, name))])
    kind = KINDS[seed % len(KINDS)]
    x, w = make(rng, kind), weights(rng, kind)
    chain = isinstance(model, lem.HMM)
    dtype = "float32" if seed % 97 == 96 else "float64"
    try:
        fit = lem.fit(model, x, weights=None if chain else w, key=seed, starts=2, dtype=dtype, max_iterations=2000)
    except ValueError as error:
        told["refused"] += 1
        return "" if "\n" not in str(error) and len(str(error)) < 400 else f"a long refusal: {error!s:.200}"
    told[fit.status.name] += 1
    w = np.ones(1) if chain else w
    n, single = max(1.0, float(w.sum())), dtype == "float32"
    each = fit.log_prob()
    used = (w > 0) & np.isfinite(each)
    scale = n + float(np.sum(w[used] * np.abs(each[used])))
    wrong = []
    if (
        fit.status.ok
        and abs(float(np.sum(w[used] * each[used])) - fit.log_likelihood) > (1e-4 if single else 1e-9) * scale
    ):
        wrong.append(f"log-likelihood {fit.log_likelihood!r}, declared {float(np.sum(w[used] * each[used]))!r}")
    # Sums of huge counts have as many digits as they have; a floor under a variance is not to be maximised over.
    slack = (1e-4 if single else 1e-9 if fit.status is lem.Status.converged else 1e-7) * scale
    slack += 1e-14 * float(np.nanmax(np.abs(x))) if make is counts else 0.0
    if len(fit.trace) > 1 and np.min(np.diff(fit.trace)) < -slack:
        wrong.append(f"the trace falls by {-np.min(np.diff(fit.trace)):.3g}")
    if fit.status is lem.Status.converged and not single and (gain := climbs(fit)) > 1e-6 * n + 1e-12 * scale:
        wrong.append(f"converged, and plain EM gains {gain:.3g}")
    if not chain and isinstance(getattr(fit.model, "latent", None), lem.Finite) and not fit.model.latent.hard:
        total = fit.responsibilities().sum(axis=1)
        if np.max(np.abs(total[used] - 1), initial=0.0) > (1e-5 if single else 1e-12):
            wrong.append(f"responsibilities add up to {total}")
        order = rng.permutation(N)
        if not np.allclose(
            fit.log_prob(x[order]), each[order], rtol=1e-9, atol=1e-9 * (1 + np.max(np.abs(each[used])))
        ):
            wrong.append("rows in another order have another density")
    return f"{name}, seed {seed}, {kind}, {fit.status.name}: {'; '.join(wrong)}" if wrong else ""


def run(models: dict[str, tuple[Any, Maker]], each: int) -> tuple[list[str], Counter[str]]:
    told: Counter[str] = Counter()
    found = [looked_at(name, *pair, seed, told) for name, pair in models.items() for seed in range(each)]
    return [one for one in found if one], told


@pytest.mark.parametrize("name", EVERY_RUN)
def test_sixty_random_fits_say_what_they_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    wrong, told = run({name: EVERY_RUN[name]}, 60)
    with capsys.disabled():
        print(f"\n60 random fits, {name}: {dict(told)}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("name", NIGHTLY)
def test_thousands_of_random_fits_say_what_they_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    each = -(-5000 // len(NIGHTLY))
    wrong, told = run({name: NIGHTLY[name]}, each)
    with capsys.disabled():
        print(f"\n{each} random fits, {name}: {dict(told)}")
    assert not wrong, "\n".join(wrong)
