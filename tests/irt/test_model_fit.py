"""M2 and its relatives: figures of R's mirt 1.47, and the definition by enumeration of all patterns."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import latentem as lem
from latentem import datasets

ITEMS = [f"item_{j}" for j in range(1, 6)]


@pytest.mark.parametrize(
    ("section", "model", "figures"),
    [
        (
            7,
            "2pl",
            {
                "M2": 11.9384123304951,
                "df": 5,
                "p": 0.0356414886509577,
                "RMSEA": 0.0372702500345337,
                "RMSEA_5": 0.00895474259249628,
                "RMSEA_95": 0.0649674178215165,
                "SRMSR": 0.0319629150611046,
                "TLI": 0.936926637053418,
                "CFI": 0.968463318526709,
                "G2": 31.7005408003873,
                "df_G2": 21,
            },
        ),
        (6, "2pl", {"M2": 4.73838395262732, "df": 5, "RMSEA": 0.0, "SRMSR": 0.0213221897179179, "CFI": 1.0}),
        (6, "rasch", {"M2": 5.29135888636755, "df": 9, "TLI": 1.07253451346288, "G2": 21.7980768542156, "df_G2": 25}),
    ],
)
def test_figures(section: int, model: str, figures: dict[str, float]) -> None:
    data = datasets.lsat6() if section == 6 else datasets.lsat7()
    found = lem.fit(lem.IRT(model), data.matrix(*ITEMS), weights=data.frequency).model_fit()
    for name, value in figures.items():
        assert found[name] == pytest.approx(value, rel=5e-5 if name == "RMSEA_5" else 5e-6, abs=1e-9), name


J, C = 4, 3


@pytest.fixture(scope="module")
def partial_credit() -> tuple[lem.Fit, np.ndarray]:
    rng = np.random.default_rng(3)
    theta = rng.normal(size=(500, 1, 1))
    score = np.arange(C) * theta * np.array([0.8, 1.2, 1.0, 1.5])[:, None] + rng.normal(0, 0.5, (J, C))
    answers = np.argmax(score + rng.gumbel(size=(500, J, C)), axis=2)
    return lem.fit(lem.IRT("gpcm"), answers), answers


@pytest.mark.parametrize("kind", ["C2", "M2"])
def test_the_definition_by_enumeration(partial_credit: tuple[lem.Fit, np.ndarray], kind: str) -> None:
    fit, answers = partial_credit
    patterns = np.array(list(product(range(C), repeat=J)))
    pairs = [(i, j) for i in range(J) for j in range(i)]
    single = [patterns[:, j] == c for j in range(J) for c in range(1, C)] if kind == "C2" else list(patterns.T)
    of_patterns = np.array([*single, *(patterns[:, i] * patterns[:, j] for i, j in pairs)], float)  # (M, patterns)

    def expected(params: Any) -> np.ndarray:
        theta = np.linspace(-6, 6, 61)
        weight = np.exp(-0.5 * theta**2) / np.sum(np.exp(-0.5 * theta**2))
        steps = np.concatenate([np.zeros((J, 1)), params["intercept"]], axis=1)
        logit = np.arange(C) * theta[:, None, None] * params["slope"][:, None] + steps
        table = np.exp(logit) / np.exp(logit).sum(axis=2, keepdims=True)
        return weight @ np.prod(table[:, np.arange(J), patterns], axis=2)

    params = fit.params["gpcm"]
    p = expected(params)
    spread = (of_patterns * p) @ of_patterns.T - np.outer(of_patterns @ p, of_patterns @ p)
    slopes = []
    for name in ("slope", "intercept"):
        for index in np.ndindex(params[name].shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = {key: value.copy() for key, value in params.items()}
                moved[name][index] += step
                ends.append(of_patterns @ expected(moved))
            slopes.append((ends[0] - ends[1]) / 2e-5)
    delta = np.array(slopes).T
    inverse = np.linalg.inv(spread)
    middle = inverse - inverse @ delta @ np.linalg.pinv(delta.T @ inverse @ delta) @ delta.T @ inverse
    places = answers @ C ** np.arange(J)[::-1]
    residual = of_patterns @ (np.bincount(places, minlength=C**J) / len(answers) - p)
    if kind == "M2":  # 10 margins, 12 params
        with pytest.raises(ValueError, match="M2 has no degrees of freedom left"):
            fit.model_fit("M2")
        assert set(fit.model_fit()) >= {"C2", "G2"}
    else:
        found = fit.model_fit("C2")
        assert found["df"] == len(residual) - delta.shape[1] == 2
        assert found["C2"] == pytest.approx(len(answers) * residual @ middle @ residual, rel=1e-5)


def test_missing_answers_leave_the_statistic_near_its_degrees_of_freedom() -> None:
    rng = np.random.default_rng(5)
    theta = rng.normal(size=(2000, 1))
    answers = (rng.random((2000, 8)) < 1 / (1 + np.exp(-(theta + np.linspace(-1, 1, 8))))).astype(float)
    answers[rng.random(answers.shape) < 0.2] = np.nan
    found = lem.fit(lem.IRT("2pl"), answers).model_fit()
    assert found["df"] == 36 - 16
    # Six standard deviations of a chi-squared variable; scaled by the wrong numbers of persons it is off by far more.
    assert abs(found["M2"] - 20) < 6 * np.sqrt(40)
    assert "G2" not in found
