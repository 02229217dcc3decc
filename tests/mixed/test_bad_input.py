"""What cannot be used is refused in one line: what came, what was expected, what to do."""

from typing import Any

import numpy as np
import pytest

import latentem as lem

TABLE = {
    "y": np.array([1.0, 2.0, 4.0, 3.0, 5.0, 6.0]),
    "x": np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
    "g": np.array(["a", "a", "b", "b", "c", "c"]),
    "one": np.array(["a"] * 6),
    "each": np.arange(6),
}


@pytest.mark.parametrize(
    ("formula", "told"),
    [
        ("y ~ x", "has no random term"),
        ("~ x + (1 | g)", "expected 'response ~ fixed"),
        ("y ~ x + (1 | g", "parentheses do not match"),
        ("y ~ x + ( | g)", "is no random term"),
        ("z ~ x + (1 | g)", "names 'z', which is no column"),
        ("y ~ w + (1 | g)", "names 'w', which is no column"),
        ("y ~ x + (1 | h)", "names 'h', which is no column"),
        ("y ~ x + (1 | one)", "one has one level, 'a'"),
        ("y ~ x + (1 | each)", "6 random effects for 6 records"),
        ("y ~ x + (x + each + 0 + I(x ** 2) | g)", "9 random effects for 6 records"),
        ("y ~ x + I(2 * x) + (1 | g)", r"collinear: I\(2 \* x\) follows from the columns before it"),
        ("y ~ x + I(0 * x) + (1 | g)", "is zero everywhere"),
        ("g ~ x + (1 | g)", "response 'g' holds no numbers"),
        ("y ~ nosuch(x) + (1 | g)", "cannot be computed"),
        ("x ~ 0 + I(1 * x) + (1 | g)", "explain the response entirely"),
    ],
)
def test_formulas(formula: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as error:
        lem.fit(lem.Mixed(formula), TABLE)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("data", "kind", "told"),
    [
        (np.ones((3, 2)), TypeError, "expected a table or a dict of columns"),
        ({"y": np.ones(3), "g": np.ones(2)}, ValueError, "differ in length"),
        ({"y": np.ones(0), "g": np.ones(0)}, ValueError, "0 records"),
        ({"y": np.array([np.nan, np.nan]), "g": np.array([1, 2])}, ValueError, "no record is complete"),
        ({"y": np.array([np.inf, 1, 2, 3]), "g": np.array([1, 1, 2, 2])}, ValueError, "record 0 is not finite"),
    ],
)
def test_tables(data: Any, kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told):
        lem.fit(lem.Mixed("y ~ 1 + (1 | g)"), data)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"weights": np.ones(5)}, r"weights have shape \(5,\)"),
        ({"weights": -np.ones(6)}, "weights: expected finite numbers"),
        ({"starts": 3}, "a mixed model knows"),
        ({"method": "online"}, "a linear mixed model climbs by"),
        ({"initial": {"residual": 1.0}}, "params: expected a dict"),
        ({"initial": {"residual": -1.0, "effects": {"g": 1.0}}}, "standard deviation above 0"),
        ({"max_iterations": 0}, "max_iterations=0"),
    ],
)
def test_options(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        lem.fit(lem.Mixed("y ~ x + (1 | g)"), TABLE, **options)


@pytest.mark.parametrize(
    ("pedigree", "told"),
    [
        ((["a", "b"], ["b", "a"], [None, None]), "'a' descends from itself: remove the loop"),
        ((["a", "a"], ["", ""], ["", ""]), "'a' is listed twice"),
        ((["a"], ["a"], [None]), "'a' descends from itself"),
        ((["a", ""], ["", ""], ["", ""]), "on row 1 has no name"),
        ((["a"], [], []), "1 individuals, 0 sires"),
        (([], [], []), "no individuals"),
        ((["a", "b"], ["b", ""], ["", ""], [1.0, 2.0]), "'b', sire of 'a', is younger than its child"),
    ],
)
def test_pedigrees(pedigree: tuple[Any, ...], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        lem.pedigree(*pedigree)


def test_an_animal_that_is_not_in_the_pedigree() -> None:
    pedigree = lem.pedigree(["a", "b"], [None, "a"], [None, None])
    with pytest.raises(ValueError, match=r"g: 'c' \(record 4\) is not in the pedigree: 1 levels are missing"):
        lem.fit(lem.Mixed("y ~ 1 + (1 | g)", {"g": pedigree}), TABLE)
    with pytest.raises(ValueError, match="no random term has that grouping"):
        lem.fit(lem.Mixed("y ~ 1 + (1 | g)", {"animal": pedigree}), TABLE)
    with pytest.raises(TypeError, match="is a ndarray"):
        lem.Mixed("y ~ 1 + (1 | g)", {"g": np.eye(3)})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("matrix", "told"),
    [
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "not positive definite, its smallest eigenvalue is -1"),
        (np.array([[1.0, 0.5], [0.0, 1.0]]), "not symmetric"),
        (np.ones((2, 3)), "expected a square matrix"),
        (np.array([[np.nan, 0.0], [0.0, 1.0]]), "not"),
    ],
)
def test_relationship_matrices(matrix: np.ndarray, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        lem.relationship(matrix)


def test_a_relationship_of_other_levels() -> None:
    with pytest.raises(ValueError, match="3 levels and its relationship matrix 2 rows"):
        lem.fit(lem.Mixed("y ~ 1 + (1 | g)", {"g": lem.relationship(np.eye(2))}), TABLE)
    with pytest.raises(ValueError, match="3 names for 2 rows"):
        lem.relationship(np.eye(2), ["a", "b", "c"])
    with pytest.raises(ValueError, match="random walk goes along numbers"):
        lem.fit(lem.Mixed("y ~ 1 + (1 | g)", {"g": lem.random_walk()}), TABLE)
    with pytest.raises(ValueError, match="strength"):
        lem.neighbours({"a": ["b"]}, strength=1.0)


def test_verbs_that_a_mixed_model_has_not() -> None:
    fit = lem.fit(lem.Mixed("y ~ x + (1 | g)"), TABLE)
    for verb in (fit.log_prob, fit.posterior, fit.responsibilities, fit.rate, fit.scores_per_observation):
        with pytest.raises(ValueError, match="share one latent: use"):
            verb()
    with pytest.raises(ValueError, match="expected one of g"):
        fit.random_effects("h")
    with pytest.raises(ValueError, match="no column 'g'"):
        fit.predict({"x": np.ones(2)})
    with pytest.raises(ValueError, match="restricted likelihoods"):
        fit.profile("x")
    with pytest.raises(ValueError, match="expected one of"):
        fit.profile("nothing")
