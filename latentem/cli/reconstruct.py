"""Reconstruct an image from a sinogram of Poisson counts (MLEM, OSEM, MAP-EM).

The sinogram is a .npy array, a row for each angle, equally spaced from 0 to below 180 degrees, a column for each bin of
a parallel beam; bins and pixels are equally wide. Prints how the fit ended. With --out DIR it writes DIR/image.npy,
DIR/image.png, DIR/expected.npy (the mean of every bin) and DIR/fit.json. Exit code 0; 2 for input that cannot be used;
3 when the fit did not converge and nobody asked it to stop early.

  latentem reconstruct sinogram.npy --angles 60 --iterations 50 --out scan
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from latentem.cli import arrays, common
from latentem.cli.errors import InputError

PRIORS = ("quadratic", "huber", "relative_difference")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `latentem reconstruct`."""
    add = parser.add_argument
    add("sinogram", type=Path, metavar="SINOGRAM", help=".npy file of counts, angles by bins")
    add("--angles", type=common.at_least_1, metavar="N", help="number of angles, to check the rows of the array")
    add("--size", type=common.at_least_1, metavar="N", help="edge of the image in pixels (default: what the bins hold)")
    add("--background", type=float, default=0.0, metavar="B", help="expected background counts in each bin (default 0)")
    add("--iterations", type=common.at_least_1, metavar="N", help="of plain MLEM; SQUAREM to the maximum by default")
    add("--subsets", type=common.at_least_1, default=1, metavar="N", help="ordered subsets of the angles (default 1)")
    add("--prior", choices=PRIORS, metavar="NAME", help=f"{', '.join(PRIORS)}: neighbouring pixels are alike")
    add("--strength", type=float, default=0.1, metavar="S", help="of the prior (default 0.1)")
    add("--stop", action="store_true", help="stop where chi-square equals the number of bins")
    add("--out", type=Path, metavar="DIR", help="folder for image.npy, image.png, expected.npy and fit.json")


def run(options: argparse.Namespace) -> int:
    """Read, reconstruct, print, write.

    Raises:
        InputError: data, options or folder that cannot be used.
    """
    import latentem as lem

    counts = arrays.read_array(options.sinogram, "a sinogram of counts, angles by bins")
    if counts.ndim != 2:
        raise InputError(f"{options.sinogram} has shape {counts.shape}: expected angles by bins")
    angles, bins = counts.shape
    if options.angles not in (None, angles):
        raise InputError(f"{options.sinogram} has {angles} rows: expected --angles {options.angles}")
    size = options.size or max(1, int((bins - 2) / np.sqrt(2)))
    try:
        projector = lem.datasets.tomography.parallel_beam(size, angles, bins)
        model = lem.Emission(
            projector,
            shape=(size, size),
            background=options.background,
            prior=_prior(options),
            subsets=options.subsets,
            stopping="discrepancy" if options.stop else None,
        )
    except ValueError as error:
        raise InputError(str(error)) from None
    more: dict[str, Any] = {}
    if options.subsets > 1:
        more["passes"] = options.iterations or 10
    elif options.iterations:
        more.update(method=lem.Plain(), max_iterations=options.iterations)
    fit = arrays.fitted("reconstruct", options, options.sinogram, model, counts, **more)
    results = None
    if options.out is not None:
        results = common.Results(options.out)
        results.array("image.npy", fit.image)
        arrays.picture(results, "image.png", arrays.grey(fit.image))
        results.array("expected.npy", fit.expected_counts())
        results.fit(fit, {"size": size, "counts": float(np.nansum(counts))}, arrays.LARGE)
    return arrays.finished("reconstruct", fit, arrays.told(fit), results, options.iterations is not None)


def _prior(options: argparse.Namespace) -> Any:
    import latentem as lem

    kinds = {
        "quadratic": lem.priors.Quadratic,
        "huber": lem.priors.Huber,
        "relative_difference": lem.priors.RelativeDifference,
    }
    return None if options.prior is None else kinds[options.prior](8, options.strength)
