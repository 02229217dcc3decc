"""The plan of the house: a name is either a module or something else, never both."""

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType

import pytest

import latentem as lem

PUBLIC = [name for name in lem.__all__ if not isinstance(getattr(lem, name), ModuleType)]
MODULES = [module.name for module in walk_packages(lem.__path__, "latentem.") if not module.name.endswith("__main__")]


@pytest.mark.parametrize("name", PUBLIC)
def test_no_public_name_hides_a_module(name: str) -> None:
    assert find_spec(f"latentem.{name}") is None


def test_no_name_of_a_folder_hides_a_module_in_it() -> None:
    for name in MODULES:
        import_module(name)
    hidden = []
    for name in MODULES:
        folder, _, own = name.rpartition(".")
        if not isinstance(getattr(import_module(folder), own), ModuleType):
            hidden.append(name)
    assert hidden == []


def test_every_folder_says_what_it_is_for() -> None:
    folders = [import_module(name) for name in MODULES if hasattr(import_module(name), "__path__")]
    assert [folder.__name__ for folder in folders if not (folder.__doc__ or "").strip()] == []


def matching(pattern: str) -> list[str]:
    """Files of the package with a line like this."""
    root = Path(lem.__file__).parent
    found = re.compile(pattern)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*.py") if found.search(path.read_text()))


def test_only_its_own_form_and_model_know_a_chain_by_type() -> None:
    asked = matching(r"isinstance\(.*Chain")
    assert (
        asked
        and [name for name in asked if not name.startswith(("forms/chain/", "forms/kalman/", "models/hmm/"))] == []
    )


def test_every_latent_says_whether_it_is_hard() -> None:
    assert matching(r"getattr\(.*[\"']hard[\"']") == []
