"""Columns that transitions depend on, and those that states emit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

import latentem as lem


class Step(NamedTuple):
    """What a model with covariates keeps of each step: what is observed, and the covariates of the move into it."""

    observed: Any
    covariates: Any


def names(covariates: Any) -> tuple[str, ...]:
    """Names of columns, as a tuple.

    Raises:
        TypeError: something that is no name.
    """
    found = (covariates,) if isinstance(covariates, str) else tuple(covariates)
    for name in found:
        if not isinstance(name, str):
            raise TypeError(f"covariates={covariates!r}: expected names of columns, such as ('temperature',)")
    return found


def observed(series: lem.Sequences, family: Any, covariates: tuple[str, ...], new: bool = False) -> lem.Sequences:
    """The series of what the family is given: its own columns where it names them, else what is no covariate. A step
    whose columns are all missing, or whose response is, becomes NaN as a whole, whatever its covariates."""
    from_series = getattr(family, "of_sequences", None)
    own = family.columns if from_series is None else None
    own = None if own is ... else own
    steps = series.steps
    if from_series is not None and (not covariates or not isinstance(steps, dict)):
        return from_series(series, new)
    if not isinstance(steps, dict):
        return series
    kept = {name: a for name, a in steps.items() if (name not in covariates if own is None else name in own)}
    if own is None and covariates and len(kept) == 1:
        series = replace(series, steps=next(iter(kept.values())))
        return series if from_series is None else from_series(series, new)
    if covariates and (not kept or from_series is not None):
        told = f"covariates={covariates}: leave {len(kept)} columns for the states to emit"
        raise ValueError(f"{told}: expected {'some' if from_series is None else 'one'}")
    if own is None and covariates and family.columns is None:
        return replace(series, steps=np.stack([np.asarray(a, np.float64) for a in kept.values()], axis=1))
    response = getattr(family, "response", None)
    if response not in kept or series.observed is not None:
        return replace(series, steps=kept)
    gone = np.isnan(np.asarray(kept[response], dtype=np.float64))
    if not gone.any():
        return replace(series, steps=kept)
    return replace(series, steps={name: np.where(gone, np.nan, np.asarray(a)) for name, a in kept.items()})


def moves(series: lem.Sequences, names: tuple[str, ...], at: str) -> Float[np.ndarray, "T q"]:
    """Covariates of the move into each step; 0 at the first step of each sequence, into which there is none.

    Raises:
        ValueError: a covariate is no column, is no number for each step, or is missing where a move depends on it.
    """
    if not isinstance(series.steps, dict):
        raise ValueError(f"covariates={names}: expected steps with named columns, as lem.sequences of a dict or table")
    for name in names:
        if name not in series.steps:
            raise ValueError(f"no column is called {name!r}: choose from {', '.join(map(str, series.steps))}")
        if (shape := np.shape(series.steps[name])) != (series.total,):
            raise ValueError(f"covariate {name!r} has shape {shape}: expected ({series.total},), one number per step")
    values = np.stack([np.asarray(series.steps[name], dtype=np.float64) for name in names], axis=1)
    if at == "from":
        values = np.concatenate([values[:1], values[:-1]])
    values = values.copy()
    values[series.starts] = 0.0
    if np.isnan(values).any():
        t, q = np.argwhere(np.isnan(values))[0]
        told = f"covariate {names[q]!r} is missing at step {t - (at == 'from')}"
        raise ValueError(f"{told}, where a transition depends on it: fill it in")
    return values
