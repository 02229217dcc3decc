"""Models beyond one binary test: figures of R's mirt 1.47 on simulated data, and textbook formulas in NumPy.

Simulated data are in tests/irt/data; the grid is mirt's here (61 nodes on [-6, 6], 31 x 31 for two abilities).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

import latentem as lem
from latentem import datasets
from latentem.models.irt.items.known import KNOWN

DATA = Path(__file__).parent / "data"


def table(name: str) -> dict[str, Any]:
    """Columns of a simulated data set: items under "responses", the others by name."""
    whole = np.genfromtxt(DATA / f"{name}.csv.gz", delimiter=",", names=True)
    names = whole.dtype.names or ()
    items = [column for column in names if column.startswith("i")]
    return {
        "responses": np.stack([whole[column] for column in items], axis=1),
        **{column: whole[column] for column in names if column not in items},
    }


# --- figures of mirt


@dataclass(frozen=True)
class Case:
    """A fit of mirt.

    Args:
        data: name of the data set.
        irt: our declaration.
        objective: log-likelihood + log prior.
        above: by how much our maximum may be above mirt's.
        params: {model: {name: the first of its values}}.
        atol: of params.
    """

    data: str
    irt: lem.IRT
    objective: float
    above: float
    params: dict[str, dict[str, Any]]
    atol: float = 1e-5
    below: float = field(default=1e-8)


GROUPS = "sim2pl_2group_3000x20"
CASES = {
    # Where mirt stops with the variance of ability free its params are a little short of the maximum.
    "configural": Case(
        GROUPS,
        lem.IRT("2pl", group="group", invariance="configural"),
        -32012.1993178609,
        1e-8,
        {
            "2pl": {
                "slope": [[0.88559267, 1.23134208], [1.05867144, 1.14342160]],
                "intercept": [[0.27984660, 0.70291534]],
            }
        },
    ),
    "metric": Case(
        GROUPS,
        lem.IRT("2pl", group="group", invariance="metric"),
        -32020.9231654114,
        1e-6,
        {
            "2pl": {"slope": [0.93856645, 0.97194804], "intercept": [[0.28365242, 0.69104719]]},
            "ability": {"variance": [1.56774639]},
        },
        5e-4,
    ),
    "scalar": Case(
        GROUPS,
        lem.IRT("2pl", group="group", invariance="scalar"),
        -32035.0842166236,
        1e-5,
        {"2pl": {"slope": [0.93990734, 0.97470393]}, "ability": {"mean": [0.46497771], "variance": [1.54350791]}},
        5e-4,
    ),
    "missing answers": Case(
        "sim2pl_1000x30_miss20",
        lem.IRT("2pl"),
        -13259.9951355696,
        1e-8,
        {"2pl": {"slope": [1.20012735, 1.78923912, 1.29366575], "intercept": [-1.47538380, -2.62708386, -1.01328065]}},
    ),
    "two abilities": Case(
        "simmirt2_2000x16",
        lem.IRT("2pl", loadings=np.repeat(np.eye(2, dtype=bool), 8, axis=0)),
        -19132.0032895469,
        1e-6,
        {
            "2pl (ability 1)": {"slope": [1.33110983, 0.85188145, 0.93478204], "intercept": [0.42778865, -0.45781565]},
            "ability": {"correlation": [[1.0, 0.47541350]]},
        },
    ),
    # mirt normalises the weights of the nodes person by person where ability depends on covariates; we do not.
    "latent regression": Case(
        "sim2pl_latreg_2000x20",
        lem.IRT("2pl", covariates=("x1", "x2")),
        -22048.595220218,
        1e-4,
        {
            "2pl": {"slope": [0.97109631, 1.26500730, 1.27081138], "intercept": [0.83771979, -0.20699791]},
            "ability": {"coefficients": [0.43579699, -0.26805199]},
        },
        below=1e-4,
    ),
    "graded": Case(
        "simgrm_2000x15",
        lem.IRT("graded"),
        -37214.0550028955,
        1e-7,
        {
            "graded": {
                "slope": [0.94802604, 1.57702300],
                "threshold": [[-1.05087868, 0.07959602, 1.62648102, 2.51765934]],
            }
        },
    ),
    "5000 x 50": Case(
        "sim2pl_5000x50",
        lem.IRT("2pl"),
        -136139.158229753,
        1e-7,
        {"2pl": {"slope": [1.17321228, 1.34598469, 1.29049637], "intercept": [-0.32787130, 1.83508442, -2.32019795]}},
        below=1e-7,
    ),
    # A penalised fit; mirt prints log-likelihood -111953.429286886 and log prior -18.8789961410564.
    "guessing": Case(
        "sim3pl_5000x40",
        lem.IRT("3pl", prior={"guessing": lem.logit_normal(-1.5, 0.5)}),
        -111953.429286886 - 18.8789961410564,
        1e-5,
        {"3pl": {"slope": [1.04824021, 1.23334847], "intercept": [-1.78510297], "guessing": [0.24085416, 0.11107067]}},
        1e-4,
    ),
}


SLOW = ("configural", "metric", "scalar")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in CASES])
def test_figures(name: str) -> None:
    case = CASES[name]
    fit = lem.fit(case.irt, table(case.data))
    assert fit.status is lem.Status.converged
    assert -case.below < fit.objective - case.objective < case.above
    for model, figures in case.params.items():
        for param, values in figures.items():
            found = fit.params[model][param][: len(values)]
            np.testing.assert_allclose(found, values, rtol=0, atol=case.atol, err_msg=f"{model} {param}")


def test_fit_of_items_and_persons_with_missing_answers() -> None:
    case = CASES["missing answers"]
    fit = lem.fit(case.irt, table(case.data))
    persons = fit.person_fit()
    for name, figures in {
        "infit": [0.665503681226402, 1.33392831742132],
        "z_infit": [-1.09461244822407, 1.50831620837437],
        "outfit": [0.439347306095391, 1.69916719260561],
        "Zh": [0.99004599407782, -1.8353755851866],
    }.items():
        np.testing.assert_allclose(persons[name][:2], figures, rtol=1e-6)
    q3, dependence = fit.residuals("Q3"), fit.residuals("LD")
    np.testing.assert_allclose(q3[0, 1:4], [-0.126301352049207, -0.119099507148755, 0.00233125742090034], atol=1e-6)
    np.testing.assert_allclose(dependence[0, 1:3], [-0.0433311733563401, -0.0467543763250823], atol=1e-6)
    # The model is true; mirt's M2 of these data is 519.4, far out.
    whole = fit.model_fit()
    assert whole["df"] == 405 and whole["SRMSR"] == pytest.approx(0.0463887773788695, abs=1e-6)
    assert whole["M2"] == pytest.approx(405, abs=3 * np.sqrt(2 * 405))
    assert np.isnan(fit.item_fit()["S_X2"]).all()  # nobody answered all 30 items


# --- item models against their formulas


def logistic(x: Any) -> Any:
    return expit(x)


def binary(item: Any, ability: float | np.ndarray) -> np.ndarray:
    """Birnbaum (1968); Barton and Lord (1981) with an upper asymptote."""
    g, u = item.get("guessing", 0.0), item.get("upper", 1.0)
    right = g + (u - g) * logistic(np.sum(item["slope"] * ability) + item["intercept"])
    return np.array([1 - right, right])


def graded(item: Any, ability: float | np.ndarray) -> np.ndarray:
    """Samejima (1969)."""
    at_least = logistic(np.sum(item["slope"] * ability) - item["threshold"])
    return -np.diff(np.concatenate([[1.0], at_least, [0.0]]))


def graded_rating(item: Any, ability: float | np.ndarray) -> np.ndarray:
    """Muraki (1990): slope (ability - difficulty - step_c), the steps in common, also of an item that counts backwards;
    of several abilities without slope."""
    slope = abs(item["slope"]) if np.ndim(item["slope"]) == 0 else 1.0
    steps = np.concatenate([[0.0], np.cumsum(item["step"])])
    return graded({"slope": item["slope"], "threshold": slope * steps - item["location"]}, ability)


def partial_credit(item: Any, ability: float | np.ndarray) -> np.ndarray:
    """Muraki (1992); Masters (1982) with slopes 1."""
    steps = np.concatenate([[0.0], item["intercept"]])
    odds = np.exp(np.arange(len(steps)) * np.sum(item["slope"] * ability) + steps)
    return odds / odds.sum()


def rating_scale(item: Any, ability: float | np.ndarray) -> np.ndarray:
    """Andrich (1978)."""
    steps = np.concatenate([[0.0], item["step"], [0.0]])
    odds = np.exp(np.arange(len(steps)) * (np.sum(item["slope"] * ability) + item["location"]) + steps)
    return odds / odds.sum()


def nominal(item: Any, ability: float | np.ndarray) -> np.ndarray:
    """Bock (1972)."""
    odds = np.exp(np.concatenate([[0.0], item["slope"]]) * ability + np.concatenate([[0.0], item["intercept"]]))
    return odds / odds.sum()


def sequential(item: Any, ability: float | np.ndarray) -> np.ndarray:
    """Tutz (1990)."""
    passed = logistic(np.sum(item["slope"] * ability) + item["intercept"])
    return np.concatenate([[1.0], np.cumprod(passed)]) * np.concatenate([1 - passed, [1.0]])


FORMULAS: dict[str, Callable[[Any, Any], np.ndarray]] = {
    **dict.fromkeys(("rasch", "1pl", "2pl", "3pl", "3plu", "4pl"), binary),
    "graded": graded,
    "grsm": graded_rating,
    "gpcm": partial_credit,
    "pcm": partial_credit,
    "rsm": rating_scale,
    "nominal": nominal,
    "sequential": sequential,
}


def test_every_item_model_has_a_formula() -> None:
    assert set(FORMULAS) == set(KNOWN)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("name", "dimensions"), [(name, d) for name in FORMULAS for d in ((1,) if name == "nominal" else (1, 2))]
)
def test_probabilities_are_those_of_the_formula(name: str, dimensions: int) -> None:
    rng = np.random.default_rng(dimensions)
    for categories in (2,) if KNOWN[name].binary else (2, 3, 5):
        model = KNOWN[name].make(categories, dimensions)
        item = jax.tree.map(np.asarray, model.space.constrain(jnp.asarray(rng.normal(size=model.space.size))))
        for ability in (0.0, *rng.normal(0, 2, 4)):
            theta = ability if dimensions == 1 else np.array([ability, -0.7])
            found = np.asarray(model.log_probabilities(item, theta))
            np.testing.assert_allclose(found, np.log(FORMULAS[name](item, theta)), rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", FORMULAS)
def test_probabilities_far_out_are_finite_and_add_up_to_one(name: str) -> None:
    model = KNOWN[name].make(2 if KNOWN[name].binary else 4, 1)
    item = model.space.constrain(jnp.full(model.space.size, 0.7))
    for ability in (-500.0, 500.0):
        found = np.asarray(model.log_probabilities(item, ability))
        assert np.isfinite(found).all()
        assert np.logaddexp.reduce(found) == pytest.approx(0.0, abs=1e-12)


# --- the likelihood against Bock and Aitkin's (1981) sum over nodes


def of_items(irt: Any, params: Any) -> list[tuple[Callable[[Any, Any], np.ndarray], Any]]:
    """(formula, params) of every item."""
    places = {j: (block.name, at) for block in irt.blocks for at, j in enumerate(block.items)}
    found = []
    for j, name in enumerate(irt.seen.names):
        block, at = places[j]
        found.append((FORMULAS[dict(irt.model)[name]], {param: value[at] for param, value in params[block].items()}))
    return found


def marginal(items: list[tuple[Callable[[Any, Any], np.ndarray], Any]], answers: np.ndarray) -> np.ndarray:
    """Log-likelihood of every person."""
    nodes = np.linspace(-6, 6, 61)
    weights = np.exp(-0.5 * nodes**2) / np.exp(-0.5 * nodes**2).sum()
    likelihood = np.ones((len(answers), 61))
    for (formula, item), codes in zip(items, answers.T, strict=True):
        p = np.array([formula(item, node) for node in nodes])
        likelihood *= np.where(codes < 0, 1.0, p[:, codes]).T
    return np.log(likelihood @ weights)


def moved(params: Any) -> Any:
    """Other params within their constraints."""
    rng = np.random.default_rng(1)

    def other(path: Any, value: np.ndarray) -> np.ndarray:
        shift = rng.uniform(0.2, 0.8, value.shape)
        return value * shift if path[-1].key in ("guessing", "upper") else np.sort(value + shift, axis=-1)

    return jax.tree_util.tree_map_with_path(other, params)


def simulated(models: tuple[str, ...]) -> np.ndarray:
    """Codes of 400 persons: two categories for binary models, three for the others; -1 for none."""
    rng = np.random.default_rng(0)
    pull = 1.5 * rng.normal(size=(400, 1)) + rng.logistic(size=(400, len(models)))
    codes = np.stack([np.digitize(c, [0] if KNOWN[m].binary else [-1, 1]) for m, c in zip(models, pull.T, strict=True)])
    return np.where(rng.random(pull.shape) < 0.1, -1, codes.T)


@pytest.mark.parametrize(
    "models",
    [
        pytest.param(("sequential",) * 4, id="sequential"),
        pytest.param(("4pl",) * 4, id="4pl"),
        pytest.param(("3plu",) * 4, id="3plu"),
        pytest.param(
            ("2pl", "graded", "nominal", "3pl", "gpcm", "2pl", "sequential"), id="mixed", marks=pytest.mark.slow
        ),
    ],
)
def test_likelihood_is_the_sum_over_nodes(models: tuple[str, ...]) -> None:
    codes = simulated(models)
    columns = {f"q{j}": np.where(c < 0, np.nan, c) for j, c in enumerate(codes.T)}
    known = {name for model in models for name in dict(KNOWN[model].make(3, 1).params)}
    prior = {"guessing": lem.logit_normal(-1.5, 1.0), "upper": lem.logit_normal(2.0, 1.0)}
    irt = lem.IRT(dict(zip(columns, models, strict=True)), prior={k: v for k, v in prior.items() if k in known})
    fit = lem.fit(irt, columns)
    assert fit.status is lem.Status.converged
    assert set(fit.params) == set(models)
    expected = marginal(of_items(fit.model.declaration, fit.params), codes)
    assert fit.log_likelihood == pytest.approx(expected.sum(), rel=1e-12)
    elsewhere = replace(fit, params=moved(fit.params))
    expected = marginal(of_items(fit.model.declaration, elsewhere.params), codes)
    np.testing.assert_allclose(elsewhere.log_prob(), expected, rtol=1e-10)


# --- an item model of one's own


def two_pl(item: Any, ability: Any) -> Any:
    logit = item["slope"] * ability + item["intercept"]
    return jnp.stack([jax.nn.log_sigmoid(-logit), jax.nn.log_sigmoid(logit)])


OWN = lem.ItemModel(two_pl, {"slope": lem.real(), "intercept": lem.real()}, name="own")


def test_an_item_model_in_ten_lines_is_the_shipped_one() -> None:
    data = datasets.lsat7()
    answers = data.matrix(*(f"item_{j}" for j in range(1, 6)))
    shipped, own = (lem.fit(lem.IRT(model), answers, weights=data.frequency) for model in ("2pl", OWN))
    assert own.log_likelihood == pytest.approx(shipped.log_likelihood, rel=0, abs=1e-8)
    for name, value in shipped.params["2pl"].items():
        np.testing.assert_allclose(own.params["own"][name], value, rtol=0, atol=1e-8)
    errors = own.standard_errors()["own"]["slope"]
    np.testing.assert_allclose(errors, shipped.standard_errors()["2pl"]["slope"], rtol=1e-6)
