"""Bytes, estimated before anything is made of them: a size without bound is refused in one line, not by the system."""

from __future__ import annotations

import os

#: Bytes of memory where the system does not say.
UNKNOWN = 2**34


def memory() -> int:
    """Bytes of memory that this machine has."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return UNKNOWN


def refuse_beyond_memory(what: str, size: float, instead: str) -> None:
    """Raise where `size` bytes are more than this machine has.

    Args:
        what: takes them, such as "starts=1000000000".
        size: estimated, in bytes.
        instead: what to do.

    Raises:
        ValueError: in one line.

    >>> refuse_beyond_memory("starts=3", 1e3, "ask for fewer")
    """
    most = memory()
    if size > most:
        told = f"{what} would take about {size / 2**30:.3g} GiB, and this machine has {most / 2**30:.3g} GiB"
        raise ValueError(f"{told}: {instead}")
