"""Files that are whole or not there at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def atomically(path: Path, body: Callable[[Any], None]) -> None:
    """`body(binary file)` into a file of a temporary name beside `path`, which takes its place once it is on the disk.

    Args:
        path: of the file; one that is there already is replaced.
        body: writes the content.

    Raises:
        OSError: it cannot be written; nothing is left of it, and a file that was there before stays.
    """
    name = written(path, body)
    try:
        os.replace(name, path)
    except BaseException:
        name.unlink(missing_ok=True)
        raise
    settle(path.parent)


def written(path: Path, body: Callable[[Any], None]) -> Path:
    """A file of a temporary name beside `path`, on the disk: whoever calls renames it.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            body(file)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def settle(folder: Path) -> None:
    """Bring new names in a folder to the disk, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
