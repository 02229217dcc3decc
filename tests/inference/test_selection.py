"""Selection, likelihood-ratio tests and the bootstrap, against published figures, SciPy and refits one by one."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy import stats

import latentem as lem
from latentem.comparing.selection import cross_validated

KEY = jax.random.key(0)
WAITING = lem.datasets.old_faithful().waiting
TWO = lem.GaussianMixture(2, "spherical")


@pytest.fixture(scope="module")
def waiting_fits():
    one, two = (lem.GaussianMixture(k, "spherical") for k in (1, 2))
    return lem.fit(one, WAITING, key=KEY), lem.fit(two, WAITING, key=KEY)


def test_the_table_ranks_by_the_criterion_and_agrees_with_mclust():
    # mclust 6.0.0, tight fits: full K=2 (VVV) log-likelihood -1130.2639602, tied K=3 (EEE) -1126.31592782384, 11
    # parameters each
    x = lem.datasets.old_faithful().matrix()
    models = {"VVV2": lem.GaussianMixture(2), "EEE3": lem.GaussianMixture(3, "tied")}
    table = lem.select(models, x, key=KEY, starts=4)
    assert table.winner == "EEE3"
    assert table.best.bic == pytest.approx(2 * 1126.31592782384 + 11 * np.log(272), abs=1e-5)
    row = {c.name: c for c in table.candidates}["VVV2"]
    r = row.fit.responsibilities()
    entropy = -np.sum(r * np.log(np.maximum(r, 1e-300)))
    assert row.icl == pytest.approx(row.bic + 2 * entropy, rel=1e-12)
    assert "best by bic: EEE3" in str(table)


def test_folds_in_one_program_equal_refits_one_by_one(waiting_fits):
    fit = waiting_fits[1]
    folds = 4
    dealt = np.asarray(jax.random.permutation(KEY, len(WAITING))) % folds
    total = 0.0
    for f in range(folds):
        again = lem.fit(TWO, WAITING[dealt != f], initial=fit.params)
        total += again.log_prob(WAITING[dealt == f]).sum()
    assert cross_validated(fit, folds, KEY) == pytest.approx(total / len(WAITING), abs=1e-8)


def test_cross_validation_prefers_two_components():
    table = lem.select([lem.GaussianMixture(1, "spherical"), TWO], WAITING, criterion="cv", key=KEY, starts=1, folds=4)
    assert table.best.n_parameters == 5


def test_wilks_test_is_chi_squared():
    # mixtools 2.0.0, waiting times: equal variances -1034.00176035783, unequal -1034.00174983161
    family = lem.families.Gaussian("spherical")
    equal = lem.fit(lem.Mixture(family, 2, shared=("variance",)), WAITING, key=KEY)
    unequal = lem.fit(TWO, WAITING, key=KEY)
    test = lem.likelihood_ratio_test(equal, unequal)
    expected = 2 * (1034.00176035783 - 1034.00174983161)
    assert test.df == 1
    assert test.statistic == pytest.approx(expected, abs=1e-8)
    assert test.p_value == pytest.approx(stats.chi2.sf(expected, 1), abs=1e-5)


@pytest.mark.slow
def test_the_bootstrap_tells_two_components_from_one(waiting_fits):
    one, two = waiting_fits
    apart = lem.likelihood_ratio_test(one, two, method="bootstrap", key=KEY, replicates=39)
    assert apart.p_value == pytest.approx(1 / 40)  # no replicate of one component looks like the geyser
    z = np.random.default_rng(0).normal(size=len(WAITING))
    null = lem.fit(lem.GaussianMixture(1, "spherical"), z, key=KEY)
    alternative = lem.fit(TWO, z, key=KEY)
    assert lem.likelihood_ratio_test(null, alternative, method="bootstrap", key=KEY, replicates=39).p_value > 0.05


def test_bootstrap_errors_are_those_of_theory(waiting_fits):
    one = waiting_fits[0]
    replicates = lem.bootstrap(one, KEY, 400)
    assert replicates.converged == 400
    n, sd = len(WAITING), WAITING.std()
    # The mean of n normal values has error sd / sqrt(n); a standard deviation of 400 draws is known to 1 / sqrt(800).
    error = replicates.standard_errors()["components"]["mean"].item()
    assert error == pytest.approx(sd / np.sqrt(n), rel=4 / np.sqrt(800))
    low, high = replicates.confidence_intervals(0.9)["components"]["mean"].ravel()
    assert low < WAITING.mean() < high


def _no_sampler(params, x, z):
    return jax.scipy.stats.norm.logpdf(x, params["mean"][z], 10.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda one, two: lem.likelihood_ratio_test(two, one), "pass the smaller model first"),
        (lambda one, two: lem.likelihood_ratio_test(one, two, method="exact"), "expected 'chi2' or 'bootstrap'"),
        (lambda one, two: lem.likelihood_ratio_test(one, two, method="bootstrap"), "pass key"),
        (lambda one, two: lem.select([], WAITING, key=KEY), "at least one"),
        (lambda one, two: lem.select([TWO, TWO], WAITING, key=KEY), "two are called"),
        (lambda one, two: lem.select([TWO], WAITING, key=KEY, criterion="dic"), "expected one of"),
        (lambda one, two: cross_validated(two, 1000, KEY), "expected 2 to 272"),
        (lambda one, two: lem.bootstrap(one, KEY, 1), "at least 2"),
    ],
)
def test_bad_input_is_one_line(call, message, waiting_fits):
    with pytest.raises(ValueError, match=message) as error:
        call(*waiting_fits)
    assert "\n" not in str(error.value)


def test_a_model_without_a_sampler_cannot_be_simulated():
    model = lem.Model(_no_sampler, lem.Finite(1), {"mean": lem.real(1)})
    fit = lem.fit(model, WAITING[:50], key=KEY)
    with pytest.raises(ValueError, match="declares no sampler"):
        lem.bootstrap(fit, KEY, 10)
