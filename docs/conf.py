"""Sphinx configuration: Markdown pages, and an API reference from the docstrings."""

import os
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

# Set before autodoc imports the package and with it JAX.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
sys.path.insert(0, str(Path(__file__).parent.parent))

project = "latentem"
author = "the latentem contributors"
copyright = author
try:
    release = metadata.version("latentem")
except metadata.PackageNotFoundError:  # built from a checkout that is not installed
    release = "development"
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "latentem"

myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 3

napoleon_numpy_docstring = False
napoleon_custom_sections = ["Source"]
# A dataclass documents its fields under Args; listing them again as members would say everything twice.
autodoc_default_options = {"members": True, "member-order": "bysource", "undoc-members": False}
autodoc_typehints = "none"
autodoc_preserve_defaults = True
default_role = "code"

CODE_SPAN = re.compile(r"(``.*?``|`[^`]*`)")


def plain_text(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep `|det J|` and `a * b` of a docstring as they are: there, neither is markup.

    Args:
        lines: the docstring's lines, changed in place; the rest is what Sphinx passes along.
    """
    for i, line in enumerate(lines):
        if line.lstrip().startswith((">>>", "...", "* ")):
            continue
        parts = CODE_SPAN.split(line)
        parts[::2] = [re.sub(r"([|*])", r"\\\1", part) for part in parts[::2]]
        lines[i] = "".join(parts)


def setup(app: Any) -> None:
    """Called by Sphinx: run `plain_text` before napoleon turns sections into reStructuredText."""
    app.connect("autodoc-process-docstring", plain_text, priority=100)
