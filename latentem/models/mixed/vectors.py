"""Params as users see them, and the vectors of parameters that climbs run on."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg as la

from latentem.models.mixed.declare import Design
from latentem.models.mixed.estimate import Solved


def params_of(solved: Solved) -> dict[str, Any]:
    """Params of a fit."""
    names = [e.name for e in solved.design.effects]
    return {
        "fixed": solved.beta,
        "effects": dict(zip(names, solved.roots, strict=True)),
        "residual": np.array(solved.sigma),
    }


def theta_of(system: Any, params: Any) -> np.ndarray:
    """The vector of parameters of params; "effects" may hold standard deviations in place of Cholesky rows."""
    names = [e.name for e in system.layout.effects]
    try:
        effects, sigma = params["effects"], float(np.asarray(params["residual"]))
        roots = []
        for name, r in zip(names, system.shapes(), strict=True):
            root = np.asarray(effects[name], dtype=np.float64)
            root = np.diag(np.broadcast_to(root, (r,))) if root.ndim < 2 else root
            roots.append(
                la.cholesky(root @ root.T + 1e-300 * np.eye(r), lower=True) if np.triu(root, 1).any() else root
            )
            if root.shape != (r, r):
                raise ValueError
    except (KeyError, TypeError, ValueError, la.LinAlgError):
        told = ", ".join(f"{n!r}: ({r}, {r})" for n, r in zip(names, system.shapes(), strict=True))
        raise ValueError(
            f"params: expected a dict with 'residual' and 'effects', {{{told}}} or standard deviations"
        ) from None
    if not sigma > 0 or not all(np.isfinite(root).all() for root in roots):
        raise ValueError(f"params: residual {sigma:g}: expected finite numbers, a residual standard deviation above 0")
    return system.pack(roots, sigma)


def vector_of(design: Design, params: Any) -> np.ndarray:
    """Fixed effects and Cholesky rows of params of a generalised model."""
    try:
        fixed = np.asarray(params["fixed"], dtype=np.float64).reshape(design.x.shape[1])
        roots = [np.asarray(params["effects"][e.name], dtype=np.float64).reshape(e.r, e.r) for e in design.effects]
    except (KeyError, TypeError, ValueError):
        told = ", ".join(f"{e.name!r}: ({e.r}, {e.r})" for e in design.effects)
        raise ValueError(f"params: expected 'fixed' ({design.x.shape[1]},) and 'effects' {{{told}}}") from None
    return np.concatenate([fixed, *(root[np.tril_indices(len(root))] for root in roots)])
