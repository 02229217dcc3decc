"""Wald intervals and Wald tests (Wald 1943)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from latentem.constraints import Diagonal, ParameterSpace, Standardised, Tied
from latentem.constraints.base import Batched, Constraint
from latentem.constraints.elementwise import Interval, Positive
from latentem.constraints.matrices import Correlation, Covariance
from latentem.constraints.repeats import Repeated
from latentem.constraints.stochastic_matrices import Stochastic
from latentem.constraints.vectors import Simplex
from latentem.inference.errors import errors
from latentem.inference.estimate import Estimate
from latentem.model.labelled import entries_of
from latentem.numerics.compiled import jit


class Bounds(NamedTuple):
    """Ends of confidence intervals: two pytrees shaped like params."""

    lower: Any
    upper: Any


class WaldTest(NamedTuple):
    """A Wald test.

    Args:
        statistic: squared distance of the estimate from the hypothesis, in units of its covariance.
        df: degrees of freedom: rank of the covariance of what is tested.
        p_value: chance of a larger statistic under the hypothesis, by the chi-squared distribution.
    """

    statistic: float
    df: int
    p_value: float


def confidence_intervals(
    estimate: Estimate, level: float = 0.95, kind: str = "observed", scale: str = "natural"
) -> Bounds:
    """Wald intervals for every entry of the params.

    Args:
        estimate: the maximum and the data.
        level: confidence, between 0 and 1.
        kind: of standard error, as in `errors`.
        scale: "natural", estimate -+ z standard errors; "free", the same on the scale of the entry's bijection (log
            of a positive number or variance, logit of a probability, inverse hyperbolic tangent of a correlation)
            and carried back, so that no interval leaves the set.

    Returns:
        (lower, upper), pytrees shaped like params; NaN where there is no standard error.
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level!r}: expected a confidence between 0 and 1, such as 0.95")
    if scale not in ("natural", "free"):
        raise ValueError(f"scale={scale!r}: expected 'natural' or 'free'")
    variance = np.diagonal(errors(estimate, kind).natural)
    se = np.sqrt(np.where(variance >= 0, variance, np.nan))
    if scale == "natural":
        z = NormalDist().inv_cdf(0.5 + 0.5 * level)
        return Bounds(estimate.as_tree(estimate.theta - z * se), estimate.as_tree(estimate.theta + z * se))
    return inside(estimate.space, estimate.params, estimate.as_tree(se), level)


def inside(space: ParameterSpace, params: Any, errors: Any, level: float = 0.95) -> Bounds:
    """The intervals of scale "free", from the params and their standard errors alone.

    Args:
        space: of the params.
        params, errors: pytrees shaped like it.
        level: confidence.
    """
    z = NormalDist().inv_cdf(0.5 + 0.5 * level)
    lower, upper = [], []
    leaves = (space.treedef.flatten_up_to(tree) for tree in (params, errors))
    for constraint, value, error in zip(space.constraints, *leaves, strict=True):
        value = np.asarray(value, np.float64)
        low, high = (np.broadcast_to(end, value.shape) for end in _ends_of(constraint))
        both = np.empty((2, *value.shape))
        for i in np.ndindex(*value.shape):
            numbers = (float(a[i]) for a in (value, z * np.asarray(error), low, high))
            both[(slice(None), *i)] = _between(*numbers)
        lower.append(both[0])
        upper.append(both[1])
    return Bounds(space.treedef.unflatten(lower), space.treedef.unflatten(upper))


def _ends_of(constraint: Constraint) -> tuple[Any, Any]:
    """Smallest and largest value that each entry may take by itself."""
    if isinstance(constraint, Batched | Repeated):
        return _ends_of(constraint.inner)
    if isinstance(constraint, Positive):
        return 0.0, np.inf
    if isinstance(constraint, Interval):
        return constraint.low, constraint.high
    if isinstance(constraint, Simplex | Stochastic | Tied | Standardised):
        return 0.0, 1.0
    if isinstance(constraint, Correlation):
        return -1.0, 1.0
    if isinstance(constraint, Covariance | Diagonal):
        return np.where(np.eye(constraint.shape[-1], dtype=bool), 0.0, -np.inf), np.inf
    return -np.inf, np.inf


def _between(t: float, reach: float, a: float, b: float) -> tuple[float, float]:
    """Interval for t of half-width `reach`, on the log or logit scale of (a, b) where those are finite."""
    if not np.isfinite(reach) or not a < t < b:
        return np.nan, np.nan
    if np.isinf(a):
        return t - reach, t + reach
    if np.isinf(b):
        factor = np.exp(reach / (t - a))
        return a + (t - a) / factor, a + (t - a) * factor
    odds, factor = (t - a) / (b - t), np.exp(reach * (b - a) / ((t - a) * (b - t)))
    return tuple(a + (b - a) * o / (1 + o) if np.isfinite(o) else b for o in (odds / factor, odds * factor))  # type: ignore


def wald_test(estimate: Estimate, hypothesis: Any, value: Any = 0.0, kind: str = "observed") -> WaldTest:
    """Test that params, or functions of them, have given values.

    Args:
        estimate: the maximum and the data.
        hypothesis: a name ("rate", all its entries, or "rate[0]") or several; {name: value}; a matrix (q, D) that
            multiplies the raveled params (in the order of `model.space.natural_names`); or a function of params.
        value: what each equals under the hypothesis, a number or (q,).
        kind: of covariance, as in `errors`.

    Raises:
        ValueError: an unknown name, a wrong shape, or something without a standard error.
    """
    estimates, rows = _contrasts(estimate, hypothesis)
    if isinstance(hypothesis, Mapping):
        wanted = [np.broadcast_to(v, len(_positions(estimate, n))) for n, v in hypothesis.items()]
        value = np.concatenate([np.ravel(w) for w in wanted])
    try:
        gap = estimates - np.broadcast_to(np.asarray(value, np.float64), estimates.shape)
    except ValueError:
        raise ValueError(f"value of shape {np.shape(value)}: expected a number or shape {estimates.shape}") from None
    covariance = errors(estimate, kind)
    used = np.any(rows != 0, axis=0)
    inner = covariance.natural[np.ix_(used, used)]
    if np.isnan(inner).any():
        raise ValueError(
            f"wald_test: {'; '.join(covariance.notes) or 'fixed params have no standard error: test free ones'}"
        )
    spread = rows[:, used] @ inner @ rows[:, used].T
    statistic, rank = _distance(gap, spread)
    return WaldTest(statistic, rank, chi_squared_tail(statistic, rank))


def _distance(gap: np.ndarray, spread: np.ndarray) -> tuple[float, int]:
    scale = np.sqrt(np.maximum(np.diagonal(spread), np.finfo(float).tiny))
    eigenvalues, vectors = np.linalg.eigh(spread / scale[:, None] / scale)
    kept = eigenvalues > 1e-10
    rotated = vectors[:, kept].T @ (gap / scale)
    return float(np.sum(rotated**2 / eigenvalues[kept])), int(kept.sum())


def chi_squared_tail(statistic: float, df: int) -> float:
    """Chance that a chi-squared variable with `df` degrees of freedom exceeds `statistic`."""
    if df == 0:
        return float("nan")
    with jax.enable_x64(True):
        return float(_tail(0.5 * df, max(0.5 * statistic, 0.0)))


@jit
def _tail(a: Any, x: Any) -> Any:
    return jax.scipy.special.gammaincc(a, x)


def _contrasts(estimate: Estimate, hypothesis: Any) -> tuple[np.ndarray, Float[np.ndarray, "q D"]]:
    """What is tested (q,) and its derivative with respect to the raveled params."""
    if callable(hypothesis):
        return _function(estimate, hypothesis)
    names = [hypothesis] if isinstance(hypothesis, str) else hypothesis
    if isinstance(names, Mapping) or (isinstance(names, Sequence) and all(isinstance(n, str) for n in names)):
        where = np.concatenate([_positions(estimate, n) for n in names])
        return estimate.theta[where], np.eye(len(estimate.theta))[where]
    rows = np.atleast_2d(np.asarray(hypothesis, np.float64))
    if rows.shape[1] != len(estimate.theta):
        raise ValueError(
            f"hypothesis of shape {rows.shape}: expected (q, {len(estimate.theta)}), one column for each of "
            "model.space.natural_names"
        )
    return rows @ estimate.theta, rows


def _positions(estimate: Estimate, name: str) -> np.ndarray:
    names = estimate.space.natural_names
    every = (names, entries_of(estimate.model))  # by number and by label
    found = [i for i, n in enumerate(zip(*every, strict=True)) if any(o == name or o.startswith(f"{name}[") for o in n)]
    if not found:
        raise ValueError(f"no parameter {name!r}: expected one of {', '.join(names[:12])}")
    return np.array(found)


def _function(estimate: Estimate, f: Callable[[Any], Any]) -> tuple[np.ndarray, np.ndarray]:
    with jax.enable_x64(True):
        value, rows = _linearised(f, estimate.space.treedef, tuple(c.shape for c in estimate.space.constraints))(
            jnp.asarray(estimate.theta)
        )
        return np.atleast_1d(np.asarray(value)), np.atleast_2d(np.asarray(rows))


def _linearised(f: Callable[[Any], Any], treedef: Any, shapes: tuple[tuple[int, ...], ...]) -> Callable[[Any], Any]:
    ends = np.cumsum([int(np.prod(s)) for s in shapes])[:-1]

    def of_theta(theta: Any) -> Any:
        parts = [p.reshape(s) for p, s in zip(jnp.split(theta, ends), shapes, strict=True)]
        return jnp.ravel(jnp.asarray(f(treedef.unflatten(parts))))

    return jit(lambda theta: (of_theta(theta), jax.jacrev(of_theta)(theta)))
