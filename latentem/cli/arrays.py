"""What the commands of arrays, texts and images share: reading them, names of files, whether a fit may end so."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from latentem.cli import common
from latentem.cli.errors import InputError, one_line, shown

if TYPE_CHECKING:
    from latentem import Fit


def read_array(path: Path, what: str) -> np.ndarray:
    """An array of numbers of a .npy file.

    Raises:
        InputError: no such file, or not such a file.
    """
    try:
        with open(path, "rb") as file:
            array = np.load(file, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file: expected {what}, as numpy.save writes it") from None
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{path} is no .npy file ({one_line(error)}): expected {what}, as numpy.save writes it"
        ) from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise InputError(f"{path} holds no single array of numbers: expected {what}, as numpy.save writes it")
    return array


def read_lines(path: Path) -> list[str]:
    """The lines of a text.

    Raises:
        InputError: no such file, or no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file: expected a text, one sentence a line") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text in UTF-8: expected one sentence a line") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or one_line(error)}") from None


#: Facts of a fit that are as large as an image or a vocabulary: they are in files of their own.
LARGE = ("parameters", "standard_errors")


def picture(results: common.Results, name: str, array: Any) -> None:
    """A PNG of bytes (H, W) or (H, W, 3) among the results.

    Raises:
        InputError: Pillow is not installed.
    """
    image = pillow().fromarray(np.asarray(array, np.uint8))
    results.parts[name] = lambda file: image.save(file, format="PNG")


def pillow() -> Any:
    """Pillow's Image module.

    Raises:
        InputError: it is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise InputError('pictures need Pillow: python -m pip install "latentem[cli]"') from None
    return Image


def grey(array: np.ndarray) -> np.ndarray:
    """Numbers as bytes, from 0 to the largest."""
    top = float(array.max())
    return np.clip(255 * array / top if top > 0 else array, 0, 255).astype(np.uint8)


def fitted(command: str, options: argparse.Namespace, path: Path, model: Any, data: Any, **more: Any) -> Fit:
    """The fit, with the library's complaints told of the file.

    Raises:
        InputError: the data or options cannot be used.
    """
    import latentem as lem

    common.make_folder(options.out)
    try:
        return lem.fit(model, data, progress=sys.stderr.isatty(), **more)
    except ValueError as error:
        raise InputError(f"{path}: {one_line(error)}") from None


def told(fit: Fit) -> list[str]:
    """How a fit ended, line by line."""
    lines = [
        f"{fit.name}: {fit.status.name} after {fit.iterations} iterations in {fit.seconds:.2f} s",
        f"log-likelihood {fit.log_likelihood:.6f}",
    ]
    if fit.status.value != fit.status.name:
        lines.append(f"  {fit.status.advice}")
    return [*lines, *(f"  note: {note}" for note in fit.notes)]


def finished(command: str, fit: Fit, lines: list[str], results: common.Results | None, asked: bool = False) -> int:
    """Write the results, say so, print the lines; the exit code: 0 where the fit converged or ended where it was
    asked to."""
    import latentem as lem

    if results is not None:
        results.write()
        lines = [*lines, f"wrote {results.names}"]
    for line in lines:
        print(shown(line))
    meant = fit.status in (lem.Status.stopped, lem.Status.subsets)
    return common.ended(command, fit, meant or (asked and fit.status is lem.Status.max_iterations))
