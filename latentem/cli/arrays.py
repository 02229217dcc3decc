"""What the commands of arrays, texts and images share: reading them, names of files, whether a fit may end so."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from latentem.cli import common
from latentem.cli.errors import InputError, one_line

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


def save_picture(array: Any, path: Path) -> None:
    """A PNG of bytes (H, W) or (H, W, 3).

    Raises:
        InputError: Pillow is not installed, or the folder cannot be written.
    """
    image = pillow()
    try:
        image.fromarray(np.asarray(array, np.uint8)).save(path)
    except OSError as error:
        raise InputError(f"--out {path.parent}: {error.strerror or one_line(error)}") from None


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


def save_array(array: np.ndarray, path: Path) -> None:
    """Write a .npy file.

    Raises:
        InputError: the folder cannot be written.
    """
    try:
        np.save(path, array)
    except OSError as error:
        raise InputError(f"--out {path.parent}: {error.strerror or one_line(error)}") from None


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


def write_facts(fit: Fit, folder: Path, more: dict[str, Any]) -> None:
    """Write fit.json: the facts of a fit without its arrays, and what the command adds.

    Raises:
        InputError: the folder cannot be written.
    """
    import json

    told = {k: v for k, v in fit.to_dict().items() if k not in ("parameters", "standard_errors")}
    try:
        with open(folder / "fit.json", "w", encoding="utf-8") as file:
            json.dump(common.finite({**told, "notes": list(fit.notes), **more}), file, indent=2, allow_nan=False)
            file.write("\n")
    except OSError as error:
        raise InputError(f"--out {folder}: {error.strerror or one_line(error)}") from None


def told(fit: Fit) -> None:
    """Print how a fit ended."""
    print(f"{fit.name}: {fit.status.name} after {fit.iterations} iterations in {fit.seconds:.2f} s")
    print(f"log-likelihood {fit.log_likelihood:.6f}")
    if fit.status.value != fit.status.name:
        print(f"  {fit.status.advice}")
    for note in fit.notes:
        print(f"  note: {note}")


def code(command: str, fit: Fit, asked: bool) -> int:
    """0 where the fit converged, or ended where it was asked to; 3 otherwise, with a line on stderr."""
    import latentem as lem

    meant = fit.status in (lem.Status.stopped, lem.Status.subsets) or (
        asked and fit.status is lem.Status.max_iterations
    )
    if fit.status.ok or meant:
        return 0
    print(f"latentem {command}: {fit.status.name}: {fit.status.advice}", file=sys.stderr)
    return 3
