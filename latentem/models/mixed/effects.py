"""What a fit says of its effects: fixed ones with t tests, predicted random ones with their precision."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri, stdtr, stdtrit

from latentem.models.mixed.estimate import Solved


def fixed_effects(fit: Any, *, level: float = 0.95, df: str | None = "satterthwaite") -> dict[str, np.ndarray]:
    """Estimates of the fixed effects, as a table.

    Args:
        level: of the intervals.
        df: "satterthwaite" degrees of freedom for t tests, or None for normal ones, which cost nothing.

    Returns:
        Columns name, estimate, se, df, statistic, p, lower, upper.

    References:
        Satterthwaite, F. E. (1946). Biometrics Bulletin 2, 110-114; Giesbrecht, F. G. and Burns, J. C. (1985).
        Biometrics 41, 477-486.
    """
    solved: Solved = fit.solved
    if not 0 < level < 1:
        raise ValueError(f"level={level!r}: expected a number between 0 and 1")
    if df not in ("satterthwaite", None):
        raise ValueError(f"df={df!r}: expected 'satterthwaite' or None")
    p = len(solved.beta)
    errors = np.sqrt(np.diagonal(fit.fixed_covariance))
    freedom = np.full(p, np.inf) if df is None else degrees_of_freedom(fit, np.eye(p))
    statistic = solved.beta / errors
    finite = np.isfinite(freedom)
    known = np.where(finite, freedom, 1.0)
    quantile = np.where(finite, stdtrit(known, 0.5 + level / 2), ndtri(0.5 + level / 2))
    tail = 2 * np.where(finite, stdtr(known, -np.abs(statistic)), _normal_tail(np.abs(statistic)))
    return {
        "name": np.array(solved.design.names),
        "estimate": solved.beta,
        "se": errors,
        "df": freedom,
        "statistic": statistic,
        "p": tail,
        "lower": solved.beta - quantile * errors,
        "upper": solved.beta + quantile * errors,
    }


def degrees_of_freedom(fit: Any, contrasts: Float[np.ndarray, "k p"]) -> Float[np.ndarray, " k"]:
    """Satterthwaite's degrees of freedom of contrasts of the fixed effects: 2 v^2 / Var(v), v the variance of the
    contrast and Var(v) by the delta method; infinite where the covariance of the parameters is not known."""
    solved: Solved = fit.solved
    contrasts = np.atleast_2d(np.asarray(contrasts, dtype=np.float64))
    if contrasts.shape[1] != len(solved.beta):
        raise ValueError(
            f"contrasts have {contrasts.shape[1]} columns: expected one for each of {len(solved.beta)} effects"
        )
    if not hasattr(solved, "fixed_covariance_slopes") or not fit.status.ok:
        return np.full(len(contrasts), np.inf)
    covariance = solved.covariance()
    inside = np.isfinite(np.diagonal(covariance))
    slopes = np.einsum("ka,paq,kq->kp", contrasts, solved.fixed_covariance_slopes, contrasts)[:, inside]
    variance = np.einsum("ka,aq,kq->k", contrasts, solved.point.fixed_covariance, contrasts)
    of_variance = np.einsum("kp,pq,kq->k", slopes, covariance[np.ix_(inside, inside)], slopes)
    with np.errstate(divide="ignore"):
        return np.where(of_variance > 0, 2 * variance**2 / of_variance, np.inf)


def random_effects(fit: Any, group: str | None = None) -> dict[str, Any]:
    """Predicted random effects (BLUP) of every level, levels without records included.

    Args:
        group: a grouping; all by default.

    Returns:
        grouping -> table: `level`, then for each coordinate its predictions, `<coordinate>_se` (root of the prediction
        error variance, the uncertainty of the fixed effects included) and `<coordinate>_reliability` (1 - PEV / prior
        variance). With `group`, its table alone.

    References:
        Henderson, C. R. (1975). Best linear unbiased estimation and prediction under a selection model. Biometrics 31,
        423-447.
    """
    solved: Solved = fit.solved
    tables = {e.name: _table(solved, i) for i, e in enumerate(solved.design.effects)}
    if group is None:
        return tables
    if group not in tables:
        raise ValueError(f"group={group!r}: expected one of {', '.join(tables)}")
    return tables[group]


def _table(solved: Solved, i: int) -> dict[str, np.ndarray]:
    effect, values = solved.design.effects[i], solved.random[i]
    errors = solved.prediction_error(i)
    prior = solved.covariances[i]
    table: dict[str, np.ndarray] = {"level": effect.bound.names}
    for a, name in enumerate(effect.coordinates):
        pev, whole = errors[:, a, a], prior[a, a] * effect.bound.variances
        table[name] = values[a]
        table[f"{name}_se"] = np.sqrt(np.maximum(pev, 0))
        table[f"{name}_reliability"] = 1 - pev / whole if prior[a, a] > 0 else np.full(len(pev), np.nan)
    return table


def _normal_tail(x: np.ndarray) -> np.ndarray:
    from scipy.special import ndtr

    return ndtr(-x)
