"""Covariances of several components whose volumes, shapes and orientations are equal or vary."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families.registry import QUICK
from scipy.optimize import minimize

import latentem as lem
from latentem.constraints import structured
from latentem.models.mixture import structures

K, D = 3, 2
EIGHT = structures.STRUCTURED


def scatters(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(counts, covariances) of three components that differ in everything."""
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(K, D, D)) * np.array([1.0, 2.0, 0.5])[:, None, None]
    return np.array([20.0, 35.0, 10.0]), roots @ np.swapaxes(roots, 1, 2) + 0.2 * np.eye(D)


def given(structure: str) -> tuple[np.ndarray, np.ndarray]:
    count, own = scatters()
    return count, np.diagonal(own, axis1=1, axis2=2).copy() if structure.endswith("I") else own


def q(structure: str, count: np.ndarray, own: np.ndarray, value: np.ndarray) -> float:
    """Expected log density of components with these scatters, up to a constant."""
    if structure.endswith("I"):
        return float(-0.5 * np.sum(count[:, None] * (np.log(value) + own / value)))
    trace = np.trace(np.linalg.solve(value, own), axis1=1, axis2=2)
    return float(-0.5 * np.sum(count * (np.linalg.slogdet(value)[1] + trace)))


@pytest.mark.parametrize("structure", EIGHT)
def test_m_step_reaches_the_maximum_of_its_structure(structure: str, x64) -> None:
    """Against BFGS on the free coordinates of the constraint."""
    count, own = given(structure)
    constraint = structured(structure, K, D)

    @partial(jax.jit, compiler_options=QUICK)
    def steps(current):
        # what is not closed goes up: a few M-steps with the same scatters
        return jax.lax.fori_loop(
            0, 12, lambda _, now: structures.maximize(structure, jnp.asarray(count), jnp.asarray(own), now), current
        )

    def loss(u):
        value = constraint.constrain(u)
        if structure.endswith("I"):
            return 0.5 * jnp.sum(count[:, None] * (jnp.log(value) + own / value))
        trace = jnp.trace(jnp.linalg.solve(value, jnp.asarray(own)), axis1=1, axis2=2)
        return 0.5 * jnp.sum(count * (jnp.linalg.slogdet(value)[1] + trace))

    found = np.asarray(steps(jnp.asarray(np.broadcast_to(own.mean(axis=0), own.shape))))
    assert bool(constraint.contains(found))
    objective = jax.jit(jax.value_and_grad(loss), compiler_options=QUICK)
    start = np.asarray(constraint.unconstrain(found))
    best = minimize(lambda u: tuple(np.asarray(a, float) for a in objective(u)), start, jac=True)
    assert q(structure, count, own, found) == pytest.approx(-best.fun, abs=1e-6)
    assert np.max(np.abs(objective(start)[1])) < 1e-3


@pytest.mark.parametrize("structure", EIGHT)
def test_free_coordinates_make_the_matrices_they_came_from(structure: str, x64) -> None:
    constraint = structured(structure, K, 3)
    u = np.random.default_rng(1).normal(size=constraint.size)

    @partial(jax.jit, compiler_options=QUICK)
    def there(u):
        value = constraint.constrain(u)
        return value, constraint.constrain(constraint.unconstrain(value)), constraint.log_det_jacobian(u)

    value, again, log_det = there(u)
    np.testing.assert_allclose(again, value, rtol=1e-9, atol=1e-11)
    assert np.isfinite(log_det) and len(set(constraint.free_indices)) == constraint.size


def test_parameters_are_as_many_as_mclust_counts() -> None:
    """nVarParams of mclust 6.0 for d = 3 and 4 components."""
    known = {"VEI": 6, "EVI": 9, "VEE": 9, "EVE": 12, "VVE": 15, "EEV": 15, "VEV": 18, "EVV": 21}
    assert {name: structured(name, 4, 3).size for name in EIGHT} == known


@pytest.mark.parametrize(
    ("data", "components", "structure", "log_likelihood"),
    [
        # mclust 6.0.0, emControl tol 1e-13
        pytest.param("old_faithful", 3, "EEE", -1126.31592782384, marks=pytest.mark.slow),
        ("iris", 2, "VEV", -215.725972233918),
    ],
)
def test_log_likelihoods_are_those_of_mclust(data: str, components: int, structure: str, log_likelihood: float) -> None:
    x = getattr(lem.datasets, data)().matrix()
    fit = lem.fit(lem.GaussianMixture(components, structure), x, key=0, starts=4)
    assert fit.status.ok and fit.log_likelihood == pytest.approx(log_likelihood, abs=1e-5)


@pytest.mark.slow
def test_a_uniform_component_takes_what_belongs_to_no_cluster() -> None:
    rng = np.random.default_rng(0)
    clusters = np.r_[rng.normal(0, 0.3, (60, 2)), rng.normal(5, 0.3, (60, 2))]
    noise = rng.uniform(-10, 15, (30, 2))
    fit = lem.fit(lem.GaussianMixture(2, "EII", noise=True), np.r_[clusters, noise], key=0, starts=3)
    taken = fit.predict() == 2
    assert fit.status.ok and taken[:120].mean() < 0.05 and taken[120:].mean() > 0.8
    means = fit.params["components"]["0"]["mean"]
    np.testing.assert_allclose(np.sort(means[:, 0]), [0, 5], atol=0.15)
    box = np.prod(np.ptp(np.r_[clusters, noise], axis=0))
    w, s = fit.params["weights"], fit.params["components"]["0"]["variance"]
    x = np.r_[clusters, noise]
    density = sum(w[k] * np.exp(-0.5 * np.sum((x - means[k]) ** 2, axis=1) / s) / (2 * np.pi * s) for k in (0, 1))
    assert fit.log_likelihood == pytest.approx(np.sum(np.log(density + w[2] / box)), rel=1e-9)


@pytest.mark.slow
def test_selection_ranks_by_bic() -> None:
    rng = np.random.default_rng(3)
    x = np.r_[rng.normal(0, 1, (40, 2)), rng.normal(8, 1, (40, 2))]
    found = lem.select_mixture(x, [1, 2], ["EII", "VII"], starts=2)
    assert found.winner == "2 EII" and len(found.candidates) == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lem.GaussianMixture(2, "VVW"), "covariance='VVW': expected one of full, tied, diagonal"),
        (
            lambda: lem.GaussianMixture(2, "VEV", factors=1),
            "expected 'diagonal' or 'spherical', the covariance",
        ),
        (lambda: lem.Mixture(lem.families.Poisson(), 2, structure="VEV"), "expected the family Gaussian"),
        (lambda: lem.fit(lem.GaussianMixture(2, "VEV"), np.arange(9.0), key=0), "of 1 dimension: expected at least 2"),
        (lambda: lem.select_mixture(np.eye(3), criterion="cv"), "criterion='cv': expected 'bic' or 'icl'"),
    ],
)
def test_bad_structures_are_refused_in_one_line(make, message) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
