"""Segment an image into classes of grey value or colour whose neighbouring pixels tend to agree.

Prints the classes. With --out DIR it writes DIR/labels.png, whose grey values are the classes 0, 1, ...,
DIR/overlay.png, the classes in colours over the image, and DIR/fit.json. Exit code 0; 2 for input that cannot be used;
3 when the fit did not converge.

  latentem segment image.png --classes 3 --out segments
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from latentem.cli import arrays, common
from latentem.cli.errors import InputError, one_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latentem segment`."""
    add = parser.add_argument
    add("image", type=Path, metavar="IMAGE", help="image file, grey or in colour")
    add("--classes", type=common.at_least_1, required=True, metavar="K", help="number of classes, at least 2")
    add("--coupling", type=float, default=1.0, metavar="B", help="how strongly neighbours agree (default 1)")
    add("--neighbours", type=int, choices=(4, 8), default=4, metavar="N", help="4 or 8 (default 4)")
    add("--cut", action="store_true", help="graph cut in place of mean field, for 2 classes")
    add("--out", type=Path, metavar="DIR", help="folder for labels.png, overlay.png and fit.json")


def run(options: argparse.Namespace) -> int:
    """Read, fit, print, write.

    Raises:
        InputError: data, options or folder that cannot be used.
    """
    import latentem as lem

    image = _read(options.image)
    try:
        model = lem.Segmentation(
            options.classes,
            options.neighbours,
            options.coupling,
            e_step="graph cut" if options.cut else "mean field",
            channels=image.ndim == 3,
        )
    except ValueError as error:
        raise InputError(one_line(error)) from None
    fit = arrays.fitted("segment", options, options.image, model, image)
    share = np.bincount(fit.labels.ravel(), minlength=options.classes) / fit.labels.size
    lines, results = arrays.told(fit), None
    for k, mean in enumerate(fit.params["mean"]):
        lines.append(f"class {k}: mean {', '.join(f'{m:.4g}' for m in mean)}, {100 * share[k]:.1f} % of the pixels")
    if options.out is not None:
        results = common.Results(options.out)
        arrays.picture(results, "labels.png", fit.labels)
        arrays.picture(results, "overlay.png", _overlay(image, fit.labels))
        facts = {"means": fit.params["mean"].tolist(), "shares": share.tolist(), "coupling": options.coupling}
        results.fit(fit, facts, arrays.LARGE)
    return arrays.finished("segment", fit, lines, results)


def _read(path: Path) -> np.ndarray:
    """Grey (H, W) or colour (H, W, 3).

    Raises:
        InputError: no such file, no image, or one with transparency.
    """
    pillow = arrays.pillow()
    try:
        with pillow.open(path) as image:
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                raise InputError(f"{path} has transparency (alpha): put it on a background first")
            if image.mode in ("I", "I;16", "F"):  # 16 and 32 bits, which conversion would cut off
                return np.asarray(image, np.float64)
            return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"), np.float64)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file: expected an image") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{path} is no image that Pillow can read ({one_line(error)})") from None


def _overlay(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The image in grey under the colours of its classes."""
    from latentem.plot import look

    base = arrays.grey(image if image.ndim == 2 else image.mean(axis=2)).astype(np.float64)
    colours = 255 * np.array([look.rgb(look.style(k)[0]) for k in range(int(labels.max()) + 1)])
    return 0.55 * base[..., None] + 0.45 * colours[labels]
