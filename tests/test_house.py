"""The plan of the house: a name is either a module or a function, never both."""

from importlib.util import find_spec
from types import ModuleType

import pytest

import latentem as lem

FUNCTIONS = [name for name in lem.__all__ if not isinstance(getattr(lem, name), ModuleType)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_public_name_hides_a_module(name: str) -> None:
    assert find_spec(f"latentem.{name}") is None
