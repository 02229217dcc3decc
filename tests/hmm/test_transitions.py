"""Kinds of transition, each by itself: what it is constrained to, its matrix, its M-step, where it begins."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import latentem as lem
from latentem.models.hmm.transitions import Free, Logit, Restricted, Stationary, transition

COUNTS = np.array([[6.0, 2.0], [1.0, 3.0]])
MATRIX = np.array([[0.7, 0.3], [0.4, 0.6]])
NEW = np.array([[0.75, 0.25], [0.25, 0.75]])


def kind(zeros: Any = None, fixed: Any = None, groups: Any = (), covariates: int = 0, stationary: bool = False) -> Any:
    return transition(2, zeros, {} if fixed is None else {"transition": fixed}, groups, covariates, stationary)


def test_which_kind_a_declaration_asks_for() -> None:
    assert isinstance(kind(), Free) and not isinstance(kind(), Restricted)
    assert isinstance(kind(fixed=MATRIX), Restricted) and isinstance(kind(groups=[[(0, 0), (1, 1)]]), Restricted)
    assert kind(stationary=True) == Stationary(kind()) and kind(covariates=2) == Logit(2, 2)
    with pytest.raises(ValueError, match="transitions that vary have no such distribution"):
        kind(covariates=1, stationary=True)


def test_free_rows_are_shares_of_the_moves(x64: None) -> None:
    np.testing.assert_allclose(kind().maximize(COUNTS, MATRIX, None, None), NEW, rtol=1e-15)
    sticky = lem.priors.Dirichlet(np.array([[3.0, 1.0], [1.0, 3.0]]))
    np.testing.assert_allclose(kind().maximize(COUNTS, MATRIX, None, sticky), [[0.8, 0.2], [1 / 6, 5 / 6]], rtol=1e-15)
    zeros = kind(zeros=lem.stochastic(np.array([[True, False], [True, True]])))
    assert zeros.constraint().size == 1 and not zeros.possible[0, 1]
    np.testing.assert_array_equal(zeros.log_matrix(np.array([[1.0, 0.0], [0.5, 0.5]]), None)[0], [0.0, -np.inf])


def test_what_is_fixed_stays_and_what_is_tied_is_alike(x64: None) -> None:
    whole = kind(fixed=MATRIX)
    assert whole.constraint().size == 0 and whole.maximize(COUNTS, MATRIX, None, None) is MATRIX
    tied = kind(groups=[[(0, 0), (1, 1)]])
    # 9 of the 12 moves stay
    np.testing.assert_allclose(tied.maximize(COUNTS, MATRIX, None, None), NEW, rtol=1e-14)
    begun = tied.start(jnp.asarray(MATRIX))
    assert begun[0, 0] == begun[1, 1] and np.allclose(np.sum(begun, axis=1), 1.0)


def test_a_stationary_chain_begins_in_equilibrium_and_has_no_closed_form(x64: None) -> None:
    found = kind(stationary=True)
    np.testing.assert_allclose(np.exp(found.first({"transition": jnp.asarray(MATRIX)})), [4 / 7, 3 / 7], rtol=1e-14)
    assert not found.takes(None) and kind().takes(None) and not kind().takes(lem.priors.Normal(0.0, 1.0))


def test_a_logit_without_slopes_is_its_matrix_and_its_step_climbs_to_the_shares(x64: None) -> None:
    found = kind(covariates=1)
    b = found.start(jnp.asarray(MATRIX))
    assert b.shape == (2, 2, 2) and not np.any(b[..., 1]) and found.constraint().size == 4
    z = jnp.array([[0.0], [1.5]])
    np.testing.assert_allclose(np.exp(found.log_matrix(b, z)), [MATRIX, MATRIX], rtol=1e-14)
    # All moves at one value of the covariate: the odds there are those of the counts.
    for _ in range(4):
        b = found.maximize(jnp.asarray(COUNTS)[None], b, jnp.zeros((1, 1)), None)
    np.testing.assert_allclose(np.exp(found.log_matrix(b, jnp.zeros((1, 1))))[0], NEW, rtol=1e-8)
    held = kind(fixed=np.zeros((2, 2, 2)), covariates=1)
    assert held.constraint().size == 0 and held.maximize(COUNTS, b, z, None) is b
