"""Settings of the process, which a command owns: BLAS threads, and a compilation cache for the user."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

#: Compiled programs of many data shapes pile up; beyond this many bytes the oldest are removed.
LARGEST_CACHE = 500_000_000


def settle() -> None:
    """Call before anything is computed."""
    # JAX loads its LAPACK at the first call, so this is in time although JAX is imported already.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # What is imported stays, and tracing makes many objects of which little is garbage: the collector may look seldom.
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)
    enable_compilation_cache()
    import latentem as lem

    if "jax_num_cpu_devices" not in os.environ.get("XLA_FLAGS", ""):
        with suppress(RuntimeError):  # whoever calls the command from Python may have computed before
            lem.use_cores(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def enable_compilation_cache() -> Path | None:
    """Keep compiled programs from one run to the next.

    Returns:
        The folder; None where the user has chosen one (JAX_COMPILATION_CACHE_DIR) or none can be written.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return None
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        prune(folder, LARGEST_CACHE)
    except OSError:
        return None
    import jax

    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return folder


def cache_folder() -> Path:
    """The folder for latentem's compiled programs, by the custom of the platform."""
    home = Path(os.path.expanduser("~"))
    if sys.platform == "darwin":
        base = home / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "latentem" / "compiled"


def prune(folder: Path, limit: int) -> None:
    """Remove the oldest files of a folder until the rest have at most `limit` bytes."""
    files = []
    for path in folder.iterdir():
        try:
            found = path.stat()
        except FileNotFoundError:  # another process prunes too
            continue
        files.append((found.st_mtime, found.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= limit:
            return
        path.unlink(missing_ok=True)
        total -= size
