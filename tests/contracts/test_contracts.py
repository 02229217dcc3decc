"""What every model keeps to, whatever it is: the contracts of the library, over a registry of models."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts.programs import programs
from contracts.registry import ROWS, N, Row, counts, poisson, poisson_maximize, poisson_statistics

import latentem as lem
from latentem.data import Data
from latentem.forms import Prepared, SeparableForm
from latentem.testing import build_case
from latentem.testing.case import Case
from latentem.testing.objective import plain_steps

every = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
with_impossible = pytest.mark.parametrize(
    "row", [row for row in ROWS if row.impossible is not None], ids=lambda row: row.name
)
KEY = jax.random.key(7)
#: Models without weights, with fixed ones, or with a prior that excludes 0.
WITHOUT_FREE_WEIGHTS = {
    "latent on a grid",
    "latent by its Hessian",
    "posterior supplied",
    "k-means",
    "mixture, weights fixed",
    "gaussian mixture, prior",
    "chain by hand",
    "hidden Markov model",
    "local level",
    "state space",
    "2pl",
    "bifactor",
}
STEPS = 10
#: Rows whose programs take longest to compile: what compiles them once more is left to the night.
SLOW_TO_COMPILE = {
    "mixture of student t",
    "mixture of negative binomial",
    "mixture of mixtures",
    "mixture of independent",
    "gaussian mixture, prior",
    "declared, prior",
    "hidden Markov model",
    "2pl",
    "bifactor",
}


def data(row: Row, seed: int = 0) -> Any:
    return row.data(np.random.default_rng(seed), N)


@cache
def case(row: Row) -> Case:
    with jax.enable_x64(True):
        return build_case(row.model(), data(row), KEY)[0]


def steps(row: Row, prepared: Prepared, starts: Any = None) -> np.ndarray:
    """The objective of three starts (3, 11): before each of ten EM steps, and after the last."""
    with jax.enable_x64(True):
        return plain_steps(case(row), prepared, None if starts is None else jax.tree.map(jnp.asarray, starts))[0]


def prepared(row: Row, index: np.ndarray, weights: Any) -> Prepared:
    """The observations at these places, with these weights."""
    with jax.enable_x64(True):
        return case(row).of_new(case(row).data.take(index, weights))


def start_of(row: Row) -> Any:
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, case(row).each_start()[0])


#: `lem.check` compiles a dozen programs for each row: one row of every form, the others in the nightly run.
CHECKED_OFTEN = {
    "mixture of gaussian full",
    "mixture of poisson",
    "chain by hand",
    "latent on a grid",
    "declared, derived M-step",
    "declared, closed M-step",
    "latent by its Hessian",
    "posterior supplied",
    "k-means",
}


@cache
def fitted(row: Row) -> lem.Fit:
    """Ten plain EM steps from three starts: the program that the steps above have compiled."""
    return fit(row, start_of(row), starts=3)


def fit(row: Row, start: Any, *, model: Any = None, **options: Any) -> lem.Fit:
    chosen = {
        "data": data(row),
        "initial": start,
        "key": KEY,
        "method": lem.Plain(),
        "max_iterations": STEPS,
        "tolerance": 0.0,
        "polish": False,
        "compress": False,
    }
    return lem.fit(row.model() if model is None else model, **{**chosen, **options})


@pytest.mark.parametrize(
    "row",
    [row if row.name in CHECKED_OFTEN else pytest.param(row, marks=pytest.mark.slow) for row in ROWS],
    ids=lambda row: row.name,
)
def test_its_parts_belong_together(row: Row) -> None:
    lem.check(row.model(), data(row), KEY).raise_if_failed()


@every
def test_the_objective_never_falls(row: Row) -> None:
    objectives = steps(row, case(row).prepared)
    assert np.isfinite(objectives).all()
    assert np.all(np.diff(objectives, axis=1) >= -1e-10 * np.maximum(N, np.abs(objectives[:, 1:])))


@every
def test_the_order_of_the_rows_does_not_matter(row: Row) -> None:
    weights = 0.5 + np.arange(N) % 4
    order = np.random.default_rng(1).permutation(N)
    one = steps(row, prepared(row, np.arange(N), weights))
    other = steps(row, prepared(row, order, weights[order]))
    np.testing.assert_allclose(other[:, :3], one[:, :3], rtol=1e-10, atol=1e-10)


@every
def test_a_row_of_weight_two_is_two_rows(row: Row) -> None:
    """Half of the rows, twice, against half of the rows with weight 2 and the others with weight 0."""
    half = np.arange(N) % 2 == 0
    weighted = steps(row, prepared(row, np.arange(N), 2.0 * half))
    repeated = steps(row, prepared(row, np.repeat(np.flatnonzero(half), 2), np.ones(N)))
    np.testing.assert_allclose(weighted[:, :3], repeated[:, :3], rtol=1e-10, atol=1e-10)


@with_impossible
def test_an_impossible_row_has_probability_zero_or_is_refused(row: Row) -> None:
    rows = jax.tree.map(np.asarray, case(row).prepared.rows)
    broken = jax.tree.map(lambda a, value: np.concatenate([a[:-1], np.asarray([value], a.dtype)]), rows, row.impossible)
    if isinstance(case(row).form, SeparableForm):
        # features . natural is not a density out there: the door must not let such a row in.
        with pytest.raises(ValueError) as refused:
            fit(row, fitted(row).params, data=broken)
        assert "\n" not in str(refused.value)
        return
    hidden = np.r_[np.ones(N - 1), 0.0]
    with jax.enable_x64(True):
        seen, unseen = (case(row).of_new(Data(broken, weights)) for weights in (np.ones(N), hidden))
    assert np.all(np.isneginf(steps(row, seen)[:, 0]))
    without, beside = steps(row, prepared(row, np.arange(N), hidden)), steps(row, unseen)
    assert np.isfinite(without).all()
    np.testing.assert_allclose(beside, without, rtol=1e-10)


@pytest.mark.parametrize("row", [row for row in ROWS if row.name not in WITHOUT_FREE_WEIGHTS], ids=lambda row: row.name)
def test_a_latent_value_of_probability_zero_stays_so(row: Row) -> None:
    """log 0 = -inf is a legal log p(x, z): the other values go on, and the objective stays finite."""
    starts = jax.tree.map(np.asarray, case(row).starts)
    name = "weight" if "weight" in starts else "weights"
    objectives = steps(row, case(row).prepared, {**starts, name: np.broadcast_to([1.0, 0.0], starts[name].shape)})
    assert np.isfinite(objectives).all()
    assert np.all(np.diff(objectives, axis=1) >= -1e-10 * np.maximum(N, np.abs(objectives[:, 1:])))


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, marks=pytest.mark.slow) if row.name in SLOW_TO_COMPILE else row for row in ROWS],
    ids=lambda row: row.name,
)
def test_float32_stays_close_to_float64(row: Row) -> None:
    narrow = fit(row, start_of(row), dtype="float32")
    assert narrow.dtype == "float32" and np.isfinite(narrow.trace).all()
    # The same start, as far as ten steps bring it; the last objective seen is that before the last step.
    np.testing.assert_allclose(narrow.starts[0], fitted(row).starts[0], rtol=0, atol=5e-4 * N)


@every
def test_an_equal_model_on_data_of_the_same_shape_compiles_nothing(row: Row) -> None:
    start, equal, others = fitted(row).params, row.model(), data(row, 1)
    fit(row, start, starts=3)  # a fit of another row in another precision may have forgotten the programs of this one
    with programs() as seen:
        again = fit(row, start, model=equal, data=others, starts=3)
    assert np.isfinite(again.log_likelihood)
    assert seen == []


@every
def test_what_is_saved_is_loaded(row: Row, tmp_path: Any) -> None:
    fit = fitted(row)
    loaded = lem.load(fit.save(tmp_path / "fit"), model=row.model(), data=data(row))
    jax.tree.map(np.testing.assert_array_equal, loaded.params, fit.params)
    np.testing.assert_array_equal(loaded.trace, fit.trace)
    for name in ("log_likelihood", "log_prior", "aic", "bic", "status", "iterations", "evaluations", "name"):
        here, there = getattr(fit, name), getattr(loaded, name)
        assert here == there or (np.isnan(here) and np.isnan(there))  # k-means has no AIC
    assert loaded.model == fit.model and hash(loaded.model) == hash(fit.model)


@every
def test_a_separable_form_and_the_declaration_score_rows_alike(row: Row) -> None:
    if not isinstance(case(row).form, SeparableForm):
        assert case(row).model.separable is None
        return
    found = fitted(row)
    # log_prob evaluates the declaration; the fit added the separable form over rows.
    assert float(np.sum(found.log_prob())) == pytest.approx(found.log_likelihood, rel=1e-9)


# --- fixed parameters


def declared() -> lem.Model:
    space = {"weight": lem.fixed([0.25, 0.75]), "rate": lem.positive(2)}
    form = lem.ClosedForm(poisson_statistics, poisson_maximize)
    return lem.Model(poisson, lem.Finite(2), space, m_step=form)


def component() -> lem.Mixture:
    return lem.Mixture(lem.families.Poisson(), 2, fixed={"rate": [1.0, 7.0]})


def shares() -> lem.Mixture:
    return lem.Mixture(lem.families.Poisson(), 2, fixed={"weights": [0.25, 0.75]})


@pytest.mark.parametrize("m_step", ["closed", "newton", "gradient"])
@pytest.mark.parametrize(
    ("model", "name", "held"),
    [(declared, "weight", [0.25, 0.75]), (component, "rate", [1.0, 7.0]), (shares, "weights", [0.25, 0.75])],
)
def test_fixed_parameters_stay_put_and_the_others_move(model: Any, name: str, held: Any, m_step: str) -> None:
    found = lem.fit(
        model(),
        counts(np.random.default_rng(0), N),
        key=KEY,
        m_step=m_step,
        method=lem.Plain(),
        max_iterations=3,
        polish=False,
    )
    leaves = {path[-1].key: leaf for path, leaf in jax.tree_util.tree_leaves_with_path(found.params)}
    np.testing.assert_array_equal(leaves.pop(name), held)
    assert found.n_parameters == found.model.space.size == (1 if name == "rate" else 2)
    # From the same data the fixed model reaches another point than where its rates or weights began.
    assert np.ptp(found.trace) > 1e-6 and leaves
