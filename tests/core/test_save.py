"""A saved Fit is read back without executing anything; anything else is refused."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contracts.registry import POISSON, counts, poisson, poisson_maximize, poisson_statistics

import latentem as lem

X = counts(np.random.default_rng(0), 24)
MODEL = lem.Model(poisson, lem.Finite(2), POISSON, m_step=lem.ClosedForm(poisson_statistics, poisson_maximize))
START = {"weight": [0.5, 0.5], "rate": [1.0, 3.0]}


@pytest.fixture(scope="module")
def fit() -> lem.Fit:
    return lem.fit(MODEL, X, initial=START, method=lem.Plain(), polish=False)


def test_what_was_saved_can_compute(fit: lem.Fit, tmp_path: Path) -> None:
    path = fit.save(tmp_path / "deaths")
    assert path.name == "deaths.npz"
    loaded = lem.load(path, model=MODEL, data=X)
    np.testing.assert_array_equal(loaded.log_prob(), fit.log_prob())
    np.testing.assert_array_equal(loaded.responsibilities(X[:3]), fit.responsibilities(X[:3]))
    assert loaded.summary() == fit.summary()
    bare = lem.load(path)
    with pytest.raises(ValueError, match="loaded without its model"):
        bare.log_prob(X)


class Trap:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path(self.path),))  # type: ignore[attr-defined]


def _pickle(path: Path) -> None:
    trap = Trap()
    trap.path = str(path.with_suffix(".sprung"))  # type: ignore[attr-defined]
    path.write_bytes(pickle.dumps(trap))


def _archive_of_objects(path: Path) -> None:
    trap = Trap()
    trap.path = str(path.with_suffix(".sprung"))  # type: ignore[attr-defined]
    header = {"format": "latentem fit 1", "params": [["rate"]], "status": "converged", "notes": []}
    with open(path, "wb") as file:
        np.savez(
            file,
            header=np.frombuffer(json.dumps(header).encode(), np.uint8),
            param0=np.array([trap], dtype=object),
            trace=np.zeros(1),
            starts=np.zeros(1),
        )


def _header(path: Path, **changes: Any) -> None:
    header = {"format": "latentem fit 1", "params": [], "status": "converged", "notes": [], **changes}
    with open(path, "wb") as file:
        np.savez(
            file,
            header=np.frombuffer(json.dumps(header).encode(), np.uint8),
            trace=np.zeros(1),
            starts=np.zeros(1),
        )


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("not a fit"),
        lambda path: path.write_bytes(np.random.default_rng(0).bytes(500)),
        _pickle,
        _archive_of_objects,
        lambda path: np.savez(path, x=np.zeros(3)),
        lambda path: _header(path, format="another 1"),
        lambda path: _header(path, status="splendid"),
        lambda path: _header(path, params=[["rate"]]),
    ],
    ids=["empty", "text", "noise", "pickle", "objects", "no header", "format", "status", "no array"],
)
def test_anything_else_is_refused_in_one_line(write: Any, tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    write(path)
    with pytest.raises(ValueError, match="expected a file written by Fit.save") as error:
        lem.load(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    assert not path.with_suffix(".sprung").exists()


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.98])
def test_a_truncated_file_is_refused(fit: lem.Fit, tmp_path: Path, kept: float) -> None:
    path = fit.save(tmp_path / "whole")
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match="expected a file written by Fit.save") as error:
        lem.load(path)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        lem.load(tmp_path / "nowhere.npz")
