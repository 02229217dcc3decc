"""Components and states in another order: params, errors, responsibilities and paths alike. Methods of `Fit`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import jax
import numpy as np

from latentem.data.sequences import Sequences
from latentem.model.declared import state
from latentem.model.labelled import axes_of, named

#: A state that is moved to is one of the states.
SAME = {"to": "state"}


def relabel(fit: Any, order: Any) -> Any:
    """The same fit with its components (states, clusters) in another order.

    Args:
        order: which of the old ones each of the new ones is: `[2, 0, 1]` makes component 2 the first.

    Raises:
        ValueError: the model has none, the order is none, or the data say which state is which.

    >>> x = np.array([9, 8, 11, 9, 10, 0, 1, 0, 2, 1])
    >>> fit = lem.fit(lem.Mixture(lem.families.Poisson(), 2), x, key=0)
    >>> bool((fit.relabel([1, 0]).predict() == 1 - fit.predict()).all())
    True
    """
    ready, word = fit._ready, _word(fit)
    k = _number(fit, word)
    found = np.asarray(order)
    if found.shape != (k,) or found.dtype.kind not in "iu" or sorted(found.tolist()) != list(range(k)):
        told = f"relabel({order!r}): expected each of 0, ..., {k - 1} once"
        raise ValueError(f"{told}: which {word} each of the new ones was")
    if fit.data is not None and isinstance(fit.data.observations, Sequences) and fit.data.observations.known:
        raise ValueError("relabel: the data say which state is which at some steps: fit them with other labels")
    if (found == np.arange(k)).all():
        return fit
    declared = ready.relabelled(found)
    model = replace(state(declared), declaration=declared, layout=fit.model.layout)
    same = model == fit.model
    params = _permuted(fit.model, fit.params, found, word)
    settled = declared.settled(params) if hasattr(declared, "settled") else params
    whole = same and fit.problem is not None and fit.problem.compression.basis is None
    again = replace(
        fit,
        params=settled,
        model=fit.model if same else model,
        declaration=_stated(fit.declaration, ready, declared),
        edges=None if fit.edges is None else _raveled(fit.model, fit.edges, found, word),
        notes=tuple(_note(fit.model, note, found, word) for note in fit.notes),
        problem=fit.problem if whole else None,
        ends=fit.ends if whole else None,
    )
    kept = fit.__dict__.get("_errors")
    if kept is not None and _equal(params, settled):
        errors, reasons = kept
        errors = None if errors is None else _permuted(fit.model, errors, found, word)
        again.__dict__["_errors"] = errors, tuple(_note(fit.model, reason, found, word) for reason in reasons)
    return again


def sorted_by(fit: Any, by: str | Callable[[Any], Any], *, descending: bool = False) -> Any:
    """The same fit with its components (states, clusters) in ascending order.

    Args:
        by: name of a parameter, such as "rate" or "weights", with the entry where each component has several,
            "mean[waiting]"; or a function of the params that returns a number for each.
        descending: the largest first.

    Raises:
        ValueError: no such parameter, or several numbers for each.

    >>> x = np.array([9, 8, 11, 9, 10, 0, 1, 0, 2, 1])
    >>> fit = lem.fit(lem.Mixture(lem.families.Poisson(), 2), x, key=0)
    >>> np.round(fit.sorted(by="rate").params["components"]["rate"], 2)
    array([0.79, 9.35])
    """
    word = _word(fit)
    k = _number(fit, word)
    values = np.asarray(by(fit.params) if callable(by) else _values(fit, by, word), dtype=np.float64)
    if values.shape != (k,):
        raise ValueError(f"sorted: by= gives an array of shape {values.shape}: expected ({k},), one for each {word}")
    return relabel(fit, np.argsort(-values if descending else values, kind="stable"))


def _stated(stated: Any, old: Any, new: Any) -> Any:
    """The declaration as the user stated it, with what is another in that of the data."""
    changed = {f.name for f in fields(new) if f.init and getattr(new, f.name) is not getattr(old, f.name)}
    return replace(stated, **{name: getattr(new, name) for name in changed}) if changed else stated


def _word(fit: Any) -> str:
    """What a latent value is called, of a model whose latent values can change places."""
    if fit.model is None or not hasattr(fit._ready, "relabelled"):
        raise ValueError(f"relabel: {fit.name} has no components or states that can change places")
    return fit._ready.latent_name


def _axes(model: Any, word: str) -> list[list[int]]:
    """Of each param, its axes over components; of a mixture of mixtures, over the outer ones."""
    found = []
    for axes in axes_of(model):
        mine = [i for i, axis in enumerate(axes) if SAME.get(axis.kind, axis.kind) == word]
        found.append(mine if word == "state" else mine[:1])
    return found


def _number(fit: Any, word: str) -> int:
    """How many there are."""
    return getattr(fit._ready, f"{word}s")


def _permuted(model: Any, tree: Any, order: np.ndarray, word: str) -> Any:
    """A pytree shaped like params."""
    leaves = []
    for leaf, axes in zip(model.space.treedef.flatten_up_to(tree), _axes(model, word), strict=True):
        array = np.asarray(leaf)
        for axis in axes:
            array = np.take(array, order, axis=axis)
        leaves.append(array)
    return model.space.treedef.unflatten(leaves)


def _raveled(model: Any, flat: np.ndarray, order: np.ndarray, word: str) -> np.ndarray:
    """Raveled params (D,)."""
    shapes = [c.shape for c in model.space.constraints]
    ends = np.cumsum([int(np.prod(s)) for s in shapes])[:-1]
    parts = [part.reshape(s) for part, s in zip(np.split(flat, ends), shapes, strict=True)]
    new = _permuted(model, model.space.treedef.unflatten(parts), order, word)
    return np.concatenate([np.ravel(a) for a in model.space.treedef.flatten_up_to(new)])


def _note(model: Any, note: str, order: np.ndarray, word: str) -> str:
    """A sentence that names entries of params, with the names they have now."""
    place = np.argsort(order)
    for name, axes in zip(model.space.names, _axes(model, word), strict=True):

        def renamed(found: re.Match[str], name: str = name, axes: list[int] = axes) -> str:
            index = [int(i) for i in found[1].split(",")]
            return named(name, tuple(int(place[i]) if a in axes else i for a, i in enumerate(index)))

        note = re.sub(rf"(?<![\w.]){re.escape(name)}\[([\d,]+)\]", renamed, note)
    return note


def _values(fit: Any, by: Any, word: str) -> Any:
    """The parameter of each component."""
    if not isinstance(by, str):
        raise TypeError(f"sorted: by={by!r}: expected the name of a parameter, or a function of the params")
    name, _, entry = by.partition("[")
    space = fit.model.space
    known = [own for own, axes in zip(space.names, _axes(fit.model, word), strict=True) if axes]
    mine = [own for own in known if own == name or own.endswith(f".{name}")]
    if len(mine) != 1:
        told = "no parameter" if not mine else "more than one parameter"
        raise ValueError(f"sorted: {told} of each {word} is called {name!r}: expected one of {', '.join(known)}")
    at = space.names.index(mine[0])
    value = np.asarray(space.treedef.flatten_up_to(fit.params)[at])
    axes = axes_of(fit.model)[at]
    own = _axes(fit.model, word)[at][0]
    value, rest = np.moveaxis(value, own, 0), [a for i, a in enumerate(axes) if i != own]
    value = value.reshape(len(value), -1)
    shape = np.asarray(space.constraints[at].shape)
    labels = [
        ",".join(str(i if a.labels is None else a.labels[i]) for a, i in zip(rest, index, strict=True))
        for index in np.ndindex(*np.delete(shape, own))
    ]
    if not entry:
        if value.shape[1] > 1:
            raise ValueError(
                f"sorted: each {word} has {value.shape[1]} entries of {name}: say which, such as {name}[{labels[0]}]"
            )
        return value[:, 0]
    if entry.rstrip("]") not in labels:
        raise ValueError(f"sorted: {name} has no entry [{entry.rstrip(']')}]: expected one of {', '.join(labels[:12])}")
    return value[:, labels.index(entry.rstrip("]"))]


def _equal(one: Any, other: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))
