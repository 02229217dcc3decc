"""Classes and what they go with: corrected for errors of classification, where plain assignment is not right."""

from __future__ import annotations

import numpy as np
import pytest

import latentem as lem
from latentem import families as F

N = 4000
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def classes() -> tuple[lem.Fit, dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(0)
    age = rng.normal(size=N)
    z = (rng.random(N) < 1 / (1 + np.exp(-age))).astype(int)
    items = {f"i{j}": (rng.random(N) < np.where(z == 1, 0.75, 0.25)).astype(float) for j in range(4)}
    outcome = np.where(z == 1, 2.0, 0.0) + rng.normal(size=N)
    fit = lem.fit(lem.Mixture(F.Independent({name: F.Bernoulli() for name in items}), 2), items, key=0)
    if fit.params["components"]["i0"]["probability"][0] > 0.5:  # the second class is the one with many ones
        fit = lem.fit(
            fit.declaration,
            items,
            initial={
                "weights": fit.params["weights"][::-1],
                "components": {n: {"probability": p["probability"][::-1]} for n, p in fit.params["components"].items()},
            },
        )
    return fit, {"age": age}, outcome


def test_means_of_an_outcome(classes) -> None:
    fit, _, y = classes
    assigned = fit.predict()
    naive = y[assigned == 1].mean() - y[assigned == 0].mean()
    assert naive < 1.7  # 2 in truth
    for method in ("BCH", "ML"):
        found = fit.distal_outcome(y, method)
        difference = found.mean[1] - found.mean[0]
        spread = np.hypot(*found.standard_errors)
        assert abs(difference - 2) < 4 * spread and 0.01 < spread < 0.3 and found.p < 1e-10 and found.df == 1


def test_regression_of_the_classes(classes) -> None:
    fit, covariates, _ = classes
    one_step = lem.fit(lem.Mixture(fit.declaration.family, 2, gate="age"), {**fit.given, **covariates}, key=0, starts=2)
    slope = abs(one_step.params["gate"][0, 1])
    for method in ("ML", "BCH"):
        found = fit.class_regression(covariates, method)
        assert found.coefficients.shape == (1, 2) and found.names == ("constant", "age")
        assert abs(found.coefficients[0, 1] - 1) < 4 * found.standard_errors[0, 1]
        assert abs(found.coefficients[0, 1] - slope) < 2 * found.standard_errors[0, 1]


def test_bad_input(classes) -> None:
    fit, _, y = classes
    with pytest.raises(ValueError, match=r"y has shape \(3,\): expected \(4000,\), one for each row"):
        fit.distal_outcome(y[:3])
    with pytest.raises(ValueError, match="method='LTB': expected one of ML, BCH"):
        fit.distal_outcome(y, "LTB")
    with pytest.raises(ValueError, match="'age' has missing entries: expected"):
        fit.class_regression({"age": np.full(N, np.nan)})
