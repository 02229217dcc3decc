"""The recursions are exact: as one joint normal distribution has it, for holes, ragged lengths, covariates, starts."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from dense_gaussian import Dense, dense, sums
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import latentem as lem
from latentem.ascent.derivatives import compiled_expansion, objective
from latentem.forms.kalman import KalmanForm
from latentem.numerics.compiled import jit

D, P = 2, 3
#: Long enough for several lanes, in which sequences end and begin; one of a single step.
LENGTHS = (31, 1, 18, 14)
WEIGHTS = np.array([1.0, 2.0, 0.5, 1.0])

FREE = {"mean": "free", "covariance": "free"}
COVARIATES: dict[str, Any] = {"inputs": ("u",), "offsets": ("1", "v")}


def drawn(rng: np.random.Generator, lengths: tuple[int, ...] = LENGTHS, lost: float = 0.25) -> lem.Sequences:
    """Sequences with covariates, readings missing one by one and a step without any."""
    parts = []
    for n in lengths:
        y = rng.normal(size=(n, P)) + rng.normal(size=P)
        y[rng.random(y.shape) < lost] = np.nan
        y[n // 2] = np.nan if n > 1 else y[0]
        y[0, 0] = 0.5
        parts.append({**{f"y{i}": y[:, i] for i in range(P)}, "u": rng.normal(size=n), "v": rng.normal(size=n)})
    return lem.sequences(parts)


def random_params(model: Any, rng: np.random.Generator) -> Any:
    u = 0.4 * rng.normal(size=model.space.size)
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, jit(model.space.constrain)(u))


def by_conditioning(model: Any, params: Any, series: lem.Sequences, flat: bool) -> list[tuple[Dense, tuple[Any, ...]]]:
    system = lem.kalman.matrices(model, params)
    found = []
    for begin, length in zip(series.starts, series.lengths, strict=True):
        own = tuple(series.steps[name][begin : begin + length] for name in "yuv")
        found.append((dense(system, *own, flat=flat), own))
    return found


KINDS = {
    "given start": lem.StateSpace(D, initial=FREE, **COVARIATES),
    "correlated noise": lem.StateSpace(D, noise="free", initial=FREE, **COVARIATES),
    "stationary": lem.StateSpace(D, **COVARIATES),
    "diffuse": lem.StateSpace(D, initial="diffuse", **COVARIATES),
    "constant": lem.StateSpace(D, initial="constant", **COVARIATES),
}


@pytest.fixture(scope="module", params=KINDS, name="kind")
def _kind(request: pytest.FixtureRequest) -> str:
    return request.param


@given(seed=st.integers(0, 10_000))
@settings(max_examples=8, deadline=None, derandomize=True)
def test_filter_smoother_and_expected_sums_are_those_of_the_joint_distribution(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    unknown = kind in ("diffuse", "constant")
    lengths = tuple(n for n in LENGTHS if n > 1) if unknown else LENGTHS
    weights = WEIGHTS[: len(lengths)]
    declared, series = KINDS[kind].declare(drawn(rng, lengths))
    model = declared.model()
    params = random_params(model, rng)
    # An unstable system has no stationary distribution; others may grow, by a factor of 10^10 over a sequence.
    largest = np.max(np.abs(np.linalg.eigvals(lem.kalman.matrices(model, params).transition)))
    assume(largest < (0.9 if kind == "stationary" else 2.0))
    data = model.latent.read(series, weights)
    with jax.enable_x64(True):
        form = KalmanForm(model)
        prepared = form.of_new(data, "float64")
        log_prob = np.asarray(_log_prob(form, params, prepared))
        log_likelihood, moments = jax.tree.map(np.asarray, _expect(form, params, prepared))
    found = by_conditioning(model, params, series, flat=kind == "diffuse")
    np.testing.assert_allclose(log_prob, [a.log_prob for a, _ in found], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(log_likelihood, weights @ log_prob, rtol=1e-12)

    paths = lem.kalman.smoothed(model, params, data)
    np.testing.assert_allclose(paths.mean, np.concatenate([a.mean for a, _ in found]), atol=1e-8)
    spread = np.concatenate([np.einsum("tdte->tde", a.covariance) for a, _ in found])
    np.testing.assert_allclose(paths.covariance, spread, atol=1e-8)
    last, rows = found[0][0], lengths[0] - 1
    lag = np.stack([last.covariance[t + 1, :, t] for t in range(rows)])
    np.testing.assert_allclose(paths.lag[:rows], lag, atol=1e-8)

    if kind == "correlated noise":
        return
    wanted: dict[str, Any] = {}
    for weight, (own, arrays) in zip(weights, found, strict=True):
        for name, value in sums(own, *arrays).items():
            wanted[name] = wanted.get(name, 0.0) + weight * value
    got = {
        "move_xx": moments.move.xx,
        "move_yx": moments.move.yx,
        "move_yy": moments.move.yy,
        "first": moments.first.yy,
        "read_xx": moments.reading.xx,
        "read_yx": moments.reading.yx[:, 0],
        "read_yy": moments.reading.yy[:, 0, 0],
        "read_n": moments.reading.n,
    }
    for name, value in got.items():
        np.testing.assert_allclose(value, wanted[name], rtol=1e-7, atol=1e-7, err_msg=name)


def test_score_and_information_are_derivatives_of_the_likelihood(kind: str) -> None:
    """Fisher's and Oakes' identities, to 1e-6 of central differences of the likelihood and of the score."""
    rng = np.random.default_rng(1)
    lengths = tuple(n for n in LENGTHS if n > 1)
    declared, series = KINDS[kind].declare(drawn(rng, lengths))
    model = declared.model()
    with jax.enable_x64(True):
        form = KalmanForm(model)
        prepared = form.of_new(model.latent.read(series, np.array([1.0, 2.0, 0.5])), "float64")
        u = np.asarray(jit(model.space.unconstrain)(random_params(model, rng)))
        here = jax.tree.map(np.asarray, compiled_expansion(form, prepared, u))
        step = 1e-4
        score, slope = [], []
        for e in np.eye(len(u)):
            values = [float(_objective(form, prepared, u + k * step * e)) for k in (-2, -1, 1, 2)]
            score.append((values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step))
        for e in np.eye(len(u))[:: len(u) // 4]:
            sides = [np.asarray(compiled_expansion(form, prepared, u + k * step * e).gradient) for k in (-2, -1, 1, 2)]
            slope.append((sides[0] - 8 * sides[1] + 8 * sides[2] - sides[3]) / (12 * step))
    scale = np.abs(here.hessian).max()
    np.testing.assert_allclose(here.gradient, score, atol=1e-6 * scale)
    np.testing.assert_allclose(here.hessian[:: len(u) // 4], slope, atol=1e-6 * scale)


def test_an_em_step_in_closed_form_is_the_maximum_of_the_expected_log_density() -> None:
    """Brute force: no other params have a higher expected complete-data log density, and the likelihood rises."""
    rng = np.random.default_rng(2)
    pattern = [["a", 0.3], [0.0, "a"]]
    tied = lem.StateSpace(D, transition=pattern, process="diagonal", noise="equal", initial=FREE, **COVARIATES)
    for start in (KINDS["given start"], tied, KINDS["correlated noise"]):
        declared, series = start.declare(drawn(rng))
        model = declared.model()
        data = model.latent.read(series, WEIGHTS)
        params = random_params(model, rng)
        with jax.enable_x64(True):
            form = KalmanForm(model)
            assert form.has_closed_form
            prepared = form.of_new(data, "float64")
            before = float(_log_likelihood(form, params, prepared))
            new = params
            # One variable after the other is maximised, so that the fixed point is the maximum.
            completed = _expect_filled(form, params, prepared)
            for _ in range(60):
                new = jax.tree.map(np.asarray, _maximize(form, completed, new, prepared))
            after = float(_log_likelihood(form, new, prepared))
            if start is not KINDS["correlated noise"]:
                gradient = np.asarray(_slope(form, model.space, completed, new, prepared))
                assert np.abs(gradient).max() < 1e-6, gradient
        assert after > before
        assert bool(np.all(np.asarray(model.space.check(new) is not None)))


_log_prob = jit(lambda form, params, prepared: form.log_prob(params, prepared), static_argnums=0)
_log_likelihood = jit(lambda form, params, prepared: form.log_likelihood(params, prepared), static_argnums=0)
_expect = jit(lambda form, params, prepared: form.expect(params, prepared), static_argnums=0)
_expect_filled = jit(lambda form, params, prepared: form.statistics(params, prepared)[1], static_argnums=0)
_maximize = jit(lambda form, found, params, prepared: form.maximize(found, params, prepared), static_argnums=0)
_objective = jit(objective, static_argnums=0)
_slope = jit(
    lambda form, space, found, params, prepared: jax.grad(lambda u: form.q(space.constrain(u), found, prepared))(
        space.unconstrain(params)
    ),
    static_argnums=(0, 1),
)
