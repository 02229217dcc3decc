"""Ways to climb of a linear mixed model end at one maximum, each the faster the more it is told."""

from typing import Any

import numpy as np
import pytest

import latentem as lem

FORMULA = "diameter ~ 1 + (1 | plate) + (1 | sample)"


@pytest.fixture(scope="module", name="wanted")
def _wanted() -> Any:
    return lem.fit(lem.Mixed(FORMULA), lem.datasets.penicillin())


@pytest.mark.parametrize("method", [lem.AverageInformation(em_steps=0), lem.PX(), lem.SQUAREM(), lem.Plain()])
def test_every_method_ends_at_the_maximum(method: Any, wanted: Any) -> None:
    """lme4 1.1-31: -165.430294495543."""
    fit = lem.fit(lem.Mixed(FORMULA), lem.datasets.penicillin(), method=method)
    assert fit.status is lem.Status.converged
    assert fit.log_likelihood == pytest.approx(-165.430294495543, abs=1e-6)
    np.testing.assert_allclose(fit.variance_components()["sd"], wanted.variance_components()["sd"], rtol=1e-3)
    np.testing.assert_allclose(fit.fixed_effects()["se"], wanted.fixed_effects()["se"], rtol=1e-3)
    # EM of whichever kind never falls.
    assert np.all(np.diff(fit.trace) > -1e-9)


def test_a_variance_of_zero_is_reached_by_parameter_expansion_and_not_by_plain_em() -> None:
    rng = np.random.default_rng(0)
    batch = np.repeat(np.arange(6), 5)
    y = rng.normal(size=30)
    y = y - np.repeat(y.reshape(6, 5).mean(axis=1), 5)  # batches that are more alike than chance would have them
    expanded, plain = (
        lem.fit(lem.Mixed("y ~ 1 + (1 | batch)"), {"y": y, "batch": batch}, method=m, max_iterations=60)
        for m in (lem.PX(), lem.Plain())
    )
    assert expanded.status is lem.Status.boundary
    assert expanded.variance_components()["variance"][0] == 0.0
    assert plain.log_likelihood < expanded.log_likelihood
    assert plain.evaluations > 2 * expanded.evaluations


def test_what_no_method_is_refused_in_one_line() -> None:
    dyes = lem.datasets.dyestuff()
    for method in ("online", lem.Anderson()):
        with pytest.raises(ValueError, match=r"^method=.*climbs by lem.AverageInformation\(\), lem.PX\(\)[^\n]*$"):
            lem.fit(lem.Mixed("grams ~ 1 + (1 | batch)"), dyes, method=method)
    with pytest.raises(ValueError, match=r"PX\(\) is a way to climb of lem.Mixed: expected lem.SQUAREM"):
        lem.fit(lem.GaussianMixture(1), np.arange(9.0), method=lem.PX())
    with pytest.raises(ValueError, match="em_steps=-1: expected a whole number"):
        lem.AverageInformation(-1)
