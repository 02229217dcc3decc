"""What a fitted item response model is asked: verbs of its Fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from latentem.models.irt import parameters


class Verbs:
    """Verbs of an item response model. Tables are dicts of columns, which pandas and polars take as they are."""

    verbs: tuple[str, ...] = ("item_parameters",)

    def item_parameters(self, fit: Any, errors: bool = True) -> dict[str, np.ndarray]:
        """A row for every item: its params and what follows from them (difficulties), with standard errors.

        Args:
            fit: the fit.
            errors: whether to compute standard errors.

        Returns:
            {"item": names, "model": item models, name: (J,), name + "_se": (J,) ...}; NaN where an item has no such
            param, or it is fixed. Where groups have item params of their own, a row for each group and item.

        >>> from latentem import datasets
        >>> data = datasets.lsat7()
        >>> fit = lem.fit(lem.IRT("2pl"), data.matrix("item_1", "item_2", "item_3"), weights=data.frequency)
        >>> list(fit.item_parameters(errors=False))
        ['item', 'model', 'slope', 'intercept', 'difficulty']
        """
        return parameters.item_parameters(fit, errors)
