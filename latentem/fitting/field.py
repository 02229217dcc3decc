"""The driver of models whose latent is a field: EM steps, then Newton on differenced scores, on the host."""

from __future__ import annotations

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from latentem.ascent.newton_on_host import climb
from latentem.ascent.status import Status
from latentem.forms.field.factor import NotPositiveDefinite
from latentem.results.field import FieldFit, read_records

OPTIONS = ("weights", "initial", "key", "max_iterations", "progress", "tolerance")


def fit_field(model: Any, table: Any, **options: Any) -> FieldFit:
    """Fit a model whose latent is a `lem.Field`.

    Args:
        model: the declaration.
        table: columns; those named as fields hold levels, the others numbers.
        options: of `lem.fit`, those that were given.

    Raises:
        ValueError, TypeError: in one line, what cannot be used.
    """
    began = time.perf_counter()
    for name in options:
        if name not in OPTIONS:
            raise ValueError(f"{name}: a model with a Field knows {', '.join(OPTIONS)}; leave {name} out")
    with jax.enable_x64(True):
        start = _start(model, options.get("initial"), options.get("key"))
        records = read_records(model, table, options.get("weights"), start)
        limit = int(options.get("max_iterations", 100))
        try:
            found = climb(records.at, start, np.ones(len(start)), max_iterations=limit, em_steps=10)
        except NotPositiveDefinite as error:
            raise ValueError(f"the likelihood has no value at the start ({error}): pass initial=") from None
        point = found.point
        params = jax.tree.map(np.asarray, model.space.constrain(jnp.asarray(found.theta)))
    approximate = () if records.quadratic else ("approximate: Laplace's, log p(x | z) is not quadratic in z",)
    fit = FieldFit(
        params=params,
        log_likelihood=point.evidence,
        log_prior=point.log_prior,
        status=_status(found.converged, records.quadratic),
        iterations=len(found.trace) - 1,
        evaluations=found.evaluations,
        seconds=time.perf_counter() - began,
        n_observations=float(records.weights.sum()),
        n_parameters=model.space.size,
        trace=found.trace,
        starts=np.array([point.log_likelihood]),
        name=model.name,
        gradient=float(np.max(np.abs(point.score), initial=0.0)),
        notes=approximate,
        model=model,
        declaration=model,
        frame=table,
        weights=options.get("weights"),
    )
    fit.__dict__["point"] = point
    return fit


def _status(converged: bool, exact: bool) -> Status:
    if not converged:
        return Status.max_iterations
    return Status.converged if exact else Status.approximate


def _start(model: Any, initial: Any, key: Any) -> np.ndarray:
    if initial is not None:
        return np.asarray(model.space.unconstrain(model.space.check(initial)), dtype=np.float64)
    # A scale of exactly zero is a saddle: start beside it.
    draws = np.random.default_rng(0 if key is None else np.asarray(jax.random.key_data(key)).ravel())
    return 0.3 * np.abs(draws.normal(size=model.space.size)) + 0.1
