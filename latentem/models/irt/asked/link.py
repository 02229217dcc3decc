"""Linking: the linear change of scale that brings the items of one fit onto the scale of another.

Sources: Marco (1977) for mean and sigma, Haebara (1980), Stocking and Lord (1983); Kolen and Brennan (2014), chapter 6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.building import jit, newton_ascent
from latentem.models.irt.asked.parameters import item_parameters
from latentem.models.irt.declared import Declared
from latentem.models.irt.items import densities

Params = dict[str, Any]
METHODS = ("mean-sigma", "haebara", "stocking-lord")


@dataclass(frozen=True)
class Link:
    """Ability on the scale of the other fit = slope * ability + intercept.

    Args:
        slope, intercept: of the change of scale.
        params: the item params on the other scale, shaped like those of the fit but for "ability".
        anchors: names of the items that both fits have in common and that were used.
    """

    slope: float
    intercept: float
    params: Params
    anchors: tuple[str, ...]


def link(fit: Any, other: Any, method: str = "mean-sigma", anchors: Sequence[str] | None = None) -> Link:
    """The linear change of scale that brings the items of this fit onto the scale of another.

    Args:
        fit: the fit.
        other: fit of an item response model to other persons, with items in common.
        method: "mean-sigma" (of the difficulties), "haebara" (curves of all categories of all items) or
            "stocking-lord" (curve of the expected sum score), over the population of the other fit.
        anchors: names of the common items to use; all by default.

    Returns:
        `Link(slope, intercept, params, anchors)`: ability there = slope * ability here + intercept, and the item
        params on that scale.

    Raises:
        ValueError: fewer than two common items, several abilities, item params by group, a custom item model.
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r}: expected one of {', '.join(map(repr, METHODS))}")
    here, there = (_declared(a) for a in (fit, other))
    shared = _anchors(here, there, anchors)
    for block in here.blocks:
        if block.model.log_probabilities not in SHIFTS:
            raise ValueError(f"link: how params of item model {block.model.name!r} change with the scale is not known")
    if method == "mean-sigma":
        slope, intercept = _mean_sigma(fit, other, shared)
    else:
        which = tuple(tuple(irt.seen.names.index(name) for name in shared) for irt in (here, there))
        with jax.enable_x64(True):
            both = [jax.tree.map(jnp.asarray, a.params) for a in (fit, other)]
            slope, intercept = (float(a) for a in _curves(here, there, which, method == "haebara", *both))
    if not (np.isfinite([slope, intercept]).all() and slope > 0):
        raise ValueError(f"link: the items of the two fits do not go together (slope {slope:.3g}): check the anchors")
    return Link(slope, intercept, transformed(here, fit.params, slope, intercept), shared)


def _declared(fit: Any) -> Any:
    irt = getattr(getattr(fit, "model", None), "declaration", None)
    if irt is None or not hasattr(irt, "blocks"):
        raise TypeError(f"link: expected the Fit of an item response model, got {type(fit).__name__}")
    if irt.ability.dimensions > 1:
        raise ValueError(f"link: this fit has {irt.ability.dimensions} abilities, expected 1")
    if any(block.own for block in irt.blocks):
        raise ValueError("link: items have params of their own in every group; fit groups with invariance='scalar'")
    return irt


def _anchors(here: Any, there: Any, chosen: Sequence[str] | None) -> tuple[str, ...]:
    """Names of common items.

    Raises:
        ValueError: fewer than two, a name that a fit does not have, other categories.
    """
    if isinstance(chosen, str):
        raise TypeError(f"anchors={chosen!r}: expected a list of names")
    names = tuple(chosen) if chosen is not None else tuple(n for n in here.seen.names if n in there.seen.names)
    for name in names:
        for irt in (here, there):
            if name not in irt.seen.names:
                raise ValueError(f"anchors name item {name!r}: expected one of {', '.join(irt.seen.names)}")
        two = [irt.seen.categories[irt.seen.names.index(name)] for irt in (here, there)]
        if two[0] != two[1]:
            raise ValueError(f"item {name!r} has categories {list(two[0])} in one fit and {list(two[1])} in the other")
    if len(names) < 2:
        raise ValueError(f"link: the fits have {len(names)} items in common, expected at least 2")
    return names


def _mean_sigma(fit: Any, other: Any, names: tuple[str, ...]) -> tuple[float, float]:
    """From the means and standard deviations of the difficulties."""
    here, there = (_difficulties(a, names) for a in (fit, other))
    used = [column for column in here if column in there]
    if not used:
        raise ValueError("mean-sigma: these item models have no difficulties; use method='haebara'")
    b = np.concatenate([here[column] for column in used])
    c = np.concatenate([there[column] for column in used])
    known = np.isfinite(b) & np.isfinite(c)
    if np.sum(known) < 2 or np.ptp(b[known]) == 0:
        raise ValueError("mean-sigma: fewer than two difficulties differ; use method='haebara'")
    slope = float(np.std(c[known]) / np.std(b[known]))
    return slope, float(np.mean(c[known]) - slope * np.mean(b[known]))


def _difficulties(fit: Any, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    table = item_parameters(fit, errors=False)
    rows = [table["item"].tolist().index(name) for name in names]
    return {name: column[rows] for name, column in table.items() if name.startswith("difficulty")}


@partial(jit, static_argnums=(0, 1, 2, 3))
def _curves(
    here: Any, there: Any, which: tuple[tuple[int, ...], tuple[int, ...]], by_item: bool, mine: Params, others: Params
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(slope, intercept) whose curves are nearest over the population of the other fit: all categories of every
    item (Haebara), or of the expected sum score (Stocking and Lord)."""
    theta = jnp.asarray(there.grid.values, jnp.result_type(float))
    natural = there.ability.natural(others.get("ability", {}), there.grid)[:, 0]
    weights = jax.nn.softmax(natural + jnp.asarray(there.grid.log_weights, natural.dtype))
    target = jnp.exp(there.table(others, theta)[:, 0, np.array(which[1])])

    def away(u: Float[Array, " 2"]) -> Float[Array, ""]:
        mapped = (theta - u[1]) / jnp.exp(u[0])
        gap = jnp.exp(here.table(mine, mapped)[:, 0, np.array(which[0])])
        width = min(gap.shape[-1], target.shape[-1])
        gap = gap[..., :width] - target[..., :width]
        if by_item:
            return -jnp.sum(weights[:, None, None] * gap**2)
        return -jnp.sum(weights * jnp.sum(gap * jnp.arange(width), axis=(1, 2)) ** 2)

    def slopes(u: Float[Array, " 2"]) -> tuple[Float[Array, " 2"], Float[Array, "2 2"]]:
        return jax.grad(away)(u), jax.hessian(away)(u)

    u = newton_ascent(away, slopes, jnp.zeros(2), iterations=200, tolerance=1e-24).u
    return jnp.exp(u[0]), u[1]


# --- params on another scale: slope . ability is a smaller slope times ability' and a constant that moves elsewhere


def transformed(irt: Declared, params: Params, slope: float, intercept: float) -> Params:
    """Item params with the same curves at slope * ability + intercept as the given ones have at ability."""
    new: Params = {}
    for block in irt.blocks:
        item = {name: np.asarray(value, np.float64) for name, value in params[block.name].items()}
        steeper = item["slope"] / slope
        moved = SHIFTS[block.model.log_probabilities](item, steeper * intercept)
        new[block.name] = {**item, "slope": steeper, **moved}
    return new


def _intercept(item: Params, constant: np.ndarray) -> Params:
    return {"intercept": item["intercept"] - constant}


def _steps(item: Params, constant: np.ndarray) -> Params:
    return {"intercept": item["intercept"] - constant[..., None]}


def _threshold(item: Params, constant: np.ndarray) -> Params:
    return {"threshold": item["threshold"] + constant[..., None]}


def _categories(item: Params, constant: np.ndarray) -> Params:
    number = np.arange(1, item["intercept"].shape[-1] + 1)
    return {"intercept": item["intercept"] - number * constant[..., None]}


def _location(item: Params, constant: np.ndarray) -> Params:
    return {"location": item["location"] - constant}


SHIFTS: dict[Any, Callable[[Params, np.ndarray], Params]] = {
    densities.logistic: _intercept,
    densities.graded: _threshold,
    densities.partial_credit: _categories,
    densities.rating_scale: _location,
    densities.nominal: _intercept,
    densities.sequential: _steps,
}
