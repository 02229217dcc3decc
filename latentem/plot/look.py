"""What the pictures have in common: colours, numbers next to components, legends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito (2008), "Color Universal Design", without black (the mixture) and yellow (pale on white).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
DASHES = ("-", "--", "-.", ":")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that size in inches.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError('pictures need matplotlib: python -m pip install "latentem[plot]"') from None
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def style(k: int) -> tuple[str, str]:
    """Colour of component k, and a line style that tells apart the components that share it."""
    return COLOURS[k % len(COLOURS)], DASHES[k // len(COLOURS) % len(DASHES)]


def rgb(colour: str) -> tuple[float, float, float]:
    """Red, green and blue of "#RRGGBB", each from 0 to 1."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def pale(colour: str) -> tuple[float, ...]:
    """The colour for an area behind lines."""
    return tuple(0.3 * channel + 0.7 for channel in rgb(colour))


def number(axes: Axes, k: int, place: Any) -> None:
    """The number of a component in a circle."""
    box = {"boxstyle": "circle,pad=0.2", "facecolor": "white", "edgecolor": style(k)[0], "linewidth": 1.2}
    axes.annotate(str(k), tuple(place), ha="center", va="center", fontsize=9, bbox=box, zorder=5)


def legend(axes: Axes, shares: Float[np.ndarray, " K"], title: str, mixture: str | None = None) -> None:
    """Each component with its share of the data; their sum too, where `mixture` gives its line style."""
    for k, share in enumerate(shares):
        colour, dash = style(k)
        told = f"component {k} ({100 * share:.1f} %)"
        axes.plot([], [], color=colour, linestyle=dash, marker="o", label=told)
    if mixture is not None:
        axes.plot([], [], color="black", linestyle=mixture, label="mixture")
    axes.legend(frameon=False, title=title, title_fontsize=9, alignment="left", loc="best")


def finish(axes: Axes) -> None:
    """Leave out the lines above and to the right of the picture."""
    axes.spines[["top", "right"]].set_visible(False)


def count_on(axis: Any) -> None:
    """Ticks at integers only."""
    axis.get_major_locator().set_params(integer=True)
