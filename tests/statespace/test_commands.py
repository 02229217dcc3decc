"""The commands `latentem statespace` and `latentem modes`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import latentem as lem
from latentem.cli import main


def table(path: Path, columns: dict[str, np.ndarray]) -> Path:
    rows = np.stack(list(columns.values()), axis=1)
    text = [",".join(columns), *(",".join("NA" if np.isnan(a) else repr(float(a)) for a in row) for row in rows)]
    path.write_text("\n".join(text) + "\n")
    return path


def test_a_local_level_with_a_gap_and_a_forecast(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    volume = lem.datasets.nile().volume.astype(float)
    volume[50:53] = np.nan
    data = table(tmp_path / "nile.csv", {"volume": volume})
    out = tmp_path / "fit"
    assert main(["statespace", str(data), "--columns", "volume", "--horizon", "2", "--out", str(out)]) == 0
    assert "structural model (level)" in capsys.readouterr().out
    assert json.loads((out / "fit.json").read_text())["status"] == "converged"
    states = np.genfromtxt(out / "states.csv", delimiter=",", names=True)
    assert len(states) == 100 and not np.isnan(states["volume"]).any()
    assert (out / "forecast.csv").read_text().startswith("volume_mean,volume_lower,volume_upper\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["statespace", "DATA", "--columns", "a", "--order", "2"], "--order goes with --model ar, not local-level"),
        (["statespace", "DATA", "--columns", "a,b"], "2 columns of readings: a structural model has one"),
        (["modes", "DATA", "--rate", "0", "--modes", "1"], "rate=0.0: expected readings per second, above 0"),
        (["modes", "DATA", "--rate", "9", "--modes", "1"], "hold at most 0 modes: ask for fewer, or measure longer"),
        (["modes", "DATA", "--rate", "9", "--modes", "1", "--reference", "c"], "--reference c: expected one of a, b"),
    ],
)
def test_bad_options_are_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    rng = np.random.default_rng(0)
    data = table(tmp_path / "data.csv", {"a": rng.normal(size=9), "b": rng.normal(size=9)})
    assert main([str(data) if a == "DATA" else a for a in arguments]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1
