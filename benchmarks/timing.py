"""Shared by the benchmarks: what machine this is, times in the order A B A B, and peaks of memory."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def machine() -> str:
    """One line on the machine and its load, to be read with the figures."""
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {load}"


class Peak:
    """Peak memory of this process beyond what it holds now, in MB; elsewhere than on Linux, beyond its peak so far.

    The allocator gives back what it keeps before the measurement begins; what it keeps of it afterwards counts.
    """

    def __init__(self) -> None:
        gc.collect()
        reset = Path("/proc/self/clear_refs")
        if reset.exists():
            ctypes.CDLL("libc.so.6").malloc_trim(0)
            reset.write_text("5")
        self._before = self._now()

    @staticmethod
    def _now() -> float:
        status = Path("/proc/self/status")
        if not status.exists():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    def grown(self) -> float:
        """MB since it was made."""
        return self._now() - self._before


def alternate(
    ours: Callable[[], object], theirs: Callable[[], object], repeats: int = 3
) -> tuple[list[float], list[float]]:
    """Seconds of each, measured in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for f, kept in ((ours, times[0]), (theirs, times[1])):
            began = time.perf_counter()
            f()
            kept.append(time.perf_counter() - began)
    return times


def report(name: str, cold: float, ours: list[float], peer: str, theirs: list[float]) -> None:
    """Print the medians and the ratio."""
    a, b = median(ours), median(theirs)
    print(f"{name}: cold {cold:.2f} s, warm {a:.4f} s; {peer} {b:.4f} s; ratio {b / a:.2f}", flush=True)
