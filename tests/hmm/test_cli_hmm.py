"""`latentem hmm`: what it prints and writes, and one line for every bad input."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import poisson

from latentem import datasets

KEYS = (
    "model n_observations n_parameters log_likelihood log_prior aic bic status iterations evaluations "
    "seconds parameters standard_errors notes"
).split()
# EM in NumPy with random restarts: earthquakes, three states, free start (Zucchini and MacDonald 2009, table 3.1, have
# 329.4603 with a stationary one).
EARTHQUAKES = -328.527483
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(run: Run) -> Run:
    """`latentem hmm`."""
    return partial(run, "hmm")


def forward_backward(params: Any, emission: np.ndarray) -> tuple[float, np.ndarray]:
    """(log p(x), smoothed) of one sequence, by the textbook."""
    first, matrix = np.array(params["initial"]), np.array(params["transition"])
    alpha, beta = np.zeros_like(emission), np.ones_like(emission)
    alpha[0] = first * emission[0]
    for t in range(1, len(emission)):
        alpha[t] = alpha[t - 1] @ matrix * emission[t]
    for t in range(len(emission) - 1, 0, -1):
        beta[t - 1] = matrix @ (emission[t] * beta[t])
    evidence = alpha[-1].sum()
    return float(np.log(evidence)), alpha * beta / evidence


THREE = ("--columns", "count", "--states", 3, "--emission", "poisson", "--starts", 8, "--seed", 0)


def test_earthquakes(run: Run) -> None:
    data = datasets.earthquakes()
    lines = [f"{year},{count}\n" for year, count in zip(data.year, data.count, strict=True)]
    Path("earthquakes.csv").write_text("year,count\n" + "".join(lines))
    code, printed, errors = run("earthquakes.csv", *THREE, "--out", "new/folder")
    assert (code, errors) == (0, "")
    assert "earthquakes.csv, columns count\n" in printed and "-328.527483" in printed
    assert "wrote new/folder/fit.json and new/folder/states.csv" in printed
    found = json.loads(Path("new/folder/fit.json").read_text())
    assert list(found) == KEYS
    assert found["log_likelihood"] == pytest.approx(EARTHQUAKES, abs=1e-6)
    # On the boundary: of one sequence the first state is certain.
    assert (found["status"], found["n_observations"], found["n_parameters"]) == ("boundary", 107, 2 + 6 + 3)
    assert sorted(found["parameters"]["initial"]) == pytest.approx([0, 0, 1], abs=1e-6)
    assert found["bic"] == pytest.approx(-2 * EARTHQUAKES + 11 * np.log(107), abs=1e-5)
    assert set(found["parameters"]) == {"initial", "transition", "emission"}
    lines = Path("new/folder/states.csv").read_text().splitlines()
    assert lines[0] == "row,state,state_0,state_1,state_2" and len(lines) == 108
    table = np.loadtxt(lines[1:], delimiter=",")
    assert table[:, 0].tolist() == list(range(1, 108))
    emission = poisson.pmf(data.count[:, None], found["parameters"]["emission"]["rate"])
    log_likelihood, smoothed = forward_backward(found["parameters"], emission)
    assert log_likelihood == pytest.approx(EARTHQUAKES, abs=1e-6)
    np.testing.assert_allclose(table[:, 2:], smoothed, atol=1e-9)
    assert set(table[:, 1]) == {0, 1, 2}
    assert np.mean(table[:, 1] == smoothed.argmax(axis=1)) > 0.9


def test_sequences_and_missing_rows(run: Run) -> None:
    data = datasets.earthquakes()
    place = np.repeat(["north", "south", "east"], [40, 60, 7])
    count = data.count.astype(float)
    count[[3, 40, 41]] = np.nan
    cells = ["" if np.isnan(c) else f"{c:.0f}" for c in count]
    Path("places.csv").write_text("place,count\n" + "".join(f"{p},{c}\n" for p, c in zip(place, cells, strict=True)))
    code, printed, errors = run("places.csv", *THREE, "--sequence", "place", "--out", "fit")
    assert (code, errors) == (0, "")
    assert "places.csv, columns count, 3 sequences\n" in printed
    found = json.loads(Path("fit/fit.json").read_text())
    names = np.loadtxt("fit/states.csv", delimiter=",", skiprows=1, usecols=1, dtype=str)
    assert Path("fit/states.csv").read_text().startswith("row,place,state,") and names.tolist() == place.tolist()
    table = np.loadtxt("fit/states.csv", delimiter=",", skiprows=1, usecols=(3, 4, 5))
    emission = poisson.pmf(np.nan_to_num(count)[:, None], found["parameters"]["emission"]["rate"])
    emission[np.isnan(count)] = 1.0
    parts = [forward_backward(found["parameters"], part) for part in np.split(emission, [40, 100])]
    assert found["log_likelihood"] == pytest.approx(sum(value for value, _ in parts), abs=1e-8)
    np.testing.assert_allclose(table[:, :3], np.concatenate([smoothed for _, smoothed in parts]), atol=1e-9)


def test_not_converged(run: Run) -> None:
    Path("x.csv").write_text("count\n" + "".join(f"{c}\n" for c in datasets.earthquakes().count))
    code, _, errors = run("x.csv", *THREE, "--max-iterations", 2, "--out", "early")
    assert code == 3
    assert errors.startswith("latentem hmm: max_iterations: ") and errors.count("\n") == 1
    assert json.loads(Path("early/fit.json").read_text())["status"] == "max_iterations"
    assert len(Path("early/states.csv").read_text().splitlines()) == 108


GOOD = "id,a,b\nx,1,2.5\nx,2,1.5\ny,3,4\n"


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (GOOD, "--columns c", "no column 'c': its columns are id, a, b"),
        (GOOD, "--states 1", "no --columns: choose from the columns of data.csv: id, a, b"),
        (GOOD, "--columns a,id", "column 'id' holds text, 'x' on line 2: expected numbers"),
        (GOOD, "--columns a --sequence a", "--sequence a is also among --columns: expected different columns"),
        (GOOD, "--columns a --sequence place", "no column 'place'"),
        (GOOD, "--columns a --states 4", "states=4 > 3 steps: ask for fewer states"),
        (GOOD, "--columns a --states 0", "expected a whole number of at least 1"),
        (GOOD, "--columns a --starts none", "expected a whole number of at least 1"),
        (GOOD, "--columns a --emission normal", "invalid choice: 'normal' (choose from 'gaussian'"),
        (GOOD, "--columns a --initial first", "invalid choice: 'first' (choose from 'free', 'stationary')"),
        (GOOD, "--columns a --emission poisson --covariance full", "--covariance full goes with family gaussian"),
        (GOOD, "--columns b --emission poisson", "column 'b' on line 2 = 2.5: expected counts"),
        (GOOD, "--columns a --weights b", "no option --weights"),
        (GOOD, "--columns a --components 2", "no option --components"),
        (GOOD, "--columns a --out data.csv", "--out data.csv: File exists: expected a folder"),
        (
            "id,a\nx,1\ny,2\nx,3\n",
            "--columns a --sequence id",
            "'id' on line 4 goes back to a sequence that has ended",
        ),
        ("id,a\nx,1\n,2\n", "--columns a --sequence id", "column 'id' has no value on line 3; say which sequence"),
        ("a\n\n", "--columns a", "data.csv has a header and no rows"),
        ("a,b\n,1\n,2\n,3\n", "--columns a", "column 'a' has no value at all"),
        ("a\n1\ninf\n", "--columns a", "column 'a' holds inf on line 3: expected finite numbers"),
        ("a\n1\n1\n-2\n", "--columns a --emission poisson", "column 'a' on line 4 = -2: expected counts"),
    ],
)
def test_bad_input(run: Run, text: str, options: str, said: str) -> None:
    Path("data.csv").write_text(text)
    began = time.perf_counter()
    code, printed, errors = run("data.csv", "--states", 2, *options.split(" "))
    assert (code, printed) == (2, "")
    assert said in errors
    assert errors.startswith("latentem hmm: ") and errors.count("\n") == 1
    assert time.perf_counter() - began < 2, "bad input is told before anything is compiled"
