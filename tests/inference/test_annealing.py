"""Deterministic annealing: flattened responsibilities in every form, and more starts that end in the best optimum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inference.zoo import FAITHFUL, HASSELBLAD, LOGISTIC, TOBIT, fitted

import latentem as lem
from latentem.ascent.annealing import anneal, tempered
from latentem.ascent.mstep import resolve
from latentem.forms import RowForm, SeparableForm

WAITING = FAITHFUL[:, 1]


def test_annealing_leads_more_starts_to_the_best_optimum() -> None:
    model = lem.GaussianMixture(3)
    plain = lem.fit(model, WAITING, key=jax.random.key(0), starts=60)
    annealed = lem.fit(model, WAITING, key=jax.random.key(0), starts=60, annealing=lem.Annealing())
    assert annealed.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-8)
    assert plain.optima[0].starts < 40 < annealed.optima[0].starts


def test_both_forms_flatten_the_same_way(x64: None) -> None:
    fit = fitted("full gaussians")
    params = jax.tree.map(jnp.asarray, fit.params)
    prepared = fit.problem.prepared
    assert isinstance(fit.problem.form, SeparableForm)
    flat, at = tempered(fit.problem.form)
    data = at(prepared, jnp.asarray(0.3))
    features = flat.separable.features(data.rows, data.context)
    _, likelihood, total = flat.likelihood(params, data.context, data.rows, features)
    by_formula = (likelihood / total).T
    joint = jax.vmap(lambda x: jax.vmap(lambda z: fit.model.complete_log_likelihood(params, x, z))(jnp.arange(2)))(
        prepared.rows
    )
    exact = jax.nn.softmax(0.3 * joint, axis=1)
    np.testing.assert_allclose(by_formula, exact, rtol=1e-9)
    rows, at = tempered(RowForm(fit.model))
    data = at(prepared, jnp.asarray(0.3))
    by_row = jax.vmap(lambda x: rows.model.posterior(params, x).probabilities)(data.rows)
    np.testing.assert_allclose(by_row, exact, rtol=1e-9)


@pytest.mark.parametrize("case", [HASSELBLAD, LOGISTIC], ids=lambda c: c.name)
def test_custom_models_anneal_and_end_where_em_does(case) -> None:
    fit = case.fit(annealing=lem.Annealing())
    assert fit.status is lem.Status.converged
    assert fit.log_likelihood == pytest.approx(fitted(case.name).log_likelihood, abs=1e-7)


def test_temperature_one_is_em(x64: None) -> None:
    form, prepared = fitted("hasselblad").problem.form, fitted("hasselblad").problem.prepared
    start = {"weight": jnp.array([0.5]), "rate": jnp.array([[1.0, 3.0]])}
    em = lem.em(HASSELBLAD.model)
    state = em.init(HASSELBLAD.initial, HASSELBLAD.x.astype(float), HASSELBLAD.weights)
    for _ in range(2):
        state, _ = em.step(state)
    # Two iterations at almost one.
    almost = lem.Annealing(start=1 - 1e-9, growth=2.0, iterations=2)
    found = anneal(form, resolve("auto", form), almost, start, prepared)
    np.testing.assert_allclose(found["rate"][0], state.params["rate"], rtol=1e-7)


def test_what_cannot_be_annealed() -> None:
    with pytest.raises(ValueError, match="cannot be flattened"):
        TOBIT.fit(annealing=lem.Annealing())
    with pytest.raises(ValueError, match="cannot be flattened"):
        lem.fit(lem.KMeans(2), FAITHFUL, key=jax.random.key(0), annealing=lem.Annealing())
    for bad in ({"start": 0.0}, {"start": 1.0}, {"growth": 1.0}, {"iterations": 0}):
        with pytest.raises(ValueError, match="expected 0 < start < 1"):
            lem.Annealing(**bad)
