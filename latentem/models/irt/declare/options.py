"""Options of an item response model that do not go together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from latentem.models.irt.declare.fixed import refuse_what_is_no_number
from latentem.models.irt.declare.groups import choice
from latentem.models.irt.declared import Options
from latentem.models.irt.items import ItemModel
from latentem.models.irt.items.known import KNOWN

QUADRATURES = ("grid", "hermite", "adaptive", "sobol")


def check(irt: Options) -> None:
    """Raise in one line for options that are none, or contradict one another.

    Raises:
        TypeError, ValueError: what came, and what was expected.
    """
    _each(irt)
    irt.groups.refuse(anchored=bool(irt.fixed))
    _together(irt)


def _each(irt: Options) -> None:
    choice("quadrature", irt.quadrature, QUADRATURES)
    for name in ("equal", "fixed", "prior"):
        if not isinstance(getattr(irt, name), Mapping):
            raise TypeError(f"{name}={getattr(irt, name)!r}: expected a dict by name of an item or param")
    refuse_what_is_no_number(irt.fixed)
    if irt.nodes is not None and irt.nodes < 2:
        raise ValueError(f"nodes={irt.nodes!r}: expected at least 2 per dimension")
    for model in irt.models:
        if not isinstance(model, ItemModel) and not (isinstance(model, str) and model in KNOWN):
            raise ValueError(f"model={model!r}: expected one of {', '.join(KNOWN)}, or a lem.ItemModel")
    try:
        np.asarray(irt.loadings if irt.loadings is not None else 0, dtype=float)
    except (TypeError, ValueError):
        raise ValueError("loadings are no table of numbers: expected (items, abilities) of True and False") from None


def _together(irt: Options) -> None:
    if irt.dimensions is not None and (irt.loadings is not None or irt.dimensions < 1):
        raise ValueError(
            f"dimensions={irt.dimensions!r}: expected a number of abilities, without loadings (exploratory)"
        )
    if irt.specific is not None:
        beside = (irt.loadings, irt.dimensions, *irt.covariates, irt.histogram or None)
        if any(value is not None for value in beside):
            raise ValueError("specific= takes abilities that are normal: expected no loadings, covariates or histogram")
        if irt.quadrature not in ("grid", "hermite"):
            raise ValueError(f"quadrature={irt.quadrature!r}: expected 'grid' or 'hermite' for a bifactor model")
    if irt.histogram and not irt.fixed and (irt.group or irt.loadings is not None or irt.dimensions):
        raise ValueError("histogram=True with groups or several abilities takes known items: name them in fixed=")
    if irt.histogram and (irt.covariates or irt.quadrature == "adaptive"):
        raise ValueError("histogram=True takes nodes that all persons share: expected no covariates, no adaptive nodes")
    if irt.reference is not None and irt.group is None:
        raise ValueError("reference= is of groups: name the column of the groups in group=, or leave it out")
