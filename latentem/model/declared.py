"""A model and its data: what the data of a fit say about the model, and new data read against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from latentem.data import Data
from latentem.data.layout import Layout, arrange, arrange_tree, is_tabular, names_of
from latentem.data.sequences import Sequences, sequences
from latentem.model.base import Model
from latentem.model.latents import Continuous


def declare(model: Any, data: Any) -> tuple[Model, Any]:
    """(the Model for these data, the observations as it wants them). A ready model fills in what the data fix, such as
    a dimension, in `declare(data)`, and states itself as a `Model` in `model()`. The Model keeps both, and how the
    columns lay, to read new data.

    Raises:
        TypeError: `model` is neither a Model nor a ready model.
    """
    refuse(model, data)
    layout, arranged = _arranged(model, data)
    declared, observations = model.declare(arranged)
    if isinstance(declared, Model):
        return replace(declared, layout=layout), observations
    return replace(state(declared), declaration=declared, layout=layout), observations


def state(ready: Any) -> Model:
    """A ready model that has been declared, as a `Model`."""
    return ready.stated() if hasattr(ready, "stated") else ready.model()


def read(model: Any, observations: Any, weights: Any = None) -> tuple[Model, Data]:
    """(the Model for these data, the data as they come through the door of its latent).

    Raises:
        TypeError, ValueError: `model` is neither a Model nor a ready model; data that cannot be used.
    """
    declared, observations = declare(model, observations)
    return declared, declared.latent.read(observations, weights)


def read_new(model: Model, data: Any, weights: Any = None) -> tuple[Model, Data]:
    """(the Model, the data) of new observations for the Model of a fit: see `again`.

    Raises:
        ValueError, TypeError: in one line, what cannot be read as the data of the fit were.
    """
    found, observations = again(model, data)
    return found, found.latent.read(observations, weights)


def again(model: Model, data: Any) -> tuple[Model, Any]:
    """(the Model, the observations) of new data for the Model of a fit: columns by name, labels as the fit knows them.
    The Model is another one only where entries are missing that were not in the data of the fit.

    Raises:
        ValueError, TypeError: in one line, a column that is missing, another width or type, a label never seen.
    """
    ready, layout = model.declaration, model.layout
    if model.latent.sequential:
        series = _sequences(layout, data)
        if isinstance(series.steps, tuple):  # declared already
            return model, series
        steps = series.columns() if series.names or series.levels else series.steps
        series = replace(series, steps=steps if layout is None else layout.read(steps), names=(), levels=())
        if ready is None:
            return model, series
        known, series = ready.read(series)
        return _stated(model, known), series
    observations = data if layout is None else layout.read(data)
    if ready is None:
        return model, observations
    if not hasattr(ready, "read"):
        declared, observations = ready.declare(observations)
        known = _on_nodes_of(model, declared) if isinstance(declared, Model) else _stated(model, declared)
        return known, observations
    known, observations = ready.read(observations)
    return _stated(model, known), observations


def _stated(model: Model, known: Any) -> Model:
    if known == model.declaration:
        return model
    return _on_nodes_of(model, replace(state(known), declaration=known, layout=model.layout))


def _on_nodes_of(model: Model, stated: Model) -> Model:
    """Integrated where a fit did, which may have gone on with other nodes than were declared."""
    if not isinstance(model.latent, Continuous) or stated.latent == model.latent:
        return stated
    return replace(stated, latent=model.latent)


def _arranged(model: Any, data: Any) -> tuple[Layout | None, Any]:
    """(how the columns of the data lie, the data as the model names its columns)."""
    if model.latent.sequential if isinstance(model, Model) else getattr(model, "sequential", False):
        series = sequences(data)
        if isinstance(series.steps, tuple):
            return None, series
        steps = series.columns() if series.names or series.levels else series.steps
        layout, steps = _of_rows(model, steps)
        return replace(layout, sequence=series.sequence), replace(series, steps=steps, names=(), levels=())
    if not isinstance(model, Model) and not hasattr(model, "columns"):
        return None, data  # it has a door of its own
    if hasattr(type(data), "read"):  # data of a kind that reads itself
        return None, data
    return _of_rows(model, data)


def _of_rows(model: Any, rows: Any) -> tuple[Layout, Any]:
    if isinstance(model, Model):
        return arrange_tree(rows)
    return arrange(rows, model.columns, model.levels_of)


def _sequences(layout: Layout | None, data: Any) -> Sequences:
    """New data as sequences: by the column that said so in the data of the fit, where it is there."""
    if isinstance(data, Sequences) or layout is None or not layout.names:
        return sequences(data)
    if is_tabular(data):
        there = names_of(data)
        by = layout.sequence if layout.sequence in there else None
        for name in layout.names:
            if name not in there:
                raise ValueError(f"no column is called {name!r}: choose from {', '.join(map(str, there))}")
        return sequences(data, sequence=by, columns=list(layout.names))
    return sequences(data, columns=list(layout.names) if _of_tables(data) else None)


def _of_tables(data: Any) -> bool:
    return isinstance(data, list | tuple) and len(data) > 0 and all(is_tabular(part) for part in data)


def refuse(model: Any, data: Any) -> None:
    """TypeError where model and data are something else, or have changed places."""
    if isinstance(model, type) and hasattr(model, "declare"):
        raise TypeError(f"model = {model.__name__}, a class: expected a model; write lem.{model.__name__}(...)")
    if hasattr(model, "features_batch") and not hasattr(model, "model"):
        name = type(model).__name__
        raise TypeError(f"model = {name}(...), a family: expected lem.Model(...) or lem.Mixture({name}(...), 1)")
    if hasattr(model, "declare"):
        return
    if hasattr(model, "on_host"):
        name = type(model).__name__
        raise TypeError(f"{name} climbs on the host, as a whole: lem.fit(model, data) takes it, this does not")
    expected = "expected lem.Model(...) or a ready model such as lem.GaussianMixture(3)"
    if hasattr(data, "declare"):
        raise TypeError("model and data have changed places: expected lem.fit(model, data)")
    if isinstance(model, np.ndarray | jax.Array | Mapping) or is_tabular(model):
        raise TypeError(f"model is a {type(model).__name__}: {expected}")
    raise TypeError(f"model = {model!r}: {expected}")
