"""Fit of items: figures of R's mirt 1.47, expectations by enumeration, and how cells are collapsed."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import latentem as lem
from latentem import datasets
from latentem.models.irt.checked.item_fit import _chances, collapsed

ITEMS = [f"item_{j}" for j in range(1, 6)]


@pytest.fixture(scope="module")
def lsat7() -> lem.Fit:
    data = datasets.lsat7()
    return lem.fit(lem.IRT("2pl"), data.matrix(*ITEMS), weights=data.frequency)


def test_figures(lsat7: lem.Fit) -> None:
    found = lsat7.item_fit()
    for name, expected in (
        ("S_X2", [4.75054012594064, 14.4534527226964, 1.27265976415424, 5.23648242129691, 0.940941974811427]),
        ("df_S_X2", [2, 2, 2, 2, 2]),
        ("RMSEA_S_X2", [0.0371031900202665, 0.0789490932225877, 0, 0.0402474977075616, 0]),
        ("p_S_X2", [0.0929893728330787, 0.000726896569131326, 0.52923120502029, 0.0729310203953853, 0.624707969396772]),
        ("infit", [0.958175681360049, 0.815985946044458, 0.750099407729567, 0.881427505737484, 0.989220573286289]),
        ("z_outfit", [-3.14157123755187, -7.76518717802488, -7.05280593216926, -6.56304816493449, -1.90252022838871]),
        ("Zh", [1.4319980527196, 6.35233760006618, 5.3130860295428, 5.80078540121406, 0.696754852141634]),
    ):
        np.testing.assert_allclose(found[name], expected, rtol=2e-6, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_degrees_of_freedom_of_rating_scales_do_not_depend_on_the_order_of_items() -> None:
    # mirt 1.47 on its data set Science. It counts three thresholds and an offset for every item but the first, whose
    # offset is fixed at 0: one too many, since the curves of an item of four categories have three free intercepts.
    table = np.genfromtxt(Path(__file__).parent / "data" / "science.csv.gz", delimiter=",", names=True)
    names = table.dtype.names
    assert names is not None
    columns = {name: table[name] for name in names}
    found = lem.fit(lem.IRT("rsm"), columns).item_fit()
    mirt = [28.5113974120709, 11.244687548044, 21.2235705776174, 17.5809787044631]
    np.testing.assert_allclose(found["S_X2"], mirt, rtol=1e-5)
    assert found["df_S_X2"].tolist() == [9, 9 + 1, 9 + 1, 9 + 1]
    turned = lem.fit(lem.IRT("rsm"), dict(reversed(columns.items()))).item_fit()
    assert turned["df_S_X2"].tolist() == [10, 10, 10, 9]


def test_chances_given_the_sum_by_enumeration(lsat7: lem.Fit) -> None:
    irt: Any = lsat7.model.declaration
    patterns = np.array(list(product((0, 1), repeat=5)))
    p = np.exp(lsat7.log_prob(patterns))
    with jax.enable_x64(True):
        chances = np.asarray(_chances(irt, jax.tree.map(jnp.asarray, lsat7.params)))
    for total in range(6):
        there = patterns.sum(axis=1) == total
        right = (p[there] @ patterns[there]) / p[there].sum()
        np.testing.assert_allclose(chances[:, total, 1], right, atol=1e-12)


def test_cells_below_one_are_collapsed_and_nothing_is_lost() -> None:
    rng = np.random.default_rng(0)
    expected = np.array(
        [[0.4, 0.0, 0.0], [2.0, 0.6, 0.1], [9.0, 8.0, 0.2], [0.0, 0.0, 0.0], [3.0, 0.7, 9.0], [0.3, 0.4, 2.0]]
    )
    observed = rng.poisson(np.maximum(expected, 0.3)).astype(float)
    observed[3] = 0.0
    o, e = collapsed(observed, expected)
    assert np.nanmin(e) >= 1
    assert np.array_equal(np.isnan(o), np.isnan(e))
    assert np.nansum(e) == pytest.approx(expected.sum()) and np.nansum(o) == observed.sum()


def test_persons_with_missing_answers_do_not_count_for_sums(lsat7: lem.Fit) -> None:
    data = datasets.lsat7()
    some = np.vstack([data.matrix(*ITEMS), [[1, np.nan, 0, 1, 1]]])
    both = lem.fit(lem.IRT("2pl"), some, weights=np.append(data.frequency, 1e-9)).item_fit()
    np.testing.assert_allclose(both["S_X2"], lsat7.item_fit()["S_X2"], rtol=1e-6)


def test_groups_are_refused_in_one_line() -> None:
    rng = np.random.default_rng(1)
    data = {"responses": rng.integers(0, 2, (60, 4)), "g": np.repeat([0, 1], 30)}
    fit = lem.fit(lem.IRT("2pl", group="g"), data, max_iterations=2)
    with pytest.raises(ValueError, match="sum scores of several groups"):
        fit.item_fit()
