"""Figures of R's mirt 1.47 (61 nodes on [-6, 6], normalised normal weights, TOL 1e-8; standard errors by Oakes)."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import latentem as lem
from latentem import datasets

ITEMS = [f"item_{j}" for j in range(1, 6)]


def lsat(section: int, model: str, **options: Any) -> lem.Fit:
    data = datasets.lsat6() if section == 6 else datasets.lsat7()
    return lem.fit(lem.IRT(model, **options), data.matrix(*ITEMS), weights=data.frequency)


@pytest.fixture(scope="module")
def lsat7_2pl() -> lem.Fit:
    return lsat(7, "2pl")


@pytest.mark.parametrize(
    ("section", "model", "log_likelihood", "parameters"),
    [
        (6, "rasch", -2466.937600, 6),
        (6, "2pl", -2466.653378, 10),
        (7, "rasch", -2664.900891, 6),
        (7, "1pl", -2664.900891, 6),
        (7, "2pl", -2658.805114, 10),
    ],
)
def test_log_likelihood(section: int, model: str, log_likelihood: float, parameters: int) -> None:
    fit = lsat(section, model)
    assert fit.status.name == "converged"
    assert fit.log_likelihood == pytest.approx(log_likelihood, abs=1e-6)
    assert fit.n_parameters == parameters


def test_estimates_and_standard_errors(lsat7_2pl: lem.Fit) -> None:
    params, errors = lsat7_2pl.params["2pl"], lsat7_2pl.standard_errors()["2pl"]
    np.testing.assert_allclose(
        params["slope"], [0.9875459268, 1.0808371456, 1.7074775369, 0.7649898922, 0.7356726706], atol=1e-6
    )
    np.testing.assert_allclose(
        params["intercept"], [1.8558556591, 0.8079695931, 1.8052061301, 0.4859997997, 1.8544576149], atol=1e-6
    )
    np.testing.assert_allclose(
        errors["slope"], [0.177194831518, 0.168763901626, 0.321076942883, 0.134120297759, 0.151133950580], rtol=1e-5
    )
    np.testing.assert_allclose(
        errors["intercept"][:4], [0.131450129714, 0.091246989631, 0.204825105076, 0.074913436716], rtol=1e-5
    )
    assert lsat7_2pl.aic == pytest.approx(5337.61022726466, abs=1e-5)
    assert lsat7_2pl.bic == pytest.approx(5386.68778005448, abs=1e-5)


def test_variance_of_ability() -> None:
    # mirt stops 1.2e-5 from the maximum, 3.8e-9 below it in log-likelihood.
    assert lsat(6, "rasch").params["ability"]["variance"] == pytest.approx(0.57024, abs=1.5e-5)


def test_guessing_with_a_prior_on_its_logit() -> None:
    # Penalised fit: mirt stops at -2466.770040 and log prior -4.603142, whose sum is 1.3e-7 below the mode found here.
    fit = lsat(6, "3pl", prior={"guessing": lem.logit_normal(-1.5, 1.0)})
    assert fit.log_likelihood == pytest.approx(-2466.770040, abs=1e-4)
    assert fit.log_prior == pytest.approx(-4.603142, abs=1e-4)
    assert fit.objective >= -2466.770040088 - 4.603141725
    assert fit.objective == pytest.approx(-2466.770040088 - 4.603141725, abs=1e-6)


def two_pl(params: Any, x: Any, z: Any) -> Any:
    logit = params["slope"] * z + params["intercept"]
    return jax.numpy.sum(jax.nn.log_sigmoid(jax.numpy.where(x == 1, logit, -logit))) + jax.scipy.stats.norm.logpdf(z)


def test_the_ten_line_declaration_is_the_shipped_model(lsat7_2pl: lem.Fit) -> None:
    data = datasets.lsat7()
    model = lem.Model(two_pl, lem.Continuous(), {"slope": lem.positive(5), "intercept": lem.real(5)})
    start = {"slope": np.ones(5), "intercept": np.ones(5)}
    fit = lem.fit(model, data.matrix(*ITEMS), weights=data.frequency, initial=start, compress=True)
    assert fit.compression is not None and fit.compression.verdict
    assert fit.log_likelihood == pytest.approx(lsat7_2pl.log_likelihood, abs=1e-8)
    for name in ("slope", "intercept"):
        np.testing.assert_allclose(fit.params[name], lsat7_2pl.params["2pl"][name], atol=1e-6)
