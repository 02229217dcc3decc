"""Variance components: estimates, correlations, standard errors, shares; heritability and other functions of them by
the delta method; tests whether a component is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import expit, gammaincc, logit, ndtri

from latentem.models.mixed.estimate import Solved


class Estimated(NamedTuple):
    """A function of the components with its precision.

    Args:
        estimate, se: by the delta method.
        lower, upper: of the interval.
    """

    estimate: float
    se: float
    lower: float
    upper: float


def variance_components(fit: Any, *, kind: str = "observed") -> dict[str, np.ndarray]:
    """Variances and covariances of the random effects and the residual variance, as a table.

    Args:
        kind: of standard error: "observed" information, or "average", as AI-REML programs print it.

    Returns:
        Columns group, coordinate, with (the other coordinate of a covariance, "" of a variance), variance (or
        covariance), sd (or correlation), se (of the former), share (of the sum of all variances, NaN of a covariance).
    """
    solved: Solved = fit.solved
    labels = labels_of(solved)
    values = entries_of(solved, solved.theta)
    errors = np.sqrt(np.diagonal(_covariance(fit, lambda theta: entries_of(solved, theta), kind)))
    deviations = []
    for (_, _, _, i, a, b), value in zip(labels, values, strict=True):
        if a == b:
            deviations.append(np.sqrt(value))
        else:
            c = solved.covariances[i]
            size = np.sqrt(c[a, a] * c[b, b])
            deviations.append(value / size if size > 0 else np.nan)
    is_variance = np.array([a == b for *_, a, b in labels])
    # Variances of several traits have units of their own: shares are those of their trait.
    of_trait = np.array([label[1].partition(":")[0] if hasattr(solved, "traits") else "" for label in labels])
    total = np.array([values[is_variance & (of_trait == trait)].sum() for trait in of_trait])
    return {
        "group": np.array([label[0] for label in labels]),
        "coordinate": np.array([label[1] for label in labels]),
        "with": np.array([label[2] for label in labels]),
        "variance": values,
        "sd": np.array(deviations),
        "se": errors,
        "share": np.where(is_variance, values / total, np.nan),
    }


def function_of_components(
    fit: Any, function: Callable[[dict[str, Any]], float], *, level: float = 0.95, kind: str = "observed"
) -> Estimated:
    """A function of the variance components, with a standard error by the delta method.

    Args:
        function: takes {grouping: covariance matrix (r, r), ..., "residual": variance} and gives a number.
        level: of the interval, which is normal.
        kind: of standard error.
    """
    solved: Solved = fit.solved

    def of_theta(theta: np.ndarray) -> np.ndarray:
        return np.atleast_1d(np.asarray(function(_named(solved, theta)), dtype=np.float64))

    estimate = float(of_theta(solved.theta)[0])
    se = float(np.sqrt(_covariance(fit, of_theta, kind)[0, 0]))
    reach = ndtri(0.5 + level / 2) * se
    return Estimated(estimate, se, estimate - reach, estimate + reach)


def heritability(
    fit: Any,
    of: str | None = None,
    *,
    among: Sequence[str] | None = None,
    level: float = 0.95,
    kind: str = "observed",
) -> Estimated:
    """Share of the variance of one grouping, such as animals, in the whole.

    Args:
        of: the grouping; by default the only one with a relationship, or the only one.
        among: groupings whose variances make up the whole, with the residual; all by default.
        level: of the interval, which is normal for the logit of the share and so stays between 0 and 1.
        kind: of standard error.

    Raises:
        ValueError: no such grouping, or several to choose from.
    """
    solved: Solved = fit.solved
    names = [e.name for e in solved.design.effects]
    if of is None:
        related = [e.name for e in solved.design.effects if not e.bound.independent]
        choice = related if len(related) == 1 else names
        if len(choice) != 1:
            raise ValueError(f"heritability: of which grouping? pass one of {', '.join(names)}")
        of = choice[0]
    whole = names if among is None else list(among)
    for name in (of, *whole):
        if name not in names:
            raise ValueError(f"heritability: {name!r} is no grouping: expected one of {', '.join(names)}")

    def share(parts: dict[str, Any]) -> float:
        return parts[of][0, 0] / (sum(parts[name][0, 0] for name in {*whole, of}) + parts["residual"])

    return between(function_of_components(fit, share, level=level, kind=kind), level)


def between(found: Estimated, level: float) -> Estimated:
    """The same with an interval that is normal for the logit of a share."""
    h, se = found.estimate, found.se
    if not 0 < h < 1 or not np.isfinite(se):
        return found._replace(lower=np.nan, upper=np.nan)
    reach = ndtri(0.5 + level / 2) * se / (h * (1 - h))
    return Estimated(h, se, float(expit(logit(h) - reach)), float(expit(logit(h) + reach)))


def component_tests(fit: Any) -> dict[str, np.ndarray]:
    """Likelihood-ratio tests that a random effect is absent, each by one more fit without it.

    Returns:
        Columns group, statistic, df, p. Of one variance the distribution is half a point mass at 0 and half chi-squared
        (Self and Liang 1987), and p is exact in large samples; of several coordinates chi-squared with all their
        parameters, which makes p too large.
    """
    solved: Solved = fit.solved
    rows = []
    for i, effect in enumerate(solved.design.effects):
        statistic = max(0.0, 2 * (fit.log_likelihood - fit.without(i)))
        df = effect.r * (effect.r + 1) // 2
        tail = float(gammaincc(df / 2, statistic / 2))
        p = (0.5 * tail if statistic > 1e-8 else 1.0) if df == 1 else tail
        rows.append((effect.name, statistic, df, p))
    return {name: np.array([row[k] for row in rows]) for k, name in enumerate(("group", "statistic", "df", "p"))}


def plain(table: dict[str, np.ndarray]) -> dict[str, list[Any]]:
    """A table as lists for JSON, None for what is no number."""
    return {
        name: [None if isinstance(v, float) and not np.isfinite(v) else v for v in np.asarray(column).tolist()]
        for name, column in table.items()
    }


def labels_of(solved: Solved) -> list[tuple[str, str, str, int, int, int]]:
    """(grouping, coordinate, other coordinate, number of the effect, of either coordinate) of each row of the table."""
    found = []
    for i, effect in enumerate(solved.parts):
        for a in range(effect.r):
            for b in range(a + 1):
                found.append((effect.name, effect.coordinates[a], "" if a == b else effect.coordinates[b], i, a, b))
    return [*found, ("Residual", "", "", -1, 0, 0)] if solved.residual else found


def entries_of(solved: Solved, theta: np.ndarray) -> Float[np.ndarray, " k"]:
    """Variances and covariances in the rows of the table, at other parameters."""
    roots, sigma = solved.unpack(theta)
    parts = [(root @ root.T)[np.tril_indices(len(root))] for root in roots]
    return np.concatenate([*parts, [sigma**2]] if solved.residual else parts)


def _named(solved: Solved, theta: np.ndarray) -> dict[str, Any]:
    roots, sigma = solved.unpack(theta)
    named = {e.name: root @ root.T for e, root in zip(solved.parts, roots, strict=True)}
    if "Residual" in named:
        named["residual"] = named.pop("Residual")
    return {**named, "residual": sigma**2} if solved.residual else named


def _covariance(fit: Any, f: Callable[[np.ndarray], np.ndarray], kind: str) -> np.ndarray:
    """Covariance of f(theta) by the delta method; NaN where it leans on a parameter at its edge."""
    solved: Solved = fit.solved
    width = len(f(solved.theta))
    if not fit.status.ok:
        return np.full((width, width), np.nan)
    covariance = solved.covariance(kind)
    known = np.isfinite(np.diagonal(covariance))
    slopes = np.zeros((width, len(known)))
    for k, scale in enumerate(solved.scales):
        h = np.zeros(len(known))
        h[k] = 1e-5 * scale
        slopes[:, k] = (f(solved.theta + h) - f(solved.theta - h)) / (2e-5 * scale)
    found = slopes[:, known] @ covariance[np.ix_(known, known)] @ slopes[:, known].T
    edge = np.zeros(width, dtype=bool)
    for part in np.flatnonzero(~known):
        step = np.zeros(len(known))
        step[part] = 1e-2 * solved.scales[part]
        edge |= np.abs(f(solved.theta + step) - f(solved.theta)) > 1e-12 * np.abs(f(solved.theta)).max()
    found[edge] = found[:, edge] = np.nan
    return found
