"""The sparse factor, its log-determinant, solutions and selected inverse against dense algebra; pedigrees against their
matrix."""

import numpy as np
import pytest
import scipy.sparse as sp

import latentem as lem
from latentem.field import Factor, NotPositiveDefinite
from latentem.forms.field.ordering import best, minimum_degree
from latentem.forms.field.symbolic import analyse


def random_matrix(n: int, density: float, seed: int) -> sp.coo_matrix:
    a = sp.random(n, n, density, random_state=seed)
    return (a @ a.T + sp.identity(n) * 2).tocoo()


@pytest.mark.parametrize(("n", "density"), [(1, 1.0), (5, 0.5), (60, 0.03), (300, 0.004)])
@pytest.mark.parametrize("order", ["natural", "minimum degree", "random"])
def test_factor_against_dense(n: int, density: float, order: str) -> None:
    c = random_matrix(n, density, 1)
    orders = {
        "natural": np.arange(n),
        "minimum degree": minimum_degree(n, c.row, c.col),
        "random": np.random.default_rng(0).permutation(n),
    }
    assert sorted(orders[order].tolist()) == list(range(n))
    symbolic = analyse(c.row, c.col, orders[order])
    assert symbolic is not None
    low = c.row >= c.col
    at = symbolic.entries(c.row[low], c.col[low])
    values = np.zeros(symbolic.storage)
    values[at] = c.data[low]
    factor = Factor(symbolic, values)
    dense = c.toarray()
    inverse = np.linalg.inv(dense)
    assert factor.log_determinant == pytest.approx(np.linalg.slogdet(dense)[1], abs=1e-10)
    b = np.random.default_rng(1).normal(size=(n, 2))
    np.testing.assert_allclose(factor.solve(b), inverse @ b, atol=1e-12)
    np.testing.assert_allclose(factor.solve(b[:, 0]), inverse @ b[:, 0], atol=1e-12)
    np.testing.assert_allclose(factor.inverse[at], inverse[c.row[low], c.col[low]], atol=1e-12)
    draw = factor.draw(np.eye(n))
    np.testing.assert_allclose(draw @ draw.T, inverse, atol=1e-12)


def test_a_matrix_that_is_not_positive_definite_is_refused() -> None:
    rows, columns = np.array([0, 1, 1]), np.array([0, 0, 1])
    symbolic = best(2, rows, columns)
    values = np.zeros(symbolic.storage)
    values[symbolic.entries(rows, columns)] = [1.0, 2.0, 1.0]
    with pytest.raises(NotPositiveDefinite):
        Factor(symbolic, values)


def test_an_entry_outside_the_pattern_is_refused() -> None:
    symbolic = analyse(np.arange(200), np.arange(200), np.arange(200))
    assert symbolic is not None and symbolic.head > 1
    with pytest.raises(KeyError):
        symbolic.entries(np.array([1]), np.array([0]))


def test_the_order_of_a_crossed_design_eliminates_the_larger_factor_first() -> None:
    rng = np.random.default_rng(0)
    many, few, n = 400, 30, 4000
    i, j = rng.integers(many, size=n), many + rng.integers(few, size=n)
    rows, columns = np.concatenate([np.arange(many + few), j]), np.concatenate([np.arange(many + few), i])
    symbolic = best(many + few, rows, columns, [(0, many)])
    assert symbolic.tail <= few and symbolic.pairs < many * few**2


def families(seed: int = 0, n: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A pedigree with inbreeding, half-known parents and selfing, its lines in random order."""
    rng = np.random.default_rng(seed)
    sire = np.array([0 if k < 5 else rng.integers(0, k) for k in range(n)])
    dam = np.array([0 if k < 5 else rng.integers(0, k) for k in range(n)])
    dam[20] = sire[20] = 7  # selfing
    order = rng.permutation(n)
    return np.arange(1, n + 1)[order], sire[order], dam[order]


def tabular(identity: np.ndarray, sire: np.ndarray, dam: np.ndarray) -> np.ndarray:
    """The relationship matrix by the tabular method (Emik and Terrill 1949), rows in the order of the names 1, 2,
    ..."""
    n = len(identity)
    parents = {int(i): (int(s), int(d)) for i, s, d in zip(identity, sire, dam, strict=True)}
    a = np.zeros((n + 1, n + 1))
    for k in range(1, n + 1):
        s, d = parents[k]
        a[k, :k] = a[:k, k] = 0.5 * ((a[s, :k] if s else 0) + (a[d, :k] if d else 0))
        a[k, k] = 1 + (0.5 * a[s, d] if s and d else 0)
    return a[1:, 1:]


@pytest.mark.parametrize("seed", range(4))
def test_pedigree_against_the_tabular_method(seed: int) -> None:
    listed = families(seed)
    pedigree = lem.pedigree(*listed)
    order = np.argsort(pedigree.names.astype(int))
    expected = tabular(*listed)
    np.testing.assert_allclose(pedigree.matrix()[np.ix_(order, order)], expected, atol=1e-12)
    np.testing.assert_allclose(pedigree.inbreeding[order], np.diag(expected) - 1, atol=1e-12)
    bound = pedigree.bind(listed[0], "id")
    np.testing.assert_allclose(bound.precision.toarray() @ pedigree.matrix(), np.eye(40), atol=1e-10)
    assert bound.log_determinant == pytest.approx(np.linalg.slogdet(expected)[1], abs=1e-10)
    v = np.random.default_rng(0).normal(size=(40, 2))
    np.testing.assert_allclose(bound.multiply(v), pedigree.matrix() @ v, atol=1e-12)
    draws = bound.draw(np.random.default_rng(1), 40_000)
    assert np.abs(np.cov(draws) - pedigree.matrix()).max() < 0.08


def test_cancelled_entries_of_an_inverse_are_no_part_of_its_pattern() -> None:
    # Henderson's rules add entries that cancel: full sibs whose parents are mated elsewhere, say. SciPy's sparse sums
    # drop explicit zeros, so patterns that keep them go out of step.
    data = lem.datasets.mrode_calves()
    rows, columns, values = lem.pedigree(data.calf, data.sire, data.dam).inverse()
    assert np.abs(values).min() > 1e-12
    assert len({*zip(rows.tolist(), columns.tolist(), strict=True)}) == len(rows)


@pytest.mark.parametrize(
    ("structure", "levels"),
    [
        (lem.random_walk(), [3.0, 1.0, 2.0, 7.0]),
        (lem.neighbours({"a": ["b", "c"], "b": ["c"], "d": []}), ["a", "b", "c", "d"]),
        (lem.relationship(np.array([[2.0, 0.5], [0.5, 1.0]]), ["u", "v"]), ["u", "v"]),
        (lem.relationship(sp.csr_matrix([[2.0, 0.5], [0.5, 1.0]]), ["u", "v"], inverse=True), ["u", "v"]),
        (lem.exchangeable(), [1, 2, 3]),
    ],
)
def test_every_structure_agrees_with_itself(structure: lem.field.Structure, levels: list) -> None:
    bound = structure.bind(levels, "g")
    k = np.linalg.inv(bound.precision.toarray())
    np.testing.assert_allclose(bound.multiply(np.eye(bound.size)), k, atol=1e-12)
    np.testing.assert_allclose(bound.variances, np.diag(k), atol=1e-12)
    assert bound.log_determinant == pytest.approx(np.linalg.slogdet(k)[1], abs=1e-12)
    draws = bound.draw(np.random.default_rng(0), 40_000)
    assert np.abs(np.cov(draws) - k).max() < 0.15


def test_a_random_walk_steps_by_the_distance_of_its_levels() -> None:
    bound = lem.random_walk().bind([3.0, 1.0, 2.0, 7.0], "year")
    at = np.array([1.0, 2.0, 3.0, 7.0])
    np.testing.assert_allclose(np.linalg.inv(bound.precision.toarray()), np.minimum.outer(at, at), atol=1e-12)
