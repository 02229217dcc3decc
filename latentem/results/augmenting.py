"""The user's own data with what a fit says of each row beside it."""

from __future__ import annotations

from typing import Any

import numpy as np

from latentem import chain, kalman
from latentem.data import tables
from latentem.data.layout import is_tabular, names_of
from latentem.data.sequences import Sequences
from latentem.forms.choose import as_declared
from latentem.results.estimates import source

#: Posterior probabilities have a column each up to this many latent values.
MOST = 100


def augment(fit: Any, data: Any = None, *, prefix: str = "") -> Any:
    """The data with what the fit says of each row: the most probable component or state, -1 where there is none, and
    the probability of each; posterior mean and standard deviation where the latent is continuous.

    Args:
        data: new observations, as those of the fit were given; those of the fit by default.
        prefix: of the names of the new columns.

    Returns:
        A table of the library that the data came in, its index kept; a dict for a dict; a dict of "observations" and
        the new columns for an array; a list of them for a list of tables, one for each sequence.

    Raises:
        ValueError: the data have a column of such a name already.

    >>> x = {"visits": np.array([0, 1, 0, 2, 1, 9, 8, 11, 9, 10])}
    >>> fit = lem.fit(lem.Mixture(lem.families.Poisson(), 2), x, key=0)
    >>> list(fit.augment())
    ['visits', 'component', 'component_0', 'component_1']
    """
    found = source(fit, data)
    if found is None:
        raise ValueError("augment: this Fit holds no data: pass the observations")
    columns = {prefix + name: np.asarray(a) for name, a in columns_of(fit, data).items()}
    in_parts = fit.model is not None and _is_chain(fit.model.latent) and isinstance(found, list | tuple)
    return _in_parts(found, columns) if in_parts else _beside(found, columns)


def columns_of(fit: Any, data: Any = None) -> dict[str, np.ndarray]:
    """What the fit says of each row, {name: (N,)}; rows of sequences end to end."""
    ready = fit._ready
    if hasattr(ready, "augmented"):
        return ready.augmented(fit, data)
    word = getattr(ready, "latent_name", "latent")
    if fit.model is not None and _is_chain(fit.model.latent):
        return _of_chain(fit, data, word)
    form = as_declared(fit.model) if fit.model is not None else None
    if form is None or not form.can("predict"):
        hard = fit.model is not None and fit.model.latent.hard
        probabilities = {} if hard else _probabilities(word, fit.responsibilities(data))
        return {word: fit.predict(data), **probabilities}
    posterior = fit.posterior(data)
    mean, sd = posterior.mean, posterior.sd
    parts = mean if isinstance(mean, dict) else {word: mean}  # of a latent of several parts, by name
    spreads = sd if isinstance(sd, dict) else {word: sd}
    return {k: a for name in parts for k, a in _both(name, parts[name], spreads[name]).items()}


def _both(word: str, mean: np.ndarray, sd: np.ndarray) -> dict[str, np.ndarray]:
    return {**_moments(word, "mean", mean), **_moments(word, "sd", sd)}


def _is_chain(latent: Any) -> bool:
    return len(latent.arguments()) > 1  # a value and the one before


def _of_chain(fit: Any, data: Any, word: str) -> dict[str, np.ndarray]:
    if not np.issubdtype(np.asarray(fit.model.latent.example()).dtype, np.integer):  # states are no numbers
        model, own = fit.at(data)
        states = kalman.smoothed(model, fit.params, own)
        spread = np.sqrt(np.diagonal(states.covariance, axis1=1, axis2=2))
        return _both(word, states.mean, spread)
    if "viterbi" in dir(fit):
        path, smoothed = fit.viterbi(data), fit.smooth(data)
        if isinstance(path, list):
            path, smoothed = np.concatenate(path), np.concatenate(smoothed)
    else:
        model, own = fit.at(data)
        path = chain.viterbi(model, fit.params, own.observations)[0][:, 0]
        smoothed = chain.smoothed(model, fit.params, own.observations)
    return {word: path, **_probabilities(word, smoothed)}


def _probabilities(word: str, each: np.ndarray) -> dict[str, np.ndarray]:
    return {f"{word}_{k}": each[:, k] for k in range(each.shape[1])} if each.shape[1] <= MOST else {}


def _moments(word: str, moment: str, values: np.ndarray) -> dict[str, np.ndarray]:
    flat = np.reshape(values, (len(values), -1))
    if flat.shape[1] == 1:
        return {f"{word}_{moment}": flat[:, 0]}
    return {f"{word}_{moment}_{i}": flat[:, i] for i in range(flat.shape[1])}


def _in_parts(found: Any, columns: dict[str, np.ndarray]) -> Any:
    """A list of sequences, or one sequence as a list of numbers."""
    if not all(is_tabular(part) or np.ndim(part) for part in found):
        return _beside(found, columns)
    ends = np.cumsum([tables.length_of(part) for part in found])[:-1]
    split = {name: np.split(a, ends) for name, a in columns.items()}
    return [_beside(part, {name: a[i] for name, a in split.items()}) for i, part in enumerate(found)]


def _beside(found: Any, columns: dict[str, np.ndarray]) -> Any:
    if isinstance(found, Sequences):  # of arrays
        found = found.columns() if isinstance(found.steps, dict) else found.steps
    if is_tabular(found):
        taken = [name for name in columns if name in names_of(found)]
        if taken:
            raise ValueError(f"augment: the data have a column {taken[0]!r} already: pass prefix='fitted_', or another")
    return tables.with_columns(found, columns)
