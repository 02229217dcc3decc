"""Operators: algebra, subsets, and the adjoint that is checked."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

import latentem as lem
from latentem.numerics.operators import check_adjoint

RNG = np.random.default_rng(3)
A, B = RNG.random((7, 5)), RNG.random((5, 4))
D = RNG.random(7)

SAME = {
    "sparse": (lem.operator(sp.coo_array(A)), A),
    "dense": (lem.operator(A), A),
    "diagonal": (lem.operator(D), np.diag(D)),
    "function": (lem.operator(lambda x: jnp.asarray(A) @ x, domain=5), A),
    "pair": (lem.operator(lambda x: jnp.asarray(A) @ x, lambda y: jnp.asarray(A).T @ y, domain=(5,)), A),
    "product": (lem.operator(sp.csr_array(A)) @ lem.operator(B), A @ B),
    "attenuated": (lem.operator(D) @ lem.operator(sp.csr_array(A)), np.diag(D) @ A),
    "sum": (lem.operator(A) + lem.operator(sp.csr_array(A)), 2 * A),
    "multiple": (0.5 * lem.operator(A), 0.5 * A),
    "transposed": (lem.operator(sp.csr_array(A)).T, A.T),
}


@pytest.mark.parametrize("name", SAME)
def test_an_operator_does_what_its_matrix_does(name: str) -> None:
    operator, matrix = SAME[name]
    m, p = matrix.shape
    assert operator.shape == (m, p)
    x, y = RNG.random(p), RNG.random(m)
    np.testing.assert_allclose(operator @ x, matrix @ x, rtol=1e-12)
    np.testing.assert_allclose(operator.adjoint(y), matrix.T @ y, rtol=1e-12)
    np.testing.assert_allclose(operator.sensitivity, matrix.sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(operator.forward(np.stack([x, 2 * x], 1)), np.stack([matrix @ x, 2 * matrix @ x], 1))
    index = np.array([2, 0])
    some = operator.rows(index)
    np.testing.assert_allclose(some @ x, (matrix @ x)[index], rtol=1e-12)
    np.testing.assert_allclose(some.adjoint(y[index]), matrix[index].T @ y[index], rtol=1e-12)
    squared = operator.squared()
    if squared is not None:
        np.testing.assert_allclose(squared @ x, matrix**2 @ x, rtol=1e-12)
    check_adjoint(operator)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: lem.operator(jnp.sin), "say the shape of what it takes"),
        (lambda: lem.operator(lambda x: 2 * x, lambda y: 3 * y, domain=4), "adjoint is not the adjoint of forward"),
        (lambda: lem.operator(lambda x: 2 * x + 1, lambda y: 2 * y, domain=4), "not"),
        (lambda: lem.operator(lambda x: x[:2], lambda y: y, domain=4), r"shape \(2,\): expected \(4,\)"),
        (lambda: lem.operator([[1.0, np.nan]]), "NaN or infinite"),
        (lambda: lem.operator("A"), "expected a matrix of numbers"),
        (lambda: lem.operator(np.ones((2, 2, 2))), "expected"),
        (lambda: lem.operator(A) @ lem.operator(A), "do not compose"),
        (lambda: lem.operator(A) + lem.operator(B), "do not add"),
        (lambda: lem.operator(A, domain=5), "go with a function"),
    ],
)
def test_refusals_are_one_line(make, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        make()
    assert "\n" not in str(caught.value)
