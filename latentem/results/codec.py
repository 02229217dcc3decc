"""Declarations as data: ready models, families, priors and how columns lie, as JSON that names what is public.

Nothing that is read is executed: a name that is none of these is refused, and so is a field that a class does not have.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from latentem.data.layout import Layout

#: Ready models as they are called in `lem`.
MODELS = (
    "AR",
    "Emission",
    "HMM",
    "HSMM",
    "IRT",
    "KMeans",
    "Mixture",
    "Segmentation",
    "StateSpace",
    "Structural",
    "Topics",
    "WordAlignment",
)
#: Public modules whose dataclasses may be part of a declaration.
MODULES = ("families", "priors", "durations")
#: Others, by the name that files use.
OTHERS = {
    "Layout": ("latentem.data.layout", "Layout"),
    "Several": ("latentem.models.mixture.several", "Several"),
    "FactorModel": ("latentem.models.mixture.factors", "FactorModel"),
    "Corpus": ("latentem.models.alignment.corpus", "Corpus"),
    "Pairs": ("latentem.models.alignment.corpus", "Pairs"),
    "Cells": ("latentem.models.statespace.pattern", "Cells"),
    "Diagonal": ("latentem.constraints.entrywise", "Diagonal"),
    "Entries": ("latentem.constraints.entrywise", "Entries"),
    "Continuous": ("latentem.model.latents", "Continuous"),
    "Incomplete": ("latentem.families.incomplete", "Incomplete"),
    "Seen": ("latentem.models.irt.abilities.seen", "Seen"),
    "Structure": ("latentem.models.modal.modal", "Structure"),
    "LogitNormal": ("latentem.models.irt.items.logit_normal", "LogitNormal"),
}
#: A declaration that nests deeper is none of ours.
DEEPEST = 40
#: Fields that say how large something is: no larger than the params of the file have entries, or than this.
SIZES = (
    "states",
    "components",
    "clusters",
    "dim",
    "categories",
    "order",
    "longest",
    "dimensions",
    "state",
    "readings",
    "seasonal",
    "modes_wanted",
)
SMALL, NODES = 2048, 1 << 20


class NoData(Exception):
    """A declaration that is code: a function, or a class of the user's own. The message names it."""


@cache
def _classes() -> dict[str, type]:
    """What files may name."""
    found = {name: getattr(import_module("latentem"), name) for name in MODELS}
    for module in MODULES:
        public = vars(import_module(f"latentem.{module}"))
        found |= {
            f"{module}.{name}": value
            for name, value in public.items()
            if isinstance(value, type) and dataclasses.is_dataclass(value) and name[0] != "_" and name != "Custom"
        }
    return found | {name: getattr(import_module(module), attribute) for name, (module, attribute) in OTHERS.items()}


def encode(value: Any) -> Any:
    """A declaration as JSON; what a class does not want in it, such as the data, it leaves out in `kept()`.

    Raises:
        NoData: where part of it is code.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return {"float": repr(float(value))} if not np.isfinite(value) else float(value)
    if isinstance(value, np.ndarray) or (hasattr(value, "__array__") and hasattr(value, "dtype")):
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise NoData(f"an array of {array.dtype}")
        return {
            "array": [encode(v) for v in array.ravel().tolist()],
            "shape": list(array.shape),
            "of": str(array.dtype),
        }
    if isinstance(value, tuple | list):
        return {"tuple" if isinstance(value, tuple) else "list": [encode(item) for item in value]}
    if isinstance(value, Mapping):
        return {"dict": [[encode(key), encode(item)] for key, item in value.items()]}
    names = {kind: name for name, kind in _classes().items()}
    if type(value) in names:
        value = value.kept() if hasattr(value, "kept") else value
        fields = {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
        return {"is": names[type(value)], "with": fields}
    raise NoData(getattr(value, "__qualname__", None) or type(value).__name__)


def decode(data: Any, depth: int = 0, largest: int = SMALL) -> Any:
    """What `encode` wrote.

    Args:
        data: parsed JSON.
        depth: how deep it lies.
        largest: size of anything that a declaration says the size of.

    Raises:
        ValueError: anything else.
    """
    if depth > DEEPEST:
        raise ValueError("its declaration nests too deep")
    if data is None or isinstance(data, bool | str | int | float):
        return data
    if isinstance(data, dict):
        kinds = set(data)
        if kinds == {"float"} and data["float"] in ("nan", "inf", "-inf"):
            return float(data["float"])
        if kinds == {"array", "shape", "of"}:
            return _array(data, depth)
        if len(kinds) == 1 and (name := kinds & {"tuple", "list"}):
            items = [decode(item, depth + 1, largest) for item in _listed(data[next(iter(name))])]
            return tuple(items) if kinds == {"tuple"} else items
        if kinds == {"dict"}:
            pairs = [_listed(pair) for pair in _listed(data["dict"])]
            if all(len(pair) == 2 for pair in pairs):
                return {_hashable(decode(k, depth + 1, largest)): decode(v, depth + 1, largest) for k, v in pairs}
        if kinds == {"is", "with"} and isinstance(data["with"], dict):
            return _made(data["is"], data["with"], depth, largest)
    raise ValueError(f"its declaration holds {str(data)[:60]!r}")


def _made(name: Any, fields: dict[str, Any], depth: int, largest: int) -> Any:
    made = _classes().get(name) if isinstance(name, str) else None
    if made is None:
        raise ValueError(f"its declaration names {str(name)[:60]!r}, which this version does not know")
    known = {f.name for f in dataclasses.fields(made) if f.init}
    unknown = sorted(set(fields) - known)
    if unknown:
        raise ValueError(f"its declaration gives {name} a field {unknown[0][:60]!r}, which this version does not know")
    for key, value in fields.items():
        limit = largest if key in SIZES else NODES if key in ("nodes", "size") else None
        if limit is not None and isinstance(value, int | float) and not 0 <= value <= limit:
            raise ValueError(f"its declaration says {key} = {value!r}")
    try:
        return made(**{key: decode(value, depth + 1, largest) for key, value in fields.items()})
    except (TypeError, AttributeError, KeyError, IndexError, OverflowError) as error:
        raise ValueError(f"its declaration of {name} cannot be used ({str(error)[:100]})") from None


def _array(data: dict[str, Any], depth: int) -> np.ndarray:
    values = [decode(v, depth + 1) for v in _listed(data["array"])]
    shape = _listed(data["shape"])
    try:
        kind = np.dtype(data["of"])
        if kind.kind not in "biuf" or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise ValueError
        return np.array(values, dtype=kind).reshape(shape)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("its declaration holds an array that cannot be read") from None


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"its declaration holds {str(value)[:60]!r} in place of a list")
    return value


def _hashable(key: Any) -> Any:
    if isinstance(key, list | dict | np.ndarray):
        raise ValueError("its declaration holds a name that is none")
    return key


def layout_of(data: Any) -> Layout | None:
    """The layout that a file holds.

    Raises:
        ValueError: something else.
    """
    found = decode(data)
    if not (found is None or isinstance(found, Layout)):
        raise ValueError("its layout is none")
    return found
