"""Indices out of range and params that nothing uses are found in a declaration; what is masked is left alone."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import latentem as lem
from latentem.model.strict import index_fault, strict, unused_params

SPACE = {"weight": lem.simplex(3), "table": lem.real((3, 4))}
PARAMS = {"weight": np.full(3, 1 / 3), "table": np.log(np.full((3, 4), 0.25))}


def looked_up(params: Any, x: Any, z: Any) -> Any:
    return jnp.log(params["weight"][z]) + params["table"][z, x]


def masked(params: Any, x: Any, z: Any) -> Any:
    return jnp.log(params["weight"][z]) + jnp.where(x >= 0, params["table"][z][x], 0.0)


def gathered(params: Any, x: Any, z: Any) -> Any:
    return jnp.log(params["weight"][z]) + jnp.sum(params["table"][z][jnp.stack([x, 0])])


def fault(f: Any, codes: list[int], size: int = 3) -> str:
    model = lem.Model(f, lem.Finite(size), SPACE)
    with jax.enable_x64(True):
        return index_fault(model, PARAMS, np.array(codes))


@pytest.mark.parametrize("f", [looked_up, gathered], ids=["one", "several"])
def test_codes_beyond_the_table_are_found(f: Any) -> None:
    assert fault(f, [0, 1, 2, 3]) == ""
    assert fault(f, [1, 2, 3, 4]) == "row 3 (x = 4) with z = 0"


def test_negative_codes_are_found_unless_they_are_masked() -> None:
    assert fault(looked_up, [0, -1, 2]) == "row 1 (x = -1) with z = 0"
    assert fault(masked, [0, -1, 2]) == ""
    assert fault(masked, [0, 4, 2]) == "row 1 (x = 4) with z = 0"


def test_more_latent_values_than_params_are_found() -> None:
    assert fault(looked_up, [0, 1], size=4) == "row 0 (x = 0) with z = 3"


def test_strict_is_the_function_where_every_index_is_there() -> None:
    def f(a: Any, i: Any) -> Any:
        return jax.nn.softmax(a[i] + a[i[::-1]][::-1], axis=-1)

    a, i = np.arange(12.0).reshape(4, 3), np.array([0, 3, 1])
    np.testing.assert_array_equal(strict(f)(a, i), f(jnp.asarray(a), jnp.asarray(i)))
    assert np.isnan(strict(f)(a, np.array([0, 4, 1]))).tolist() == [[False] * 3, [True] * 3, [False] * 3]


def test_params_that_appear_nowhere_are_named() -> None:
    space = {**SPACE, "extra": lem.real(), "known": lem.fixed(2.0)}
    assert unused_params(lem.Model(looked_up, lem.Finite(3), space), np.array([0, 1])) == ("extra",)
    assert unused_params(lem.Model(looked_up, lem.Finite(3), SPACE), np.array([0, 1])) == ()
