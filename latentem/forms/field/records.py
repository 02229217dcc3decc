"""A declared model with a field on its records: the likelihood at given params, exact where log p(x | z) is quadratic
in z and by Laplace's approximation elsewhere, its score, and EM steps.

Every record has a value, slope and curvature in the few entries of the field that it sees. Scattered into the sparse
precision of the field they give its mode; what its selected inverse says of those entries goes back to the records,
where the derivatives in the params are taken.

References:
    Skaug, H. J. and Fournier, D. A. (2006). Automatic approximation of the marginal likelihood in non-Gaussian
    hierarchical models. Computational Statistics and Data Analysis 51, 699-709 (the derivative of Laplace's
    approximation).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize

from latentem.forms.field.factor import Factor, NotPositiveDefinite
from latentem.forms.field.latent import Field
from latentem.forms.field.ordering import best
from latentem.forms.field.structures import Bound, Flat
from latentem.forms.field.symbolic import Symbolic
from latentem.model import Model
from latentem.numerics.compiled import jit

LOG_2PI = float(np.log(2 * np.pi))
#: Newton steps for the mode of the field, and the decrement at which it is found.
MODE_STEPS, MODE_DECREMENT = 100, 1e-22


@dataclass(frozen=True, eq=False)
class Records:
    """A model with a field on data.

    Args:
        model: the declaration.
        bounds: field -> its levels.
        offsets: field -> its first entry in the field's vector, which is laid out coordinate by coordinate.
        rows: the observations, levels as numbers.
        weights: (n,) frequencies.
        seen: (n, k) the entries that each record sees.
        symbolic: of the precision; `prior` its entries (place, value), `log_determinant` of the proper part.
        places, back: entries of the precision that records change, and which of them each pair of a record is.
        flat: entries without a prior.
        quadratic: log p(x | z) is quadratic in z.
    """

    model: Model
    bounds: dict[str, Bound]
    offsets: dict[str, int]
    rows: Any
    weights: Float[np.ndarray, " n"]
    seen: Int[np.ndarray, "n k"]
    symbolic: Symbolic
    prior: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    log_determinant: float
    places: np.ndarray
    back: Int[np.ndarray, "n pairs"]
    flat: int
    quadratic: bool = True
    last: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Entries of the field."""
        return self.symbolic.size

    def at(self, u: Float[np.ndarray, " P"]) -> FieldPoint:
        """The model at a free vector."""
        return FieldPoint(self, np.asarray(u, dtype=np.float64))

    def prior_times(self, z: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
        """P z."""
        _, rows, columns, values = self.prior
        off = rows != columns
        found = np.bincount(rows, values * z[columns], self.size)
        return found + np.bincount(columns[off], values[off] * z[rows[off]], self.size)

    def factor(self, curvature: Float[np.ndarray, "n k k"]) -> Factor:
        """The factor of P + the scattered curvature of the records."""
        values = np.zeros(self.symbolic.storage)
        values[self.prior[0]] = self.prior[3]
        low = np.tril_indices(self.seen.shape[1])
        each = self.weights[:, None] * curvature[:, low[0], low[1]]
        values[self.places] += np.bincount(self.back.ravel(), each.ravel(), len(self.places))
        return Factor(self.symbolic, values)

    def scatter(self, slopes: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " N"]:
        """Weighted sum over records, entry by entry."""
        return np.bincount(self.seen.ravel(), (self.weights[:, None] * slopes).ravel(), self.size)

    def spread(self, factor: Factor) -> Float[np.ndarray, "n k k"]:
        """Posterior covariance of what each record sees."""
        k = self.seen.shape[1]
        low = np.tril_indices(k)
        found = np.empty((len(self.seen), k, k))
        found[:, low[0], low[1]] = factor.inverse[self.places][self.back]
        found[:, low[1], low[0]] = found[:, low[0], low[1]]
        return found


class FieldPoint:
    """A model with a field at given params."""

    def __init__(self, records: Records, u: Float[np.ndarray, " P"]) -> None:
        self.records, self.u = records, u
        self.mode, self.factor, self._peak = _mode(records, u)

    @cached_property
    def log_prior(self) -> float:
        """Of the params."""
        return float(_log_prior(self.records.model, self.u))

    @cached_property
    def evidence(self) -> float:
        """log p(x | params), or Laplace's approximation of it."""
        r = self.records
        value = self._peak + 0.5 * r.log_determinant - 0.5 * self.factor.log_determinant + 0.5 * r.flat * LOG_2PI
        if not np.isfinite(value):
            raise NotPositiveDefinite("the log-likelihood is not finite")
        return float(value)

    @property
    def log_likelihood(self) -> float:
        """What is climbed: evidence and log prior."""
        return self.evidence + self.log_prior

    @cached_property
    def _seen(self) -> tuple[np.ndarray, np.ndarray]:
        """(what each record sees at the mode (n, k), its covariance (n, k, k))."""
        return self.mode[self.records.seen], self.records.spread(self.factor)

    @cached_property
    def score(self) -> Float[np.ndarray, " P"]:
        """Gradient of `log_likelihood`."""
        r = self.records
        z, spread = self._seen
        moved = np.zeros_like(z)
        if not r.quadratic:  # the log-determinant moves with the mode
            slopes = np.asarray(_determinant_slopes(r.model, self.u, r.rows, z, spread))
            moved = self.factor.solve(r.scatter(slopes))[r.seen]
        return np.asarray(_expected(r.model, self.u, r.rows, r.weights, z, spread, moved)[1])

    def px_em(self) -> Float[np.ndarray, " P"]:
        """The free vector after an EM step: the expected log p(x | z) climbed by BFGS."""
        r, seen = self.records, self._seen
        still = np.zeros_like(seen[0])

        def lost(v: np.ndarray) -> tuple[float, np.ndarray]:
            value, slope = _expected(r.model, v, r.rows, r.weights, *seen, still)
            return -float(value), -np.asarray(slope)

        return np.asarray(minimize(lost, self.u, jac=True, method="BFGS", options={"maxiter": 30}).x)


def records_of(model: Model, table: Any, weights: np.ndarray, quadratic: bool = True) -> Records:
    """The model on data.

    Args:
        model: a declaration whose latent is a `Field`.
        table: column -> (n, ...) array; those named as fields hold levels.
        weights: (n,) frequencies.
        quadratic: log p(x | z) is quadratic in z.

    Raises:
        ValueError: a field without its column, or a level that its structure does not know.
    """
    latent = model.latent
    assert isinstance(latent, Field)
    n, rows, bounds, offsets, seen, prior = len(weights), dict(table), {}, {}, [], []
    at, flat, log_determinant = 0, 0, 0.0
    for name, structure in latent.structures.items():
        if name not in table and not isinstance(structure, Flat):
            raise ValueError(f"field {name!r} has no column in the data: there are {', '.join(map(str, table))}")
        levels = table[name] if name in table else np.zeros(n, dtype=np.int64)
        bound = structure.bind(levels, name)
        codes = bound.index(levels)
        rows[name] = codes.astype(np.int32)
        bounds[name], offsets[name] = bound, at
        for _ in range(latent.lengths()[name]):
            seen.append(at + codes)
            if isinstance(structure, Flat):
                flat += bound.size
            else:
                log_determinant -= bound.log_determinant
            prior.append((at + bound.rows, at + bound.columns, bound.values))
            at += bound.size
    entries = np.stack(seen, axis=1)
    low = np.tril_indices(entries.shape[1])
    pairs = entries[:, low[0]], entries[:, low[1]]
    i, j, values = (np.concatenate([part[k] for part in prior]) for k in range(3))
    symbolic = best(at, np.concatenate([i, pairs[0].ravel()]), np.concatenate([j, pairs[1].ravel()]))
    places, back = np.unique(symbolic.entries(*pairs), return_inverse=True)
    return Records(
        model,
        bounds,
        offsets,
        rows,
        weights,
        entries,
        symbolic,
        (symbolic.entries(i, j), i, j, values),
        log_determinant,
        places,
        back.reshape(pairs[0].shape),
        flat,
        quadratic,
    )


def _mode(r: Records, u: np.ndarray) -> tuple[np.ndarray, Factor, float]:
    """(mode of the field, factor of the precision there, log p(x, z) there without the prior's normaliser)."""
    z = r.last.get("mode", np.zeros(r.size))
    value, slopes, curvature = (np.asarray(a) for a in _local(r.model, u, r.rows, z[r.seen]))
    pull = r.prior_times(z)
    peak, last = float(r.weights @ value) - 0.5 * float(z @ pull), np.inf
    for _ in range(MODE_STEPS):
        if not np.isfinite(peak):
            raise NotPositiveDefinite("log p(x | z) is not finite")
        factor = r.factor(curvature)
        gradient = r.scatter(slopes) - pull
        step = factor.solve(gradient)
        decrement = float(gradient @ step)
        rounding = 0.1 * last < decrement < 1e-10  # no smaller any more
        if decrement <= MODE_DECREMENT * (1 + abs(peak)) or rounding:
            r.last["mode"] = z
            return z, factor, peak + 0.5 * decrement
        last = decrement
        length, before = 1.0, peak
        while length > 1e-6:
            new = z + length * step
            value, slopes, curvature = (np.asarray(a) for a in _local(r.model, u, r.rows, new[r.seen]))
            pull = r.prior_times(new)
            peak = float(r.weights @ value) - 0.5 * float(new @ pull)
            if peak >= before - 1e-12 * (1 + abs(before)):
                break
            length /= 2
        z = new
    raise NotPositiveDefinite("the mode of the field was not found")


def is_quadratic(r: Records, u: np.ndarray) -> bool:
    """Whether the curvature of log p(x | z) is the same at two z."""
    k = r.seen.shape[1]
    points = (np.zeros((len(r.seen), k)), np.broadcast_to(np.linspace(0.7, 1.9, k), (len(r.seen), k)))
    here, there = (np.asarray(_local(r.model, u, r.rows, z)[2]) for z in points)
    return bool(np.allclose(here, there, rtol=1e-8, atol=1e-10 * np.max(np.abs(here), initial=1e-300)))


# --- records under JAX; z is (k,) for one record


def _cll(model: Model, params: Any, x: Any, z: Any) -> Any:
    latent: Any = model.latent
    parts, at = {}, 0
    for name, length in latent.lengths().items():
        parts[name] = z[at : at + length] if name in latent.dims else z[at]
        at += length
    return model.complete_log_likelihood(params, x, parts)


def _curvature(model: Model, params: Any, x: Any, z: Any) -> Any:
    return -jax.hessian(lambda v: _cll(model, params, x, v))(z)


@partial(jit, static_argnums=0)
def _local(model: Model, u: Any, rows: Any, z: Any) -> Any:
    """(value (n,), slope (n, k), minus Hessian (n, k, k)) in z."""
    params = model.space.constrain(u)

    def of_record(x: Any, v: Any) -> Any:
        value, slope = jax.value_and_grad(lambda w: _cll(model, params, x, w))(v)
        return value, slope, _curvature(model, params, x, v)

    return jax.vmap(of_record)(rows, z)


@partial(jit, static_argnums=0)
def _determinant_slopes(model: Model, u: Any, rows: Any, z: Any, spread: Any) -> Any:
    """Derivative of -log det C / 2 in z, record by record."""
    params = model.space.constrain(u)

    def half(v: Any, x: Any, s: Any) -> Any:
        return -0.5 * jnp.sum(s * _curvature(model, params, x, v))

    return jax.vmap(jax.grad(half))(z, rows, spread)


@partial(jit, static_argnums=0)
def _expected(model: Model, u: Any, rows: Any, weights: Any, z: Any, spread: Any, moved: Any) -> Any:
    """Expected log p(x | z) + log prior where z is normal around given means, and its gradient in u, which is the score
    at the params that the means and covariances are of."""

    def value(v: Any) -> Any:
        params = model.space.constrain(v)

        def of_record(x: Any, mean: Any, s: Any, m: Any) -> Any:
            here, slope = jax.value_and_grad(lambda w: _cll(model, params, x, w))(mean)
            return here - 0.5 * jnp.sum(s * _curvature(model, params, x, mean)) + m @ slope

        return weights @ jax.vmap(of_record)(rows, z, spread, moved) + model.log_prior(params)

    return jax.value_and_grad(value)(u)


@partial(jit, static_argnums=0)
def _log_prior(model: Model, u: Any) -> Any:
    return model.log_prior(model.space.constrain(u))
