"""What users ask of a Gaussian chain at given params, and what an M-step of one is made of.

`filtered`, `smoothed` and `simulated` take a `Model` whose latent is `lem.GaussianChain`, params and data; `regress`,
`spread` and `stationary` are bricks for closed M-steps and starts.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from latentem.data import Data
from latentem.data.sequences import Sequences
from latentem.forms.kalman.form import KalmanForm
from latentem.forms.kalman.lanes import Rows, of_steps
from latentem.forms.kalman.moments import Moments, Regression
from latentem.forms.kalman.readings import Told
from latentem.forms.kalman.regression import regress, variances
from latentem.forms.kalman.smoother import Smoothed
from latentem.forms.kalman.start import stationary
from latentem.forms.kalman.walk import State
from latentem.model import Model
from latentem.model.gaussian_chain import GaussianChain, LinearGaussian, System
from latentem.numerics.compiled import jit

__all__ = [
    "Filtered",
    "GaussianChain",
    "LinearGaussian",
    "Moments",
    "Paths",
    "Regression",
    "System",
    "filtered",
    "matrices",
    "regress",
    "simulated",
    "smoothed",
    "stationary",
    "variances",
]


class Paths(NamedTuple):
    """Smoothed states of all T steps of all sequences, end to end.

    Args:
        mean: (T, d).
        covariance: (T, d, d).
        lag: (T, d, d), covariance of the state after a step with that of the step; 0 at the end of a sequence.
    """

    mean: Float[np.ndarray, "T d"]
    covariance: Float[np.ndarray, "T d d"]
    lag: Float[np.ndarray, "T d d"]


class Filtered(NamedTuple):
    """States given the readings so far, NaN while those leave a direction of an unknown start open.

    Args:
        predicted, predicted_covariance: (T, d) and (T, d, d), before a step is read.
        mean, covariance: once it is read.
    """

    predicted: Float[np.ndarray, "T d"]
    predicted_covariance: Float[np.ndarray, "T d d"]
    mean: Float[np.ndarray, "T d"]
    covariance: Float[np.ndarray, "T d d"]


def matrices(model: Model, params: Any) -> System:
    """The matrices at these params, NumPy arrays in float64.

    Raises:
        ValueError: they vary from step to step.
    """
    if KalmanForm(model).factors.varying:
        raise ValueError(f"{model.name}: its matrices vary from step to step: call the system of the model at one step")
    with jax.enable_x64(True):
        found: Any = [np.asarray(a) for a in _system(model, _params(params))]
        return System(*found)


def smoothed(model: Model, params: Any, data: Data) -> Paths:
    """States given all readings of their sequence."""
    form, prepared, params = _on_lanes(model, params, data)
    with jax.enable_x64(True):
        mean, covariance, pair, after = (_of_steps(model, data, a) for a in _smoothed(form, params, prepared))
    # E[z_(t+1) z_t'] less the product of the means; the mean of the step after is that of the next row.
    lag = np.where(_ends(data)[:, None, None], 0.0, pair - after[:, :, None] * mean[:, None])
    return Paths(mean, covariance, lag)


def filtered(model: Model, params: Any, data: Data) -> Filtered:
    """States given the readings up to each step, and before it."""
    form, prepared, params = _on_lanes(model, params, data)
    with jax.enable_x64(True):
        before, after, gram = (
            jax.tree.map(lambda a: _of_steps(model, data, a), part) for part in _filtered(form, params, prepared)
        )
    total = np.cumsum(gram, axis=0)
    begins = data.observations.begins
    base = np.maximum.accumulate(np.where(begins, np.arange(len(begins)), 0))
    so_far = total - (total - gram)[base]
    first = _settled(before, so_far - gram, form.factors.integrated)
    return Filtered(*first, *_settled(after, so_far, form.factors.integrated))


def simulated(system: System, rng: np.random.Generator, n: int, u: Any = None, v: Any = None) -> tuple[Any, Any]:
    """(states (n, d), readings (n, p)) of one sequence; directions of the start that are unknown are at 0.

    Args:
        system: matrices, NumPy arrays.
        rng: what the noise is drawn from.
        n: steps.
        u, v: (n, k) and (n, l), covariates of moves and of readings.
    """
    d, p = len(system.transition), len(system.observation)
    moves = rng.standard_normal((n, d)) @ _root(system.process).T
    moves[0] = system.mean + _root(system.covariance) @ rng.standard_normal(d)
    if u is not None and np.size(u):
        moves[1:] += (np.asarray(u) @ system.inputs.T)[1:]
    states = np.empty((n, d))
    state = np.zeros(d)
    for t in range(n):
        state = system.transition @ state + moves[t]
        states[t] = state
    noise = system.noise if system.noise.ndim == 2 else np.diag(system.noise)
    readings = states @ system.observation.T + rng.standard_normal((n, p)) @ _root(noise).T
    if v is not None and np.size(v):
        readings = readings + np.asarray(v) @ system.offset.T
    return states, readings


# --- on lanes


def _params(params: Any) -> Any:
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), params)


def _on_lanes(model: Model, params: Any, data: Data) -> tuple[KalmanForm, Any, Any]:
    form = KalmanForm.of(model)
    if form is None or not isinstance(data.observations, Sequences):
        raise ValueError(f"{model.name} is no Gaussian chain on sequences: expected lem.GaussianChain(...)")
    with jax.enable_x64(True):
        return form, form.of_new(data, "float64"), _params(params)


def _of_steps(model: Model, data: Data, values: Any) -> np.ndarray:
    """Values on lanes as (T, ...), without the steps put before the first ones."""
    lengths = data.observations.lengths
    before = KalmanForm(model).factors.before
    flat = of_steps(values, int(lengths.sum()) + before * len(lengths))
    if not before:
        return flat
    return np.delete(flat, data.observations.starts + np.arange(len(lengths)), axis=0)


def _ends(data: Data) -> np.ndarray:
    found = np.zeros(data.observations.total, bool)
    found[np.cumsum(data.observations.lengths) - 1] = True
    return found


@partial(jit, static_argnums=0)
def _system(model: Model, params: Any) -> System:
    return KalmanForm(model).factors.system(params)


@partial(jit, static_argnums=0)
def _smoothed(form: KalmanForm, params: Any, prepared: Any) -> Any:
    def summarise(rows: Rows, smoothed: Smoothed) -> Any:
        return smoothed

    mean, covariance, pair = form.backwards(form.forwards(params, prepared), summarise)
    spread = mean[:, :, :, 1:]
    covariance = covariance + jnp.sum(spread[:, :, :, None] * spread[:, :, None], axis=4)
    centre = mean[:, :, :, 0]
    after = jnp.moveaxis(centre, -1, 0)
    after = jnp.roll(after.reshape(-1, centre.shape[2]), -1, axis=0).reshape(after.shape)
    return centre, covariance, pair, jnp.moveaxis(after, 0, -1)


@partial(jit, static_argnums=0)
def _filtered(form: KalmanForm, params: Any, prepared: Any) -> Any:
    walk = form.forwards(params, prepared).walk

    def keep(before: State, after: State, told: Told, x: Rows) -> Any:
        return before, after, told.gram

    return walk.filter(walk.joined(), keep)[1]


def _settled(state: Any, gram: np.ndarray, integrated: bool) -> tuple[np.ndarray, np.ndarray]:
    """(mean (T, d), covariance (T, d, d)) with what the readings so far say of an unknown start filled in."""
    mean, covariance = state
    if mean.shape[2] == 1:
        return mean[:, :, 0], covariance
    information = gram[:, 1:, 1:]
    scale = np.sqrt(np.maximum(np.diagonal(information, axis1=1, axis2=2), np.finfo(float).tiny))
    unit = information / scale[:, :, None] / scale[:, None]
    known = np.linalg.eigvalsh(unit)[:, 0] > 1e-9
    spread = np.full_like(information, np.nan)
    spread[known] = np.linalg.inv(unit[known]) / scale[known][:, :, None] / scale[known][:, None]
    best = np.einsum("tij,tj->ti", spread, -gram[:, 1:, 0])
    slopes = mean[:, :, 1:]
    centre = mean[:, :, 0] + np.einsum("tdq,tq->td", slopes, best)
    more = np.einsum("tdq,tqr,ter->tde", slopes, spread, slopes)
    return centre, covariance + (more if integrated else np.where(known, 0.0, np.nan)[:, None, None])


def _root(covariance: Any) -> np.ndarray:
    """A square root of a covariance matrix that may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0.0))
