"""Linear mixed models written out densely, without a line of the library: what the sparse ones are held against."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize


def covariance(
    roots: Sequence[np.ndarray],
    sigma: float,
    designs: Sequence[np.ndarray],
    kernels: Sequence[np.ndarray],
    weights: np.ndarray,
) -> np.ndarray:
    """V = sum of Z (Lambda Lambda' kron K) Z' + sigma^2 / weights; Z has the coordinates one after another."""
    v = np.diag(sigma**2 / weights)
    for root, z, k in zip(roots, designs, kernels, strict=True):
        v = v + z @ np.kron(root @ root.T, k) @ z.T
    return v


def log_likelihood(y: np.ndarray, x: np.ndarray, v: np.ndarray, reml: bool) -> float:
    """ML or REML of y ~ N(x b, v), with b at its maximum."""
    n, p = x.shape
    inverse = np.linalg.inv(v)
    information = x.T @ inverse @ x
    beta = np.linalg.solve(information, x.T @ inverse @ y)
    left = y - x @ beta
    value = (n - p * reml) * np.log(2 * np.pi) + np.linalg.slogdet(v)[1] + left @ inverse @ left
    return -0.5 * float(value + reml * np.linalg.slogdet(information)[1])


def one_hot(codes: np.ndarray, columns: np.ndarray | None = None) -> np.ndarray:
    """(n, r q) design of levels; `columns` (n, r) vary over them."""
    columns = np.ones((len(codes), 1)) if columns is None else columns
    levels = np.eye(int(codes.max()) + 1)[codes]
    return np.concatenate([levels * columns[:, a : a + 1] for a in range(columns.shape[1])], axis=1)


def maximum(
    y: np.ndarray, x: np.ndarray, designs: Sequence[np.ndarray], reml: bool, kernels: Sequence[np.ndarray] | None = None
) -> float:
    """Largest log-likelihood of a model of scalar effects, by BFGS over log standard
    deviations."""
    kernels = [np.eye(z.shape[1]) for z in designs] if kernels is None else kernels
    ones = np.ones(len(y))

    def lost(u: np.ndarray) -> float:
        deviations = np.exp(u)
        roots = [np.array([[s]]) for s in deviations[:-1]]
        return -log_likelihood(y, x, covariance(roots, deviations[-1], designs, kernels, ones), reml)

    start = np.full(len(designs) + 1, np.log(np.std(y) / 2))
    return -float(minimize(lost, start, method="BFGS", options={"gtol": 1e-7}).fun)
