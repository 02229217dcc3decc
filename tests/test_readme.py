"""The Python blocks of the README and of the docs run, and print what the page says they print.

The blocks of one page share a namespace. A ```text block right after a ```python block is its output.
A README is pasted as it stands, so it must import all it uses; pages of the docs show excerpts, and may take
PRELUDE as read.
"""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```[ \t]*$(?:\n\s*^```text\n(.*?)^```[ \t]*$)?", re.MULTILINE | re.DOTALL)
PRELUDE = """
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import poisson

import latentem as lem
from latentem import datasets

deaths, frequency = datasets.hasselblad().deaths, datasets.hasselblad().frequency
"""


def blocks(text: str) -> list[tuple[int, str, str | None]]:
    """Line number, code and printed text (None where the page shows none) of each Python block of a page."""
    found = []
    for match in FENCE.finditer(text):
        if match[1] == "python":
            found.append((text.count("\n", 0, match.start()) + 1, match[2], match[3]))
    return found


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.strip().splitlines()]


def test_the_scan_itself() -> None:
    page = "a\n```python\nx = 1\n```\n\n```text\none\n```\n```sh\nls\n```\n"
    page += "```python\ny\n```\nb\n```text\nno\n```\n"
    assert blocks(page) == [(2, "x = 1\n", "one\n"), (12, "y\n", None)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # what an example writes
    namespace: dict[str, Any] = {"__name__": "__main__"}
    found = blocks(page.read_text(encoding="utf-8"))
    if found and page.name != "README.md":
        exec(PRELUDE, namespace)
    for line, code, expected in found:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            # Blank lines put the block on its own lines of the page, so that a traceback points there.
            exec(compile("\n" * line + code, str(page), "exec"), namespace)
        if expected is not None:
            assert lines(printed.getvalue()) == lines(expected), f"{page.name}, line {line}: other output"
