"""Figures of other programs and of textbooks."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from mixed import dense, sleep

import latentem as lem

#: lme4 1.1-31, lmer with BOBYQA to rhoend 1e-12: log-likelihood, fixed effects, their standard errors, (co)variances
#: with the residual last. BOBYQA leaves the components at about 1e-6 of themselves; Newton does not.
LME4: dict[tuple[str, bool], tuple[float, list[float], list[float], list[float]]] = {
    ("grams ~ 1 + (1 | batch)", False): (
        -163.663529940568,
        [1527.5],
        [17.6945537377777],
        [1388.33339569397, 2451.24998090325],
    ),
    ("grams ~ 1 + (1 | batch)", True): (
        -159.827138421129,
        [1527.5],
        [19.3834119436727],
        [1764.04994926988, 2451.25001099403],
    ),
    ("diameter ~ 1 + (1 | plate) + (1 | sample)", False): (
        -166.09417433425,
        [22.9722222222128],
        [0.744595860597782],
        [0.714992330415461, 3.13518883204639, 0.302425417624317],
    ),
    ("diameter ~ 1 + (1 | plate) + (1 | sample)", True): (
        -165.430294495543,
        [22.9722222222251],
        [0.808573360598727],
        [0.71690817676607, 3.73091758834559, 0.302415462713223],
    ),
}
TABLES = {"grams": "dyestuff", "diameter": "penicillin"}


@cache
def fitted(formula: str, reml: bool = True) -> Any:
    table = TABLES.get(formula.split()[0])
    assert table is not None
    return lem.fit(lem.Mixed(formula, reml=reml), getattr(lem.datasets, table)())


@pytest.mark.parametrize(("formula", "reml"), LME4)
def test_lme4(formula: str, reml: bool) -> None:
    fit = fitted(formula, reml)
    value, fixed, errors, components = LME4[formula, reml]
    assert fit.status is lem.Status.converged
    assert fit.log_likelihood == pytest.approx(value, abs=1e-8)
    table = fit.fixed_effects(df=None)
    np.testing.assert_allclose(table["estimate"], fixed, rtol=1e-7)
    np.testing.assert_allclose(table["se"], errors, rtol=2e-7)  # theirs carry the last digits of their components
    np.testing.assert_allclose(fit.variance_components()["variance"], components, rtol=2e-6)


def test_balanced_one_way_layout_is_the_analysis_of_variance() -> None:
    # Davies and Goldsmith (1972), Table 6.4: mean squares 11271.5 between batches, 2451.25 within.
    components = fitted("grams ~ 1 + (1 | batch)").variance_components()["variance"]
    np.testing.assert_allclose(components, [(11271.5 - 2451.25) / 5, 2451.25], rtol=1e-7)


def test_profile_ends_lie_where_the_likelihood_has_fallen_by_half_a_quantile() -> None:
    table = sleep.simulated().columns
    fit = lem.fit(lem.Mixed("reaction ~ days + (days | subject)", reml=False), table)
    found = fit.profile("days")
    for end in (found.lower, found.upper):
        moved = {**table, "reaction": table["reaction"] - end * table["days"]}
        held = lem.fit(lem.Mixed("reaction ~ 1 + (days | subject)", reml=False), moved)
        assert 2 * (fit.log_likelihood - held.log_likelihood) == pytest.approx(3.841458820694124, abs=1e-4)


def test_satterthwaite_degrees_of_freedom_of_a_balanced_design_are_those_of_its_subjects() -> None:
    fit = lem.fit(lem.Mixed("reaction ~ days + (days | subject)"), sleep.simulated().columns)
    np.testing.assert_allclose(fit.fixed_effects()["df"], 17, rtol=1e-4)


def test_a_variance_of_exactly_zero() -> None:
    # Box and Tiao (1973): the restricted likelihood is that of ordinary regression.
    data = lem.datasets.dyestuff_simulated()
    fit = lem.fit(lem.Mixed("amount ~ 1 + (1 | batch)"), data)
    assert fit.log_likelihood == pytest.approx(-80.91413891, abs=1e-8)  # lme4
    assert fit.params["effects"]["batch"] == 0.0
    assert fit.status is lem.Status.boundary and fit.status.ok
    assert "the variance of Intercept is 0" in fit.notes[0]
    assert fit.params["residual"] ** 2 == pytest.approx(np.var(data.amount, ddof=1), rel=1e-9)
    assert np.isnan(fit.standard_errors()["effects"]["batch"]).all() and np.isfinite(fit.standard_errors()["residual"])


@pytest.mark.parametrize("reml", [True, False])
def test_nested_pastes(reml: bool) -> None:
    data = lem.datasets.pastes()
    fit = lem.fit(lem.Mixed("strength ~ 1 + (1 | batch/cask)", reml=reml), data)
    batch, cask = np.unique(data.batch, return_inverse=True)[1], np.unique(data.cask, return_inverse=True)[1]
    designs = [dense.one_hot(batch), dense.one_hot(3 * batch + cask)]
    independent = dense.maximum(data.strength, np.ones((60, 1)), designs, reml)
    assert fit.log_likelihood == pytest.approx(independent, abs=1e-8)
    assert fit.log_likelihood == pytest.approx(-123.49537293 if reml else -123.99723293, abs=1e-7)


def test_nested_cake() -> None:
    data = lem.datasets.cake()
    fit = lem.fit(lem.Mixed("angle ~ recipe * C(temperature) + (1 | recipe:replicate)"), data)
    recipe = np.unique(data.recipe, return_inverse=True)[1]
    temperature = (data.temperature - 175) // 10
    indicators = [np.ones(270)]
    indicators += [(recipe == k) * 1.0 for k in (1, 2)] + [(temperature == t) * 1.0 for t in range(1, 6)]
    indicators += [(recipe == k) * (temperature == t) * 1.0 for k in (1, 2) for t in range(1, 6)]
    independent = dense.maximum(
        data.angle.astype(float), np.column_stack(indicators), [dense.one_hot(15 * recipe + data.replicate - 1)], True
    )
    assert fit.log_likelihood == pytest.approx(independent, abs=1e-8)


def calves() -> tuple[Any, Any]:
    data = lem.datasets.mrode_calves()
    return data, lem.pedigree(data.calf, data.sire, data.dam)


#: Mrode, example 3.1: sexes male and female, then the eight animals, at a variance ratio of 2.
MRODE_31 = [4.35850232985496, 3.40443000590667]
MRODE_31_ANIMALS = [
    0.0984445757038789, -0.0187700991008728, -0.0410842029270853, -0.00866312266194104,
    -0.185732099494651, 0.176872087681302, -0.249458554833628, 0.182614687930695,
]  # fmt: skip


def test_mrode_31_breeding_values() -> None:
    data, pedigree = calves()
    model = lem.Mixed("gain ~ 0 + sex + (1 | calf)", {"calf": pedigree})
    solved = model.solved_at(data, None, {"effects": {"calf": np.sqrt(20.0)}, "residual": np.sqrt(40.0)})
    np.testing.assert_allclose(solved.beta[::-1], MRODE_31, atol=1e-12)
    by_name = dict(zip(pedigree.names.tolist(), solved.random[0][0], strict=True))
    np.testing.assert_allclose([by_name[str(k)] for k in range(1, 9)], MRODE_31_ANIMALS, atol=1e-12)


#: REML by EM from (0.2, 0.4), traced in R with dense algebra: iteration, variances of animals and residual,
#: log-likelihood.
MRODE_11 = [
    (1, 0.212463106252574, 0.505663246052012, -5.01118252339139),
    (2, 0.219068067790865, 0.579652062228951, -4.96917378688013),
    (3, 0.222910121553049, 0.627806741905837, -4.95515762125889),
    (10, 0.231861465487247, 0.699117148935777, -4.94764038043253),
    (50, 0.262539714116675, 0.678917918715656, -4.94603454636527),
    (100, 0.306946982273849, 0.647189792710361, -4.9439630670345),
    (200, 0.406116517020396, 0.578814797290459, -4.94049711678654),
]


def test_mrode_11_reml_and_its_seven_em_points() -> None:
    data, pedigree = calves()
    model = lem.Mixed("gain_11 ~ 0 + sex + (1 | calf)", {"calf": pedigree})
    fit = lem.fit(model, data)
    assert fit.log_likelihood == pytest.approx(-4.93854769873438, abs=1e-10)
    np.testing.assert_allclose(fit.variance_components()["variance"], [0.551355501781819, 0.483510535176104], rtol=1e-6)
    system = fit.solved.system
    theta = np.sqrt([0.2, 0.4])
    assert system.at(theta).log_likelihood == pytest.approx(-5.14204199161429, abs=1e-12)
    points = {}
    for k in range(1, 201):
        theta = system.at(theta).em()
        points[k] = theta
    for k, animals, residual, value in MRODE_11:
        np.testing.assert_allclose(points[k] ** 2, [animals, residual], rtol=1e-12)
        assert system.at(points[k]).log_likelihood == pytest.approx(value, abs=1e-12)
