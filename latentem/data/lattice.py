"""Images and volumes: arrays of values on a lattice, channels last."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float


def read_image(image: Any, channels: bool | None = None) -> tuple[Float[np.ndarray, "*lattice D"], bool]:
    """An image as float64 with its channels last, and whether it has them.

    Args:
        image: (H, W) grey, (H, W, C) with channels, (D, H, W) a volume, (D, H, W, C).
        channels: whether the last axis is channels. None: where a third axis has 2, 3 or 4 entries, and of four axes.

    Raises:
        ValueError: in one line: not such an array; NaN; a channel for transparency (alpha).

    >>> read_image(np.zeros((4, 5)))[0].shape
    (4, 5, 1)
    """
    try:
        array = np.asarray(image)
        if array.dtype.kind not in "biuf":
            raise TypeError
    except (TypeError, ValueError):
        raise ValueError("image: expected an array of numbers, (H, W), (H, W, C) or (D, H, W)") from None
    if array.ndim not in (2, 3, 4) or not array.size:
        raise ValueError(f"image has shape {array.shape}: expected (H, W), (H, W, C), (D, H, W) or (D, H, W, C)")
    if channels is None:
        channels = array.ndim == 4 or (array.ndim == 3 and array.shape[-1] in (2, 3, 4))
    if channels and array.ndim == 3 and array.shape[-1] == 4:
        raise ValueError(
            "image has 4 channels: the last is transparency (alpha); give image[..., :3] over a background"
        )
    if array.ndim - channels not in (2, 3):
        raise ValueError(f"image has shape {array.shape}: expected 2 or 3 dimensions besides channels")
    values = array.astype(np.float64)
    if not np.isfinite(values).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        told = f"image[{', '.join(map(str, place))}] = {values[place]}"
        raise ValueError(
            f"{told}, one of {int((~np.isfinite(values)).sum())}: expected finite numbers; fill it in first"
        )
    return values if channels else values[..., None], channels
