"""Three-step latent class analysis: classes first, then what they go with, corrected for errors of classification.

Rows are assigned to their most probable class; the table of how often a row of class t is assigned to s, which the fit
implies, corrects what is then estimated. Source: Bolck, Croon and Hagenaars, Political Analysis 12 (2004), 3-27 (BCH);
Vermunt, Political Analysis 18 (2010), 450-469 (ML).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import stats

from latentem.building import chi_squared_tail, jit

METHODS = ("ML", "BCH")


class Distal(NamedTuple):
    """Means of an outcome in the classes.

    Args:
        mean: (K,).
        standard_errors: (K,), robust.
        wald, df, p: test that all means are equal.
    """

    mean: Float[np.ndarray, " K"]
    standard_errors: Float[np.ndarray, " K"]
    wald: float
    df: int
    p: float


class ClassRegression(NamedTuple):
    """A multinomial logit of the classes.

    Args:
        coefficients: (K - 1, q), log odds of each class against the first; the constant first.
        standard_errors: (K - 1, q), robust.
        z, p: (K - 1, q), Wald tests.
        names: of the q columns.
    """

    coefficients: Float[np.ndarray, "K-1 q"]
    standard_errors: Float[np.ndarray, "K-1 q"]
    z: Float[np.ndarray, "K-1 q"]
    p: Float[np.ndarray, "K-1 q"]
    names: tuple[str, ...]


def errors_of_classification(r: Float[np.ndarray, "N K"], weights: Float[np.ndarray, " N"]) -> np.ndarray:
    """P(assigned to s | of class t), (K, K): row t, column s, by the most probable class of each row."""
    assigned = np.eye(r.shape[1])[np.argmax(r, axis=1)]
    joint = (weights[:, None] * r).T @ assigned
    return joint / joint.sum(axis=1, keepdims=True)


def distal_outcome(fit: Any, y: Any, method: str = "BCH") -> Distal:
    """Means of an outcome that was not used to find the classes.

    Args:
        y: (N,), of the rows of the fit; NaN where it is missing.
        method: "BCH", which asks nothing of the distribution of y; or "ML", normal with one variance for all classes.

    Raises:
        ValueError: y of another length, classes that nobody is assigned to, another method.
    """
    r, weights, errors = _steps(fit, method)
    y = np.asarray(y, dtype=np.float64)
    if y.shape != (len(r),):
        raise ValueError(f"distal_outcome: y has shape {y.shape}: expected ({len(r)},), one for each row")
    seen = ~np.isnan(y)
    r, weights, y = r[seen], weights[seen], y[seen]
    assigned = np.argmax(r, axis=1)
    if method == "BCH":
        own = weights[:, None] * np.linalg.inv(errors).T[:, assigned].T
        size = own.sum(axis=0)
        mean = own.T @ y / size
        parts = own * (y[:, None] - mean) / size
        covariance = parts.T @ parts
    else:
        mean, covariance = _ml_means(y, weights, errors[:, assigned].T, r)
    return _compared(mean, covariance)


def class_regression(fit: Any, covariates: Any, method: str = "ML") -> ClassRegression:
    """How the classes depend on covariates that were not used to find them.

    Args:
        covariates: {name: (N,)}, a table or an array (N, q), of the rows of the fit, without missing entries.
        method: "ML" or "BCH".

    Raises:
        ValueError: covariates that are missing or of another length, classes that nobody is assigned to.
    """
    r, weights, errors = _steps(fit, method)
    names, z = _design(covariates, len(r))
    assigned = np.argmax(r, axis=1)
    k, q = r.shape[1], z.shape[1]
    own = np.linalg.inv(errors).T[:, assigned].T if method == "BCH" else errors[:, assigned].T

    def of_row(u: Array, z: Array, own: Array) -> Array:
        odds = u.reshape(k - 1, q) @ z
        logs = jax.nn.log_softmax(jnp.concatenate([jnp.zeros_like(odds[:1]), odds]))
        return own @ logs if method == "BCH" else jax.nn.logsumexp(logs + jnp.log(jnp.maximum(own, 1e-300)))

    scale = np.sqrt(np.mean(z**2, axis=0))
    u, covariance = _robust(of_row, np.zeros((k - 1) * q), weights, z / scale, own)
    unit = np.tile(1 / scale, k - 1)
    b, se = u * unit, np.sqrt(np.diagonal(covariance)) * unit
    tests = b / se
    shape = (k - 1, q)
    p = 2 * stats.norm.sf(np.abs(tests))
    return ClassRegression(b.reshape(shape), se.reshape(shape), tests.reshape(shape), p.reshape(shape), names)


def _steps(fit: Any, method: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(responsibilities, weights, errors of classification) of a fit."""
    if method not in METHODS:
        raise ValueError(f"method={method!r}: expected one of {', '.join(METHODS)}")
    r = np.asarray(fit.responsibilities())
    if r.shape[1] < 2:
        raise ValueError("three-step analysis of one class: expected at least 2")
    weights = np.asarray(fit.data.weights, dtype=np.float64)
    empty = np.flatnonzero(np.bincount(np.argmax(r, axis=1), minlength=r.shape[1]) == 0)
    if len(empty):
        raise ValueError(f"class {empty[0]} is nobody's most probable one: expected classes with members; fit fewer")
    return r, weights, errors_of_classification(r, weights)


def _design(covariates: Any, n: int) -> tuple[tuple[str, ...], np.ndarray]:
    if hasattr(covariates, "keys"):
        names = tuple(map(str, covariates.keys()))
        columns = [np.asarray(covariates[name], dtype=np.float64) for name in covariates.keys()]
    else:
        matrix = np.asarray(covariates, dtype=np.float64)
        matrix = matrix[:, None] if matrix.ndim == 1 else matrix
        names, columns = tuple(str(i) for i in range(matrix.shape[1])), list(matrix.T)
    for name, column in zip(names, columns, strict=True):
        if column.shape != (n,) or not np.isfinite(column).all():
            told = f"{name!r} has missing entries" if column.shape == (n,) else f"{name!r} has shape {column.shape}"
            raise ValueError(f"class_regression: {told}: expected ({n},) numbers, one for each row of the fit")
    return ("constant", *names), np.stack([np.ones(n), *columns], axis=1)


def _robust(of_row: Any, start: np.ndarray, weights: np.ndarray, *rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(maximum of the weighted sum of a function of rows, its sandwich covariance)."""
    with jax.enable_x64(True):
        data = tuple(jnp.asarray(a) for a in rows)

        @jit
        def parts(u: Array) -> tuple[Array, Array, Array]:
            each = jax.vmap(of_row, in_axes=(None, *(0 for _ in data)))
            scores = jax.vmap(jax.grad(of_row), in_axes=(None, *(0 for _ in data)))(u, *data)
            hessian = jax.hessian(lambda v: jnp.asarray(weights) @ each(v, *data))(u)
            return jnp.asarray(weights) @ each(u, *data), scores, hessian

        u, value = start, -np.inf
        scores, hessian = np.zeros((len(weights), len(start))), -np.eye(len(start))
        for _ in range(200):
            now, scores, hessian = (np.asarray(a) for a in parts(jnp.asarray(u)))
            gradient = weights @ scores
            curvature, axes = np.linalg.eigh(-0.5 * (hessian + hessian.T))
            floor = 1e-9 * np.max(np.abs(curvature))
            step = axes @ ((axes.T @ gradient) / np.maximum(np.abs(curvature), floor))
            if np.max(np.abs(step)) < 1e-9 or now - value < 1e-13 * abs(now) and now >= value and value > -np.inf:
                break
            value = float(now)
            size = 1.0
            while size > 1e-8 and not float(parts(jnp.asarray(u + size * step))[0]) >= value:
                size /= 2
            u = u + size * step
    bread = np.linalg.pinv(-hessian)
    own = weights[:, None] * scores
    return u, bread @ (own.T @ own) @ bread


def _ml_means(y: np.ndarray, weights: np.ndarray, own: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of normal outcomes with one variance, given how rows were assigned: (means, their covariance)."""
    k = r.shape[1]
    centre, scale = np.average(y, weights=weights), np.std(y)
    unit = (y - centre) / scale

    def of_row(u: Array, y: Array, own: Array) -> Array:
        shares = jax.nn.log_softmax(jnp.concatenate([jnp.zeros(1), u[k + 1 :]]))
        normal = -0.5 * ((y - u[:k]) * jnp.exp(-u[k])) ** 2 - u[k]
        return jax.nn.logsumexp(shares + jnp.log(jnp.maximum(own, 1e-300)) + normal)

    size = np.average(r, axis=0, weights=weights)
    means = (weights[:, None] * r).T @ unit / (weights[:, None] * r).sum(axis=0)
    start = np.concatenate([means, [-0.1], np.log(size[1:] / size[0])])
    u, covariance = _robust(of_row, start, weights, unit, own)
    return centre + scale * u[:k], scale**2 * covariance[:k, :k]


def _compared(mean: np.ndarray, covariance: np.ndarray) -> Distal:
    contrast = np.eye(len(mean))[1:] - np.eye(len(mean))[:1]
    away = contrast @ mean
    wald = float(away @ np.linalg.solve(contrast @ covariance @ contrast.T, away))
    df = len(mean) - 1
    return Distal(mean, np.sqrt(np.diagonal(covariance)), wald, df, float(chi_squared_tail(wald, df)))
