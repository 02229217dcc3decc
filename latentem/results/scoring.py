"""What a Fit says of observations: those it was fitted to, or new ones. Methods of `Fit`."""

from __future__ import annotations

import warnings
from typing import Any

import jax
import numpy as np

from latentem.ascent.iteration import most_probable, row_log_prob
from latentem.ascent.iteration import responsibilities as _responsibilities
from latentem.data.sequences import Sequences
from latentem.forms import Form, Prepared
from latentem.forms.choose import as_declared, choose_form
from latentem.numerics.compiled import jit
from latentem.numerics.keys import as_key
from latentem.results.posteriors import Posteriors


def sequences(fit: Any, x: Any = None) -> Sequences:
    """Observations of a chain model as sequences: those given, or those of the fit."""
    found = fit.at(x)[1].observations
    if not isinstance(found, Sequences):
        raise ValueError(f"{fit.name} is no chain: its observations have no order")
    return found


def log_prob(fit: Any, x: Any = None) -> np.ndarray:
    """log p(x_n | params) of each observation, (N,); of the data fitted when `x` is None.

    Args:
        x: new observations, as the data of the fit were given: columns by name, in any order.

    Raises:
        ValueError, TypeError: in one line, what cannot be read as the data of the fit were.
    """
    with fit.computing():
        return _log_prob(fit, *_as_declared(fit, x))


def posterior(fit: Any, x: Any = None) -> Posteriors:
    """Posterior of the latent value of each observation: `mean`, `sd`, `probabilities`, `expect(f)`, `sample(key)`,
    with a leading axis N.

    Raises:
        ValueError: the latent is that of a chain.
    """
    with fit.computing():
        form, prepared = _as_declared(fit, x, "posterior")
        each = jax.tree.map(np.asarray, _posterior(form.model, fit.as_arrays(), prepared.rows))
    return Posteriors(each, fit.dtype)


def expect(fit: Any, f: Any, x: Any = None) -> Any:
    """E[f(z) | x_n] of each observation: a pytree of arrays (N, ...), for a function of ONE latent value.

    >>> x = np.array([0.0, 1.0, 0.0, 8.0, 9.0])
    >>> fit = lem.fit(lem.Mixture(lem.families.Poisson(), 2), x, key=0)
    >>> rate = jnp.asarray(fit.params["components"]["rate"])
    >>> fit.expect(lambda z: rate[z]).shape
    (5,)
    """
    return posterior(fit, x).expect(f)


def responsibilities(fit: Any, x: Any = None) -> np.ndarray:
    """p(z = k | x_n), (N, K), for latents on nodes; chunk by chunk, so that only the result is held. NaN, and a
    warning, where the density of an observation is 0 or cannot be computed."""
    with fit.computing():
        form, prepared = _as_declared(fit, x, "responsibilities")
        found = np.asarray(_responsibilities(form, fit.as_arrays(), prepared))
        nowhere = _nowhere(fit, x, form, prepared, "responsibilities", "NaN")
        return np.where(nowhere[:, None], np.nan, found) if nowhere.any() else found


def predict(fit: Any, x: Any = None) -> np.ndarray:
    """The most probable latent value of each observation, (N,) integers, for a `Finite` latent; -1, and a warning,
    where the density of an observation is 0 or cannot be computed.

    Raises:
        ValueError: the latent is not finite, or of a chain.
    """
    with fit.computing():
        if why := as_declared(fit.model).can("predict"):
            raise ValueError(f"predict: {why}")
        model, data = fit.at(x)
        form, prepared = choose_form(model, data, fit.dtype)
        found = np.asarray(most_probable(form, fit.as_arrays(), prepared))
        if x is None:
            return found
        declared, plain = _as_declared(fit, x)
        nowhere = _nowhere(fit, x, declared, plain, "predict", "-1")
        return np.where(nowhere, -1, found) if nowhere.any() else found


def sample(fit: Any, key: Any, n: int, **of_model: Any) -> Any:
    """`n` observations simulated from the fitted model, or one sequence of `n` steps; `of_model` is what its own
    sampler asks for besides.

    Args:
        key: a seed, such as 0, or a key of `jax.random.key`.
        n: how many. Models with covariates take these from the data: those of each row where `n` is their number, else
            of rows drawn with replacement.

    Raises:
        ValueError: when the model declares no sampler.
    """
    key = as_key(key, "sample")
    if not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"sample: n={n!r}: expected how many observations, at least 1")
    if "sample" in getattr(fit.declaration, "verbs", ()):
        return fit.declaration.sample(fit, key, n, **of_model)
    if of_model:
        raise TypeError(f"sample: {fit.name} takes no {next(iter(of_model))}=")
    if fit.model is not None and fit.model.sample_like is not None and not fit.model.latent.sequential:
        return _sample_like(fit, key, n)
    if fit.model is None or fit.model.sample is None:
        raise ValueError(f"{fit.name} declares no sampler: give lem.Model(..., sample=function (params, key) -> x)")
    with fit.computing():
        return jax.tree.map(np.asarray, as_declared(fit.model).draws(fit.as_arrays(), key, n))


def _sample_like(fit: Any, key: Any, n: int) -> Any:
    """Observations with the covariates of those of the fit: each once where `n` is their number, else of some that are
    drawn with replacement."""
    if fit.data is None:
        raise ValueError(f"sample: {fit.name} takes covariates from its data: pass lem.load(path, data=...)")
    which, draws = jax.random.split(key)
    weights = np.asarray(fit.data.weights)
    with jax.enable_x64(True):
        shares = jax.numpy.asarray(weights / weights.sum())
        once = n == len(weights) and (weights == 1).all()
        rows = np.arange(n) if once else np.asarray(jax.random.choice(which, len(weights), (n,), p=shares))
        given = jax.tree.map(lambda a: jax.numpy.asarray(np.asarray(a)[rows]), fit.data.observations)
        params = jax.tree.map(jax.numpy.asarray, fit.params)
        return jax.tree.map(np.asarray, _like(fit.model, params, jax.random.split(draws, n), given))


def _as_declared(fit: Any, x: Any, what: str = "") -> tuple[Form, Prepared]:
    """The declaration as it stands and these observations, or those of the fit; refused where it cannot `what`."""
    model, data = fit.at(x)
    form = as_declared(model, data.observations)
    if why := form.can(what):
        raise ValueError(f"{what}: {why}")
    return form, form.of_new(data, fit.dtype)


def _log_prob(fit: Any, form: Form, prepared: Prepared) -> np.ndarray:
    found = np.asarray(row_log_prob(form, fit.as_arrays(), prepared))
    careful = form.careful()
    if careful is not None and np.isnan(found).any():  # numbers underflowed
        found = np.asarray(row_log_prob(careful, fit.as_arrays(), prepared))
    return found


def _nowhere(fit: Any, x: Any, form: Form, prepared: Prepared, what: str, instead: str) -> np.ndarray:
    """(N,) new observations of density 0, or whose density cannot be computed; a warning where there are any."""
    if x is None:
        return np.zeros(prepared.weights.shape[0], bool)
    found = _log_prob(fit, form, prepared)
    lost = np.isnan(found) | np.isneginf(found)
    if lost.any():
        row = int(np.argmax(lost))
        told = f"{what}: {np.sum(lost)} of {len(lost)} rows have no probable latent value"
        reason = "NaN: a value is missing that the model needs" if np.isnan(found[row]) else "-inf: impossible"
        warnings.warn(f"{told} (log p of row {row} is {reason}); they are {instead}", stacklevel=3)
    return lost


_like = jit(
    lambda model, params, keys, rows: jax.vmap(lambda k, x: model.sample_like(params, k, x))(keys, rows),
    static_argnums=0,
)
_posterior = jit(lambda model, params, rows: jax.vmap(lambda x: model.posterior(params, x))(rows), static_argnums=0)
