"""Observations are checked at the door: one line that says what came, what was expected, what to do."""

import numpy as np
import pytest

from latentem.constraints import positive
from latentem.families import (
    Bernoulli,
    Categorical,
    Custom,
    Exponential,
    Gamma,
    Gaussian,
    Independent,
    Multinomial,
    NegativeBinomial,
    Poisson,
    StudentT,
    VonMises,
)

nan = np.nan
MESSAGES = [
    (Poisson(), [0, 1, 2, -1], r"Poisson: observations\[3\] = -1: expected counts 0, 1, 2, ...; use a"),
    (Poisson(), [0, 1.5], r"Poisson: observations\[1\] = 1.5: expected counts 0, 1, 2, ...; use a"),
    (
        Poisson(),
        [0, nan],
        r"Poisson: observations\[1\] = nan: expected a number; wrap the column in Independent",
    ),
    (Poisson(), [0, np.inf], r"Poisson: observations\[1\] = inf: expected a finite number; "),
    (
        Poisson(),
        [[0, 1], [2, 3]],
        r"Poisson: observations of shape \(2, 2\): expected \(N,\); use Independent",
    ),
    (Poisson(), ["a", "b"], r"Poisson: observations of type <U1: expected numbers; convert"),
    (Poisson(), [], r"Poisson: observations of shape \(0,\): expected at least one row; "),
    (Poisson(), 3, r"Poisson: observations of shape \(\): expected at least one row; "),
    (NegativeBinomial(), [3, -2], r"NegativeBinomial: observations\[1\] = -2: expected counts"),
    (Multinomial(), [[1, 2], [3, -1]], r"Multinomial: observations\[1, 1\] = -1: expected counts"),
    (Multinomial(), [1, 2], r"Multinomial: observations of shape \(2,\): expected \(N, D\)"),
    (
        Multinomial(3),
        [[1, 2]],
        r"Multinomial: observations of shape \(1, 2\): expected \(N, 3\); give 3 columns",
    ),
    (Bernoulli(), [0, 1, 2], r"Bernoulli: observations\[2\] = 2: expected 0 or 1; use Categorical"),
    (Categorical(3), [0, 3], r"Categorical: observations\[1\] = 3: expected integers 0, ..., 2; raise"),
    (Categorical(), [0, -1], r"Categorical: observations\[1\] = -1: expected integers 0, 1, 2, ...; number"),
    (Categorical(), [0, 0.5], r"Categorical: observations\[1\] = 0.5: expected integers"),
    (Gamma(), [1, 0], r"Gamma: observations\[1\] = 0: expected a positive number; "),
    (Exponential(), [1, -1], r"Exponential: observations\[1\] = -1: expected a number of at least 0; "),
    (VonMises(), [1, np.inf], r"VonMises: observations\[1\] = inf: expected a finite number"),
    (StudentT(), [[1, nan]], r"StudentT: observations\[0, 1\] = nan: expected a number; wrap"),
    (Gaussian(), [[1, np.inf]], r"Gaussian: observations\[0, 1\] = inf: expected a finite number"),
    (
        Gaussian(),
        [[1, nan], [2, nan]],
        r"Gaussian: column 1 has no observed entry: expected at least one; drop",
    ),
    (Gaussian(dim=3), [[1, 2]], r"Gaussian: observations of shape \(1, 2\): expected \(N, 3\)"),
    (Gaussian(), np.zeros((2, 2, 2)), r"Gaussian: observations of shape \(2, 2, 2\): expected \(N, D\)"),
    (
        Custom(lambda p, x: x, {"a": positive()}),
        [1, nan],
        r"Custom: observations\[1\] = nan: expected a number",
    ),
    (
        Independent({"a": Poisson()}),
        {"b": [1]},
        r"Independent: no column 'a' in columns b: expected a; add it",
    ),
    (Independent({"a": Poisson()}), [1, 2], r"Independent: no column 'a' in a list: expected a; add it"),
    (
        Independent({"a": Poisson()}),
        {"a": [nan, -1]},
        r"column 'a': Poisson: observations\[1\] = -1: exp",
    ),
    (Independent({"a": Poisson()}), {"a": [nan, nan]}, r"column 'a' has no observed value: expected"),
    (
        Independent({"a": Poisson(), "b": Poisson()}),
        {"a": [1, 2], "b": [1]},
        r"Independent: columns of a 2, b 1 rows: expected equal lengths; ",
    ),
    (
        Independent((Poisson(), Gaussian())),
        [[1, 2, 3]],
        r"Independent: observations of shape \(1, 3\): expected \(N, 2\)",
    ),
]


@pytest.mark.parametrize(("family", "x", "message"), MESSAGES, ids=lambda v: v[:40] if isinstance(v, str) else "")
def test_bad_observations(family, x, message) -> None:
    with pytest.raises(ValueError, match="^" + message) as caught:
        family.declare(x)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: Gaussian("banded"),
            ValueError,
            "Gaussian: covariance='banded': expected one of full, diagonal",
        ),
        (
            lambda: Gaussian().constraints(),
            ValueError,
            "Gaussian: dim=None: expected a number; give dim or call",
        ),
        (lambda: Categorical().constraints(), ValueError, "Categorical: categories=None: expected a number"),
        (lambda: Custom(3, {}), TypeError, "Custom: log_density=3: expected a function"),
        (lambda: Custom(max, {"a": 3.0}), TypeError, r"Custom: params\['a'\] = 3.0: expected a constraint"),
        (
            lambda: Independent({"a": 3}),
            TypeError,
            "Independent: column=3: expected a family such as lem.families.Poisson",
        ),
        (lambda: Independent({}), TypeError, "Independent: no families: expected at least one"),
    ],
)
def test_bad_declarations(make, error, message) -> None:
    with pytest.raises(error, match="^" + message):
        make()


def test_declare_fills_in_what_the_data_say() -> None:
    family, x = Gaussian().declare([1.0, 2.0])
    assert family == Gaussian(dim=1) and x.shape == (2, 1)
    assert Gaussian().declare([[1.0, nan], [2.0, 3.0]])[0] == Gaussian(dim=2, missing=True)
    assert Categorical().declare([0, 2, 1])[0] == Categorical(3)
    assert Multinomial().declare([[1, 2, 3], [0, 0, 5]])[0] == Multinomial(3, trials=6)
    assert StudentT().declare([1.0, 2.0])[0] == StudentT(1)
    family, x = Independent({"a": Categorical(), "b": Gaussian()}).declare({"a": [0, nan], "b": [1.0, 2.0], "c": "x"})
    assert family.parts == {"a": Categorical(1), "b": Gaussian(dim=1)} and family.missing == (True, False)
    assert sorted(x) == ["a", "b"] and x["b"].shape == (2, 1)
    assert Poisson().declare(np.array([[1], [2]], dtype=object))[1].dtype == np.float64
