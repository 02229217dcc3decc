"""Images and labels side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from latentem.plot import look

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def image_panels(images: Mapping[str, Any], *, shared: bool = False) -> Figure:
    """Images side by side, each under its title.

    Args:
        images: title -> (H, W) numbers, drawn in grey; (H, W) integers or bools, drawn as classes in their colours; or
            (H, W, 3) colours from 0 to 1.
        shared: whether all grey panels have one scale.

    Returns:
        A Figure of one row of panels.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: something that is no image.

    Example:
        >>> figure = lem.plot.image_panels({"phantom": lem.datasets.tomography.shepp_logan(32)})
        >>> [axes.get_title() for axes in figure.axes]
        ['phantom']
    """
    if not images:
        raise ValueError("image_panels: expected at least one image")
    arrays = {title: np.asarray(image) for title, image in images.items()}
    for title, a in arrays.items():
        if a.ndim not in (2, 3) or (a.ndim == 3 and a.shape[2] != 3):
            raise ValueError(f"{title!r} has shape {a.shape}: expected (H, W) or (H, W, 3)")
    grey = [a for a in arrays.values() if a.ndim == 2 and a.dtype.kind == "f"]
    scale = {"vmin": min(a.min() for a in grey), "vmax": max(a.max() for a in grey)} if shared and grey else {}
    figure = look.new_figure(2.6 * len(arrays), 2.9)
    for axes, (title, a) in zip(np.ravel(figure.subplots(1, len(arrays))), arrays.items(), strict=True):
        if a.ndim == 2 and a.dtype.kind in "biu":
            palette = np.array([look.rgb(look.style(k)[0]) for k in range(int(a.max()) + 1)])
            axes.imshow(palette[a.astype(int)], interpolation="nearest")
        elif a.ndim == 2:
            axes.imshow(a, cmap="gray", interpolation="nearest", **scale)
        else:
            axes.imshow(a, interpolation="nearest")
        axes.set_title(title, fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
    return figure
