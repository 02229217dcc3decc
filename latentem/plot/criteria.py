"""Criteria of several mixtures against their number of components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from latentem.plot import look

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def selection(found: Any, criterion: str | None = None) -> Figure:
    """BIC or ICL of a selection of mixtures against the number of components, a line for each structure.

    Args:
        found: what `lem.select_mixture` returned.
        criterion: "bic" or "icl"; that of the selection by default.

    Raises:
        ImportError: matplotlib is not installed.
    """
    wanted: str = criterion or found.criterion
    lines: dict[str, list[tuple[int, float]]] = {}
    for candidate in found.candidates:
        size, _, structure = candidate.name.partition(" ")
        lines.setdefault(structure, []).append((int(size), getattr(candidate, wanted)))
    figure = look.new_figure(6.4, 4.0)
    axes = figure.add_subplot()
    for k, (structure, points) in enumerate(lines.items()):
        size, value = np.array(sorted(points)).T
        colour, dash = look.style(k)
        axes.plot(size, value, marker="o", markersize=3, linewidth=1, color=colour, linestyle=dash, label=structure)
    axes.set_xlabel("components")
    axes.set_ylabel(f"{wanted.upper()} (smaller is better)")
    axes.legend(frameon=False, ncols=2, fontsize="small")
    look.count_on(axes.xaxis)
    look.finish(axes)
    return figure
