"""What every test and doctest runs in: one BLAS thread, a compilation cache shared by runs, no display."""

import gc
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

#: Compile as users do, for the nightly run; otherwise XLA is told to compile fast, which halves the time of the suite.
AS_SHIPPED = os.environ.get("LATENTEM_TESTS_AS_SHIPPED") == "1"
FAST_COMPILATION = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true --xla_cpu_use_fusion_emitters=false"
)


def _cache_folder() -> Path:
    """The user's cache folder, or a temporary one where there is no writable home."""
    chosen = os.environ.get("XDG_CACHE_HOME")
    home = Path(chosen) if chosen else Path.home() / ".cache"
    folder = home / "latentem" / ("tests-as-shipped" if AS_SHIPPED else "tests")
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
# Three devices, so that what is spread over several of them is tested everywhere.
DEVICES = "--xla_force_host_platform_device_count=3"
os.environ.setdefault("XLA_FLAGS", DEVICES if AS_SHIPPED else f"{FAST_COMPILATION} {DEVICES}")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_cache_folder()))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What XLA optimises (memory, speed of coverage studies) is tested as it is shipped, in the nightly run."""
    if AS_SHIPPED:
        return
    left = [item for item in items if item.get_closest_marker("as_shipped")]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if not item.get_closest_marker("as_shipped")]


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


#: Seconds before the time limit of a test at which the stacks of XLA's own threads are printed.
BEFORE_THE_END = 20


def _native_stacks() -> None:
    """Where every thread of this process is, those of XLA included: pytest-timeout knows only Python's."""
    # gdb stops this process, which can then end nothing: its own time limit is that of `timeout`.
    command = [
        "timeout",
        "-s",
        "KILL",
        "12",
        "gdb",
        "-p",
        str(os.getpid()),
        "-batch",
        "-ex",
        "set pagination off",
        "-ex",
        "thread apply all bt 12",
    ]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    print(found.stdout, file=sys.__stderr__, flush=True)


@pytest.fixture(autouse=True)
def watchdog(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that is about to be ended for its time says where it stands."""
    marker = request.node.get_closest_marker("timeout")
    limit = float(marker.args[0] if marker else request.config.getini("timeout") or 0)
    if limit <= BEFORE_THE_END or shutil.which("gdb") is None or shutil.which("timeout") is None:
        yield
        return
    timer = threading.Timer(limit - BEFORE_THE_END, _native_stacks)
    timer.daemon = True
    timer.start()
    yield
    timer.cancel()


#: Programs that XLA was given, and the seconds it took: the cost of this suite.
_compiled = {"programs": 0, "seconds": 0.0}


def _counted(event: str, duration_secs: float, **_: Any) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        _compiled["programs"] += 1
        _compiled["seconds"] += duration_secs


def pytest_sessionstart(session: pytest.Session) -> None:
    """Count what is compiled, in every worker."""
    import jax

    jax.monitoring.register_event_duration_secs_listener(_counted)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker tells what it has compiled."""
    told = getattr(session.config, "workeroutput", None)
    if told is not None:
        told["compiled"] = dict(_compiled)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    """What a worker has compiled is added to the whole."""
    for name, value in getattr(node, "workeroutput", {}).get("compiled", {}).items():
        _compiled[name] += value


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The time of the suite is the number of its programs: print it."""
    terminalreporter.write_line(f"{_compiled['programs']} programs compiled or loaded, {_compiled['seconds']:.0f} s")
