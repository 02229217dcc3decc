"""What a fitted item response model is asked: one table, from the name of a verb to the function of a fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from latentem.building import Axis, Layout, aligned
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

    def axes(self, path: tuple[str, ...], layout: Layout) -> tuple[Axis, ...]:
        """What the axes of a parameter run over: items of one model, groups where each has its own."""
        irt: Any = self
        block = next((block for block in irt.blocks if block.name == path[0]), None)
        if block is None:
            return ()
        items = Axis("item", tuple(irt.seen.names[j] for j in block.items))
        groups = Axis("group", tuple(map(str, irt.seen.groups)))
        own = (groups,) if path[1] in block.own else ()
        return own if path[1] in block.shared else (items, *own)

    def augmented(self, fit: Any, x: Any = None) -> dict[str, np.ndarray]:
        """Ability of each person and its standard error, by posterior means."""
        found = scores(fit, "eap", x)
        theta, errors = (found[name].reshape(len(found["theta"]), -1) for name in ("theta", "se"))
        names = ["theta"] if theta.shape[1] == 1 else [f"theta_{d + 1}" for d in range(theta.shape[1])]
        return {
            **dict(zip(names, theta.T, strict=True)),
            **dict(zip([f"{n}_se" for n in names], errors.T, strict=True)),
        }

    #: Rows of the estimates that `overview` shows in its place.
    overview_covers: ClassVar[tuple[str, ...]] = ("item",)

    def overview(self, fit: Any, errors: bool) -> list[str]:
        """The table of items."""
        columns = item_parameters(fit, errors=errors)
        rows = zip(*([name, *map(_cell, column.tolist())] for name, column in columns.items()), strict=True)
        return aligned(list(rows), "<<" + "<" * ("group" in columns) + ">")

    def report(self, fit: Any) -> list[str]:
        """Lines of the summary: whether the grid is fine enough."""
        return [] if fit.model.declaration.histogram else [f"grid: {fit.grid_check}"]


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else "" if not np.isfinite(value) else f"{float(value):.4f}"


for _name, _function in {**VERBS, **FIGURES}.items():
    setattr(Verbs, _name, staticmethod(_function))
