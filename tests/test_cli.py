"""The command line: what it prints and writes, its exit codes, and one line for every bad input."""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import latentem as lem
from latentem import datasets
from latentem.cli import environment

KEYS = (
    "model n_observations n_parameters log_likelihood log_prior aic bic status iterations evaluations "
    "seconds parameters standard_errors notes"
).split()
# mclust 6.0.0 (R 4.2.2), tol 1e-13: Old Faithful, two components, full covariances.
OLD_FAITHFUL = -1130.2639602
# Hasselblad (1969); Titterington, Smith and Makov (1985): the deaths in The Times, two Poisson components.
TIMES, TIMES_RATES, TIMES_WEIGHT = -1989.945859883, (1.2560951, 2.6634044), 0.3598854

Run = Callable[..., tuple[int, str, str]]


def write_csv(path: Path, columns: dict[str, Sequence[Any] | np.ndarray]) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(columns)
        lines.writerows(zip(*(np.asarray(values).tolist() for values in columns.values()), strict=True))
    return path


def shell(*arguments: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with a cache folder of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    root = str(Path(lem.__file__).parent.parent)
    settings = {**kept, "JAX_PLATFORMS": "cpu", "PYTHONPATH": root, **variables}
    command = [sys.executable, "-m", "latentem.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=settings, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def geyser(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "geyser.csv", datasets.old_faithful().columns)


@pytest.fixture
def deaths(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "deaths.csv", datasets.hasselblad().columns)


POISSON = ("--columns", "deaths", "--family", "poisson", "--components", 2, "--starts", 2)


def test_gaussian_mixture_of_old_faithful(run: Run, geyser: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    code, printed, errors = run(
        "mixture", geyser, "--columns", "eruptions,waiting", "--components", 2,
        "--family", "gaussian", "--covariance", "full", "--starts", 20, "--seed", 0, "--out", out,
    )  # fmt: skip
    assert (code, errors) == (0, "")
    found = json.loads((out / "fit.json").read_text())
    assert list(found) == KEYS
    assert found["log_likelihood"] == pytest.approx(OLD_FAITHFUL, abs=1e-6)
    assert found["status"] == "converged"
    assert (found["n_observations"], found["n_parameters"]) == (272, 11)
    assert found["bic"] == pytest.approx(-2 * OLD_FAITHFUL + 11 * np.log(272), abs=1e-5)
    assert found["log_prior"] == 0
    assert np.shape(found["parameters"]["components"]["covariance"]) == (2, 2, 2)
    header = (out / "responsibilities.csv").read_text().splitlines()[0]
    assert header == "row,component,component_0,component_1"
    rows = np.loadtxt(out / "responsibilities.csv", delimiter=",", skiprows=1)
    responsibilities = rows[:, 2:]
    assert rows[:, 0].tolist() == list(range(1, 273)) and (rows[:, 1] == responsibilities.argmax(axis=1)).all()
    assert responsibilities.shape == (272, 2)
    np.testing.assert_allclose(responsibilities.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(responsibilities.mean(axis=0), found["parameters"]["weights"], rtol=1e-6)
    assert "-1130.26396" in printed
    assert str(out / "fit.json") in printed


def test_without_out_it_only_prints(run: Run, deaths: Path, tmp_path: Path) -> None:
    code, printed, errors = run("mixture", deaths, *POISSON, "--weights", "frequency")
    assert (code, errors) == (0, "")
    assert "-1989.945860" in printed
    assert os.listdir(tmp_path) == ["deaths.csv"]


def test_weights_count_as_repeated_rows(run: Run, deaths: Path, tmp_path: Path) -> None:
    data = datasets.hasselblad()
    repeated = write_csv(tmp_path / "days.csv", {"deaths": np.repeat(data.deaths, data.frequency)})
    assert run("mixture", deaths, *POISSON, "--weights", "frequency", "--out", "weighted")[0] == 0
    assert run("mixture", repeated, *POISSON, "--out", "repeated")[0] == 0
    weighted, plain = (json.loads(Path(name, "fit.json").read_text()) for name in ("weighted", "repeated"))
    assert weighted["n_observations"] == plain["n_observations"] == 1096
    for found in (weighted, plain):
        assert found["log_likelihood"] == pytest.approx(TIMES, abs=1e-8)
        rates = np.array(found["parameters"]["components"]["rate"])
        np.testing.assert_allclose(np.sort(rates), TIMES_RATES, rtol=1e-6)
        weight = found["parameters"]["weights"][int(np.argmin(rates))]
        assert weight == pytest.approx(TIMES_WEIGHT, abs=1e-6)


def test_parquet(run: Run, tmp_path: Path) -> None:
    data = datasets.hasselblad()
    pq.write_table(pa.table({"n": data.frequency, "deaths": data.deaths}), tmp_path / "deaths.parquet")
    code, printed, errors = run("mixture", "deaths.parquet", *POISSON, "--weights", "n")
    assert (code, errors) == (0, "")
    assert "-1989.945860" in printed


def test_several_columns_of_a_scalar_family_are_independent_within_a_component(run: Run, tmp_path: Path) -> None:
    # poLCA 1.6.0.2, best of many starts: latent classes of the carcinoma data, two classes.
    write_csv(tmp_path / "slides.csv", datasets.carcinoma().columns)
    code, printed, _ = run(
        "mixture", "slides.csv", "--columns", "A,B,C,D,E,F,G", "--family", "bernoulli",
        "--components", 2, "--weights", "frequency", "--starts", 4, "--out", "classes",
    )  # fmt: skip
    found = json.loads(Path("classes/fit.json").read_text())
    assert code == 0
    assert found["log_likelihood"] == pytest.approx(-317.256837, abs=1e-5)
    assert set(found["parameters"]["components"]) == set("ABCDEFG")
    assert "boundary" in printed  # all slides of one class look alike to pathologists A and G


def test_not_converged(run: Run, deaths: Path) -> None:
    code, printed, errors = run(
        "mixture", deaths, *POISSON, "--weights", "frequency", "--max-iterations", 2, "--out", "early"
    )
    assert code == 3
    assert errors.count("\n") == 1 and "max_iterations" in errors
    assert json.loads(Path("early/fit.json").read_text())["status"] == "max_iterations"
    assert len(Path("early/responsibilities.csv").read_text().splitlines()) == 11


def test_missing_cells(run: Run, tmp_path: Path) -> None:
    """A row counts by its observed entries: a diagonal normal is then one normal for each column."""
    path = tmp_path / "gaps.csv"
    path.write_text("a,b\n1,10\n2,\n4,30\nNA,20\n5,nan\n")
    options = (
        "--columns",
        "a,b",
        "--components",
        1,
        "--covariance",
        "diagonal",
        "--starts",
        1,
        "--out",
        "gaps",
    )
    assert run("mixture", path, *options)[0] == 0
    found = json.loads(Path("gaps/fit.json").read_text())["parameters"]["components"]
    np.testing.assert_allclose(found["mean"], [[3, 20]], rtol=1e-9)
    np.testing.assert_allclose(found["variance"], [[2.5, 200 / 3]], rtol=1e-9)


GOOD = "a,b,name,n\n1,2.5,x,1\n2,1.5,y,2\n3,4,z,1\n"


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (GOOD, "--columns a,c", "no column 'c': its columns are a, b, name, n"),
        (GOOD, "", "no --columns: choose from the columns of data.csv: a, b, name, n"),
        (GOOD, "--columns a,name", "column 'name' holds text, 'x' on line 2: expected numbers"),
        (GOOD, "--columns a --components 4", "components=4 > 3 observations"),
        (GOOD, "--columns a --weights b,n", "no column 'b,n'"),
        (GOOD, "--columns a,n --weights n", "--weights n is also among --columns"),
        (GOOD, "--columns b --family poisson", "column 'b' on line 2 = 2.5: expected counts"),
        (GOOD, "--columns a,b --family poisson", "column 'b': Poisson: line 2 = 2.5: expected counts"),
        (
            GOOD,
            "--columns a --family poisson --covariance full",
            "--covariance full goes with family gaussian",
        ),
        (GOOD, "--columns a --family normal", "invalid choice: 'normal' (choose from 'gaussian'"),
        (GOOD, "--columns a --components 0", "expected a whole number of at least 1"),
        (GOOD, "--columns a,a", "names 'a' twice"),
        (GOOD, "--columns a, ", "expected names of columns"),
        (GOOD, "--columns a --seed -1", "expected a whole number from 0"),
        (GOOD, "--column a", "no option --column: did you mean --columns?"),
        (GOOD, "--columns a more", "unexpected argument 'more'"),
        (GOOD, "--columns a --out data.csv", "--out data.csv: File exists: expected a folder"),
        ("", "--columns a", "is empty"),
        ("a,b\n", "--columns a", "has a header and no rows"),
        ("\n\n", "--columns a", "has no column 'a'"),
        ("a,b\n1,2\n3", "--columns a", "1 fields on line 3, 2 in the header; is the file truncated?"),
        ('a,b\n1,2\n3,"4', "--columns a", "line 3: unexpected end of data; is the file truncated?"),
        ("a;b\n1;2\n", "--columns a", "components=2 > 1 observations"),
        ("a,a\n1,2\n", "--columns a", "has 2 columns called 'a'"),
        ("a\n1\ninf\n", "--columns a", "column 'a' holds inf on line 3: expected finite numbers"),
        ("a\n1\n1e999\n", "--columns a", "column 'a' holds 1e999 on line 3"),
        ("a\n1\n\n-2\n", "--columns a --family poisson", "column 'a' on line 4 = -2: expected counts"),
        (
            "a,b\n1,2\n,3\n",
            "--columns a --family poisson",
            "column 'a' has no value on line 3; remove the row",
        ),
        ("a,b\n1,2\n,3\n", "--columns a,b --family student_t", "column 'a' has no value on line 3"),
        (
            "a,n\n1,2\n2,-1\n",
            "--columns a --weights n",
            "column 'n' on line 3 = -1.0: expected finite numbers",
        ),
        ("a,n\n1,2\n2,\n", "--columns a --weights n", "column 'n' has no value on line 3; weigh a row by 0"),
        ("a,n\n1,0\n2,0\n", "--columns a --weights n", "weights are all 0"),
        ("a,b\n,2\n,3\n", "--columns a", "column 'a' has no value at all"),
    ],
)
def test_bad_input(run: Run, tmp_path: Path, text: str, options: str, said: str) -> None:
    (tmp_path / "data.csv").write_text(text)
    began = time.perf_counter()
    code, printed, errors = run("mixture", "data.csv", "--components", 2, *options.split(" ")[: len(options)])
    assert code == 2
    assert printed == ""
    assert said in errors
    assert errors.startswith("latentem mixture: ") and errors.count("\n") == 1
    assert time.perf_counter() - began < 2, "bad input is told before anything is compiled"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("nope.csv", None, "nope.csv: no such file"),
        ("binary.csv", bytes(range(256)), "is not text in UTF-8"),
        ("spread.csv", "\ufeffa,b\n1,x\n".encode(), "column 'b' holds text"),
        ("short.parquet", b"PAR1 and no more", "is not a Parquet file that can be read"),
        ("named.parquet", b"a,b\n1,2\n", "is not a Parquet file that can be read"),
        ("empty.parquet", b"", "is empty"),
    ],
)
def test_files_that_cannot_be_read(run: Run, tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    code, printed, errors = run("mixture", name, "--columns", "a,b", "--components", 1)
    assert (code, printed) == (2, "")
    assert said in errors and errors.count("\n") == 1


def test_bad_parquet_columns(run: Run, tmp_path: Path) -> None:
    table = pa.table({"a": [1.0, float("inf")], "text": ["x", "y"], "gap": [1, None]})
    pq.write_table(table, tmp_path / "data.parquet")
    whole = (tmp_path / "data.parquet").read_bytes()
    (tmp_path / "half.parquet").write_bytes(whole[: len(whole) // 2])
    for file, column, said in (
        ("data.parquet", "b", "no column 'b': its columns are a, text, gap"),
        ("data.parquet", "a", "column 'a' holds an infinite number in row 1"),
        ("data.parquet", "text", "column 'text' holds string: expected numbers"),
        ("half.parquet", "a", "is it truncated?"),
    ):
        code, _, errors = run("mixture", file, "--columns", column, "--components", 1)
        assert code == 2 and said in errors and errors.count("\n") == 1
    code, _, errors = run("mixture", "data.parquet", "--columns", "gap", "--components", 1, "--family", "poisson")
    assert (code, errors.strip()[-50:]) == (2, "column 'gap' has no value on row 1; remove the row")


def test_a_folder_is_no_file(run: Run, tmp_path: Path) -> None:
    code, _, errors = run("mixture", tmp_path, "--columns", "a", "--components", 1)
    assert (code, errors) == (2, f"latentem mixture: {tmp_path} cannot be read: Is a directory\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            (),
            "the following arguments are required: {demo,mixture,hmm,irt,mixed,statespace,modes,",
        ),
        (("mixtur",), "invalid choice: 'mixtur' (choose from 'demo', 'mixture', 'hmm', 'irt'"),
        (("demo", "--outt", "x"), "no option --outt: did you mean --out?"),
        (("mixture",), "the following arguments are required: DATA, --components"),
    ],
)
def test_wrong_commands(run: Run, arguments: tuple[str, ...], said: str) -> None:
    code, printed, errors = run(*arguments)
    assert (code, printed) == (2, "")
    assert said in errors and errors.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [("--help",), ("mixture", "--help"), ("hmm", "--help"), ("irt", "--help"), ("demo", "--help")]
)
def test_help(run: Run, arguments: tuple[str, ...]) -> None:
    code, printed, errors = run(*arguments)
    assert (code, errors) == (0, "")
    assert "usage: latentem" in printed


def test_demo(run: Run, tmp_path: Path) -> None:
    code, printed, errors = run("demo")
    assert (code, errors) == (0, "")
    assert 'return jnp.log(params["weight"][z]) + poisson.logpmf(x, params["rate"][z])' in printed
    assert "log-likelihood -1989.945860" in printed and "log-likelihood -1130.263960" in printed
    assert "36.0 % quiet days, with 1.256 deaths a day" in printed and "2.663" in printed
    assert "35.6 % short ones: 2.04 minutes, then 54.5 minutes" in printed
    assert "64.4 % long ones: 4.29 minutes, then 80.0 minutes" in printed
    assert "log-likelihood -328.527483" in printed  # EM in NumPy with random restarts
    assert "calm: 13.13 earthquakes a year" in printed and "restless: 29.71" in printed
    assert "log-likelihood -2658.805114" in printed  # R's mirt
    assert "ability of -1.87, give or take 0.69" in printed and "ability of 0.73, give or take 0.80" in printed
    assert "simulated were 10." in printed and "simulated were 6." in printed
    for name in ("deaths.png", "old_faithful.png", "earthquakes.png", "lsat7.png", "sleep.png"):
        assert str(Path("latentem-demo") / name) in printed
        assert (tmp_path / "latentem-demo" / name).read_bytes().startswith(b"\x89PNG")


def test_demo_without_matplotlib(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, printed, _ = run("demo", "--out", "pictures")
    assert code == 0
    assert 'No picture: pictures need matplotlib: python -m pip install "latentem[plot]"' in printed


def test_demo_in_a_place_it_cannot_write(run: Run, tmp_path: Path) -> None:
    (tmp_path / "latentem-demo").write_text("a file")
    code, printed, errors = run("demo")
    assert (code, printed) == (2, "")
    assert errors == "latentem demo: --out latentem-demo: File exists: expected a folder, or a name for one\n"


def test_a_process_keeps_what_it_compiled(deaths: Path, tmp_path: Path) -> None:
    done = shell("mixture", deaths, *POISSON, "--weights", "frequency", cwd=tmp_path, XDG_CACHE_HOME="cache")
    assert (done.returncode, done.stderr) == (0, "")
    assert "-1989.945860" in done.stdout
    assert len(list((tmp_path / "cache" / "latentem" / "compiled").iterdir())) > 3


def test_a_cache_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    (tmp_path / "x.csv").write_text("x\n1\n2\n4\n")
    done = shell(
        "mixture", "x.csv", "--columns", "x", "--components", 1, "--family", "exponential", "--starts", 1,
        cwd=tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache"),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_pruning_removes_the_oldest(tmp_path: Path) -> None:
    for age, name in enumerate("abc"):
        path = tmp_path / name
        path.write_bytes(bytes(100))
        os.utime(path, (1000 - age, 1000 - age))
    environment.prune(tmp_path, 250)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
