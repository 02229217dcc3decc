"""`latentem irt`: what it prints and writes, and one line for every bad input."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from latentem import datasets

KEYS = (
    "model n_observations n_parameters log_likelihood log_prior aic bic status iterations evaluations "
    "seconds parameters standard_errors notes m2 grid"
).split()
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(run: Run) -> Run:
    """`latentem irt`."""
    return partial(run, "irt")


def lsat7(folder: Path) -> Path:
    data = datasets.lsat7()
    names = [*(f"Item_{j}" for j in range(1, 6)), "Freq"]
    table = np.column_stack([data.matrix(*(name.lower() for name in names[:5])), data.frequency]).astype(int)
    path = folder / "lsat7.csv"
    np.savetxt(path, table, fmt="%d", delimiter=",", header=",".join(names), comments="")
    return path


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_figures_in_the_files(run: Run, tmp_path: Path) -> None:
    # R's mirt 1.47.
    code, printed, errors = run(lsat7(tmp_path), "--model", "2pl", "--weights", "Freq", "--out", "fit")
    assert (code, errors) == (0, "")
    fit = json.loads((tmp_path / "fit" / "fit.json").read_text(encoding="utf-8"))
    assert list(fit) == KEYS
    assert fit["log_likelihood"] == pytest.approx(-2658.805114, abs=1e-6)
    assert fit["m2"]["M2"] == pytest.approx(11.9384123, abs=1e-4) and fit["m2"]["df"] == 5
    items = read(tmp_path / "fit" / "items.csv")
    assert [row["item"] for row in items] == [f"Item_{j}" for j in range(1, 6)]
    for name, expected in (
        ("slope", [0.98754593, 1.08083715, 1.70747754, 0.76498989, 0.73567267]),
        ("slope_se", [0.17719483, 0.16876390, 0.32107694, 0.13412030, 0.15113395]),
        ("difficulty", [-1.87926011, -0.74754055, -1.05723563, -0.63530227, -2.52076436]),
        ("S_X2", [4.75054013, 14.45345272, 1.27265976, 5.23648242, 0.94094197]),
        ("df_S_X2", [2, 2, 2, 2, 2]),
    ):
        np.testing.assert_allclose([float(row[name]) for row in items], expected, rtol=2e-6, err_msg=name)
    scores = read(tmp_path / "fit" / "scores.csv")
    assert len(scores) == 32
    assert float(scores[0]["theta"]) == pytest.approx(-1.86978348, abs=1e-6)
    assert float(scores[0]["theta_se"]) == pytest.approx(0.69269966, abs=1e-6)
    assert "Item_3" in printed and "wrote" in printed


@pytest.mark.parametrize(("again", "how"), [((), " by a Newton step"), (("--check-grid",), "")])
def test_the_grid_is_doubled_and_the_change_reported(
    run: Run, tmp_path: Path, again: tuple[str, ...], how: str
) -> None:
    options = ("--weights", "Freq", "--items", "Item_1,Item_2,Item_3", "--out", "fit")
    code, printed, _ = run(lsat7(tmp_path), *options, *again)
    found = json.loads((tmp_path / "fit" / "fit.json").read_text(encoding="utf-8"))["grid"]
    assert code == 0 and f"{found['log_likelihood']:+.2e}, largest change of a param{how} " in printed
    assert printed.count("61 -> 121 nodes: log-likelihood") == 1 + len(again)
    assert found["nodes"] == [61, 121]
    assert 0 < abs(found["log_likelihood"]) < 1e-5 and 0 < found["in_errors"] < 1e-3


def test_a_fit_that_stopped_early_has_no_change_to_report(run: Run, tmp_path: Path) -> None:
    options = ("--weights", "Freq", "--items", "Item_1,Item_2,Item_3", "--max-iterations", 1, "--out", "fit")
    code, printed, _ = run(lsat7(tmp_path), *options)
    assert code == 3 and "nodes" not in printed
    assert json.loads((tmp_path / "fit" / "fit.json").read_text(encoding="utf-8"))["grid"] is None


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("a,b\n1,0\n0,1\n", "--model 5pl", "invalid choice: '5pl'"),
        ("a,b\n1,0\n0,1\n", "--items a,c", "has no column 'c'"),
        ("a,b\n1,0\n0,1\n", "--weights a --items a,b", "column 'a' is also among --items"),
        ("a,b\n1,0.5\n0,1\n", "", "item 'b' holds 0.5: expected whole numbers"),
        ("a,b\n1,1\n0,1\n", "", "item 'b' has one category (all answers are 1)"),
        ("a,b\n1,0\n2,1\n0,1\n", "", "item 'a' has 3 categories (0, 1, 2): item model '2pl' takes 2"),
        (
            "a,b,n\n1,0,-1\n0,1,2\n",
            "--model rasch --weights n",
            "column 'n' on line 2 = -1.0: expected finite numbers of at least 0",
        ),
        ("a,b\n1,0\n0,1\n", "", "the answers to 2 items determine at most 3 params"),
        ("a,b,n\n1,0,\n0,1,2\n", "--weights n", "column 'n' has no value on line 2"),
        ("a,b\n1,0\n0,1\n", "--guessing-prior 0.2", "expected two numbers, like -1.5,1"),
        ("a,b\n1,x\n0,1\n", "", "column 'b' holds text, 'x' on line 2"),
    ],
)
def test_bad_input(run: Run, tmp_path: Path, text: str, options: str, said: str) -> None:
    (tmp_path / "data.csv").write_text(text)
    code, printed, errors = run("data.csv", *options.split())
    assert (code, printed) == (2, "")
    assert said in errors and errors.count("\n") == 1
