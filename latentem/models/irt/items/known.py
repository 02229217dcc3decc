"""The item models that have a name: where they start, what they have in common, and what is fixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import latentem as lem
from latentem.models.irt.items import densities as of
from latentem.models.irt.items.item import ItemModel

Params = dict[str, Any]

#: Slope from which every item starts.
SLOPE = 1.0


def _logit(p: Any) -> Any:
    return jnp.log(p) - jnp.log1p(-p)


def _slopes(p: Any, dimensions: int) -> Any:
    return jnp.full(() if dimensions == 1 else (dimensions,), SLOPE, p.dtype)


def _spread(dimensions: int) -> float:
    """By how much a normal ability flattens a logistic curve: the probit approximation."""
    return float(np.sqrt(1 + dimensions * SLOPE**2 / 2.89))


def _at_least(p: Float[Array, " C"]) -> Float[Array, " c"]:
    """P(category >= c), c = 1 ... C - 1."""
    return jnp.cumsum(p[::-1])[::-1][1:]


def _start_logistic(names: tuple[str, ...]) -> Callable[[Any, int], Params]:
    def start(p: Float[Array, " 2"], dimensions: int) -> Params:
        low, high = (0.15 if "guessing" in names else 0.0), (0.9 if "upper" in names else 1.0)
        share = jnp.clip((p[1] - low) / (high - low), 0.05, 0.95)
        params = {"slope": _slopes(p, dimensions), "intercept": _logit(share) * _spread(dimensions)}
        if "guessing" in names:
            params["guessing"] = jnp.asarray(low, p.dtype)
        if "upper" in names:
            params["upper"] = jnp.asarray(high, p.dtype)
        return params

    return start


def _start_graded(p: Float[Array, " C"], dimensions: int) -> Params:
    return {"slope": _slopes(p, dimensions), "threshold": -_logit(_at_least(p)) * _spread(dimensions)}


def _start_graded_rating(p: Float[Array, " C"], dimensions: int) -> Params:
    threshold = -_logit(_at_least(p)) * _spread(dimensions)
    return {"slope": _slopes(p, dimensions), "location": -threshold[0], "step": jnp.diff(threshold)}


def _start_partial(p: Float[Array, " C"], dimensions: int) -> Params:
    return {"slope": _slopes(p, dimensions), "intercept": jnp.log(p[1:] / p[0])}


def _start_rating(p: Float[Array, " C"], dimensions: int) -> Params:
    last = len(p) - 1
    location = jnp.log(p[-1] / p[0]) / last
    step = jnp.log(p[1:-1] / p[0]) - jnp.arange(1, last) * location
    return {"slope": _slopes(p, dimensions), "location": location, "step": step}


def _start_nominal(p: Float[Array, " C"], dimensions: int) -> Params:
    return {"slope": SLOPE * jnp.arange(1, len(p), dtype=p.dtype), "intercept": jnp.log(p[1:] / p[0])}


def _start_sequential(p: Float[Array, " C"], dimensions: int) -> Params:
    reached = jnp.cumsum(p[::-1])[::-1]
    return {
        "slope": _slopes(p, dimensions),
        "intercept": _logit(reached[1:] / reached[:-1]) * _spread(dimensions),
    }


def _slope(dimensions: int) -> Any:
    return lem.real() if dimensions == 1 else lem.real(dimensions)


def _logistic(*names: str) -> Callable[[int, int], ItemModel]:
    def make(categories: int, dimensions: int) -> ItemModel:
        params = {"slope": _slope(dimensions), "intercept": lem.real(), **{name: lem.unit() for name in names}}
        return ItemModel(of.logistic, params, start=_start_logistic(names), linear=not names, derived=of.difficulty)

    return make


def _polytomous(
    density: Any, start: Any, derived: Any, linear: bool = False, **shapes: Any
) -> Callable[[int, int], ItemModel]:
    def make(categories: int, dimensions: int) -> ItemModel:
        return ItemModel(
            density,
            {"slope": _slope(dimensions), **{name: shape(categories) for name, shape in shapes.items()}},
            start=start,
            linear=linear,
            derived=derived,
        )

    return make


def _nominal(categories: int, dimensions: int) -> ItemModel:
    if dimensions > 1:
        raise ValueError("item model 'nominal' loads on one ability here: expected a loading mask with one per item")
    width = categories - 1
    return ItemModel(
        of.nominal, {"slope": lem.real(width), "intercept": lem.real(width)}, start=_start_nominal, linear=True
    )


def _steps(categories: int) -> Any:
    return lem.real(categories - 1)


@dataclass(frozen=True)
class Known:
    """A row of the table of item models.

    Args:
        make: `(categories, dimensions) -> ItemModel`.
        binary: two categories only.
        shared: names that all items have in common.
        unit_slope: slopes are 1 and the variance of ability is free.
    """

    make: Callable[[int, int], ItemModel]
    binary: bool = False
    shared: tuple[str, ...] = ()
    unit_slope: bool = False


KNOWN: dict[str, Known] = {
    "rasch": Known(_logistic(), binary=True, unit_slope=True),
    "1pl": Known(_logistic(), binary=True, shared=("slope",)),
    "2pl": Known(_logistic(), binary=True),
    "3pl": Known(_logistic("guessing"), binary=True),
    "3plu": Known(_logistic("upper"), binary=True),
    "4pl": Known(_logistic("guessing", "upper"), binary=True),
    "graded": Known(_polytomous(of.graded, _start_graded, of.graded_forms, threshold=lambda c: lem.ordered(c - 1))),
    "grsm": Known(
        _polytomous(
            of.graded_rating,
            _start_graded_rating,
            of.graded_rating_forms,
            location=lambda c: lem.real(),
            step=lambda c: lem.positive(c - 2),
        ),
        shared=("step",),
    ),
    "gpcm": Known(_polytomous(of.partial_credit, _start_partial, of.step_difficulty, linear=True, intercept=_steps)),
    "pcm": Known(
        _polytomous(of.partial_credit, _start_partial, of.step_difficulty, linear=True, intercept=_steps),
        unit_slope=True,
    ),
    "rsm": Known(
        _polytomous(
            of.rating_scale,
            _start_rating,
            of.rating_difficulty,
            linear=True,
            location=lambda c: lem.real(),
            step=lambda c: lem.real(c - 2),
        ),
        shared=("step",),
        unit_slope=True,
    ),
    "nominal": Known(_nominal),
    "sequential": Known(_polytomous(of.sequential, _start_sequential, of.difficulty, intercept=_steps)),
}
