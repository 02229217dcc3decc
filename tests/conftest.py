"""Fixtures of the tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import pytest

from latentem.cli import main


@pytest.fixture
def x64() -> Iterator[None]:
    """Computations of the test run in float64, as those of a fit do."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """The command `latentem`, in this process and an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        told = capsys.readouterr()
        return code, told.out, told.err

    return command
