"""Reading a Fit that was saved: its declaration is data in the file, and so it computes again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from latentem.ascent.status import Status
from latentem.data import Data
from latentem.model import Model
from latentem.model.declared import declare, read_new, state
from latentem.model.latents import Continuous
from latentem.results import archive, codec
from latentem.results.field import FieldFit
from latentem.results.fingerprint import fingerprint, weighted
from latentem.results.fit import Fit

Check = Callable[[Any], bool]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


#: What the header holds of a Fit, and what each must be.
FIELDS: dict[str, Check] = {
    "log_likelihood": _number,
    "log_prior": _number,
    "iterations": _whole,
    "evaluations": _whole,
    "seconds": _number,
    "n_observations": _number,
    "n_parameters": _whole,
    "dtype": lambda value: value in ("float64", "float32"),
    "name": lambda value: isinstance(value, str),
    "gradient": lambda value: value is None or _number(value),
}


def load(path: str | Path, model: Any = None, data: Any = None, weights: Any = None) -> Fit:
    """Read a Fit that `Fit.save` wrote. Nothing in the file is executed.

    A fit of a ready model predicts, scores and draws as it did: the file holds its declaration. What sums over the data
    of the fit, such as standard errors, takes the data too.

    Args:
        path: the file.
        model: the declaration, where it is code: a `lem.Model`, or a ready model of `families.Custom`.
        data: the observations it was fitted to.
        weights: their weights, where the fit had any.

    Raises:
        ValueError: the file is not a Fit that this version can read, the model is another one, or these are not the
            data and weights of the fit.
        FileNotFoundError: no such file.

    >>> import tempfile
    >>> x = np.array([0.0, 1.0, 1.0, 2.0, 8.0, 9.0, 9.0, 7.0])
    >>> fit = lem.fit(lem.Mixture(lem.families.Poisson(), 2), x, key=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = lem.load(fit.save(folder + "/counts.npz"))
    >>> bool((again.predict([1, 8]) == fit.predict([1, 8])).all())
    True
    """
    path = Path(path)
    header, params, arrays = archive.read(path, ("trace", "starts"))
    fields = _fields(path, header)
    if (ready := _on_host(path, header, model)) is not None:
        ready, own = _host_data(path, ready, model, data, weights, header)
        return Fit(params=params, declaration=ready, data=own, **arrays, **fields)
    if hasattr(model, "loaded"):  # records that share one latent
        return model.loaded(data, weights=weights, params=params, **arrays, **fields)
    if getattr(getattr(model, "latent", None), "shared", False):
        return FieldFit(params=params, model=model, declaration=model, frame=data, weights=weights, **arrays, **fields)
    stated = _of_file(path, header, params)
    if model is not None:
        stated = _given(path, model, data, stated, header, params)
    stated = _on_nodes(path, stated, header)
    own = None
    if data is not None and stated is not None:
        stated, own = _with_data(path, stated, data, weights, header)
    elif data is not None:
        raise ValueError(f"{path}: data= takes the model too, which is code here: pass model=")
    elif weights is not None:
        raise ValueError("weights= are those of data=: pass both")
    found = Fit(
        params=params,
        model=stated,
        declaration=model if stated is None or stated.declaration is None else stated.declaration,
        data=own,
        given=data,
        weighted=bool(header.get("weighted", False)),
        edges=_edges(path, header, params),
        by_formula=header.get("by_formula") is not False,
        **arrays,
        **fields,
    )
    if stated is not None and header.get("errors") is not None:
        found.__dict__["_errors"] = _errors(path, header["errors"], params)
    return found


def _on_nodes(path: Path, model: Model | None, header: dict[str, Any]) -> Model | None:
    """The model with its continuous latent integrated where the fit did."""
    if model is None or header.get("latent") is None:
        return model
    try:
        latent = codec.decode(header["latent"])
        if not isinstance(latent, Continuous):
            raise ValueError("its nodes are those of no latent")
    except archive.BROKEN as error:
        raise archive.refused(path, error) from None
    if not isinstance(model.latent, Continuous) or model.latent.dim != latent.dim:
        raise ValueError(f"{path} is a fit of another model: its latent is {latent}, here {model.latent}")
    return model if latent == model.latent else replace(model, latent=latent)


def _edges(path: Path, header: dict[str, Any], params: Any) -> np.ndarray | None:
    """Which raveled params lie at an edge."""
    kept = header.get("edges")
    size = sum(np.size(a) for a in jax.tree.leaves(params))
    if kept is None:
        return None
    if not isinstance(kept, list) or len(kept) != size or not all(isinstance(edge, bool) for edge in kept):
        raise archive.refused(path, ValueError("its edges are not those of its params"))
    return np.array(kept, bool)


def _errors(path: Path, kept: Any, params: Any) -> tuple[Any, tuple[str, ...]]:
    """Standard errors as the file holds them."""
    leaves, structure = jax.tree.flatten(params)
    try:
        found, reasons = kept
        if not all(isinstance(reason, str) for reason in reasons):
            raise ValueError("its standard errors have no reasons")
        if found is None:
            return None, tuple(reasons)
        arrays = [codec.decode(a) for a in found]
        if [np.shape(a) for a in arrays] != [np.shape(a) for a in leaves]:
            raise ValueError("its standard errors are not shaped like its params")
        return jax.tree.unflatten(structure, arrays), tuple(reasons)
    except archive.BROKEN as error:
        raise archive.refused(path, error) from None


def _fields(path: Path, header: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, check in FIELDS.items():
        if name not in header:
            if name in ("dtype", "name", "gradient"):  # older files
                continue
            raise archive.refused(path, ValueError(f"its header has no {name}"))
        if not check(header[name]):
            raise archive.refused(path, ValueError(f"its header says {name} = {str(header[name])[:40]!r}"))
        fields[name] = header[name]
    notes = header.get("notes")
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise archive.refused(path, ValueError("its notes are no list of text"))
    status = header.get("status")
    if not isinstance(status, str) or status not in Status.__members__:
        raise archive.refused(path, ValueError(f"its status is {str(status)[:40]!r}"))
    return {**fields, "status": Status[status], "notes": tuple(notes)}


def _of_file(path: Path, header: dict[str, Any], params: Any) -> Model | None:
    """The model that the file declares, if it does."""
    if header.get("declaration") is None:
        return None
    size = sum(np.size(a) for a in jax.tree.leaves(params))
    try:
        ready = codec.decode(header["declaration"], largest=max(size, codec.SMALL))
        if not hasattr(ready, "declare"):
            raise ValueError("its declaration is no model")
        stated = replace(state(ready), declaration=ready, layout=codec.layout_of(header.get("layout")))
        refuse_other_params(stated, params)
    except archive.BROKEN as error:
        raise archive.refused(path, error) from None
    return stated


def _on_host(path: Path, header: dict[str, Any], model: Any) -> Any:
    """The declaration of a fit that climbed on the host: that of the file, or the one given; None of another fit."""
    kept, given = header.get("declaration"), model if hasattr(model, "on_host") else None
    try:
        ready = None if kept is None else codec.decode(kept)
    except archive.BROKEN:
        ready = None  # what is wrong with it is said where it is read as a Model
    if not hasattr(ready, "on_host"):
        return given if kept is None else None
    if model is not None and type(model) is not type(ready):
        told = f"{path} holds a {type(ready).__name__}"
        raise ValueError(f"{told}: expected that as model=, or none; got {type(model).__name__}")
    return ready


def _host_data(
    path: Path, ready: Any, model: Any, data: Any, weights: Any, header: dict[str, Any]
) -> tuple[Any, Data | None]:
    """(the declaration with what the data say about it, the data)."""
    if data is None:
        if weights is not None:
            raise ValueError("weights= are those of data=: pass both")
        return ready, None
    ready, observations, _ = (ready if model is None else model).on_host(data, weights)
    own, kept = Data(observations, np.ones(1)), header.get("fingerprint")
    if isinstance(kept, str) and kept != fingerprint(own):
        raise ValueError(f"{path}: these are other data than those of the fit, or other weights")
    return ready, own


def _given(path: Path, model: Any, data: Any, stated: Model | None, header: dict[str, Any], params: Any) -> Model:
    """The model that the user gives, where it can be that of the file."""
    if not hasattr(model, "declare"):
        raise TypeError(
            f"model = {model!r:.80}: expected lem.Model(...) or a ready model such as lem.GaussianMixture(3)"
        )
    if stated is not None:
        if type(model) is not type(stated.declaration):
            told = f"a {type(stated.declaration).__name__}"
            raise ValueError(f"{path} holds {told}: expected that as model=, or none; got {type(model).__name__}")
        return stated
    if isinstance(model, Model):
        layout = None
        try:
            layout = codec.layout_of(header.get("layout"))
        except ValueError as error:
            raise archive.refused(path, error) from None
        found = replace(model, layout=layout)
    elif data is not None:
        found = declare(model, data)[0]
    else:
        try:
            found = replace(state(model), declaration=model)
        except ValueError as error:
            raise ValueError(f"{path} does not say what the data were like: pass data= too ({error})") from None
    try:
        refuse_other_params(found, params)
    except ValueError as error:
        raise ValueError(f"{path} is a fit of another model: {error}") from None
    return found


def refuse_other_params(model: Model, params: Any) -> None:
    """ValueError where params are not shaped as the model declares."""
    try:
        leaves = model.space.treedef.flatten_up_to(params)
    except (ValueError, TypeError, KeyError):
        raise ValueError(f"its params are not {', '.join(model.space.names[:6])}") from None
    for name, constraint, leaf in zip(model.space.names, model.space.constraints, leaves, strict=True):
        shape = np.shape(leaf)
        if shape != tuple(constraint.shape):
            raise ValueError(f"{name} has shape {shape}: expected {tuple(constraint.shape)}")


def _with_data(path: Path, stated: Model, data: Any, weights: Any, header: dict[str, Any]) -> tuple[Model, Data]:
    model, own = read_new(stated, data, weights)
    if header.get("weighted") and weights is None:
        raise ValueError(f"{path}: this fit had weights: pass weights= beside data=")
    kept = header.get("fingerprint")
    if isinstance(kept, str) and kept != fingerprint(own):
        other = "data or weights" if header.get("weighted") or weighted(own) else "data"
        raise ValueError(f"{path}: these are other {other} than those of the fit ({own.total:g} observations here)")
    if not isinstance(kept, str) and not np.isclose(own.total, header["n_observations"], rtol=1e-12):
        told = f"{own.total:g} observations here, {header['n_observations']:g} in the fit"
        raise ValueError(f"{path}: {told}: pass the data of the fit, and its weights")
    return model, own
