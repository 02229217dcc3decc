"""Parametric bootstrap (Efron 1979): simulate from the fit, refit every replicate in one compiled program."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from latentem.ascent.replicates import Refits, refit
from latentem.data import Data, door
from latentem.data.sequences import Sequences
from latentem.forms import Form, Prepared
from latentem.forms.choose import choose_form
from latentem.model import Model
from latentem.numerics.compiled import jit
from latentem.numerics.keys import as_key
from latentem.results.fit import Fit


@dataclass(frozen=True)
class Bootstrap:
    """Replicated fits.

    Args:
        params: pytree with leading axis R, the params of the replicates that converged.
        log_likelihood: of those, (R,).
        replicates: replicates run.
        converged: how many of them converged.
    """

    params: Any
    log_likelihood: Float[np.ndarray, " R"]
    replicates: int
    converged: int

    def standard_errors(self) -> Any:
        """Standard deviation over replicates, a pytree shaped like params."""
        return jax.tree.map(lambda a: np.std(a, axis=0, ddof=1), self.params)

    def confidence_intervals(self, level: float = 0.95) -> Any:
        """Percentile intervals: a pytree shaped like params whose arrays have a leading axis (low, high)."""
        if not 0 < level < 1:
            raise ValueError(f"level={level!r}: expected a number between 0 and 1")
        tails = [(1 - level) / 2, (1 + level) / 2]
        return jax.tree.map(lambda a: np.quantile(a, tails, axis=0), self.params)


def bootstrap(fit: Fit, key: Any, replicates: int = 200) -> Bootstrap:
    """Parametric bootstrap of a fit.

    Every replicate has as many observations as the data (the sum of the weights) and is refitted from the fitted
    params, so that components keep their order.

    Args:
        fit: a converged Fit of a model with a sampler.
        key: a seed, such as 0, or a key of `jax.random.key`.
        replicates: R.

    Raises:
        ValueError: the model declares no sampler, the fit is not a maximum, the weights do not add up to a whole
            number, samples do not look like the data, or no replicate converged.

    >>> fit = lem.fit(lem.Mixture(lem.families.Poisson(), 1), np.array([3, 1, 4, 1, 5]), key=jax.random.key(0))
    >>> lem.bootstrap(fit, jax.random.key(1), 50).converged
    50
    """
    if replicates < 2:
        raise ValueError(f"replicates={replicates}: expected at least 2")
    key = as_key(key, "bootstrap")
    with jax.enable_x64(True):
        form, prepared = simulated(fit, fit.model, key, replicates)
        params = jax.tree.map(jnp.asarray, fit.params)
        done: Refits = jax.tree.map(np.asarray, refit(form, params, prepared, "rows"))
    kept = done.converged & np.isfinite(done.objective)
    if not kept.any():
        raise ValueError(f"bootstrap: none of {replicates} replicates converged; the model may not be identified")
    return Bootstrap(
        jax.tree.map(lambda a: a[kept], done.params), np.asarray(done.log_likelihood)[kept], replicates, int(kept.sum())
    )


def simulated(fit: Fit, model: Model, key: Any, replicates: int) -> tuple[Form, Prepared]:
    """(form of `model`, data simulated from `fit` with a leading axis R on the rows), under x64.

    Raises:
        ValueError: as `bootstrap` says.
    """
    if fit.model is None or fit.data is None:
        raise ValueError("bootstrap: this Fit was loaded without its model or data: pass lem.load(path, model=, data=)")
    if fit.model.sample is None and fit.model.sample_like is None:
        raise ValueError(
            f"bootstrap: {fit.name} declares no sampler: give lem.Model(..., sample=function (params, key) -> x)"
        )
    if not fit.status.ok:
        raise ValueError(f"bootstrap: the fit ended {fit.status.name}: {fit.status.advice}")
    if isinstance(fit.data.observations, Sequences):
        return _simulated_sequences(fit, fit.data, model, key, replicates)
    n = round(fit.n_observations)
    if n != fit.n_observations:
        raise ValueError(
            f"bootstrap: the weights add up to {fit.n_observations:g}: expected a whole number of observations"
        )
    params = jax.tree.map(jnp.asarray, fit.params)
    observed = door.cast(fit.data.observations, "float64")
    keys = jax.random.split(key, (replicates, n))
    if fit.model.sample_like is None:
        rows = _draws(fit.model, params, keys)
    else:  # with the covariates of the data, each row as often as it counts
        which = np.repeat(np.arange(len(fit.data.weights)), np.round(np.asarray(fit.data.weights)).astype(int))
        rows = _draws_like(fit.model, params, keys, jax.tree.map(lambda a: jnp.asarray(np.asarray(a)[which]), observed))
    same = jax.tree.structure(rows) == jax.tree.structure(observed) and all(
        a.shape[2:] == b.shape[1:] for a, b in zip(jax.tree.leaves(rows), jax.tree.leaves(observed), strict=True)
    )
    if not same:
        raise ValueError(
            f"bootstrap: samples of {fit.name} do not have the shape of its observations: check its sampler"
        )
    rows = jax.tree.map(lambda a, b: a.astype(b.dtype), rows, observed)
    first = jax.tree.map(lambda a: a[0], rows)
    form, prepared = choose_form(model, Data(jax.tree.map(np.asarray, first), np.ones(n)))
    return form, replace(prepared, rows=rows)


def _simulated_sequences(fit: Fit, data: Data, model: Model, key: Any, replicates: int) -> tuple[Form, Prepared]:
    """The same for a chain: sequences of the lengths observed, with the steps missing that are missing there."""
    series, weights = data.observations, np.asarray(data.weights)
    assert isinstance(series, Sequences) and fit.model is not None
    if series.labels is not None:
        raise ValueError("bootstrap: known states are no part of what is simulated: fit without labels")
    if np.any(weights != 1):
        raise ValueError("bootstrap: sequences have weights: expected each to count once")
    params = jax.tree.map(jnp.asarray, fit.params)
    observed = door.cast(series.steps, "float64")
    if fit.model.sample_like is not None:
        given = jax.tree.map(jnp.asarray, observed)
        drawn = _steps_like(fit.model, params, jax.random.split(key, replicates), given, jnp.asarray(series.begins))
        steps = jax.tree.map(lambda a, b: np.asarray(a).astype(b.dtype), drawn, observed)
    else:
        longest = int(series.lengths.max())
        drawn = _sequence_draws(fit.model, longest, params, jax.random.split(key, (replicates, series.n)))
        which = np.repeat(np.arange(series.n), series.lengths)
        time = np.arange(series.total) - np.repeat(series.starts, series.lengths)
        steps = jax.tree.map(lambda a, b: np.asarray(a)[:, which, time].astype(b.dtype), drawn, observed)
    form, each = choose_form(model, data)[0], []
    for r in range(replicates):
        drawn = replace(series, steps=jax.tree.map(lambda a, r=r: a[r], steps))
        each.append(form.of_new(Data(drawn, weights), "float64"))
    return form, replace(each[0], rows=jax.tree.map(lambda *a: jnp.stack(a), *(one.rows for one in each)))


@partial(jit, static_argnums=(0, 1))
def _sequence_draws(model: Model, n: int, params: Any, keys: Any) -> Any:
    draw: Any = model.sample
    return jax.vmap(jax.vmap(lambda k: draw(params, k, n)))(keys)


@partial(jit, static_argnums=0)
def _draws_like(model: Model, params: Any, keys: Any, rows: Any) -> Any:
    draw: Any = model.sample_like
    return jax.vmap(lambda own: jax.vmap(lambda k, x: draw(params, k, x))(own, rows))(keys)


@partial(jit, static_argnums=0)
def _steps_like(model: Model, params: Any, keys: Any, steps: Any, begins: Any) -> Any:
    draw: Any = model.sample_like
    return jax.vmap(lambda k: draw(params, k, steps, begins))(keys)


@partial(jit, static_argnums=0)
def _draws(model: Model, params: Any, keys: Any) -> Any:
    assert model.sample is not None
    draw = model.sample
    return jax.vmap(jax.vmap(lambda k: draw(params, k)))(keys)
