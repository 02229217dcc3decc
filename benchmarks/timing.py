"""Shared by the benchmarks: what machine this is, and times in the order A B A B."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from statistics import median

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def machine() -> str:
    """One line on the machine and its load, to be read with the figures."""
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {load}"


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
