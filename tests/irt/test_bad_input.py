"""Bad input ends in one line that says what came, what was expected and what to do; hard data in an honest status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import latentem as lem
from latentem.models.irt.declare.responses import labels, read, refuse_dependent

N = 60


def answers() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.random((N, 4)) < 1 / (1 + np.exp(-(rng.normal(size=(N, 1)) + np.linspace(-1, 1, 4))))).astype(float)


X = answers()
COLUMNS = {f"q{j}": X[:, j] for j in range(4)}
RATINGS = {f"q{j}": X[:, j] + X[:, j - 1] for j in range(4)}
HALVES = np.repeat(["a", "b"], N // 2)
AGE = np.linspace(20.0, 60.0, N)


def but(**columns: Any) -> dict[str, Any]:
    """The columns, some of them replaced or added."""
    return {**COLUMNS, **columns}


def at(person: int, value: float, column: np.ndarray = COLUMNS["q1"]) -> np.ndarray:
    """A column with another value for one person."""
    return np.where(np.arange(N) == person, value, column)


def three_categories(item: Any, ability: Any) -> Any:
    return jax.nn.log_softmax(jnp.arange(3) * item["slope"] * ability)


def one_number(item: Any, ability: Any) -> Any:
    return item["slope"] * ability


def rising(item: Any, ability: Any) -> Any:
    return jax.nn.log_softmax(jnp.stack([jnp.zeros(()), item["slope"] * ability]))


def needs_another(item: Any, ability: Any) -> Any:
    return item["difficulty"] - ability


def refused(call: Callable[[], Any], told: str, error: type[Exception] = ValueError) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert type(caught.value) is error
    assert told in str(caught.value) and "\n" not in str(caught.value)


# --- answers


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (but(q1=at(3, 0.5)), "item 'q1' holds 0.5: expected whole numbers for categories, nan where missing"),
        (but(q1=at(3, np.inf)), "item 'q1' holds inf: expected categories, whole numbers up to a million"),
        (but(q1=at(3, 1e7)), "item 'q1' holds 1e+07: expected categories, whole numbers up to a million"),
        (
            but(q1=at(3, 2)),
            "item 'q1' has 3 categories (0, 1, 2): item model '2pl' takes 2; use 'graded', 'gpcm' or 'nominal'",
        ),
        (but(q1=np.full(N, np.nan)), "item 'q1' has no answers: remove it"),
        (
            but(q1=np.ones(N)),
            "item 'q1' has one category (all answers are 1): it says nothing of ability; remove it",
        ),
        (
            but(q1=np.arange(200)),
            "columns differ in their number of persons (q0 has 60, q1 has 200, q2 has 60, q3 has 60): "
            "give each the same number",
        ),
        (
            but(q1=["yes"] * N),
            "item 'q1' has one category (all answers are 'yes'): it says nothing of ability; remove it",
        ),
        (but(q1=[None] * (N - 1) + ["a"]), "item 'q1' has one category (all answers are 'a')"),
        ({"q1": np.arange(200), "q2": np.arange(200)}, "item 'q1' has 200 categories: expected at most 100"),
        (but(q1=1.0), "responses['q1'] have shape (): expected (persons,) or (persons, items)"),
        (but(q1=X[None]), f"responses['q1'] have shape (1, {N}, 4): expected (persons,) or (persons, items)"),
        ({"a": X, "b": X}, "two columns of the responses are called 'item_1': pass a dict of columns, one per item"),
        (X[:, 0], f"responses have shape ({N},): expected (persons, items), one of each at least"),
        (X[None], f"responses have shape (1, {N}, 4): expected (persons, items), one of each at least"),
        (X[:0], "responses have shape (0, 4): expected (persons, items), one of each at least"),
        (X[:, :0], f"responses have shape ({N}, 0): expected (persons, items), one of each at least"),
        ({"q1": [], "q2": []}, "responses hold no persons: expected a row for each person"),
        ({}, "responses hold no items: expected a column for each item"),
    ],
)
def test_answers(data: Any, told: str) -> None:
    refused(lambda: lem.fit(lem.IRT("2pl"), data), told)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("answers.csv", "responses"),
        (None, "responses"),
        ([[0, 1], [1]], "responses"),
        (X + 0j, "responses"),
    ],
)
def test_answers_that_are_not_numbers(data: Any, name: str) -> None:
    told = f"{name} hold entries that are not numbers: expected categories, nan where missing"
    refused(lambda: lem.fit(lem.IRT("2pl"), data), told, TypeError)


def test_masked_answers_are_missing() -> None:
    masked = read({"q1": np.ma.masked_array([0, 1, 1], [False, False, True])}, None, ())
    np.testing.assert_array_equal(masked.answers[:, 0], [0, 1, np.nan])


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        (-np.ones(N), "weights[0] = -1.0: expected finite numbers of at least 0; weigh a row by 0 to leave it out"),
        (
            np.full(N, np.nan),
            "weights[0] = nan: expected finite numbers of at least 0; weigh a row by 0 to leave it out",
        ),
        (np.zeros(N), "weights are all 0: expected at least one above 0"),
        (np.ones(3), f"weights have shape (3,): expected ({N},), one for each row of the observations"),
    ],
)
def test_weights(weights: Any, told: str) -> None:
    refused(lambda: lem.fit(lem.IRT("2pl"), X, weights=weights), told)


# --- declarations


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"model": "5pl"},
            "model='5pl': expected one of rasch, 1pl, 2pl, 3pl, 3plu, 4pl, graded, grsm, gpcm, pcm, rsm, nominal, "
            "sequential, or a lem.ItemModel",
        ),
        ({"model": ["2pl"]}, "model=['2pl']: expected one of rasch"),
        ({"model": dict.fromkeys([*COLUMNS, "q9"], "2pl")}, "model names item 'q9': expected one of q0, q1, q2, q3"),
        ({"model": {"q0": "2pl"}}, "model names no item model for item 'q1'"),
        (
            {"model": lem.ItemModel(three_categories, {"slope": lem.real()})},
            "item 'q0' has 2 categories, item model 'custom' 3: expected the same number",
        ),
        (
            {"model": lem.ItemModel(one_number, {"slope": lem.real()})},
            "log_probabilities of custom has shape (): expected (C,), one per category",
        ),
        ({"items": ("q1", "q9")}, "responses have no column 'q9': expected one of q0, q1, q2, q3"),
        ({"items": ("q1", "q1")}, "items name 'q1' twice: expected different names"),
        ({"loadings": np.ones((3, 2))}, "loadings have shape (3, 2): expected (4, D), a row for each item"),
        ({"loadings": np.ones(4)}, "loadings have shape (4,): expected (4, D), a row for each item"),
        ({"loadings": [[1, 0], [0, 1], [0, 0], [1, 0]]}, "item 'q2' loads on no ability"),
        (
            {"loadings": np.eye(4)},
            "4 abilities: a product grid takes 3; use quadrature='sobol' for more",
        ),
        (
            {"model": "nominal", "loadings": np.ones((4, 2))},
            "item model 'nominal' loads on one ability here: expected a loading mask with one per item",
        ),
        ({"loadings": [[1, 0]] * 4}, "no item loads on ability 2: drop its column of loadings"),
        ({"loadings": [["a"]] * 4}, "loadings are no table of numbers: expected (items, abilities) of True and False"),
        ({"fixed": {"slope": np.ones(3)}}, "fixed 'slope' has shape (3,): expected (4,), or one number for all"),
        ({"free_items": ("q1",)}, "free_items= is of groups: name the column of the groups in group=, or leave it out"),
        ({"nodes": 0}, "nodes=0: expected at least 2 per dimension"),
        ({"fixed": {"q9": {"slope": 1.0}}}, "fixed names item 'q9': expected one of q0, q1, q2, q3"),
        ({"fixed": {"q1": {"slop": 1.0}}}, "item params are slope, intercept: 'slop' is not among them"),
        ({"fixed": {"slop": 1.0}}, "item params are slope, intercept: 'slop' is not among them"),
        ({"shared": ("slop",)}, "item params are slope, intercept: 'slop' is not among them"),
        (
            {"prior": {"guessing": lem.priors.Beta(5, 17)}},
            "item params are slope, intercept: 'guessing' is not among them",
        ),
        ({"free_items": ("q9",), "group": "g"}, "free_items names item 'q9': expected one of q0, q1, q2, q3"),
        ({"invariance": "strict"}, "invariance='strict': expected one of 'configural', 'metric', 'scalar'"),
        ({"variance": "none"}, "variance='none': expected one of 'fixed', 'free'"),
        ({"nodes": 1}, "expected at least 2"),
        ({"bounds": (6, -6)}, "Continuous(bounds=(6, -6)): expected (low, high) with low < high"),
        ({"quadrature": "simpson"}, "'simpson'"),
    ],
)
def test_declarations(options: dict[str, Any], told: str) -> None:
    data = but(g=HALVES) if "group" in options else COLUMNS
    refused(lambda: lem.fit(lem.IRT(**options), data), told)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: lem.IRT(shared="slope"), "shared='slope': expected a list of names"),
        (lambda: lem.IRT(items="q1"), "items='q1': expected a list of names"),
        (lambda: lem.IRT(covariates="age"), "covariates='age': expected a list of names"),
        (lambda: lem.IRT(group=HALVES[:1]), "expected the name of a column of the data"),  # pyright: ignore
        (lambda: lem.IRT(fixed=("slope",)), "fixed=('slope',): expected a dict by name of an item or param"),  # pyright: ignore
        (
            lambda: lem.IRT("3pl", prior={"guessing": 0.2}),
            "prior['guessing'] = 0.2: expected a prior such as priors.Gamma(2.0, 1.0), a function returning a log "
            "density, or a dict",
        ),
        (
            lambda: lem.ItemModel("2pl", {"slope": lem.real()}),  # pyright: ignore[reportArgumentType]
            "log_probabilities='2pl': expected a function (params, ability) -> (C,)",
        ),
        (
            lambda: lem.fit(lem.IRT(lem.ItemModel(needs_another, {"slope": lem.real()})), X),
            "log_probabilities(params, ability) of custom failed: 'difficulty'",
        ),
        (
            lambda: lem.ItemModel(three_categories, {"slope": 3.0}),
            "params['slope'] = 3.0: expected a constraint such as positive(3) or fixed(value)",
        ),
    ],
)
def test_declarations_of_another_kind(call: Callable[[], Any], told: str) -> None:
    refused(call, told, TypeError)


LEAVE = "leave it out to estimate it"
ANOTHER = "give other values, or leave them out to estimate them"


@pytest.mark.parametrize(
    ("model", "fixed", "told"),
    [
        ("3pl", {"guessing": 1.5}, f"fixed 'guessing' of item 'q0' = 1.5: expected a number between 0 and 1; {LEAVE}"),
        (
            "3pl",
            {"q2": {"guessing": -0.1}},
            f"fixed 'guessing' of item 'q2' = -0.1: expected a number between 0 and 1; {LEAVE}",
        ),
        (
            "4pl",
            {"upper": [0.9, 0.9, 0.9, 1.1]},
            f"fixed 'upper' of item 'q3' = 1.1: expected a number between 0 and 1; {LEAVE}",
        ),
        (
            "3pl",
            {"guessing": 1.0},
            "fixed params {'guessing': 1.0} of item 'q0': nobody could answer in category 1 of 2, yet somebody did; "
            f"{ANOTHER}",
        ),
        ("2pl", {"slope": -np.inf}, f"fixed 'slope' of item 'q0' = -inf: expected a finite number; {LEAVE}"),
        ("1pl", {"slope": np.inf}, f"fixed 'slope' = inf: expected a finite number; {LEAVE}"),
        (
            "graded",
            {"threshold": [1.0, 0.0]},
            "fixed 'threshold' of item 'q0' = [1.0, 0.0]: expected finite numbers that increase along the last axis, "
            f"of shape (2,); {LEAVE}",
        ),
        (
            "graded",
            {"q1": {"threshold": 0.5}},
            "fixed params {'threshold': [0.5, 0.5]} of item 'q1': nobody could answer in category 2 of 3, yet somebody "
            f"did; {ANOTHER}",
        ),
        (
            "gpcm",
            {"q1": {"intercept": [0.1, np.inf]}},
            f"fixed 'intercept' of item 'q1' = [0.1, inf]: expected finite numbers of shape (2,); {LEAVE}",
        ),
        (
            lem.ItemModel(rising, {"slope": lem.positive()}),
            {"slope": -1.0},
            f"fixed 'slope' of item 'q0' = -1.0: expected a positive number; {LEAVE}",
        ),
    ],
)
def test_fixed_values_outside_their_constraint(model: Any, fixed: dict[str, Any], told: str) -> None:
    data = RATINGS if model in ("graded", "gpcm") else COLUMNS
    refused(lambda: lem.fit(lem.IRT(model, fixed=fixed), data), told)


@pytest.mark.parametrize(
    ("model", "fixed", "told"),
    [
        ("2pl", {"slope": np.ones((4, 4))}, "fixed 'slope' has shape (4, 4): expected (4,), or one number for all"),
        ("1pl", {"slope": np.ones(4)}, "fixed 'slope' has shape (4,): expected one number"),
        ("2pl", {"q1": {"slope": [1, 2]}}, "fixed 'slope' of item 'q1' has shape (2,): expected one number"),
        (
            "2pl",
            {"q0": {"slope": 1}, "q1": {"slope": [1, 2]}},
            "fixed 'slope' of item 'q1' has shape (2,): expected one number",
        ),
        (
            "graded",
            {name: {"threshold": [0.0, 1.0, 2.0]} for name in COLUMNS},
            "fixed 'threshold' of item 'q0' has shape (3,): expected (2,), or one number for all",
        ),
        (
            "1pl",
            {"q1": {"slope": 1.0}},
            "fixed 'slope' of item 'q1': all items have it in common; expected fixed={'slope': ...}",
        ),
        ("2pl", {"q1": 1.0}, "fixed['q1'] = 1.0: expected a dict by name of a param"),
        (
            {"q0": "3pl", **dict.fromkeys(list(COLUMNS)[1:], "2pl")},
            {"q1": {"guessing": 0.2}},
            "item params are slope, intercept: 'guessing' is not among them",
        ),
    ],
)
def test_fixed_values_of_another_shape(model: Any, fixed: dict[str, Any], told: str) -> None:
    refused(lambda: lem.fit(lem.IRT(model, fixed=fixed), RATINGS if model == "graded" else COLUMNS), told)


@pytest.mark.parametrize("value", [np.nan, "steep", None, 1j, [1, [2]], [[1.0, np.nan]], {"a": 1.0}])
def test_fixed_values_that_are_no_numbers(value: Any) -> None:
    told = f"= {value!r}: expected a number, or an array of them; leave out what is to be estimated"
    refused(lambda: lem.IRT("2pl", fixed={"q1": {"slope": value}}), f"fixed['q1']['slope'] {told}")
    if not isinstance(value, dict):
        refused(lambda: lem.IRT("2pl", fixed={"slope": value}), f"fixed['slope'] {told}")


# --- fewer items than a model takes


def determined(items: int, params: int, free: int) -> str:
    answers = f"the answers to {items} {'item' if items == 1 else 'items'} determine at most {params} params"
    free_params = f"this model has {free} free; add items, or hold params by fixed=, shared= or prior="
    return f"{answers}, the proportions of their patterns: {free_params}"


@pytest.mark.parametrize(
    ("options", "items", "told"),
    [
        ({"model": "2pl"}, 1, determined(1, 1, 2)),
        ({"model": "2pl"}, 2, determined(2, 3, 4)),
        ({"model": "rasch"}, 1, determined(1, 1, 2)),
        ({"model": "3pl"}, 3, determined(3, 7, 9)),
        ({"model": "2pl", "group": "g", "invariance": "configural"}, 2, determined(2, 6, 8)),
        ({"model": "2pl", "covariates": ("sex",)}, 1, determined(1, 2, 3)),
    ],
)
def test_more_params_than_the_answers_determine(options: dict[str, Any], items: int, told: str) -> None:
    beside = {"g": HALVES} if "group" in options else {"sex": np.arange(N) % 2} if "covariates" in options else {}
    refused(lambda: lem.fit(lem.IRT(**options), {**dict(list(COLUMNS.items())[:items]), **beside}), told)


@pytest.mark.parametrize(
    ("options", "items"),
    [
        ({"model": "2pl"}, 3),
        ({"model": "rasch"}, 2),
        ({"model": "2pl", "shared": ("slope",)}, 2),
        ({"model": "2pl", "fixed": {"slope": 1.0}}, 1),
        ({"model": "2pl", "prior": {"slope": lem.priors.Normal(1.0, 1.0)}}, 2),
        ({"model": "2pl", "histogram": True}, 3),
    ],
)
def test_as_many_params_as_the_answers_determine(options: dict[str, Any], items: int) -> None:
    model, _ = lem.IRT(**options).declare(X[:, :items])
    assert model.space.size > 0


# --- columns beside the answers


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (COLUMNS, "responses have no column 'g': expected one of q0, q1, q2, q3"),
        (
            X,
            "responses are an array without a column 'g': pass a table, or {\"responses\": (persons, items), 'g': ...}",
        ),
        (
            but(g=HALVES[:5]),
            "columns differ in their number of persons (q0 has 60, q1 has 60, q2 has 60, q3 has 60, g has 5): give "
            "each the same number",
        ),
        (
            but(g=[*HALVES[:-1], "c"]),
            "group 'c' of column 'g' has one person (row 59): its ability has no distribution",
        ),
        (but(g=X), "column 'g' has shape (60, 4): expected (persons,)"),
        (but(g=at(7, np.nan)), "column 'g' has no value for person 7: give one, or leave the person out"),
        (but(g=[*HALVES[:-1], None]), "column 'g' has no value for person 59: give one, or leave the person out"),
        (but(g=[*HALVES[:-1], np.nan]), "column 'g' has no value for person 59: give one, or leave the person out"),
    ],
)
def test_groups(data: Any, told: str) -> None:
    refused(lambda: lem.fit(lem.IRT(group="g"), data), told)


def test_labels_of_groups() -> None:
    assert labels("g", HALVES) == ("a", "b")
    refused(
        lambda: labels("g", np.append(HALVES, "c")),
        "group 'c' of column 'g' has one person (row 60): its ability has no distribution; leave the person out, or "
        "merge groups",
    )
    refused(
        lambda: labels("g", np.array([1, "a"], dtype=object)),
        "group column 'g' holds labels of several kinds (int, str): make all of them text",
        TypeError,
    )


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (np.ones(N), "covariate 'x' is 1.0 for everybody: the mean of ability has no intercept; drop it"),
        (at(7, np.nan, AGE), "column 'x' has no value for person 7: give one, or leave the person out"),
        (3 - 2 * AGE, "covariate 'x' is a linear function of those before it: drop one of them"),
        (at(7, np.inf, AGE), "covariate 'x' is inf for person 7: expected a finite number"),
        (HALVES, "covariate 'x' holds entries that are not numbers: write categories as columns of 0 and 1"),
        (X, "column 'x' has shape (60, 4): expected (persons,)"),
    ],
)
def test_covariates(column: Any, told: str) -> None:
    error = TypeError if "numbers:" in told else ValueError
    refused(lambda: lem.fit(lem.IRT(covariates=("age", "x")), but(age=AGE, x=column)), told, error)


def test_covariates_that_others_determine() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 3)) * [1.0, 1e6, 1e-6] + [0.0, 1e7, 1.0]
    refuse_dependent("abc", x)
    told = "covariate 'c' is a linear function of those before it: drop one of them"
    refused(lambda: refuse_dependent("abc", np.column_stack([x[:, :2], 3 - x[:, 0] + 1e-6 * x[:, 1]])), told)
    refused(lambda: refuse_dependent("abc", x[:3]), told)  # fewer persons than slopes
    told = "covariate 'b' is 1.0 for everybody: the mean of ability has no intercept; drop it"
    refused(lambda: refuse_dependent("ab", np.column_stack([x[:, 0], np.ones(N)])), told)


def test_no_column_of_covariates() -> None:
    told = "responses have no column 'age': expected one of q0, q1, q2, q3"
    refused(lambda: lem.fit(lem.IRT(covariates=("age",)), COLUMNS), told)


# --- persons that a fit has not seen


@pytest.fixture(scope="module")
def of_groups() -> lem.Fit:
    return lem.fit(lem.IRT("2pl", group="g"), but(g=HALVES), max_iterations=2)


@pytest.mark.parametrize(
    ("new", "told"),
    [
        ({"q1": [0, 2]}, "item 'q1' holds 2 for person 1: expected one of [0, 1]"),
        ({"q1": [0, 0.5]}, "item 'q1' holds 0.5 for person 1: expected one of [0, 1]"),
        ({"g": ["a", "c"]}, "group column 'g' holds 'c': expected one of ['a', 'b']"),
        ({"g": None}, "column 'g' has shape (): expected (persons,)"),
        (
            {"q1": [0]},
            "columns differ in their number of persons (q0 has 2, q1 has 1, q2 has 2, q3 has 2, g has 2): give "
            "each the same number",
        ),
    ],
)
def test_new_persons(of_groups: lem.Fit, new: dict[str, Any], told: str) -> None:
    whole = {**dict.fromkeys(COLUMNS, [0, 1]), "g": ["a", "a"]}
    refused(lambda: of_groups.scores("eap", {**whole, **new}), told)


def test_new_persons_without_an_item(of_groups: lem.Fit) -> None:
    refused(
        lambda: of_groups.scores("eap", {"q0": [0, 1], "g": ["a", "a"]}),
        "responses have no column 'q1': expected one of q0, g",
    )


def test_one_new_person_of_a_group(of_groups: lem.Fit) -> None:
    found = of_groups.scores("eap", {**dict.fromkeys(COLUMNS, [0, 1, 1]), "g": ["a", "a", "b"]})
    assert np.isfinite(found["theta"]).all()


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (
            lambda fit: fit.scores("bayes"),
            "method='bayes': expected one of 'eap', 'map', 'ml', 'wle', 'eapsum', 'plausible'",
        ),
        (
            lambda fit: fit.scores("plausible"),
            "method='plausible' draws at random: pass key=jax.random.key(0), or another key",
        ),
        (
            lambda fit: fit.scores("plausible", key=jax.random.key(0), draws=0),
            "draws=0: expected a positive number",
        ),
        (lambda fit: fit.model_fit("M3"), "kind='M3': expected 'M2' or 'C2'"),
        (lambda fit: fit.residuals("Q4"), "kind='Q4': expected one of 'Q3', 'LD'"),
    ],
)
def test_what_is_asked(of_groups: lem.Fit, ask: Any, told: str) -> None:
    refused(lambda: ask(of_groups), told)


# --- data that say too little


def test_new_persons_may_share_a_covariate() -> None:
    fit = lem.fit(lem.IRT(covariates=("age",)), but(age=AGE), max_iterations=2)
    new = {**dict.fromkeys(COLUMNS, [0, 1]), "age": [30.0, 30.0]}
    assert np.isfinite(fit.scores("eap", new)["theta"]).all()


def test_a_slope_that_runs_off_is_told() -> None:
    fit = lem.fit(lem.IRT("2pl"), np.array([[0, 1, 1], [1, 0, 0]]))
    assert any(note.startswith("item 'item_2' has a slope that has run off") for note in fit.notes)


def test_guessing_without_a_prior_ends_at_an_edge_that_is_named() -> None:
    rng = np.random.default_rng(0)
    logit = np.linspace(0.8, 1.6, 6) * rng.normal(size=(200, 1)) + np.linspace(-1, 1, 6)
    few = rng.random((200, 6)) < 0.2 + 0.8 / (1 + np.exp(-logit))
    fit = lem.fit(lem.IRT("3pl"), few.astype(int))
    assert fit.status is lem.Status.boundary
    assert "use fewer components, or a prior" in fit.status.advice
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(fit.params))
    assert np.isfinite(fit.log_likelihood)
    assert fit.params["3pl"]["guessing"].min() < 1e-6
