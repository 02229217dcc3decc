"""What a fit says of records: fitted values and their precision, predictions for other records, residuals, and what
leaving a record out would change."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.linalg as la
from jaxtyping import Float

from latentem.models.mixed import formula as formulas
from latentem.models.mixed.declare import levels_of
from latentem.models.mixed.estimate import Solved


class Influence(NamedTuple):
    """What leaving out each record would change, the variance components held.

    Args:
        leverage: (n,) share of a record in its own fitted value, random effects included.
        change: (n, p) of the fixed effects, estimate without the record minus estimate with it.
        cook: (n,) Cook's distance: the size of that change in units of the estimates' covariance, divided by p.
        deleted: (n,) residual from the fit without the record, divided by its standard deviation.
    """

    leverage: Float[np.ndarray, " n"]
    change: Float[np.ndarray, "n p"]
    cook: Float[np.ndarray, " n"]
    deleted: Float[np.ndarray, " n"]


def predict(fit: Any, data: Any = None, *, random: bool = True) -> Float[np.ndarray, " n"]:
    """Expected responses.

    Args:
        data: a table with the columns of the right-hand side; that of the fit by default.
        random: with the predicted random effects; a level that the fit does not know counts as an average one.

    Raises:
        ValueError: a column is not there, or a fixed effect has a category that the fit has not seen.
    """
    solved: Solved = fit.solved
    design = solved.design
    if data is None:
        x, zs = design.x, [(e.z, e.codes) for e in design.effects]
    else:
        frame = formulas.frame_of(data)
        for name in {f for term in design.random for f in term.factors} if random else ():
            if name not in frame.columns:
                raise ValueError(f"predict: no column {name!r}: there are {', '.join(map(str, frame.columns))}")
        x = design.fixed.of(frame)
        zs = []
        if random:
            for effect, term, columns in zip(design.effects, design.random, design.coordinates, strict=True):
                zs.append((columns.of(frame), effect.bound.index(levels_of(term, frame))))
    value = x @ solved.beta
    if random:
        for (z, codes), b in zip(zs, solved.random, strict=True):
            known = codes >= 0
            value = value + np.where(known, np.einsum("na,an->n", z, b[:, np.maximum(codes, 0)]), 0.0)
    return fit.inverse_link(value)


def residuals(fit: Any, kind: str = "response") -> Float[np.ndarray, " n"]:
    """What is left of the records.

    Args:
        kind: "response", observed minus fitted; "pearson", divided by the residual standard deviation; "marginal",
            observed minus fixed effects; "standardised", divided by their own standard deviation.
    """
    solved: Solved = fit.solved
    y = solved.design.y[:, 0]
    scale = solved.sigma / np.sqrt(solved.design.precisions)
    if kind == "marginal":
        return y - predict(fit, random=False)
    left = y - predict(fit)
    if kind == "response":
        return left
    if kind == "pearson":
        return left / scale
    if kind == "standardised":
        return left / (scale * np.sqrt(np.maximum(1 - leverage(solved), 1e-12)))
    raise ValueError(f"kind={kind!r}: expected 'response', 'pearson', 'marginal' or 'standardised'")


def leverage(solved: Solved) -> Float[np.ndarray, " n"]:
    """Derivative of each fitted value in its own record."""
    design, point = solved.design, solved.point
    effects = design.effects
    variance = np.zeros(len(design.x))
    for (i, j), gram in solved.system.moments.grams.items():
        block = solved.roots[i] @ point.covariance(i, j, fixed=True) @ solved.roots[j].T
        at = _pair(gram, effects[i], effects[j])
        share = np.einsum("na,nab,nb->n", effects[i].z, block[at], effects[j].z)
        variance += share if i == j else 2 * share
    if design.x.shape[1]:
        variance += np.einsum("np,pq,nq->n", design.x, point.fixed_covariance, design.x)
        cross = solved.system.layout.split(-point._t @ point.fixed_covariance)  # Cov(u, beta)
        for effect, root, part in zip(effects, solved.roots, cross, strict=True):
            b = np.einsum("ab,bqp->aqp", root, part)
            variance += 2 * np.einsum("na,anp,np->n", effect.z, b[:, effect.codes], design.x)
    return variance * design.precisions / solved.sigma**2


def _pair(gram: Any, one: Any, two: Any) -> np.ndarray:
    if one is two:
        return one.codes
    q = two.bound.size
    return np.searchsorted(gram.rows.astype(np.int64) * q + gram.columns, one.codes.astype(np.int64) * q + two.codes)


def influence(fit: Any) -> Influence:
    """What leaving out each record would change, to first order in nothing: exact at these variance components.

    References:
        Christensen, R., Pearson, L. M. and Johnson, W. (1992). Case-deletion diagnostics for mixed models.
        Technometrics 34, 38-45.
    """
    solved: Solved = fit.solved
    design, point, system = solved.design, solved.point, solved.system
    precision = design.precisions / solved.sigma**2
    h = leverage(solved)
    own = precision * (1 - h)  # diagonal of P
    projected = precision * (design.y[:, 0] - predict(fit))  # P y
    lifted = precision[:, None] * design.x  # V^-1 X
    if design.x.shape[1]:
        b = system.layout.split(point._t)
        for effect, root, part in zip(design.effects, solved.roots, b, strict=True):
            through = np.einsum("ab,bqp->aqp", root, part)
            fitted = np.einsum("na,anp->np", effect.z, through[:, effect.codes])
            lifted = lifted - precision[:, None] * fitted
    change = -(lifted @ point.fixed_covariance) * (projected / own)[:, None]
    p = max(1, design.x.shape[1])
    cook = (
        np.einsum("np,np->n", change @ la.pinvh(point.fixed_covariance), change) / p if design.x.shape[1] else 0 * own
    )
    return Influence(h, change, cook, projected / np.sqrt(own))
