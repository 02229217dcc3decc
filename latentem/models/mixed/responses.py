"""Verbs of generalised mixed models that look at responses: residuals, influence, draws, and the bootstrap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from scipy.special import xlogy

from latentem.models.mixed.components import entries_of
from latentem.models.mixed.families import FAMILIES, Family
from latentem.models.mixed.generalised import Approximated, maximum_of
from latentem.models.mixed.records import Influence
from latentem.models.mixed.simulation import Replicates, generator


def residuals(fit: Any, kind: str = "pearson") -> Float[np.ndarray, " n"]:
    """What is left of the records, the random effects at their modes.

    Args:
        kind: "response", observed minus expected counts; "pearson", divided by their standard deviation given the
            random effects; "deviance", the signed root of twice what the log-density is short of its largest value.
    """
    family, solved = _of(fit)
    y, mean, spread = _moments(family, solved)
    left = y - mean
    if kind == "response":
        return left
    if kind == "pearson":
        return left / np.sqrt(spread)
    if kind == "deviance":
        return np.sign(left) * np.sqrt(np.maximum(_deviance(family, solved.design.y, mean), 0.0))
    raise ValueError(f"kind={kind!r}: expected 'response', 'pearson' or 'deviance'")


def influence(fit: Any) -> Influence:
    """What leaving out each record would change, the variance components held: one Newton step from the fit.

    References:
        Pregibon, D. (1981). Logistic regression diagnostics. Annals of Statistics 9, 705-724, with the random effects
        among the coefficients.
    """
    family, solved = _of(fit)
    design, point, records = solved.design, solved.point, solved.records
    y, mean, spread = _moments(family, solved)
    w, left, x = design.frequencies * spread, design.frequencies * (y - mean), design.x
    loading = np.concatenate([e.z @ root for e, root in zip(design.effects, solved.roots, strict=True)], axis=1)
    columns = [np.bincount(records.seen.ravel(), ((w * c)[:, None] * loading).ravel(), records.size) for c in x.T]
    right = np.stack(columns, axis=1) if columns else np.zeros((records.size, 0))
    through = point.factor.solve(right)
    information = (w[:, None] * x).T @ x - right.T @ through
    inverse = np.linalg.inv(information)
    away = x - np.einsum("nk,nkp->np", loading, through[records.seen])
    h = np.einsum("nk,nkl,nl->n", loading, records.spread(point.factor), loading)
    h = w * (h + np.einsum("np,pq,nq->n", away, inverse, away))
    change = -(away @ inverse) * (left / (1 - h))[:, None]
    cook = np.einsum("np,pq,nq->n", change, information, change) / max(1, x.shape[1])
    return Influence(h, change, cook, left / np.sqrt(w * (1 - h)))


def simulate(fit: Any, key: Any, n: int = 1, *, random: bool = True) -> np.ndarray:
    """Responses simulated from the fitted model, for the records of the fit: (n, N), of binomial ones (n, N, 2)
    successes and failures.

    Args:
        key: typed PRNG key, or a whole number.
        n: how many sets of responses.
        random: draw random effects anew; else keep those predicted.
    """
    family, solved = _of(fit)
    found = np.array(list(_drawn(family, solved, generator(key), n, random)))
    return found[..., 0] if family.columns == 1 else found


def bootstrap(fit: Any, key: Any, replicates: int = 200) -> Replicates:
    """Parametric bootstrap: simulate responses, refit each from the fitted parameters. "theta" are Cholesky rows.

    Args:
        key: typed PRNG key, or a whole number.
        replicates: how many.

    Raises:
        ValueError: fewer than two replicates, or a fit that is no maximum.
    """
    if replicates < 2:
        raise ValueError(f"replicates={replicates!r}: expected at least 2")
    fit.refuse_without_maximum("bootstrap")
    family, solved = _of(fit)
    start = np.concatenate([solved.beta, solved.theta + 0.05 * (np.abs(solved.theta) < 1e-3)])
    rows = []
    for y in _drawn(family, solved, generator(key), replicates, True):
        design = replace(solved.design, y=y)
        records = replace(solved.records, rows={**solved.records.rows, "y": y}, last={})
        with jax.enable_x64(True):
            own = fit.declaration
            again, climbed = maximum_of(design, records, own.family, own.nodes, start, 100)
        components = entries_of(again, again.theta)  # pyright: ignore[reportArgumentType]
        rows.append((again.beta, components, again.theta, again.evidence, climbed.converged))
    return Replicates(*(np.array([row[k] for row in rows]) for k in range(5)))


def _of(fit: Any) -> tuple[Family, Approximated]:
    return FAMILIES[fit.declaration.family], fit.solved


def _moments(family: Family, solved: Approximated) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(responses, their means, their variances) given the random effects."""
    y, eta = solved.design.y, solved.eta
    size = family.size(y)
    return y[:, 0], size * family.mean(eta), family.weight(eta, size)


def _deviance(family: Family, y: np.ndarray, mean: np.ndarray) -> np.ndarray:
    seen, size = y[:, 0], family.size(y)
    if family is FAMILIES["poisson"]:
        return 2 * (xlogy(seen, seen / mean) - (seen - mean))
    missed = size - seen
    return 2 * (xlogy(seen, seen / mean) + xlogy(missed, missed / (size - mean)))


def _drawn(
    family: Family, solved: Approximated, draws: np.random.Generator, n: int, random: bool
) -> Iterator[np.ndarray]:
    design = solved.design
    size, fixed = family.size(design.y), design.x @ solved.beta
    for _ in range(n):
        eta = fixed
        for effect, root, b in zip(design.effects, solved.roots, solved.random, strict=True):
            eta = eta + effect.of_records(root @ effect.bound.draw(draws, effect.r).T if random else b)
        yield family.draw(draws, eta, size)
