"""A progress line for long fits: one line in a terminal, a widget-free print in a notebook, nothing elsewhere."""

from __future__ import annotations

import sys
import time


class Progress:
    """Writes to stderr at most five times a second, and only once a fit has taken longer than a second.

    Args:
        wanted: True, False, or None for "in a terminal or notebook only".
    """

    def __init__(self, wanted: bool | None) -> None:
        notebook = "ipykernel" in sys.modules
        terminal = hasattr(sys.stderr, "isatty") and sys.stderr.isatty()
        self.active = (terminal or notebook) if wanted is None else wanted
        self.delay = 1.0 if wanted is None else 0.0
        self.name, self.began, self.last, self.shown = "", 0.0, 0.0, False

    def of(self, name: str) -> Progress:
        """Name the fit about to run."""
        self.name, self.began, self.last = name, time.perf_counter(), 0.0
        if self.active and self.delay == 0.0:
            self._write(f"{name}: compiling")
        return self

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def show(self, iterations: int, objective: float, running: int) -> None:
        """Report where the fit is."""
        now = time.perf_counter()
        if not self.active or now - self.began < self.delay or now - self.last < 0.2:
            return
        self.last = now
        starts = f", {running} starts running" if running > 1 else ""
        self._write(f"{self.name}: {iterations} iterations, objective {objective:.6f}{starts}")

    def end(self) -> None:
        """Finish the line."""
        if self.shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _write(self, text: str) -> None:
        self.shown = True
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
