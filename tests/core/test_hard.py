"""Hard EM, k-means first: against scikit-learn's Lloyd, brute force and the declaration itself."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.cluster import KMeans

import latentem as lem
from latentem.data import Data
from latentem.forms.choose import choose_form
from latentem.forms.hard import SIDE_BY_SIDE, HardForm, largest

FEW, MANY = 3, SIDE_BY_SIDE + 8


def clusters(k: int, n: int = 900) -> tuple[np.ndarray, np.ndarray]:
    """(observations (n, 2) around k centres, a start (k, 2) away from them)."""
    rng = np.random.default_rng(k)
    centres = rng.uniform(-20, 20, (k, 2))
    x = centres[rng.integers(k, size=n)] + rng.standard_normal((n, 2))
    return x, centres + rng.standard_normal((k, 2))


def lloyd(k: int, x: np.ndarray, start: np.ndarray, iterations: int, **settings: Any) -> lem.Fit:
    return lem.fit(
        lem.KMeans(k), x, initial={"centers": start}, method=lem.Plain(), tolerance=0.0, max_iterations=iterations,
        **settings,
    )  # fmt: skip


@pytest.mark.parametrize("k", [FEW, MANY])
@pytest.mark.parametrize("weighted", [False, True])
def test_kmeans_ends_where_scikit_learn_does(k: int, weighted: bool) -> None:
    x, start = clusters(k)
    w = np.random.default_rng(0).integers(0, 4, len(x)).astype(float) if weighted else np.ones(len(x))
    peer = KMeans(k, init=start, n_init=1, tol=0.0, max_iter=300, algorithm="lloyd").fit(x, sample_weight=w)
    fit = lloyd(k, x, start, 300, weights=w)
    np.testing.assert_allclose(fit.params["centers"], peer.cluster_centers_, rtol=0, atol=1e-12)
    assert fit.inertia() == pytest.approx(peer.inertia_, rel=1e-12)
    np.testing.assert_array_equal(fit.predict(x), peer.predict(x))


def test_iris() -> None:
    """The best of several random starts of each."""
    x = lem.datasets.iris().matrix()
    peer = KMeans(3, n_init=20, random_state=0, tol=0.0).fit(x)
    fit = lem.fit(lem.KMeans(3), x, key=jax.random.key(0), starts=10)
    assert fit.inertia() == pytest.approx(peer.inertia_, rel=1e-12)
    assert sorted(np.bincount(fit.predict())) == sorted(np.bincount(peer.labels_)) == [38, 50, 62]


@pytest.mark.parametrize("k", [FEW, MANY])
def test_one_iteration_is_the_mean_of_the_nearest(k: int) -> None:
    x, start = clusters(k)
    nearest = np.argmin(np.sum((x[:, None] - start) ** 2, axis=2), axis=1)
    expected = [x[nearest == j].mean(axis=0) if np.any(nearest == j) else start[j] for j in range(k)]
    np.testing.assert_allclose(lloyd(k, x, start, 1).params["centers"], expected, rtol=0, atol=1e-12)


def test_float32_finds_the_same_clusters() -> None:
    x, start = clusters(MANY)
    single, double = (lloyd(MANY, x, start, 50, dtype=dtype) for dtype in ("float32", "float64"))
    np.testing.assert_allclose(single.params["centers"], double.params["centers"], rtol=0, atol=1e-4)


def test_params_side_by_side_say_what_each_says_alone(x64: None) -> None:
    """They share the cache, so chunks are smaller; the sums are the same."""
    k = 20 * SIDE_BY_SIDE
    x, _ = clusters(k, 5000)
    rng = np.random.default_rng(1)
    starts = {"centers": jnp.stack([x[rng.choice(len(x), k, replace=False)] for _ in range(4)])}
    form, prepared = choose_form(replace(lem.KMeans(k), dim=2).model(), Data(x, np.ones(len(x))))
    shared = replace(prepared, lanes=4)
    assert form.chunk(shared) < form.chunk(prepared) < len(x)
    together = jax.vmap(lambda params: form.expect(params, shared))(starts)
    for i in range(4):
        alone = form.expect({"centers": starts["centers"][i]}, prepared)
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-12), together, alone)


def test_equal_scores_go_to_the_first() -> None:
    scores = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [-np.inf, -np.inf, -1.0], [0.0, np.nan, 0.0]])
    for axis, table in ((1, scores), (0, scores.T)):
        top, index = largest(jnp.asarray(table, jnp.float32), axis)
        np.testing.assert_array_equal(top, [3.0, 2.0, -1.0, np.nan])
        np.testing.assert_array_equal(index, [1, 0, 2, 2])


def _label_log_prob(params: Any, x: Any, z: Any) -> Any:
    """Even observations belong to even values only."""
    possible = (x[1].astype(int) - z) % 2 == 0
    return jnp.where(possible, -((x[0] - params["centre"][z]) ** 2), -jnp.inf)


def _features(x: Any, context: Any) -> Any:
    return jnp.stack([jnp.ones_like(x[:, 0]), x[:, 0], x[:, 0] ** 2], axis=1)


def _natural(params: Any, context: Any) -> Any:
    c = params["centre"]
    return jnp.stack([-(c**2), 2 * c, -jnp.ones_like(c)], axis=1)


@pytest.mark.parametrize("k", [FEW, MANY])
def test_the_formula_says_what_the_declaration_says(k: int, x64: None) -> None:
    """Values that are impossible for an observation included."""
    model = lem.Model(
        _label_log_prob,
        lem.Finite(k, hard=True),
        {"centre": lem.real(k)},
        separable=lem.Separable(
            _features,
            _natural,
            impossible=lambda x, context: (x[:, 1].astype(int)[:, None] - jnp.arange(k)) % 2 != 0,
        ),
    )
    rng = np.random.default_rng(2)
    x = np.column_stack([rng.normal(size=50) * 5, rng.integers(0, 2, 50)])
    params = {"centre": jnp.asarray(rng.normal(size=k) * 5)}
    rows, weights = jnp.asarray(x), rng.integers(0, 3, 50) * 1.0
    form, prepared = choose_form(model, Data(x, weights))
    declared, as_rows = choose_form(replace(model, separable=None), Data(x, weights))
    assert isinstance(form, HardForm) and not isinstance(declared, HardForm)
    value, statistics = form.expect(params, prepared)
    brute = np.array([[_label_log_prob(params, row, z) for z in range(k)] for row in rows])
    np.testing.assert_allclose(value, np.sum(weights * brute.max(axis=1)), rtol=1e-12)
    np.testing.assert_allclose(declared.expect(params, as_rows)[0], value, rtol=1e-12)
    expected = np.zeros((k, 3))
    np.add.at(expected, brute.argmax(axis=1), np.asarray(_features(rows, ()) * weights[:, None]))
    np.testing.assert_allclose(statistics, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(form.log_prob(params, prepared), brute.max(axis=1), rtol=1e-12, atol=1e-12)


def test_a_hard_latent_does_without_a_formula_that_sums_over_it(x64: None) -> None:
    """A basis or an own E-step has responsibilities in mind."""
    separable = lem.Separable(_features, _natural, basis=lambda: np.eye(2))
    model = lem.Model(_label_log_prob, lem.Finite(2, hard=True), {"centre": lem.real(2)}, separable=separable)
    x = np.column_stack([np.arange(4.0), np.zeros(4)])
    form, _ = choose_form(model, Data(x, np.ones(4)))
    assert not isinstance(form, HardForm)
