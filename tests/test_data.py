"""The door for user data: what it accepts, and the one line it refuses the rest with."""

import re
import tracemalloc
from collections import OrderedDict
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from latentem.data import door as data


class Columns(NamedTuple):
    a: Any
    b: Any


TABLE = {"b": [1.0, 2.0, 3.0], "a": [4, 5, 6]}
TABLES = [pd.DataFrame(TABLE), pl.DataFrame(TABLE), pa.table(TABLE)]


def refused(error: type[Exception], pattern: str, observations: Any, weights: Any = None) -> None:
    with pytest.raises(error, match=pattern) as info:
        data.read(observations, weights)
    assert "\n" not in str(info.value)


def test_array_is_not_copied() -> None:
    x = np.arange(6.0).reshape(3, 2)
    read = data.read(x)
    assert read.observations is x
    assert (read.n, read.total) == (3, 3.0)
    np.testing.assert_array_equal(read.weights, np.ones(3))


def test_jax_array_stays_one() -> None:
    x = jnp.arange(3.0)
    assert data.read(x).observations is x


def test_list_of_rows_is_one_array() -> None:
    assert data.read([[1, 2], [3, 4], [5, 6]]).observations.shape == (3, 2)


def test_pytrees_keep_their_structure_and_order() -> None:
    read = data.read({"b": (np.ones(2), [1, 2]), "a": {"z": [True, False], "y": np.zeros((2, 3))}})
    assert list(read.observations) == ["b", "a"]
    assert list(read.observations["a"]) == ["z", "y"]
    assert isinstance(read.observations["b"], tuple)
    named = data.read(Columns([1.0], OrderedDict(c=[2.0])))
    assert isinstance(named.observations, Columns)
    assert isinstance(named.observations.b, OrderedDict)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int64", "uint8", "bool"])
def test_dtype_is_kept(dtype: str) -> None:
    assert data.read(np.ones(3, dtype)).observations.dtype == dtype


def test_bfloat16_is_a_number() -> None:
    assert data.read(jnp.ones(2, "bfloat16")).observations.dtype == jnp.bfloat16
    refused(ValueError, "inf", jnp.array([1.0, jnp.inf], "bfloat16"))


def test_foreign_byte_order_is_mended() -> None:
    x = np.array([1.0, 2.0], ">f8")
    assert data.read(x).observations.dtype.isnative
    np.testing.assert_array_equal(data.read(x).observations, [1.0, 2.0])


def test_nan_is_allowed() -> None:
    assert np.isnan(data.read([1.0, np.nan]).observations[1])


def test_masked_entries_become_nan() -> None:
    x = np.ma.masked_array([1, 2, 3], mask=[False, True, False])
    np.testing.assert_array_equal(data.read(x).observations, [1.0, np.nan, 3.0])


@pytest.mark.parametrize("table", TABLES, ids=lambda table: type(table).__module__.split(".")[0])
def test_table_becomes_columns(table: Any) -> None:
    read = data.read(table)
    assert list(read.observations) == ["b", "a"]
    assert read.observations["b"].dtype == np.float64
    assert read.observations["a"].dtype.kind == "i"
    np.testing.assert_array_equal(data.as_matrix(table, ["a"]), [[4.0], [5.0], [6.0]])
    assert data.read({"left": table, "y": [0, 1, 0]}).observations["left"]["a"].tolist() == [4, 5, 6]


NULLS = {"x": [1, None, 3], "flag": [True, False, None]}


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"x": pd.array([1, None, 3], "Int64"), "flag": pd.array([True, False, None], "boolean")}),
        pl.DataFrame(NULLS),
        pa.table(NULLS),
    ],
    ids=["pandas", "polars", "pyarrow"],
)
def test_nulls_of_a_table_become_nan(table: Any) -> None:
    read = data.read(table).observations
    np.testing.assert_array_equal(read["x"], [1.0, np.nan, 3.0])
    np.testing.assert_array_equal(read["flag"], [1.0, 0.0, np.nan])


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_text_column_is_named(make: Any) -> None:
    refused(TypeError, "column 'who' of observations holds text", make({"x": [1.0], "who": ["me"]}))


def test_lazy_table_is_refused() -> None:
    refused(TypeError, "polars LazyFrame.*collect", pl.LazyFrame(TABLE))


def test_table_without_narwhals_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "narwhals", None)
    refused(TypeError, re.escape('pip install "latentem[frames]"'), pd.DataFrame(TABLE))


def test_series_are_columns() -> None:
    read = data.read({"p": pd.Series([1.0, 2.0]), "q": pl.Series([1, 2])}, weights=pd.Series([1, 3]))
    assert read.total == 4.0
    assert read.observations["q"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("observations", "pattern"),
    [
        (np.empty((0, 3)), "0 rows"),
        ([], "0 rows"),
        ({}, "no array"),
        (3.0, "observations is a scalar"),
        ((1.0, 2.0), r"observations\[0\] is a scalar"),
        ({"a": [1.0, 2.0], "b": [1.0]}, r"observations\['a'\] has 2, observations\['b'\] has 1"),
        ([[1.0, 2.0], [3.0]], "rows differ in length"),
        ({"b": [0.0] * 17 + [np.inf]}, r"^observations\['b'\]\[17\] = inf: expected finite"),
        (np.array([[0, 1], [-np.inf, np.inf]]), r"observations\[1, 0\] = -inf"),
        (np.array([np.nan, np.inf], "float16"), r"observations\[1\] = inf"),
        (jnp.array([np.nan, np.inf]), r"observations\[1\] = inf"),
    ],
)
def test_bad_values(observations: Any, pattern: str) -> None:
    refused(ValueError, pattern, observations)


@pytest.mark.parametrize(
    ("observations", "pattern"),
    [
        (["a", "b"], "observations holds text"),
        (np.array([b"a"]), "text"),
        ({"x": [1.0, {}]}, r"observations\['x'\] holds objects"),
        ([1j], "complex"),
        (np.array(["2020-01-01"], "datetime64[D]"), "dates"),
        (np.zeros(2, [("a", "M8[D]")]), "column 'a' of observations holds dates"),
        (object(), "objects"),
    ],
)
def test_bad_types(observations: Any, pattern: str) -> None:
    refused(TypeError, pattern, observations)


@pytest.mark.parametrize(
    ("weights", "error", "pattern"),
    [
        ([1.0], ValueError, r"shape \(1,\): expected \(2,\)"),
        ([[1.0], [2.0]], ValueError, r"shape \(2, 1\)"),
        (1.0, ValueError, r"shape \(\)"),
        ([1.0, -2.0], ValueError, r"weights\[1\] = -2.0"),
        ([np.nan, 1.0], ValueError, r"weights\[0\] = nan"),
        ([1.0, np.inf], ValueError, r"weights\[1\] = inf"),
        ([0.0, 0.0], ValueError, "all 0"),
        ([[1.0, 2.0], [1.0]], ValueError, "not an array"),
        (["a", "b"], TypeError, "entries of type"),
    ],
)
def test_bad_weights(weights: Any, error: type[Exception], pattern: str) -> None:
    refused(error, pattern, [1.0, 2.0], weights)


def test_weights_are_float64() -> None:
    read = data.read([1, 2], weights=np.array([2, 0]))
    assert read.weights.dtype == np.float64
    assert read.total == 2.0


def test_checking_large_data_allocates_little() -> None:
    x = np.zeros((400_000, 10))
    x[-1, -1] = np.nan
    weights = np.ones(400_000)
    data.read(x, weights)
    tracemalloc.start()
    data.read(x, weights)
    data.read(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * data.BLOCK_BYTES


def test_infinity_is_found_in_a_late_block() -> None:
    x = np.zeros((data.BLOCK_BYTES + 5, 2), "float32")
    x[-2, 1] = np.inf
    refused(ValueError, rf"observations\[{len(x) - 2}, 1\] = inf", x)


def test_matrix_of_columns_in_the_users_order() -> None:
    columns = {"b": np.array([1, 2]), "a": np.array([[3.0, 4.0], [5.0, 6.0]])}
    np.testing.assert_array_equal(data.as_matrix(columns), [[1, 3, 4], [2, 5, 6]])
    np.testing.assert_array_equal(data.as_matrix(columns, ["a"]), [[3, 4], [5, 6]])
    np.testing.assert_array_equal(data.as_matrix((np.array([1.0]), [2])), [[1.0, 2.0]])
    np.testing.assert_array_equal(data.as_matrix(data.read(columns).observations), [[1, 3, 4], [2, 5, 6]])


def test_matrix_of_arrays() -> None:
    x = np.ones((3, 2), "float32")
    assert data.as_matrix(x) is x
    assert data.as_matrix([1, 2, 3]).dtype == np.float64
    assert data.as_matrix([1, 2, 3]).shape == (3, 1)
    np.testing.assert_array_equal(data.as_matrix(np.arange(6).reshape(2, 3), [2, 0]), [[2, 0], [5, 3]])


@pytest.mark.parametrize(
    ("observations", "columns", "pattern"),
    [
        (np.zeros((2, 2, 2)), None, r"shape \(2, 2, 2\)"),
        ({"a": [1.0]}, ["b"], "no column is called 'b': choose from a"),
        ({"a": [1.0]}, "a", "expected a list of names"),
        (np.zeros((2, 2)), [2], "no column 2: the array has columns 0 to 1"),
        (np.zeros((2, 2)), ["a"], "expected names for a dict"),
        (np.zeros(2), [0], "expected names for a dict"),
        ({"a": [1.0], "b": [1.0, 2.0]}, None, "has 1, "),
        ({}, None, "no array"),
    ],
)
def test_bad_matrix(observations: Any, columns: Any, pattern: str) -> None:
    with pytest.raises(ValueError, match=pattern):
        data.as_matrix(observations, columns)


def test_cast_touches_real_numbers_only(x64: None) -> None:
    tree = {
        "x": np.ones(2, "float32"),
        "k": np.ones(2, "int32"),
        "f": np.array([True]),
        "j": jnp.ones(2, "float32"),
    }
    cast = data.cast(tree, "float64")
    assert [leaf.dtype.name for leaf in cast.values()] == ["float64", "int32", "bool", "float64"]
    assert data.cast(cast, "float64")["x"] is cast["x"]


def test_cast_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"observations\['x'\] holds numbers above 3.403e\+38, the largest float32"):
        data.cast({"x": np.array([1e300])}, "float32")
