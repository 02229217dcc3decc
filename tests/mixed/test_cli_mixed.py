"""`latentem mixed`."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import latentem as lem

Run = Callable[..., tuple[int, str, str]]


def write(path: Path, columns: dict[str, np.ndarray]) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(columns)
        lines.writerows(zip(*(c.tolist() for c in columns.values()), strict=True))
    return path


@pytest.fixture
def calves(tmp_path: Path) -> tuple[Path, Path]:
    data = lem.datasets.mrode_calves()
    records = {name: data.columns[name] for name in ("calf", "sex", "gain_11")}
    lines = {name: data.columns[name] for name in ("calf", "sire", "dam")}
    return write(tmp_path / "calves.csv", records), write(tmp_path / "pedigree.csv", lines)


def test_an_animal_model_from_two_files(run: Run, calves: tuple[Path, Path], tmp_path: Path) -> None:
    formula = "gain_11 ~ 0 + sex + (1 | calf)"
    code, out, err = run("mixed", calves[0], "--formula", formula, "--pedigree", calves[1], "--out", tmp_path / "fit")
    assert (code, err) == (0, "")
    assert "log-likelihood -4.938548" in out and "Fixed effects:" in out
    told = json.loads((tmp_path / "fit" / "fit.json").read_text())
    assert told["status"] == "converged" and told["formula"] == formula
    with open(tmp_path / "fit" / "effects.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["level"] for row in rows) == list("12345678") and rows[0]["group"] == "calf"
    with open(tmp_path / "fit" / "components.csv", encoding="utf-8") as file:
        components = list(csv.DictReader(file))
    assert [row["group"] for row in components] == ["calf", "Residual"]
    assert float(components[0]["variance"]) == pytest.approx(0.5513555, abs=1e-6)


def test_maximum_likelihood(run: Run, tmp_path: Path) -> None:
    data = write(tmp_path / "dyes.csv", lem.datasets.dyestuff().columns)
    code, out, _ = run("mixed", data, "--formula", "grams ~ 1 + (1 | batch)", "--ml")
    assert code == 0 and "log-likelihood -163.663530" in out


def test_complaints_are_one_line_each(run: Run, calves: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "loop.csv").write_text("calf,sire,dam\n4,5,0\n5,4,0\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text("y,g\n")
    (tmp_path / "narrow.csv").write_text("calf\n4\n")
    formula = ("--formula", "gain_11 ~ 0 + sex + (1 | calf)")
    for arguments, expected in (
        ((tmp_path / "none.csv", *formula), "no such file"),
        ((tmp_path / "empty.csv", *formula), "is empty"),
        ((tmp_path / "header.csv", *formula), "no rows"),
        ((calves[0], "--formula", "weight ~ (1 | calf)"), "names 'weight', which is no column"),
        ((calves[0], "--formula", "gain_11 ~ sex"), "no random term"),
        ((calves[0], *formula, "--pedigree", tmp_path / "loop.csv"), "descends from itself"),
        ((calves[0], *formula, "--pedigree", tmp_path / "narrow.csv"), "1 columns: expected individual, sire, dam"),
        ((calves[0], *formula, "--pedigree", calves[1], "--individual", "cow"), "no random term has that grouping"),
        ((calves[0], *formula, "--individual", "calf"), "goes with --pedigree"),
        ((calves[0], *formula, "--weights", "count"), "has no column 'count'"),
    ):
        code, out, err = run("mixed", *arguments)
        assert (code, out) == (2, ""), expected
        assert expected in err and err.count("\n") == 1, err
