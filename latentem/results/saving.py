"""A Fit kept: as a file, by pickle, by a deep copy. Methods of `Fit`."""

from __future__ import annotations

import copy
import pickle
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from latentem.model import Model
from latentem.model.declared import state
from latentem.model.latents import Continuous
from latentem.results import archive, codec
from latentem.results.fingerprint import fingerprint
from latentem.results.reporting import facts

#: What is not kept: it follows from the rest, or is the user's.
DERIVED = ("problem", "ends", "given", "compression")


def save(fit: Any, path: str | Path) -> Path:
    """Write one file: a NumPy archive with a JSON header, no pickle. It gets its name when it is whole, so that a file
    of that name stays as it is whatever happens.

    The file holds the declaration of a ready model as data, so that `lem.load(path)` computes again; a model that is
    code, a `lem.Model` say, is given to `load` once more. Of the data it holds a fingerprint.

    Args:
        path: of the file; .npz is added where it is missing.

    Returns:
        The path written, ending in .npz.

    Raises:
        ValueError: the path is a folder.
        OSError: the file cannot be written.
    """
    return archive.write(Path(path), *_parts(fit))


def write(fit: Any, file: Any) -> None:
    """The content of that file into a binary file that is open."""
    archive.content(*_parts(fit))(file)


def _parts(fit: Any) -> tuple[dict[str, Any], Any, dict[str, np.ndarray]]:
    header = {
        **{k: v for k, v in facts(fit).items() if k != "model"},
        "name": fit.name,
        "dtype": fit.dtype,
        "gradient": fit.gradient,
        "notes": list(fit.notes),
        "weighted": fit.weighted,
        "fingerprint": None if fit.data is None else fingerprint(fit.data),
        **declared(fit),
        "latent": _nodes(fit.model),
        "edges": None if fit.edges is None else [bool(edge) for edge in np.ravel(fit.edges)],
        "by_formula": fit.by_formula,
        "errors": _errors(fit),
    }
    return header, fit.params, {"trace": fit.trace, "starts": fit.starts}


def declared(fit: Any) -> dict[str, Any]:
    """The declaration and the layout as JSON; None for a declaration that is code, which "code" names."""
    model = fit.model
    if model is None and fit.declaration is None:
        return {"declaration": None, "layout": None}
    found: dict[str, Any] = {"declaration": None, "layout": None, "code": None}
    try:
        found["layout"] = None if model is None else codec.encode(model.layout)
        found["declaration"] = codec.encode(fit.declaration if model is None else model.declaration)
    except codec.NoData as error:
        found["code"] = str(error)
    return found


def _nodes(model: Any) -> Any:
    """Where a continuous latent is integrated: a fit may have gone on with other nodes than were declared."""
    latent = getattr(model, "latent", None)
    return codec.encode(latent) if isinstance(latent, Continuous) else None


def _errors(fit: Any) -> Any:
    """Standard errors, where they have been computed: leaf by leaf, with the reasons why some are not there."""
    kept = fit.__dict__.get("_errors")
    if kept is None:
        return None
    errors, reasons = kept
    leaves = None if errors is None else [codec.encode(np.asarray(a, np.float64)) for a in jax.tree.leaves(errors)]
    return [leaves, list(reasons)]


def reduce(fit: Any) -> Any:
    """For pickle and copy: everything but what is compiled, and the data as the user gave them."""
    kept = {f.name: getattr(fit, f.name) for f in fields(fit) if f.name not in DERIVED}
    model = kept.pop("model")
    kept["params"] = jax.tree.map(np.asarray, kept["params"])
    if kept["data"] is not None and model is not None:
        kept["data"] = jax.tree.map(np.asarray, kept["data"].observations), np.array(kept["data"].weights)
    ready = None if model is None else model.declaration
    stated = (ready, model.layout, _nodes(model)) if model is not None and ready is not None else model
    _refuse_what_is_local(fit, stated)
    return restored, (type(fit), kept, stated, fit.__dict__.get("_errors"))


def _refuse_what_is_local(fit: Any, stated: Any) -> None:
    """TypeError in one line for functions that pickle cannot name."""
    try:
        pickle.dumps(stated)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        found = re.search(r"<[^>]*>[\w.<>]*|'[\w.<>]+'", str(error))
        told = f"{fit.name} holds {found[0] if found else 'a function'}, which pickle cannot name"
        advice = "define it with def at the top of a module, or fit.save(path) and lem.load(path, model=...)"
        raise TypeError(f"{told}: {advice}") from None


def restored(kind: Any, kept: dict[str, Any], stated: Any, errors: Any) -> Any:
    """The Fit that `reduce` took apart."""
    if isinstance(stated, tuple):
        ready, layout, nodes = stated
        stated = replace(state(ready), declaration=ready, layout=layout)
        stated = stated if nodes is None else replace(stated, latent=codec.decode(nodes))
    if kept["data"] is not None and isinstance(stated, Model):
        kept = {**kept, "data": stated.latent.read(*kept["data"])}
    fit = kind(model=stated, **kept)
    if errors is not None:
        fit.__dict__["_errors"] = errors
    return fit


def deepcopy(fit: Any, memo: dict[int, Any]) -> Any:
    """A copy whose arrays are its own; the model, which never changes, is the same."""
    own = {
        "params": jax.tree.map(np.array, fit.params),
        "trace": np.array(fit.trace),
        "starts": np.array(fit.starts),
        "data": copy.deepcopy(fit.data, memo),
        "given": copy.deepcopy(fit.given, memo),
    }
    return replace(fit, **own)
