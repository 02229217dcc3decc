"""Reading a Fit that was saved."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from latentem.ascent.status import Status
from latentem.model import Model
from latentem.results import archive
from latentem.results.field import FieldFit
from latentem.results.fit import Fit


def load(path: str | Path, model: Any = None, data: Any = None) -> Fit:
    """Read a Fit that `Fit.save` wrote. Nothing in the file is executed.

    Args:
        path: the file.
        model: the declaration, to compute with the Fit (`log_prob`, `posterior`, ...).
        data: the observations it was fitted to, where those computations need them.

    Raises:
        ValueError: the file is not a Fit that this version can read.
        FileNotFoundError: no such file.
    """
    path = Path(path)
    header, params, arrays = archive.read(path, ("trace", "starts"))
    try:
        known = {f.name for f in dataclasses.fields(Fit)} - {"params", "status", "notes", "compression"}
        fields = {k: v for k, v in header.items() if k in known}
        status, notes = Status[header["status"]], tuple(header["notes"])
    except (KeyError, TypeError) as error:
        raise archive.refused(path, error) from None
    if hasattr(model, "loaded"):  # records that share one latent
        return model.loaded(data, params=params, status=status, notes=notes, **arrays, **fields)
    if getattr(getattr(model, "latent", None), "shared", False):
        return FieldFit(params=params, status=status, notes=notes, model=model, table=data, **arrays, **fields)
    declared, observations = (None, None) if model is None else (model, data)
    if model is not None and data is not None:
        declared, observations = model.declare(data)
    if declared is not None and not isinstance(declared, Model):
        declared = declared.model()
    read = None if observations is None or declared is None else declared.latent.read(observations)
    return Fit(
        params=params, status=status, notes=notes, model=declared, declaration=model, data=read, **arrays, **fields
    )
