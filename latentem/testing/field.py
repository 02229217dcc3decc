"""Checks of a model whose latent is a field: its sparse algebra against a dense twin, its score against differences."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from latentem.forms.field.records import FieldPoint, _cll
from latentem.results.field import read_records
from latentem.testing.report import Part, Report

#: Entries of a field up to which it is also written out densely.
DENSE = 200
STARTS = 3


def check_field(model: Any, table: Any, key: Any, weights: Any = None) -> Report:
    """Check a model with a `lem.Field` at random params; see `lem.check`."""
    draws = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    with jax.enable_x64(True):
        starts = [0.3 * np.abs(draws.normal(size=model.space.size)) + 0.1 for _ in range(STARTS)]
        records = read_records(model, table, weights, starts[0])
        points = [records.at(u) for u in starts]
        parts = [_kind(points[0]), *_twin(points), _score(points), *_objective(points)]
    return Report(model.name, tuple(parts))


def _kind(point: FieldPoint) -> Part:
    exact = "log p(x | z) is quadratic in z: the likelihood is exact"
    told = exact if point.records.quadratic else "not quadratic in z: the likelihood is Laplace's approximation"
    return Part("likelihood", True, told)


def _twin(points: list[FieldPoint]) -> list[Part]:
    """The likelihood and the posterior variances once more, with the whole field as one dense vector."""
    r = points[0].records
    if r.size > DENSE:
        return []
    _, i, j, values = r.prior
    prior = np.zeros((r.size, r.size))
    np.add.at(prior, (i, j), values)
    prior = prior + np.tril(prior, -1).T
    worst = 0.0
    for point in points:
        params = r.model.space.constrain(jnp.asarray(point.u))

        def joint(z: Any, params: Any = params) -> Any:
            each = jax.vmap(lambda x, at: _cll(r.model, params, x, z[at]))(r.rows, jnp.asarray(r.seen))
            return jnp.asarray(r.weights) @ each - 0.5 * z @ (prior @ z)

        precision = -np.asarray(jax.hessian(joint)(jnp.asarray(point.mode)))
        value = float(joint(jnp.asarray(point.mode))) + 0.5 * r.log_determinant + 0.5 * r.flat * np.log(2 * np.pi)
        value -= 0.5 * np.linalg.slogdet(precision)[1]
        inverse = np.linalg.inv(precision)
        step = inverse @ np.asarray(jax.grad(joint)(jnp.asarray(point.mode)))
        own = point.factor.inverse[r.symbolic.entries(np.arange(r.size), np.arange(r.size))]
        size = 1 + abs(value)
        apart = (
            abs(value - point.evidence) / size,
            np.max(np.abs(own / np.diagonal(inverse) - 1)),
            np.max(np.abs(step)),
        )
        worst = max(worst, *(float(a) for a in apart))
    passed = worst < 1e-7
    told = f"dense and sparse differ by {worst:.1e} at most" + ("" if passed else ": report this")
    return [Part("dense twin", passed, told)]


def _score(points: list[FieldPoint]) -> Part:
    worst, h = 0.0, 1e-5
    for point in points:
        numeric = []
        for k in range(len(point.u)):
            step = np.zeros(len(point.u))
            step[k] = h
            up, down = (point.records.at(point.u + s * step).log_likelihood for s in (1, -1))
            numeric.append((up - down) / (2 * h))
        size = 1 + np.max(np.abs(point.score)) + 1e-4 * abs(point.log_likelihood)
        worst = max(worst, float(np.max(np.abs(np.array(numeric) - point.score)) / size))
    passed = worst < 1e-5
    told = f"score and differences of the log-likelihood differ by {worst:.1e} of their size"
    return Part("score", passed, told + ("" if passed else ": is log p(x | z) smooth in the params?"))


def _objective(points: list[FieldPoint]) -> list[Part]:
    """EM never lowers an exact likelihood."""
    if not points[0].records.quadratic:
        return []
    fall = 0.0
    for point in points:
        for _ in range(3):
            after = point.records.at(point.px_em())
            fall = max(fall, point.log_likelihood - after.log_likelihood)
            point = after
    passed = fall <= 1e-8 * (1 + abs(points[0].log_likelihood))
    return [Part("objective", passed, f"the objective falls by {fall:.1e} at most in EM steps")]
