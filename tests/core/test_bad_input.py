"""Bad input is refused in one line that says what came and what to do, before anything is compiled."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from contracts.programs import programs
from contracts.registry import POISSON, counts, poisson

import latentem as lem

X = counts(np.random.default_rng(0), 24)
PLANE = np.random.default_rng(1).normal(size=(24, 2))
MODEL = lem.Model(poisson, lem.Finite(2), POISSON)
START = {"weight": [0.5, 0.5], "rate": [1.0, 3.0]}
KEY = jax.random.key(0)


def a_vector(params: Any, x: Any, z: Any) -> Any:
    return jnp.stack([x, x]) * params["rate"][z]


def an_integer(params: Any, x: Any, z: Any) -> Any:
    return z


def a_string(params: Any, x: Any, z: Any) -> Any:
    return "log p"


def fails(params: Any, x: Any, z: Any) -> Any:
    return params["rates"][z]


def declared(density: Any) -> lem.Model:
    return lem.Model(density, lem.Finite(2), POISSON)


CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "no rows": (lambda: lem.fit(MODEL, np.zeros(0), key=KEY), "0 rows"),
    "no rows, ready model": (
        lambda: lem.fit(lem.GaussianMixture(2), np.zeros((0, 2)), key=KEY),
        "at least one row",
    ),
    "wrong rank": (lambda: lem.fit(lem.GaussianMixture(2), np.zeros((4, 3, 2)), key=KEY), r"shape \(4, 3, 2\)"),
    "a scalar": (lambda: lem.fit(MODEL, 3.0, key=KEY), "scalar"),
    "infinity": (lambda: lem.fit(MODEL, np.r_[X, np.inf], key=KEY), r"\[24\] = inf"),
    "infinity, ready model": (lambda: lem.fit(lem.GaussianMixture(2), np.r_[PLANE, [[1, np.inf]]], key=KEY), "inf"),
    "negative weight": (lambda: lem.fit(MODEL, X, weights=-np.ones(24), key=KEY), r"weights\[0\] = -1"),
    "weights of another length": (lambda: lem.fit(MODEL, X, weights=np.ones(3), key=KEY), r"expected \(24,\)"),
    "weights all zero": (lambda: lem.fit(MODEL, X, weights=np.zeros(24), key=KEY), "all 0"),
    "a string column": (
        lambda: lem.fit(MODEL, pd.DataFrame({"x": ["a", "b"]}), key=KEY),
        "column 'x' of observations holds text, not numbers",
    ),
    "counts below 0": (lambda: lem.fit(lem.Mixture(lem.families.Poisson(), 2), X - 1, key=KEY), "-1"),
    "counts that are no integers": (
        lambda: lem.fit(lem.Mixture(lem.families.Poisson(), 2), X + 0.5, key=KEY),
        "= 15.5: expected counts",
    ),
    "more components than rows": (lambda: lem.fit(lem.GaussianMixture(9), PLANE[:5], key=KEY), "components=9 > 5"),
    "more clusters than rows": (lambda: lem.fit(lem.KMeans(9), PLANE[:5], key=KEY), "clusters=9 > 5"),
    "initial outside": (
        lambda: lem.fit(MODEL, X, initial={"weight": [0.5, 0.6], "rate": [1.0, 3.0]}),
        r"params\['weight'\] = \[0.5, 0.6\]: expected",
    ),
    "initial negative": (lambda: lem.fit(MODEL, X, initial={**START, "rate": [-1.0, 3.0]}), r"params\['rate'\]"),
    "initial of another shape": (lambda: lem.fit(MODEL, X, initial={**START, "rate": [1.0]}), r"shape \(1,\)"),
    "initial without a parameter": (lambda: lem.fit(MODEL, X, initial={"rate": [1.0, 3.0]}), "missing entry 'weight'"),
    "a vector": (lambda: lem.fit(declared(a_vector), X, key=KEY), r"array of shape \(2,\): expected a scalar"),
    "an integer": (lambda: lem.fit(declared(an_integer), X, key=KEY), "expected a real log-density"),
    "a string": (lambda: lem.fit(declared(a_string), X, key=KEY), "<class 'str'>"),
    "a density that fails": (lambda: lem.fit(declared(fails), X, key=KEY), "KeyError: 'rates'"),
    "no key": (lambda: lem.fit(MODEL, X), "pass key=0, or any other seed"),
    "no model": (lambda: lem.fit(poisson, X, key=KEY), "expected lem.Model"),
    "no latent": (lambda: lem.Model(poisson, 2, POISSON), "expected lem.Finite"),  # type: ignore[arg-type]
    "no constraint": (lambda: lem.Model(poisson, lem.Finite(2), {"rate": 2.0}), "expected a constraint"),
    "dtype": (lambda: lem.fit(MODEL, X, key=KEY, dtype="float16"), "expected 'float64' or 'float32'"),
    "tolerance": (lambda: lem.fit(MODEL, X, key=KEY, tolerance=-1.0), "tolerance=-1.0"),
    "max_iterations": (lambda: lem.fit(MODEL, X, key=KEY, max_iterations=0), "max_iterations=0"),
    "starts": (lambda: lem.fit(MODEL, X, key=KEY, starts=0), "starts=0"),
    "m_step": (lambda: lem.fit(MODEL, X, initial=START, m_step="exact"), "m_step='exact'"),
    "closed, where there is none": (lambda: lem.fit(MODEL, X, initial=START, m_step="closed"), "no closed form"),
    "compress": (lambda: lem.fit(MODEL, X, initial=START, compress="maybe"), "compress='maybe'"),
    "covariance": (lambda: lem.GaussianMixture(2, "round"), "covariance='round'"),
    "components": (lambda: lem.GaussianMixture(0), "components=0"),
    "shared name": (lambda: lem.fit(lem.Mixture(lem.families.Poisson(), 2, shared=("scale",)), X, key=KEY), "'scale'"),
}


@pytest.mark.parametrize("name", CASES)
def test_refused_in_one_line(name: str) -> None:
    call, told = CASES[name]
    with programs() as seen, pytest.raises((ValueError, TypeError), match=told) as error:
        call()
    assert "\n" not in str(error.value)
    # Looking at shapes traces, and options are looked at when data are on the device, so that small programs that
    # convert arrays may have run; none that a model takes part in.
    models = ("begin", "advance", "expansion", "_screened", "_drawn_by_model", "<lambda>")
    compiled = [line for line in seen if line.startswith(("Compiling", "Finished XLA"))]
    assert [line for line in compiled if any(f"jit({name})" in line for name in models)] == []


def test_an_impossible_observation_is_named() -> None:
    with pytest.raises(ValueError, match="log p.x. is -inf at the initial params for 1 of .* row 3: check it") as error:
        lem.fit(MODEL, np.where(np.arange(24) == 3, -1.0, X), initial=START)
    assert "\n" not in str(error.value)
