"""Ready models are users of the library: they import its public names and nothing behind them."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

MODELS = Path(__file__).parent.parent / "latentem" / "models"
PUBLIC = {
    "latentem",
    "latentem.building",
    "latentem.constraints",
    "latentem.durations",
    "latentem.families",
    "latentem.field",
    "latentem.kalman",
    "latentem.priors",
}
OUTSIDE = {"jax", "numpy", "scipy", "jaxtyping", "optax", "statsmodels", "formulae", "pandas"}


def imported(source: str) -> Iterator[str]:
    """Modules a source imports, private names (`module._name`) in full."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            private = [alias.name for alias in node.names if alias.name.startswith("_")]
            yield from [f"{module}.{name}" for name in private] or [module]


def violations(source: str) -> list[str]:
    """Imports of a source that reach behind the public interface."""
    found = []
    for name in imported(source):
        root = name.partition(".")[0]
        within = name in PUBLIC or name.startswith("latentem.models.")
        allowed = within if root == "latentem" else root in OUTSIDE or root in sys.stdlib_module_names
        if not allowed or "._" in name:
            found.append(name)
    return found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import latentem as lem\nfrom latentem import Model\nfrom latentem.families import Poisson", []),
        ("from latentem.models.mixture import Mixture\nimport jax.numpy as jnp", []),
        ("from latentem.estep import expect", ["latentem.estep"]),
        ("from latentem.families.base import middle", ["latentem.families.base"]),
        ("from latentem import _private", ["latentem._private"]),
        ("from ..fit import fit", ["..fit"]),
        ("import rich", ["rich"]),
    ],
)
def test_the_scan_itself(source: str, found: list[str]) -> None:
    assert violations(source) == found


def test_models_import_public_names_only() -> None:
    found = {path.name: violations(path.read_text(encoding="utf-8")) for path in MODELS.rglob("*.py")}
    assert {name: names for name, names in found.items() if names} == {}
