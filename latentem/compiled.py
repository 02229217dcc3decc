"""Room for compiled programs: each fit of a new model leaves about a thousand memory maps behind, and a process that
runs out of them crashes inside the compiler, with everything it has fitted."""

from __future__ import annotations

from pathlib import Path

import jax

#: Share of the memory maps that the system allows a process, at which compiled programs are dropped.
FULL = 0.7
#: Calls between two looks; a look costs milliseconds, and this many fits stay far below what FULL leaves free.
CALLS = 4

_MAPS, _LIMIT = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
_calls = 0


def make_room() -> bool:
    """Drop what JAX has compiled when this process has used most of its memory maps; True when it did.

    Nothing but time is lost: what is needed again is compiled again, or read from a persistent compilation cache. Only
    Linux limits memory maps; elsewhere nothing is done.
    """
    global _calls
    _calls += 1
    if _calls % CALLS or not _LIMIT.exists():
        return False
    if _MAPS.read_bytes().count(b"\n") < FULL * int(_LIMIT.read_text()):
        return False
    jax.clear_caches()
    return True
