"""Settings of the process, which a command owns: BLAS threads, and a compilation cache for the user."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import warnings
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

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

    _replace_what_is_bad(folder)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return folder


def _replace_what_is_bad(folder: Path) -> None:
    """Have JAX's warning of an entry that cannot be read drop all such entries, once, in place of being shown at every
    run: JAX itself never replaces one."""
    plain = warnings.showwarning

    def show(message: Any, category: Any, *rest: Any, **more: Any) -> None:
        if "compilation cache" not in str(message):
            plain(message, category, *rest, **more)
            return
        warnings.showwarning = plain
        drop_bad(folder)

    warnings.showwarning = show


def drop_bad(folder: Path) -> int:
    """Remove the entries of a cache that cannot be decompressed; how many these were."""
    dropped = 0
    for path in folder.glob("*-cache"):
        try:
            if not _opens(path.read_bytes()):
                path.unlink(missing_ok=True)
                dropped += 1
        except OSError:
            continue
    return dropped


def _opens(entry: bytes) -> bool:
    """Whether an entry decompresses: zstandard's where it begins so, zlib's otherwise."""
    if entry[:4] == b"\x28\xb5\x2f\xfd":
        try:
            import zstandard  # pyright: ignore[reportMissingImports]  # JAX uses it where it is there
        except ImportError:  # nobody here can read it, JAX included
            return False
        try:
            zstandard.ZstdDecompressor().decompress(entry)
        except zstandard.ZstdError:
            return False
        return True
    try:
        zlib.decompress(entry)
    except zlib.error:
        return False
    return True


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
