"""Fixtures of the tests."""

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture
def x64() -> Iterator[None]:
    """Computations of the test run in float64, as those of a fit do."""
    with jax.enable_x64(True):
        yield
