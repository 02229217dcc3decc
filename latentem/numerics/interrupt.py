"""Ctrl-C while the command is still importing ends it in one line: no caller can catch it that early."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any

Hook = Callable[[Any, Any, Any], Any]


def is_command(argv: Sequence[str], whole: Sequence[str]) -> bool:
    """Whether this process is the command `latentem`, and not a program of the user's that imports the package.

    Args:
        argv: as in `sys.argv`.
        whole: as in `sys.orig_argv`.

    >>> is_command(["/usr/bin/latentem", "demo"], [])
    True
    >>> is_command(["analysis.py"], ["python", "analysis.py"])
    False
    """
    first = argv[0] if argv else ""
    return PurePath(first).stem == "latentem" or (first == "-m" and "latentem.cli" in whole)


def end_in_one_line(hook: Hook) -> Hook:
    """An excepthook that tells of Ctrl-C in one line, and leaves everything else to `hook`."""

    def told(kind: Any, error: Any, trace: Any) -> None:
        if issubclass(kind, KeyboardInterrupt):
            print("latentem: interrupted", file=sys.stderr)
        else:
            hook(kind, error, trace)

    return told
