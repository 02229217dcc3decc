"""`latentem impute`: files of numbers and of text, completed."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import latentem as lem
from latentem.cli import main


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_numbers_are_filled_in_once_and_several_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    air = lem.datasets.airquality()
    names = ("ozone", "solar", "wind", "temperature")
    rows = np.stack([np.asarray(air.columns[name]) for name in names], axis=1)
    path = tmp_path / "air.csv"
    lines = [",".join("" if np.isnan(v) else repr(float(v)) for v in row) for row in rows]
    path.write_text("\n".join([",".join(names), *lines]) + "\n")
    assert main(["impute", str(path), "--out", str(tmp_path / "out"), "--copies", "2"]) == 0
    told = capsys.readouterr().out
    assert "44 of 612 entries are missing" in told and "completed.csv" in told
    done = np.array([[float(row[name]) for name in names] for row in read(tmp_path / "out" / "completed.csv")])
    fit = lem.fit(lem.MultivariateNormal(), rows)
    np.testing.assert_allclose(done, fit.impute(), rtol=1e-6)
    copies = [read(tmp_path / "out" / f"copy_{i}.csv") for i in (1, 2)]
    assert copies[0][4]["ozone"] != copies[1][4]["ozone"] and copies[0][0] == copies[1][0]


@pytest.mark.slow
def test_text_is_filled_in_with_labels(tmp_path: Path) -> None:
    lines = ["size,kind", *(f"{i % 2 * 10 + i / 10},{'ab'[i % 2]}" for i in range(24)), "10.3,", "0.2,"]
    path = tmp_path / "kinds.csv"
    path.write_text("\n".join(lines) + "\n")
    options = ["--components", "2", "--starts", "2", "--out", str(tmp_path / "out")]
    assert main(["impute", str(path), *options]) in (0, 3)
    done = read(tmp_path / "out" / "completed.csv")
    assert [row["kind"] for row in done[-2:]] == ["b", "a"] and len(done) == 26


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a,b\n1,2\n3,\n", ["--copies", "2"], "--copies: there is nowhere to write them: expected --out DIR as well"),
        ("a,b\n1,x\n3,\n4,x\n", [], "column 'b' has one category, 'x': expected at least 2"),
        ("a,b\n1,\n3,\n", [], "column 'b' has no value at all: expected numbers"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(
    text: str, options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "data.csv"
    path.write_text(text)
    assert main(["impute", str(path), *options]) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1
