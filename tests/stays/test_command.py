"""The command keeps its results: written before anything is printed, whole or not at all, and read again."""

import csv
import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import latentem as lem
from latentem.cli import common
from latentem.cli.errors import OutputError, shown
from latentem.results import files

Run = Callable[..., tuple[int, str, str]]
COUNTS = [0, 1, 1, 2, 8, 9, 9, 7, 0, 1, 10, 8]
FAST = ("--components", 2, "--family", "poisson", "--starts", 1, "--max-iterations", 5)


def table(path: Path, name: str = "count", mark: str = ",") -> Path:
    rows = [f"person {i}{mark}{n}" for i, n in enumerate(COUNTS)]
    text = "\n".join([f"who{mark}{name}", *rows]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def test_what_was_fitted_predicts_new_rows(run: Run, tmp_path: Path) -> None:
    data = table(tmp_path / "a.csv.gz", mark=";")
    code, printed, _ = run("mixture", data, "--columns", "count", *FAST, "--id", "who", "--out", "fit")
    assert code in (0, 3) and str(Path("fit/responsibilities.csv")) in printed
    with open("fit/responsibilities.csv") as file:
        first = list(csv.reader(file))
    assert first[0] == ["who", "component", "component_0", "component_1"] and first[1][0] == "person 0"
    code, printed, told = run("predict", "fit", table(tmp_path / "b.csv"), "--id", "who", "--out", "new")
    assert (code, told) == (0, "") and "predictions.csv" in printed
    with open("new/predictions.csv") as file:
        found = list(csv.reader(file))
    np.testing.assert_allclose(
        np.array([row[1:] for row in found[1:]], float), np.array([row[1:] for row in first[1:]], float), rtol=1e-9
    )
    assert lem.load("fit/fit.npz").predict([0, 9]).tolist() == [int(found[1][1]), int(found[6][1])]
    code, _, told = run("predict", "fit", table(tmp_path / "c.csv", "other"), "--out", "new")
    assert code == 2 and "has no column 'count'" in told and told.count("\n") == 1
    code, _, told = run("predict", data, data, "--out", "new")
    assert code == 2 and "expected a file written by Fit.save" in told and told.count("\n") == 1


def test_a_full_disk_is_one_line_and_leaves_the_good_run(run: Run, tmp_path: Path, monkeypatch: Any) -> None:
    data = table(tmp_path / "a.csv")
    run("mixture", data, "--columns", "count", *FAST, "--out", "fit")
    before = {path.name: path.read_bytes() for path in Path("fit").iterdir()}
    real, left = files.written, [2]

    def full(path: Path, body: Any) -> Path:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        return real(path, body)

    monkeypatch.setattr(files, "written", full)
    code, printed, told = run("mixture", data, "--columns", "count", *FAST, "--seed", 1, "--out", "fit")
    assert (
        (code, printed) == (1, "") and told.count("\n") == 1 and "No space left on device; nothing was written" in told
    )
    assert {path.name: path.read_bytes() for path in Path("fit").iterdir()} == before


def test_names_reach_the_terminal_escaped() -> None:
    assert shown("a\x1b[31mb\n\tc\x07") == "a\\x1b[31mb\n\tc\\x07"


def test_output_that_the_terminal_cannot_show_is_escaped(tmp_path: Path) -> None:
    data = table(tmp_path / "a.csv", "größe")
    command = [
        sys.executable,
        "-m",
        "latentem.cli",
        "mixture",
        data,
        "--columns",
        "größe",
        *FAST,
        "--out",
        tmp_path / "o",
    ]
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )
    assert done.returncode in (0, 3) and rb"gr\xf6\xdfe" in done.stdout and (tmp_path / "o" / "fit.json").exists()


def test_results_are_all_there_or_none(tmp_path: Path) -> None:
    results = common.Results(tmp_path)
    results.table("a.csv", ["x"], [[1]])
    results.table("b.csv", ["x"], ([1 / 0] for _ in range(1)))
    with pytest.raises(ZeroDivisionError):
        results.write()
    results.parts["b.csv"] = lambda file: (_ for _ in ()).throw(OSError(5, "Input/output error"))
    with pytest.raises(OutputError, match="Input/output error; nothing was written"):
        results.write()
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
from latentem.cli.common import Results

def run(folder, version):
    results = Results(folder)
    content = str(version) * 400_000
    for name in ("fit.json", "table.csv", "items.csv"):
        results.text(name, lambda file: file.write(content))
    results.write()

random.seed(0)
folder = Path(sys.argv[1])
run(folder, 0)
for moment in range(10):
    child = os.fork()
    if child == 0:
        for version in range(1, 10_000):
            run(folder, version % 10)
        os._exit(0)
    time.sleep(0.02 + 0.02 * moment * random.random())
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = {name: (folder / name).read_text() for name in ("table.csv", "items.csv")}
    assert all(len(text) == 400_000 and len(set(text)) == 1 for text in found.values()), "half a file"
    if (folder / "fit.json").exists():  # the seal of a whole run
        found["fit.json"] = (folder / "fit.json").read_text()
        assert len(set(found.values())) == 1, "a mixture of two runs"
print("whole")
"""


def test_killed_at_ten_moments(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout == "whole\n", done.stderr
