"""Constraints and parameter spaces: bijections against NumPyro and autodiff, properties, edges, messages."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpyro.distributions import transforms

from latentem.constraints import (
    Constraint,
    ParameterSpace,
    correlation,
    covariance,
    diagonal,
    entries,
    fixed,
    interval,
    ordered,
    pattern,
    positive,
    real,
    repeated,
    simplex,
    tied,
    unit,
)

CASES: dict[str, Constraint] = {
    "real": real((2, 2)),
    "positive": positive(3),
    "positive scalar": positive(),
    "unit": unit(3),
    "interval": interval(-3.0, 7.0, 3),
    "interval up to 0": interval(-2.0, 0.0, 3),
    "simplex": simplex(4),
    "simplex of one": simplex(1),
    "simplex batch": simplex(3, batch=(2, 2)),
    "ordered": ordered(4),
    "ordered batch": ordered(2, batch=3),
    "covariance": covariance(3),
    "covariance batch": covariance(2, batch=2),
    "correlation": correlation(4),
    "correlation of one": correlation(1),
    "correlation batch": correlation(2, batch=3),
    "fixed": fixed([[1.0, 2.5]]),
    "tied": tied([[np.nan] * 3, [np.nan, 0.2, np.nan], [np.nan] * 3], [[(0, 0), (2, 2)], [(1, 0), (1, 2)]]),
    "repeated": repeated(simplex(3), [0, 1, 0, 2, 1]),
    "entries": entries([["a", 0.0, np.nan], [1.5, "a", np.nan]]),
    "diagonal": diagonal(["a", 0.0, np.nan, "a"]),
    "diagonal of free ones": diagonal(2),
    "pattern": pattern([[False, True], [True, True]]),
}
PLAIN = {name: case for name, case in CASES.items() if case.size and "batch" not in name}
every = pytest.mark.parametrize("constraint", CASES.values(), ids=CASES.keys())
SINGLE = {name: case for name, case in CASES.items() if "batch" not in name}
every_single = pytest.mark.parametrize("constraint", SINGLE.values(), ids=SINGLE.keys())
every_plain = pytest.mark.parametrize("constraint", PLAIN.values(), ids=PLAIN.keys())


# Everything about one point in one compiled program: compiling is what these tests spend their time on.


@partial(jax.jit, static_argnums=0)
def at_free(constraint, u):
    value = constraint.constrain(u)
    return {
        "value": value,
        "back": constraint.unconstrain(value),
        "contains": constraint.contains(value),
        "contains a NaN": constraint.contains(value.ravel().at[-1].set(jnp.nan).reshape(value.shape)),
        "contains NaN": constraint.contains(jnp.full_like(value, jnp.nan)),
        "edge": constraint.boundary(value),
        "log_det": constraint.log_det_jacobian(u),
    }


@partial(jax.jit, static_argnums=0)
def at_value(constraint, value):
    u = constraint.unconstrain(value)
    back = constraint.constrain(u)
    return {
        "u": u,
        "back": back,
        "contains": constraint.contains(value),
        "contains back": constraint.contains(back),
        "edge": constraint.boundary(value),
    }


@partial(jax.jit, static_argnums=0)
def derivatives(constraint, u):
    value = constraint.constrain(u)
    where = tuple(np.asarray(constraint.free_indices).T)
    return {
        "jacobian": jax.jacfwd(lambda v: constraint.constrain(v)[where].reshape(constraint.size))(u),
        "log_det": constraint.log_det_jacobian(u),
        "hessian": jax.hessian(lambda v: jnp.sum(constraint.constrain(v) ** 2))(u),
        "log_det hessian": jax.hessian(constraint.log_det_jacobian)(u),
        "there and back": jax.jacfwd(lambda v: constraint.unconstrain(constraint.constrain(v)))(u),
        "inverse": jax.jacrev(constraint.unconstrain)(value),
    }


def points(constraint, count, scale=1.0, seed=0):
    return np.random.default_rng(seed).normal(scale=scale, size=(count, constraint.size))


# --- the bijection


@every
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_round_trip_from_free_coordinates(constraint, data):
    # Farther out matrices are singular to rounding, and a small step after a large number is lost.
    reach = 2.0 if "matrices" in constraint.kind else 3.0 if "increase" in constraint.kind else 10.0
    u = data.draw(arrays(np.float64, constraint.size, elements=st.floats(-reach, reach)))
    with jax.enable_x64(True):
        found = at_free(constraint, u)
    assert found["value"].shape == constraint.shape and found["value"].dtype == np.float64
    assert found["contains"] and not np.any(found["edge"])
    np.testing.assert_allclose(found["back"], u, rtol=1e-7, atol=1e-7)


# Natural values, drawn without the bijection under test.
NATURAL = {
    "real": lambda g: g.normal(size=(2, 2)) * 1e3,
    "positive": lambda g: np.exp(g.uniform(-600, 600, 3)),
    "unit": lambda g: g.beta(0.05, 0.05, 3),
    "interval": lambda g: g.uniform(-3, 7, 3),
    "interval up to 0": lambda g: -2 * 10.0 ** -g.uniform(0, 300, 3),
    "simplex": lambda g: g.dirichlet(np.full(4, 0.05)),
    "ordered": lambda g: np.sort(g.normal(size=4) * 50),
    "covariance": lambda g: np.cov(g.normal(size=(3, 9)) * [[1e-3], [1.0], [1e4]]),
    "correlation": lambda g: np.corrcoef(g.normal(size=(4, 9))),
}


@pytest.mark.parametrize("name", NATURAL)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_round_trip_from_natural_values(name, seed):
    value = NATURAL[name](np.random.default_rng(seed))
    with jax.enable_x64(True):
        found = at_value(CASES[name], value)
    assert found["contains"] and found["contains back"] and np.all(np.isfinite(found["u"]))
    np.testing.assert_allclose(found["back"], value, rtol=1e-11, atol=1e-11 if value.ndim == 1 else 0)


@every
def test_float32_keeps_its_dtype_and_round_trips(constraint):
    u = points(constraint, 1)[0].astype(np.float32)
    found = at_free(constraint, u)
    assert found["value"].dtype == found["back"].dtype == found["log_det"].dtype == np.float32
    assert found["contains"] and not np.any(found["edge"])
    np.testing.assert_allclose(found["back"], u, rtol=2e-4, atol=2e-4)


@every_plain
def test_derivatives(constraint, x64):
    for scale in (1.0, 1.5, 12.0):
        found = derivatives(constraint, points(constraint, 1, scale)[0])
        for name, value in found.items():
            assert np.all(np.isfinite(value)), name
        if scale < 2:
            expected = np.linalg.slogdet(found["jacobian"])[1]
            np.testing.assert_allclose(found["log_det"], expected, rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(found["there and back"], np.eye(constraint.size), atol=1e-8)


COVARIANCE_OF_FACTOR = transforms.CholeskyTransform()
CORRELATION_OF_FACTOR = transforms.CorrMatrixCholeskyTransform()


def numpyro_covariance(u):
    """NumPyro lists the factor's entries below the diagonal first, then the log diagonal."""
    below = transforms.LowerCholeskyTransform()
    rows, columns = np.tril_indices(3)
    u = jnp.concatenate([u[rows != columns], u[rows == columns]])
    factor = below(u)
    value = COVARIANCE_OF_FACTOR.inv(factor)
    log_det = below.log_abs_det_jacobian(u, factor) - COVARIANCE_OF_FACTOR.log_abs_det_jacobian(value, factor)
    return value, log_det


def numpyro_correlation(u):
    below = transforms.CorrCholeskyTransform()
    factor = below(u)
    value = CORRELATION_OF_FACTOR.inv(factor)
    log_det = below.log_abs_det_jacobian(u, factor) - CORRELATION_OF_FACTOR.log_abs_det_jacobian(value, factor)
    return value, log_det


def numpyro_of(transform):
    def apply(u):
        value = transform(u)
        return value, jnp.sum(transform.log_abs_det_jacobian(u, value))

    return apply


NUMPYRO = {
    "real": (real(3), numpyro_of(transforms.IdentityTransform())),
    "positive": (positive(3), numpyro_of(transforms.ExpTransform())),
    "unit": (unit(3), numpyro_of(transforms.SigmoidTransform())),
    "interval": (
        interval(-3.0, 7.0, 3),
        numpyro_of(transforms.ComposeTransform([transforms.SigmoidTransform(), transforms.AffineTransform(-3, 10)])),
    ),
    "ordered": (ordered(4), numpyro_of(transforms.OrderedTransform())),
    "covariance": (covariance(3), numpyro_covariance),
    "correlation": (correlation(4), numpyro_correlation),
}


@pytest.mark.parametrize("name", NUMPYRO)
def test_same_map_and_log_det_as_numpyro(name, x64):
    constraint, peer = NUMPYRO[name][0], jax.jit(NUMPYRO[name][1])
    for u in points(constraint, 5, scale=1.5, seed=1):
        value, log_det = peer(u)
        found = at_free(constraint, u)
        np.testing.assert_allclose(found["value"], value, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(found["log_det"], log_det, rtol=1e-10, atol=1e-10)


def test_simplex_is_softmax_with_a_last_logit_of_zero(x64):
    from scipy.special import softmax

    u = np.array([0.3, -2.0, 1.0])
    np.testing.assert_allclose(simplex(4).constrain(u), softmax([*u, 0.0]), rtol=1e-14)
    np.testing.assert_allclose(simplex(4).unconstrain(softmax([*u, 0.0])), u, rtol=1e-13)


@every_single
def test_batch_is_independent_copies(constraint, x64):
    many = constraint.batched(2, 1)
    assert many.shape == (2, 1, *constraint.shape) and len(many.free_indices) == many.size == 2 * constraint.size
    u = points(constraint, 2)
    together, alone = at_free(many, u.ravel()), [at_free(constraint, row) for row in u]
    assert together["contains"] and together["edge"].shape == many.shape
    for name in ("value", "back"):
        expected = np.stack([found[name] for found in alone])
        np.testing.assert_allclose(np.reshape(together[name], expected.shape), expected, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(together["log_det"], sum(float(found["log_det"]) for found in alone), rtol=1e-12)
    assert not together["contains a NaN"]


@pytest.mark.parametrize("name", ["positive", "interval", "simplex batch", "fixed"])
def test_vmap(name, x64):
    u = points(CASES[name], 3)
    mapped = jax.jit(jax.vmap(partial(at_free, CASES[name])))(u)
    for i, row in enumerate(u):
        for key, alone in at_free(CASES[name], row).items():
            np.testing.assert_allclose(mapped[key][i], alone, rtol=1e-12, atol=1e-12)


def test_batch_of_a_batch_and_a_batch_of_none():
    assert covariance(2, batch=3).batched(4) == covariance(2, batch=(4, 3))
    assert positive(3).batched(4) == positive((4, 3))
    assert simplex(3, batch=()) == simplex(3) == simplex(3).batched()
    assert simplex(3, batch=0).constrain(np.zeros(0)).shape == (0, 3)


# --- membership and edges


@every
def test_nan_is_outside(constraint, x64):
    found = at_free(constraint, points(constraint, 1)[0])
    assert found["contains"] and not found["contains NaN"] and not found["contains a NaN"]


OUTSIDE = [
    (real(2), [0.0, np.inf]),
    (positive(2), [1.0, 0.0]),
    (positive(2), [1.0, np.inf]),
    (unit(2), [0.5, 1.0 + 1e-15]),
    (unit(2), [-1e-300, 0.5]),
    (interval(-1, 2), -1.1),
    (simplex(2), [0.5, 0.5 + 2e-9]),
    (simplex(2), [1.0 + 1e-10, -1e-10]),
    (ordered(3), [0.0, 2.0, 1.0]),
    (ordered(2), [0.0, np.inf]),
    (covariance(2), [[1.0, 1.0], [1.0, 1.0]]),
    (covariance(2), [[1.0, 2.0], [2.0, 1.0]]),
    (covariance(2), [[1.0, 0.1], [0.2, 1.0]]),
    (correlation(2), [[1.0, 0.1], [0.1, 1.1]]),
    (correlation(2), [[1.0, 1.1], [1.1, 1.0]]),
    (fixed([1.0, 2.0]), [1.0, 2.0 + 1e-10]),
]
INSIDE = [
    (positive(2), [5e-308, 1e308]),
    (unit(2), [0.0, 1.0]),
    (interval(-1, 2), -1.0),
    (simplex(3), [0.0, 1.0, 0.0]),
    (simplex(2), [0.5, 0.5 + 1e-10]),
    (ordered(3), [0.0, 0.0, 1.0]),
    (covariance(2), [[1e-12, 0.0], [0.0, 1e12]]),
    (covariance(2), [[1.0, 0.1], [0.1 + 1e-16, 1.0]]),
    (fixed([1.0, 2.0]), [1.0, 2.0 + 1e-12]),
    (fixed([-np.inf, 0.0]), [-np.inf, 0.0]),
]


@pytest.mark.parametrize(("constraint", "value"), OUTSIDE)
def test_outside(constraint, value, x64):
    assert not constraint.contains(np.array(value))


@pytest.mark.parametrize(("constraint", "value"), INSIDE)
def test_inside(constraint, value, x64):
    assert constraint.contains(np.array(value))


def test_rounding_allowed_in_float32():
    third = np.full(3, 1 / 3, np.float32)
    for shift, inside in ((0.0, True), (2e-7, True), (1e-5, False)):
        assert at_value(simplex(3), third + np.float32(shift))["contains"] == inside
    assert at_value(covariance(2), np.array([[1, 0.1], [0.1000001, 1]], np.float32))["contains"]


# A value on the edge and what `boundary` says of its entries.
EDGES = [
    (real(2), [0.0, 1e300], [False, False]),
    (positive(3), [1e-11, 1e-9, 1.0], [True, False, False]),
    (unit(4), [0.0, 1.0, 1e-9, 0.5], [True, True, False, False]),
    (interval(-100, 100, 3), [-100.0, 100.0 - 1e-9, 100.0 - 1e-7], [True, True, False]),
    (interval(0, 1e9, 2), [0.0, 1e9], [True, True]),
    (simplex(3), [1.0, 0.0, 0.0], [True, True, True]),
    (simplex(3), [0.0, 0.5, 0.5], [True, False, False]),
    (simplex(3), [0.5, 0.5, 0.0], [False, False, True]),
    (simplex(1), [1.0], [False]),
    (simplex(2, batch=2), [[0.0, 1.0], [0.5, 0.5]], [[True, True], [False, False]]),
    (ordered(4), [0.0, 1.0, 1.0, 2.0], [False, True, True, False]),
    (ordered(2), [0.0, 0.0], [True, True]),
    (ordered(3), [1e6, 1e6, 2e6], [True, True, False]),
    (covariance(2), [[1.0, 1.0], [1.0, 1.0]], [[True, True], [True, True]]),
    (covariance(3), np.ones((3, 3)), np.ones((3, 3), bool)),
    (covariance(2), np.zeros((2, 2)), np.ones((2, 2), bool)),
    (covariance(2), [[1e14, 0.0], [0.0, 1.0]], np.zeros((2, 2), bool)),  # units do not matter
    (covariance(2), [[1.0, 0.0], [0.0, 1e-9]], np.zeros((2, 2), bool)),
    (covariance(1, batch=2), [[[1.0]], [[2.0]]], [[[False]], [[False]]]),
    (correlation(2), [[1.0, -1.0], [-1.0, 1.0]], np.ones((2, 2), bool)),
    (correlation(3), np.ones((3, 3)), np.ones((3, 3), bool)),
    (correlation(3), np.eye(3), np.zeros((3, 3), bool)),
    (fixed([0.0, 1.0]), [0.0, 1.0], [False, False]),
]


@pytest.mark.parametrize(("constraint", "value", "expected"), EDGES)
def test_the_edge_is_named_and_moved_inside(constraint, value, expected, x64):
    found = at_value(constraint, np.array(value))
    np.testing.assert_array_equal(found["edge"], expected)
    assert np.all(np.isfinite(found["u"]))
    np.testing.assert_allclose(found["back"], value, rtol=1e-12, atol=1e-14 * max(1.0, np.max(np.abs(value))))


@pytest.mark.parametrize(
    ("constraint", "value"),
    [
        (positive(2), [0.0, 1.0]),
        (unit(2), [0.0, 1.0]),
        (interval(-100, 100, 2), [-100.0, 100.0]),
        (simplex(3), [0.5, 0.5, 0.0]),
        (ordered(3), [1e6, 1e6, 2e6]),
        (covariance(3), np.ones((3, 3))),
        (covariance(2), np.zeros((2, 2))),
        (correlation(3), np.ones((3, 3))),
    ],
)
def test_the_edge_in_float32(constraint, value):
    found = at_value(constraint, np.array(value, np.float32))
    assert found["u"].dtype == np.float32 and np.all(np.isfinite(found["u"]))
    np.testing.assert_allclose(found["back"], value, rtol=1e-5, atol=1e-5)
    zero = not np.any(value)
    assert zero or np.any(found["edge"])


@pytest.mark.parametrize(
    ("constraint", "value"),
    [
        (positive(2), [0.0, 1.0]),
        (unit(2), [0.0, 1.0]),
        (simplex(3), [1.0, 0.0, 0.0]),
        (ordered(3), [0.0, 0.0, 1.0]),
        (covariance(2), [[1.0, 1.0], [1.0, 1.0]]),
        (covariance(2), [[0.0, 0.0], [0.0, 0.0]]),
        (correlation(2), [[1.0, 1.0], [1.0, 1.0]]),
    ],
)
def test_derivatives_on_the_edge_are_finite(constraint, value, x64):
    assert np.all(np.isfinite(jax.jit(jax.jacrev(constraint.unconstrain))(np.array(value))))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moved_inside_is_really_inside(dtype, x64):
    def back(constraint, value):
        return np.asarray(at_value(constraint, np.array(value, dtype))["back"])

    assert np.all(back(positive(3), [0.0, 0.0, 0.0]) > 0) and np.all(np.isfinite(back(positive(3), [np.inf] * 3)))
    ends = back(unit(4), [0.0, 1.0, 0.0, 1.0])
    assert np.all(ends > 0) and np.all(ends < 1)
    for corner in np.eye(3):
        assert np.all(back(simplex(3), corner) > 0)
    assert np.all(np.diff(back(ordered(2), [1e6, 1e6])) > 0)


def test_far_free_coordinates_stay_in_the_closed_set(x64):
    for constraint in (unit(3), interval(-3, 7, 3), interval(0.1, 0.3, 3), simplex(4), ordered(3)):
        for far in ([-900.0, 0.0, 900.0], [40.0, -40.0, 36.7], [60.0, 60.0, -60.0]):
            found = at_free(constraint, np.array(far[: constraint.size]))
            assert found["contains"] or not np.all(np.isfinite(found["value"])), (constraint, far)


@pytest.mark.parametrize("value", [[[1.0, 9.0], [9.0, 1.0]], [[-1.0, 0.5], [0.5, 1.0]]])
def test_unconstrain_of_an_indefinite_matrix_is_finite(value, x64):
    assert np.all(np.isfinite(at_value(covariance(2), np.array(value))["u"]))
    assert np.all(np.isfinite(at_value(correlation(2), np.array(value))["u"]))


# --- declarations


def test_constraints_are_hashable_values_and_leaves():
    assert simplex(3, batch=2) == simplex(3, batch=(2,)) and hash(simplex(3)) == hash(simplex(3))
    assert unit(2) == interval(0, 1, 2) and positive(2) != real(2)
    assert fixed([1, 2]) == fixed(np.array([1.0, 2.0])) != fixed([[1.0, 2.0]])
    assert hash(fixed(-0.0)) == hash(fixed(0.0))
    for constraint in CASES.values():
        assert jax.tree.leaves(constraint) == [constraint]
        assert len({constraint, constraint.batched()}) == 1


def test_fixed_holds_its_value(x64):
    constant = fixed([[0.1, 2.0]])
    assert constant.value.dtype == np.float64 and constant.value.tolist() == [[0.1, 2.0]]
    assert constant.size == 0 and constant.constrain(np.zeros(0)).tolist() == [[0.1, 2.0]]
    assert fixed(3).constrain(np.zeros(0)).dtype == jnp.float64
    assert constant.batched(2).value.tolist() == [[[0.1, 2.0]]] * 2
    assert constant.contains(np.array([[0.1, 2.0]], np.float32))
    with pytest.raises(ValueError, match="read-only"):
        constant.value[0, 0] = 1.0


def test_descriptions():
    assert positive(2).describe() == "positive numbers of shape (2,)"
    assert positive().describe() == "a positive number"
    assert unit(2).describe() == "numbers between 0 and 1 of shape (2,)"
    assert simplex(3).describe() == "probabilities that add up to 1 along the last axis, of shape (3,)"
    assert covariance(2, batch=3).describe() == "symmetric positive definite matrices of shape (3, 2, 2)"
    assert fixed([1.0, 2.0]).describe() == "exactly [1.0, 2.0]"
    assert fixed(1.0).describe() == "exactly 1.0"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: positive(-1), "shape = -1: expected a whole number or a tuple of them, none negative"),
        (lambda: real(2.5), "shape = 2.5: expected"),
        (lambda: real((2, "a")), "shape = (2, 'a'): expected"),
        (lambda: simplex(0), "k = 0: expected a whole number of at least 1"),
        (lambda: ordered(2, batch=-3), "batch = -3: expected"),
        (lambda: covariance(0), "d = 0: expected"),
        (lambda: correlation(1.5), "d = 1.5: expected"),
        (lambda: interval(2, 1), "interval(2, 1): expected two finite ends, the lower one first"),
        (lambda: interval(0, np.inf), "interval(0, inf): expected two finite ends"),
        (lambda: fixed("a"), "fixed('a'): expected a real number or an array of them"),
        (lambda: fixed([1.0, np.nan]), "fixed(value): the value holds NaN"),
    ],
)
def test_bad_declarations(make, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)) as caught:
        make()
    assert "\n" not in str(caught.value)


# --- the space

TREE = {
    "weight": simplex(2),
    "components": {"mean": real((2, 1)), "covariance": covariance(1, batch=2)},
    "extra": [positive(), (fixed([1.0, 2.0]), unit(2))],
}
PARAMS = {
    "weight": [0.25, 0.75],
    "components": {"mean": [[1.0], [-2.0]], "covariance": [[[4.0]], [[1.0]]]},
    "extra": [3.0, ([1.0, 2.0], [0.5, 0.125])],
}


@pytest.fixture
def space() -> ParameterSpace:
    return ParameterSpace.of(TREE)


def test_space_names_and_sizes(space):
    assert space == ParameterSpace.of(TREE) == ParameterSpace.of(space) and hash(space) == hash(ParameterSpace.of(TREE))
    assert space.tree == TREE
    assert space.size == 8 == len(space.free_names)
    assert space.names == (
        "components.covariance",
        "components.mean",
        "extra.0",
        "extra.1.0",
        "extra.1.1",
        "weight",
    )
    assert space.free_names == (
        "components.covariance[0,0,0]",
        "components.covariance[1,0,0]",
        "components.mean[0,0]",
        "components.mean[1,0]",
        "extra.0",
        "extra.1.1[0]",
        "extra.1.1[1]",
        "weight[0]",
    )
    assert space.natural_names[4:9] == (
        "extra.0",
        "extra.1.0[0]",
        "extra.1.0[1]",
        "extra.1.1[0]",
        "extra.1.1[1]",
    )


def test_space_round_trip_and_order(space, x64):
    params = space.check(PARAMS)
    raveled = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])
    assert len(raveled) == len(space.natural_names)
    assert raveled[space.natural_names.index("components.mean[1,0]")] == -2.0
    u = jax.jit(space.unconstrain)(params)
    assert u.shape == (space.size,)
    assert u[space.free_names.index("components.mean[1,0]")] == -2.0
    np.testing.assert_allclose(u[space.free_names.index("extra.0")], np.log(3.0))
    back = jax.jit(space.constrain)(u)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-14), back, params)
    assert jax.jit(space.contains)(back)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(jax.jit(space.boundary)(back)))
    outside = {**params, "weight": np.array([0.5, 0.6])}
    assert not jax.jit(space.contains)(outside)


def test_space_log_det_is_that_of_all_free_entries(space, x64):
    def free_entries(u):
        natural = jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(space.constrain(u))])
        return natural[np.array([space.natural_names.index(name) for name in space.free_names])]

    u = np.linspace(-1, 1, space.size)
    expected = np.linalg.slogdet(jax.jit(jax.jacfwd(free_entries))(u))[1]
    np.testing.assert_allclose(jax.jit(space.log_det_jacobian)(u), expected, rtol=1e-12)


def test_check_gives_new_float64_numpy_arrays(space):
    given = {**PARAMS, "weight": np.array([0.25, 0.75], np.float32)}
    checked = space.check(given)
    assert all(type(leaf) is np.ndarray and leaf.dtype == np.float64 for leaf in jax.tree.leaves(checked))
    again = space.check(checked)
    assert again["weight"] is not checked["weight"] and not np.shares_memory(again["weight"], checked["weight"])
    assert not jax.config.read("jax_enable_x64")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"rate": [-1.0, 2.0]}, "params['rate'] = [-1.0, 2.0]: expected positive numbers of shape (2,)"),
        ({"rate": [np.nan, 2.0]}, "params['rate'] = [nan, 2.0]: expected positive numbers of shape (2,)"),
        ({"rate": [1.0, 2.0, 3.0]}, "params['rate'] has shape (3,): expected positive numbers of shape (2,)"),
        ({"rate": "fast"}, "params['rate'] = 'fast': expected positive numbers of shape (2,)"),
        ({"rate": ["1", "2"]}, "params['rate'] = ['1', '2']: expected positive numbers of shape (2,)"),
        ({"rate": [[1.0], 2.0]}, "params['rate'] = [[1.0], 2.0]: expected positive numbers of shape (2,)"),
        ({"rate": [1j, 2j]}, "params['rate'] = [1j, 2j]: expected positive numbers of shape (2,)"),
        ({"rate": None}, "params['rate'] = None: expected positive numbers of shape (2,)"),
        ({"pair": 3.0}, "params['pair'] = 3.0: expected a list of length 2"),
        ({"pair": [1.0]}, "params['pair'] = [1.0]: expected a list of length 2"),
        ({"pair": [1.0, {"sd": -2.0}]}, "params['pair'][1]['sd'] = -2.0: expected a positive number"),
        ({"pair": [1.0, 2.0]}, "params['pair'][1] = 2.0: expected a dict with the entries 'sd'"),
        ({"rates": 2.0}, "params: unknown entry 'rates'; expected the entries 'pair', 'rate'"),
        (3.0, "params = 3.0: expected a dict with the entries 'pair', 'rate'"),
        ({}, "params: missing entry 'pair', 'rate'; expected the entries 'pair', 'rate'"),
    ],
)
def test_check_messages(params, message):
    space = ParameterSpace.of({"rate": positive(2), "pair": [real(), {"sd": positive()}]})
    good = {"rate": [1.0, 2.0], "pair": [0.0, {"sd": 1.0}]}
    given = {**good, **params} if params and isinstance(params, dict) else params
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        space.check(given)
    space.check(good)


def test_long_values_are_cut_in_messages():
    with pytest.raises(ValueError, match=r"params\['x'\] = \[.*\.\.\.: expected") as caught:
        ParameterSpace.of({"x": positive(1000)}).check({"x": -np.ones(1000)})
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("leaf", [None, 3.0, positive, np.zeros(2)])
def test_a_leaf_that_is_no_constraint(leaf):
    with pytest.raises(TypeError, match=r"^params\['a'\]\[0\] = .*: expected a constraint such as") as caught:
        ParameterSpace.of({"a": [leaf], "b": real()})
    assert "\n" not in str(caught.value)


def test_wrong_length_of_the_free_vector(space):
    with pytest.raises(ValueError, match=r"u of shape \(3,\): expected the 8 free parameters"):
        space.constrain(np.zeros(3))


@pytest.mark.parametrize("tree", [{"a": fixed([1.0, 2.0]), "b": fixed(3)}, {}, fixed(2.0)])
def test_a_space_without_free_parameters(tree, x64):
    space = ParameterSpace.of(tree)
    params = space.constrain(np.zeros(0))
    assert space.size == 0 and space.free_names == ()
    assert space.unconstrain(params).shape == (0,) and space.contains(params)
    assert space.log_det_jacobian(np.zeros(0)) == 0.0
    assert jax.tree.structure(space.check(params)) == jax.tree.structure(params)
    for kept, leaf in zip(jax.tree.leaves(space.with_fixed(params)), jax.tree.leaves(params), strict=True):
        np.testing.assert_array_equal(kept, leaf)


def test_a_space_of_one_constraint(x64):
    space = ParameterSpace.of(positive(2))
    assert space.names == ("params",) and space.free_names == ("params[0]", "params[1]")
    np.testing.assert_allclose(space.constrain(np.zeros(2)), [1.0, 1.0])
    with pytest.raises(ValueError, match=r"^params = \[-1.0, 1.0\]: expected positive numbers"):
        space.check(np.array([-1.0, 1.0]))


def test_with_fixed_puts_values_back():
    space = ParameterSpace.of({"a": fixed([0.1, 0.2]), "b": real()})
    drifted = {"a": np.array([0.5, 0.6]), "b": np.array(1.0)}
    exact = space.with_fixed(drifted)
    assert exact["a"].dtype == np.float64 and exact["a"].tolist() == [0.1, 0.2] and exact["b"] == 1.0
    traced = jax.jit(space.with_fixed)({"a": jnp.zeros(2, jnp.float32), "b": jnp.zeros((), jnp.float32)})
    assert traced["a"].dtype == jnp.float32
    np.testing.assert_allclose(traced["a"], [0.1, 0.2], rtol=1e-7)


@every
def test_strict_promotion(constraint, x64):
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        for dtype in (jnp.float32, jnp.float64):
            found = jax.eval_shape(partial(at_free.__wrapped__, constraint), jnp.zeros(constraint.size, dtype))
            assert {found[name].dtype for name in ("value", "back", "log_det")} == {jnp.dtype(dtype)}
