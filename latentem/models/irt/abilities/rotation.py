"""Exploratory abilities: where their fit starts, and their rotation to a pattern that can be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.models.irt.declared import Declared

#: The logistic curve with this slope is the normal one, nearly: loadings are slopes on the scale of the normal ogive.
OGIVE = 1.702
METHODS = {
    "varimax": ("varimax",),
    "quartimax": ("quartimax",),
    "quartimin": ("quartimin",),
    "oblimin": ("oblimin", 0.0, "oblique"),
}


@dataclass(frozen=True)
class Rotation:
    """Abilities turned to simple structure.

    Args:
        method: of the rotation.
        loadings: (J, D) standardised factor loadings on the rotated abilities.
        slopes: (J, D) of the items on them.
        correlation: (D, D) of the rotated abilities; the identity for an orthogonal rotation.
        communality: (J,) share of the variance of each item's latent response that the abilities explain.
        turn: (D, D), rotated abilities are `abilities @ turn`.
    """

    method: str
    loadings: Float[np.ndarray, "J D"]
    slopes: Float[np.ndarray, "J D"]
    correlation: Float[np.ndarray, "D D"]
    communality: Float[np.ndarray, " J"]
    turn: Float[np.ndarray, "D D"]


def rotate(fit: Any, method: str = "oblimin") -> Rotation:
    """Abilities of an exploratory fit turned to simple structure. The fit stays as it is: all turns are equally
    likely.

    Args:
        fit: of `lem.IRT(..., dimensions=D)`.
        method: "oblimin" and "quartimin" (abilities correlate), "varimax" and "quartimax" (they do not).

    Returns:
        `Rotation(method, loadings, slopes, correlation, communality, turn)`; rotated scores are
        `fit.scores()["theta"] @ turn`.

    Raises:
        ValueError: a fit that is not exploratory, another method.
        ImportError: without statsmodels, which minimises the criterion (extra `irt`).
    """
    irt: Declared = fit.model.declaration
    if irt.dimensions is None or irt.dimensions < 2:
        raise ValueError("rotate: this fit is not exploratory; declare lem.IRT(..., dimensions=2) or more")
    if method not in METHODS:
        raise ValueError(f"rotate({method!r}): expected one of {', '.join(map(repr, METHODS))}")
    try:
        from statsmodels.multivariate.factor_rotation import rotate_factors
    except ImportError:
        raise ImportError('rotations need statsmodels: python -m pip install "latentem[irt]"') from None
    slopes = np.zeros(irt.mask.shape)
    for block in irt.blocks:
        for item, slope in zip(block.items, np.asarray(fit.params[block.name]["slope"]), strict=True):
            slopes[item, list(block.abilities)] = slope
    communality = (slopes**2).sum(axis=1) / (OGIVE**2 + (slopes**2).sum(axis=1))
    scale = np.sqrt(OGIVE**2 + (slopes**2).sum(axis=1))[:, None]
    loadings, turn = rotate_factors(slopes / scale, *METHODS[method])
    # The sum of each column positive, the first ability that which explains most.
    sign = np.where(loadings.sum(axis=0) < 0, -1.0, 1.0)
    order = np.argsort(-(loadings**2).sum(axis=0))
    loadings, turn = (loadings * sign)[:, order], (turn * sign)[:, order]
    return Rotation(method, loadings, loadings * scale, turn.T @ turn, communality, turn)


def start(irt: Declared, params: dict[str, Any], answers: Any, weights: Float[Array, " N"]) -> dict[str, Any]:
    """Params with slopes from the principal axes of the correlations of the answers, turned so that the first item
    loads on one ability, the second on two, and so on."""
    known = answers >= 0
    w = jnp.where(known, weights[:, None], 0.0)
    x = jnp.where(known, answers, 0).astype(weights.dtype)
    x = jnp.where(known, x - jnp.sum(w * x, axis=0) / jnp.sum(w, axis=0), 0.0)
    x = x / jnp.sqrt(jnp.sum(w * x**2, axis=0))
    values, vectors = jnp.linalg.eigh((x * weights[:, None]).T @ x)
    d = irt.mask.shape[1]
    loadings = vectors[:, -d:] * jnp.sqrt(jnp.maximum(values[-d:] - 0.5, 0.1))
    turn, triangle = jnp.linalg.qr(loadings[:d].T)
    loadings = loadings @ turn * jnp.sign(jnp.diagonal(triangle))
    slopes = OGIVE * loadings / jnp.sqrt(1 - jnp.minimum(jnp.sum(loadings**2, axis=1, keepdims=True), 0.9))
    made = dict(params)
    for block in irt.blocks:
        free = "slope" in params[block.name] and "slope" not in dict(block.fixed)
        mine = slopes[np.array(block.items)[:, None], np.array(block.abilities)]
        mine = mine[:, 0] if len(block.abilities) == 1 else mine
        if free and params[block.name]["slope"].shape == mine.shape:
            made[block.name] = {**params[block.name], "slope": mine}
    return made
