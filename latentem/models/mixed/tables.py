"""A fitted mixed model as tables: its estimates, and the user's data with what it says of each record."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtri

from latentem.building import tables
from latentem.models.mixed.components import variance_components
from latentem.models.mixed.effects import fixed_effects
from latentem.models.mixed.records import predict


def table(fit: Any, level: float = 0.95) -> Any:
    """Estimates as a table: a row for each fixed effect, variance and covariance.

    Args:
        level: of the intervals: of t tests for fixed effects, on the logarithmic scale for variances.

    Returns:
        Columns name ("fixed", "variance" or "covariance"), index (of the effect; grouping and coordinates), estimate,
        standard_error, lower, upper; in the library that the data came in.
    """
    fixed, components = fixed_effects(fit, level=level), variance_components(fit)
    reach, value, se = ndtri(0.5 + level / 2), components["variance"], components["se"]
    alone = components["with"] == ""
    known = np.isfinite(se) & ~(alone & (value <= 0))
    safe = np.where(alone & known, value, 1.0)
    factor = np.exp(np.where(known, reach * se, 0.0) / safe)
    lower = np.where(known, np.where(alone, value / factor, value - reach * se), np.nan)
    upper = np.where(known, np.where(alone, value * factor, value + reach * se), np.nan)
    places = zip(components["group"], components["coordinate"], components["with"], strict=True)
    columns = {
        "name": np.array(["fixed"] * len(fixed["name"]) + ["variance" if a else "covariance" for a in alone], object),
        "index": np.array([*map(str, fixed["name"]), *(",".join(filter(None, place)) for place in places)], object),
        "estimate": np.concatenate([fixed["estimate"], value]),
        "standard_error": np.concatenate([fixed["se"], se]),
        "lower": np.concatenate([fixed["lower"], lower]),
        "upper": np.concatenate([fixed["upper"], upper]),
    }
    return tables.in_the_library_of(fit.frame, columns)


def augment(fit: Any, data: Any = None, *, prefix: str = "") -> Any:
    """The data with the expected response of each record, `fitted`, and for those of the fit what is left, `residual`;
    NaN for records that were left out because a value is missing."""
    fitted = predict(fit, data)
    if data is not None:
        return tables.with_columns(data, {f"{prefix}fitted": fitted})
    design, n = fit.solved.design, tables.length_of(fit.frame)
    columns = {"fitted": fitted, "residual": design.y[:, 0] - fitted}
    whole = {prefix + name: np.full(n, np.nan) for name in columns}
    for name, values in columns.items():
        whole[prefix + name][design.rows] = values
    return tables.with_columns(fit.frame, whole)
