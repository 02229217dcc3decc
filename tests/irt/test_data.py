"""Answers in long format, reversed keys, persons without answers, tables of other libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import latentem as lem
from latentem import datasets

ITEMS = [f"item_{j}" for j in range(1, 6)]


def test_long_format_is_the_table_it_came_from() -> None:
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 2, (7, 3)).astype(float)
    wide[2, 1] = wide[5] = np.nan
    person, item = np.nonzero(~np.isnan(wide))
    shuffled = rng.permutation(len(person))
    person, item = person[shuffled], item[shuffled]
    table = lem.responses(person, [f"q{j}" for j in item], wide[person, item])
    order = list(dict.fromkeys(person.tolist()))
    for j in range(3):
        np.testing.assert_array_equal(table[f"q{j}"], wide[order, j])


def test_two_answers_to_one_item() -> None:
    with pytest.raises(ValueError, match="row 2: person 7 answered item a twice"):
        lem.responses([7, 8, 7], ["a", "a", "a"], [0, 1, 1])


def test_a_reversed_key_and_an_empty_person_are_told() -> None:
    data = datasets.lsat7()
    answers = data.matrix(*ITEMS)
    answers[:, 2] = 1 - answers[:, 2]
    answers = np.vstack([answers, np.full(5, np.nan)])
    fit = lem.fit(lem.IRT("2pl"), answers, weights=np.append(data.frequency, 1))
    assert fit.log_likelihood == pytest.approx(-2658.805114, abs=1e-6)
    assert "item 'item_3' has slope -1.71, against the others: is its key reversed?" in fit.notes
    assert "1 of 33 persons answered no item: they say nothing of the items" in fit.summary()


def test_tables_of_other_libraries_and_other_codes() -> None:
    data = datasets.lsat7()
    columns = {name: data.columns[name] for name in ITEMS}
    frame = pd.DataFrame(columns)
    coded = pl.DataFrame({name: 3 * column + 2 for name, column in columns.items()})
    fits = [lem.fit(lem.IRT("2pl"), table, weights=data.frequency) for table in (frame, coded)]
    assert fits[0].log_likelihood == pytest.approx(-2658.805113632, abs=1e-6)
    assert fits[1].log_likelihood == fits[0].log_likelihood
    assert fits[1].model.declaration.seen.categories == ((2, 5),) * 5
    # New persons are read with the codes of the fit.
    new = fits[1].log_prob({name: [5, 2] for name in ITEMS})
    np.testing.assert_allclose(new, fits[0].log_prob({name: [1, 0] for name in ITEMS}), rtol=1e-12)


@pytest.mark.parametrize("library", [pytest.param(pd.DataFrame, marks=pytest.mark.slow), pl.DataFrame])
def test_a_table_may_hold_text_beside_the_items(library: Any) -> None:
    rng = np.random.default_rng(0)
    columns = {f"q{j}": rng.integers(0, 2, 200) for j in range(3)}
    text = {"who": [f"person {n}" for n in range(200)], "school": ["east", "west"] * 100}
    fit = lem.fit(lem.IRT("2pl", items=list(columns), group="school"), library({**columns, **text}))
    assert fit.model.declaration.seen.groups == ("east", "west")
    plain = lem.fit(lem.IRT("2pl", group="school"), {**columns, "school": np.array(text["school"])})
    assert fit.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-9)
