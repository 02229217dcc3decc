"""What every test and doctest runs in: one BLAS thread, a compilation cache shared by runs, no display."""

import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def _cache_folder() -> Path:
    """The user's cache folder, or a temporary one where there is no writable home."""
    chosen = os.environ.get("XDG_CACHE_HOME")
    home = Path(chosen) if chosen else Path.home() / ".cache"
    folder = home / "latentem" / "tests"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir()) / "latentem-tests"
        folder.mkdir(exist_ok=True)
    return folder


# Read when JAX and matplotlib are first imported, hence here and not in a fixture.
# JAX's LAPACK on the CPU spins its threads: with more than one they wait for one another.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_cache_folder()))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")


@pytest.fixture(autouse=True)
def doctest_names(request: pytest.FixtureRequest) -> None:
    """Names that docstring examples may use without importing them."""
    if not isinstance(request.node, pytest.DoctestItem):
        return
    import jax
    import jax.numpy as jnp
    import numpy as np

    import latentem as lem

    names: dict[str, Any] = request.getfixturevalue("doctest_namespace")
    names.update(lem=lem, jax=jax, jnp=jnp, np=np)


#: Memory maps of the process above which compiled functions are let go; Linux allows 65,530, and LLVM code that cannot
#: be mapped is a crash.
MOST_MAPS = 15_000


@pytest.fixture(autouse=True, scope="module")
def room_for_compiled_code() -> Iterator[None]:
    """Free what earlier files compiled before its memory maps run out."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and len(maps.read_text().splitlines()) > MOST_MAPS:
        import jax

        jax.clear_caches()
        gc.collect()
