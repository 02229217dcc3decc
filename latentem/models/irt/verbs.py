"""What a fitted item response model is asked: one table, from the name of a verb to the function of a fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from latentem.models.irt.abilities.rotation import rotate
from latentem.models.irt.asked.information import expected_score, item_information, reliability, test_information
from latentem.models.irt.asked.link import link
from latentem.models.irt.asked.parameters import item_parameters
from latentem.models.irt.asked.scores import scores
from latentem.models.irt.asked.simulate import simulate
from latentem.models.irt.asked.sum_scores import sum_scores
from latentem.models.irt.checked.check_grid import check_grid, grid_check
from latentem.models.irt.checked.dif import dif
from latentem.models.irt.checked.item_fit import item_fit
from latentem.models.irt.checked.model_fit import model_fit
from latentem.models.irt.checked.person_fit import person_fit
from latentem.models.irt.checked.residuals import residuals

#: `fit.verb(...)` is `verb(fit, ...)`.
VERBS: dict[str, Callable[..., Any]] = {
    "item_parameters": item_parameters,
    "scores": scores,
    "sum_scores": sum_scores,
    "item_information": item_information,
    "test_information": test_information,
    "expected_score": expected_score,
    "reliability": reliability,
    "residuals": residuals,
    "person_fit": person_fit,
    "link": link,
    "simulate": simulate,
    "check_grid": check_grid,
    "rotate": rotate,
    "dif": dif,
    "item_fit": item_fit,
    "model_fit": model_fit,
}
#: `fit.figure` is `figure(fit)`, computed once.
FIGURES: dict[str, Callable[[Any], Any]] = {"grid_check": grid_check}


class Verbs:
    """Verbs of an item response model. Tables are dicts of columns, which pandas and polars take as they are."""

    verbs: ClassVar[tuple[str, ...]] = tuple(VERBS)
    figures: ClassVar[tuple[str, ...]] = tuple(FIGURES)

    def report(self, fit: Any) -> list[str]:
        """Lines of the summary: whether the grid is fine enough."""
        return [] if fit.model.declaration.histogram else [f"grid: {fit.grid_check}"]


for _name, _function in {**VERBS, **FIGURES}.items():
    setattr(Verbs, _name, staticmethod(_function))
