"""EM from 200 random starts: no NaN, no fall, and "converged" only where one more step, taken in NumPy, gains nothing;
and a long sequence in float32."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.stats import norm, poisson

import latentem as lem
from latentem import datasets, families
from latentem.ascent.loop import CONVERGED, STOPPED

STARTS, TOLERANCE = 200, 1e-9


def casino() -> np.ndarray:
    """300 rolls of a fair die and a loaded one, which are exchanged now and then."""
    rng = np.random.default_rng(0)
    loaded = np.cumsum(rng.uniform(size=300) < 0.08) % 2 == 1
    return np.where(loaded & (rng.uniform(size=300) < 0.4), 5, rng.integers(0, 6, 300))


def forward_backward(params: Any, emission: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(log p(x) (S,), smoothed (S, T, K), expected transitions (S, K, K)) of S params, emission (S, T, K)."""
    matrix, steps = params["transition"], emission.shape[1]
    alpha, beta, scale = np.zeros_like(emission), np.ones_like(emission), np.zeros(emission.shape[:2])
    for t in range(steps):
        ahead = params["initial"] if t == 0 else np.einsum("si,sij->sj", alpha[:, t - 1], matrix)
        alpha[:, t] = ahead * emission[:, t]
        scale[:, t] = alpha[:, t].sum(axis=1)
        alpha[:, t] /= scale[:, t, None]
    for t in range(steps - 1, 0, -1):
        right = emission[:, t] * beta[:, t] / scale[:, t, None]
        beta[:, t - 1] = np.einsum("sij,sj->si", matrix, right)
    moves = np.einsum("sti,stj->sij", alpha[:, :-1], emission[:, 1:] * beta[:, 1:] / scale[:, 1:, None]) * matrix
    return np.log(scale).sum(axis=1), alpha * beta, moves


def poisson_emission(own: Any, x: np.ndarray) -> np.ndarray:
    return poisson.pmf(x[None, :, None], own["rate"][:, None])


def poisson_step(q: np.ndarray, x: np.ndarray) -> Any:
    return {"rate": np.einsum("stk,t->sk", q, x) / q.sum(axis=1)}


def gaussian_emission(own: Any, x: np.ndarray) -> np.ndarray:
    return norm.pdf(x[None, :], own["mean"][:, None, :, 0], np.sqrt(own["variance"][:, None, :, 0]))


def gaussian_step(q: np.ndarray, x: np.ndarray) -> Any:
    mean = np.einsum("stk,t->sk", q, x[:, 0]) / q.sum(axis=1)
    variance = np.einsum("stk,stk->sk", q, (x[None] - mean[:, None]) ** 2) / q.sum(axis=1)
    return {"mean": mean[..., None], "variance": variance[..., None]}


def categorical_emission(own: Any, x: np.ndarray) -> np.ndarray:
    return np.moveaxis(own["probabilities"][:, :, x], 1, 2)


def categorical_step(q: np.ndarray, x: np.ndarray) -> Any:
    counts = np.einsum("stk,tc->skc", q, np.eye(6)[x])
    return {"probabilities": counts / counts.sum(axis=2, keepdims=True)}


CASES = {
    "poisson": (3, families.Poisson(), lambda: datasets.earthquakes().count, poisson_emission, poisson_step),
    "gaussian": (
        2,
        families.Gaussian("diagonal"),
        lambda: datasets.old_faithful().matrix("waiting"),
        gaussian_emission,
        gaussian_step,
    ),
    "categorical": (2, families.Categorical(6), casino, categorical_emission, categorical_step),
}


@pytest.mark.parametrize("case", CASES)
def test_em_from_200_starts(case: str) -> None:
    states, family, data, emission, m_step = CASES[case]
    x = data()
    options: Any = {"method": lem.Plain(), "polish": False, "tolerance": TOLERANCE, "max_iterations": 5000}
    fit = lem.fit(lem.HMM(states, family), x, key=jax.random.key(0), starts=STARTS, **options)
    assert fit.ends is not None and fit.starts.shape == (STARTS,)
    assert np.isfinite(fit.starts).all() and np.isfinite(fit.ends.theta).all()
    assert set(fit.ends.outcomes.tolist()) <= {CONVERGED, STOPPED}
    with jax.enable_x64(True):
        unravel = ravel_pytree(fit.params)[1]
        params = jax.tree.map(np.asarray, jax.vmap(unravel)(jnp.asarray(fit.ends.theta)))
    before, smoothed, moves = forward_backward(params, emission(params["emission"], x))
    np.testing.assert_allclose(np.sort(before), np.sort(fit.starts), rtol=1e-7)
    after = {
        "initial": smoothed[:, 0],
        "transition": moves / moves.sum(axis=2, keepdims=True),
        "emission": m_step(smoothed, x),
    }
    gain = forward_backward(after, emission(after["emission"], x))[0] - before
    scale = np.maximum(len(x), np.abs(before))
    assert np.all(gain > -1e-11 * scale)
    converged = fit.ends.outcomes == CONVERGED
    assert np.mean(converged) > 0.4
    assert np.all(gain[converged] < TOLERANCE * scale[converged])


# 20,000 steps are walked as a million are, in blocks side by side.
@pytest.mark.parametrize("steps", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_a_long_sequence_in_float32(steps: int) -> None:
    rng = np.random.default_rng(0)
    state = np.repeat(rng.integers(4, size=steps // 10), 10)
    x = (3.0 * state - 4.5 + rng.standard_normal(steps))[:, None]
    start = {
        "initial": np.full(4, 0.25),
        "transition": 0.9 * np.eye(4) + 0.025,
        "emission": {"mean": np.array([[-4.0], [-1.0], [1.0], [4.0]]), "variance": np.ones((4, 1))},
    }
    hmm = lem.HMM(4, families.Gaussian("diagonal"))
    options: Any = {"initial": start, "method": lem.Plain(), "max_iterations": 3, "tolerance": 0.0, "polish": False}
    wide, narrow = (lem.fit(hmm, x, dtype=dtype, **options) for dtype in ("float64", "float32"))
    assert narrow.dtype == "float32"
    np.testing.assert_allclose(narrow.trace, wide.trace, rtol=1e-6)
    np.testing.assert_allclose(narrow.params["transition"], wide.params["transition"], rtol=1e-5)
    np.testing.assert_allclose(narrow.params["emission"]["mean"], wide.params["emission"]["mean"], rtol=1e-5)
