"""Params of single states that are held; several regressions in one state; starts that alternate; float32."""

from typing import Any

import jax
import numpy as np
import pytest
from scipy import stats

import latentem as lem

F = lem.families
RNG = np.random.default_rng(11)
RUNS = np.where(np.arange(120) // 10 % 2 == 0, RNG.poisson(2.0, 120), RNG.poisson(9.0, 120)).astype(float)
PLACES = np.where(np.arange(120) // 10 % 2 == 0, RNG.normal(0, 1.0, 120), RNG.normal(5, 2.0, 120))


def test_one_rate_is_held_and_the_other_is_that_of_its_steps() -> None:
    fit = lem.fit(lem.HMM(2, F.Poisson(), fixed={"rate": [3.0, np.nan]}), RUNS, key=0, starts=3)
    assert fit.params["emission"]["rate"][0] == 3.0 and fit.n_parameters == 1 + 2 + 1
    weight = fit.smooth()[:, 1]
    assert fit.params["emission"]["rate"][1] == pytest.approx(weight @ RUNS / weight.sum(), rel=1e-6)
    assert fit.log_likelihood < lem.fit(lem.HMM(2, F.Poisson()), RUNS, key=0, starts=3).log_likelihood
    errors = fit.standard_errors()["emission"]["rate"]
    assert np.isnan(errors[0]) and errors[1] > 0


def test_a_mean_held_in_one_component_leaves_its_variance_free() -> None:
    held = {"mean": [[0.5], [np.nan]]}
    mixture = lem.Mixture(F.Gaussian("diagonal"), 2, fixed=held)
    fit = lem.fit(mixture, PLACES, key=0, starts=3)
    newton = lem.fit(mixture, PLACES, initial=fit.params, m_step="newton")
    assert fit.params["components"]["mean"][0, 0] == 0.5
    assert newton.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-8)
    r, c = fit.responsibilities(), fit.params["components"]
    assert c["variance"][0, 0] == pytest.approx(r[:, 0] @ (PLACES - 0.5) ** 2 / r[:, 0].sum(), rel=1e-6)
    assert c["mean"][1, 0] == pytest.approx(r[:, 1] @ PLACES / r[:, 1].sum(), rel=1e-6)


@pytest.mark.parametrize(
    ("fixed", "told"),
    [
        ({"mean": [[0.0, 1.0], [np.nan, np.nan]]}, "has shape"),
        ({"variance": [[-1.0], [np.nan]]}, "expected"),
    ],
)
def test_what_cannot_be_held_is_said_at_once(fixed: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told) as error:
        lem.fit(lem.Mixture(F.Gaussian("diagonal"), 2, fixed=fixed), PLACES, key=0)
    assert "\n" not in str(error.value)


def test_a_semi_markov_model_holds_params_too() -> None:
    fixed = {"rate": [2.0, np.nan], "duration.rate": [np.nan, 8.0]}
    fit = lem.fit(lem.HSMM(2, F.Poisson(), lem.durations.Poisson(15), fixed=fixed), RUNS, key=0)
    assert fit.params["emission"]["rate"][0] == 2.0 and fit.params["duration"]["rate"][1] == 8.0
    assert fit.params["emission"]["rate"][1] > 3 and fit.n_parameters == 1 + 0 + 1 + 1


def test_regressions_and_other_columns_in_one_state() -> None:
    z = RNG.normal(size=200)
    data = {
        "y": 1 + 2 * z + RNG.normal(size=200),
        "n": RNG.poisson(np.exp(0.3 + 0.5 * z)),
        "z": z,
        "k": RNG.poisson(4, 200),
    }
    family = F.Independent(
        {"y": F.GaussianRegression("y", ("z",)), "n": F.PoissonRegression("n", ("z",)), "k": F.Poisson()}
    )
    fit = lem.fit(lem.HMM(1, family), data, key=0)
    emission = jax.tree.map(lambda a: a[0], fit.params["emission"])
    design = np.column_stack([np.ones(200), z])
    line, rest, *_ = np.linalg.lstsq(design, data["y"], rcond=None)
    np.testing.assert_allclose(emission["y"]["coefficients"], line, rtol=1e-8)
    assert emission["k"]["rate"] == pytest.approx(data["k"].mean(), rel=1e-8)
    rate = np.exp(design @ emission["n"]["coefficients"])
    np.testing.assert_allclose(design.T @ (data["n"] - rate), 0.0, atol=1e-4)
    total = stats.norm.logpdf(data["y"], design @ line, np.sqrt(rest[0] / 200)).sum()
    total += stats.poisson.logpmf(data["n"], rate).sum() + stats.poisson.logpmf(data["k"], data["k"].mean()).sum()
    assert fit.log_likelihood == pytest.approx(total, abs=1e-6)


def test_states_that_alternate_are_found() -> None:
    x = np.where(np.arange(120) % 2 == 0, RNG.poisson(3.0, 120), RNG.poisson(6.0, 120)).astype(float)
    truth = {
        "initial": [1.0, 0.0],
        "transition": [[0.02, 0.98], [0.98, 0.02]],
        "emission": {"rate": [3.0, 6.0]},
    }
    best = lem.fit(lem.HMM(2, F.Poisson()), x, initial=truth).log_likelihood
    found = [lem.fit(lem.HMM(2, F.Poisson()), x, key=key, starts=3).log_likelihood for key in range(5)]
    assert sum(value > best - 1e-6 for value in found) >= 4


def test_where_one_sequence_begins_is_no_boundary() -> None:
    fit = lem.fit(lem.HMM(2, F.Poisson()), RUNS, key=0, starts=3)
    assert fit.params["initial"].max() > 1 - 1e-12
    assert fit.status is lem.Status.converged


def test_probabilities_and_params_of_float32_are_taken() -> None:
    single = lem.fit(lem.HMM(2, F.Poisson()), RUNS, key=0, starts=3, dtype="float32")
    again = lem.fit(lem.HMM(2, F.Poisson()), RUNS, initial=single.params)
    few = jax.tree.map(np.float32, again.params)
    held = lem.HMM(2, F.Poisson(), initial=few["initial"], fixed={"transition": few["transition"]})
    assert lem.fit(held, RUNS, key=0, starts=3).log_likelihood == pytest.approx(again.log_likelihood, abs=1e-3)


def test_an_information_counts_steps() -> None:
    short = [RUNS[:8], RUNS[8:20]]
    fit = lem.fit(lem.HMM(2, F.Poisson()), short, key=0, starts=3)
    if fit.status.ok:
        assert not any("2 observations" in note for note in fit.error_notes())
