"""Item models: log-probabilities of the categories of ONE item at ONE ability, and the table of the known ones.

Sources: Rasch (1960), Birnbaum (1968), Samejima (1969), Andrich (1978), Masters (1982), Muraki (1992), Bock (1972),
Tutz (1990); Barton and Lord (1981) for the upper asymptote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import latentem as lem

Params = dict[str, Any]

#: Slope from which every item starts.
SLOPE = 1.0


@dataclass(frozen=True)
class ItemModel:
    """How the categories of one item depend on ability.

    Args:
        log_probabilities: `(params, ability) -> (C,)`, log-probabilities of the C categories of one item; `ability` is
            a scalar, or (D,) where the item loads on D abilities.
        params: {name: constraint} of one item.
        prior: {name: prior} of one item, in the coordinates of `params`; see `latentem.priors`.
        start: `(proportions (C,), D) -> params` from which EM starts; the origin of the constraints when left out.
        name: what tables call it.
        linear: the log-odds of every category against the first are linear in ability: complete answers then need no
            table of every item at every node in the E-step.

    Two are equal when functions, constraints and priors are: define functions once, at module level.

    >>> def log_probabilities(item, ability):
    ...     logit = item["slope"] * (ability - item["difficulty"])
    ...     return jnp.stack([jax.nn.log_sigmoid(-logit), jax.nn.log_sigmoid(logit)])
    >>> lem.ItemModel(log_probabilities, {"slope": lem.real(), "difficulty": lem.real()}).categories
    2
    """

    log_probabilities: Callable[[Any, Any], Float[Array, " C"]]
    params: Mapping[str, Any] = field(compare=False)
    prior: Mapping[str, Any] | None = field(default=None, compare=False)
    start: Callable[[Any, int], Params] | None = field(default=None, compare=False)
    name: str = "custom"
    linear: bool = False
    _key: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not callable(self.log_probabilities):
            raise TypeError(
                f"log_probabilities={self.log_probabilities!r}: expected a function (params, ability) -> (C,)"
            )
        key = (lem.ParameterSpace.of(dict(self.params)), lem.priors.Joint.of(self.prior))
        object.__setattr__(self, "_key", key)

    @property
    def space(self) -> lem.ParameterSpace:
        """The parameters of one item."""
        return self._key[0]

    @property
    def categories(self) -> int:
        """C, with ability a scalar."""
        params = jax.eval_shape(self.space.constrain, jax.ShapeDtypeStruct((self.space.size,), "float32"))
        try:
            out = jax.eval_shape(self.log_probabilities, params, jax.ShapeDtypeStruct((), "float32"))
        except Exception as error:
            told = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise TypeError(f"log_probabilities(params, ability) of {self.name} failed: {told}") from error
        if len(out.shape) != 1:
            raise ValueError(f"log_probabilities of {self.name} has shape {out.shape}: expected (C,), one per category")
        return out.shape[0]

    def starting(self, proportions: Float[Array, " C"], dimensions: int) -> Params:
        """Params of one item from which EM starts."""
        if self.start is not None:
            return self.start(proportions, dimensions)
        return self.space.constrain(jnp.zeros(self.space.size, proportions.dtype))


# --- densities


def _predictor(item: Params, ability: Any) -> Any:
    """slope . ability."""
    return jnp.sum(item["slope"] * ability)


def logistic(item: Params, ability: Any) -> Float[Array, " 2"]:
    """Asymptotes g and u: P(right) = g + (u - g) / (1 + exp(-(slope . ability + intercept)))."""
    logit = _predictor(item, ability) + item["intercept"]
    right, wrong = jax.nn.log_sigmoid(logit), jax.nn.log_sigmoid(-logit)
    lower, upper = item.get("guessing"), item.get("upper")
    # A mixture of the two asymptotes: each part is accurate where it is small.
    high = (right, None) if upper is None else (jnp.log(upper) + right, jnp.log1p(-upper) + right)
    low = (None, wrong) if lower is None else (jnp.log(lower) + wrong, jnp.log1p(-lower) + wrong)
    parts = [high[0], low[0]], [high[1], low[1]]
    yes, no = (_log_sum([p for p in two if p is not None]) for two in parts)
    return jnp.stack([no, yes])


def _log_sum(parts: list[Any]) -> Any:
    return parts[0] if len(parts) == 1 else jnp.logaddexp(parts[0], parts[1])


def graded(item: Params, ability: Any) -> Float[Array, " C"]:
    """P(category >= c) = 1 / (1 + exp(-(slope . ability - threshold_c))), thresholds increasing."""
    logit = _predictor(item, ability) - item["threshold"]
    at_least, below = jax.nn.log_sigmoid(logit), jax.nn.log_sigmoid(-logit)
    gap = item["threshold"][:-1] - item["threshold"][1:]
    middle = at_least[:-1] + below[1:] + jnp.log(-jnp.expm1(gap))
    return jnp.concatenate([below[:1], middle, at_least[-1:]])


def partial_credit(item: Params, ability: Any) -> Float[Array, " C"]:
    """log P(c) = c slope . ability + intercept_c + const, intercept_0 = 0."""
    steps = jnp.concatenate([jnp.zeros_like(item["intercept"][:1]), item["intercept"]])
    return jax.nn.log_softmax(jnp.arange(len(steps)) * _predictor(item, ability) + steps)


def rating_scale(item: Params, ability: Any) -> Float[Array, " C"]:
    """log P(c) = c (slope . ability + location) + step_c + const, step_0 = step_{C-1} = 0; steps are common."""
    end = jnp.zeros(1, item["step"].dtype)
    steps = jnp.concatenate([end, item["step"], end])
    return jax.nn.log_softmax(jnp.arange(len(steps)) * (_predictor(item, ability) + item["location"]) + steps)


def nominal(item: Params, ability: Any) -> Float[Array, " C"]:
    """log P(c) = slope_c ability + intercept_c + const, slope_0 = intercept_0 = 0."""
    first = jnp.zeros(1, item["intercept"].dtype)
    slope, intercept = (jnp.concatenate([first, item[name]]) for name in ("slope", "intercept"))
    return jax.nn.log_softmax(slope * ability + intercept)


def sequential(item: Params, ability: Any) -> Float[Array, " C"]:
    """P(category > c | category >= c) = 1 / (1 + exp(-(slope . ability + intercept_c)))."""
    logit = _predictor(item, ability) + item["intercept"]
    passed = jnp.concatenate([jnp.zeros_like(logit[:1]), jnp.cumsum(jax.nn.log_sigmoid(logit))])
    return passed + jnp.concatenate([jax.nn.log_sigmoid(-logit), jnp.zeros_like(logit[:1])])


# --- starts


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


# --- the table


def _slope(dimensions: int) -> Any:
    return lem.real() if dimensions == 1 else lem.real(dimensions)


def _logistic(*names: str) -> Callable[[int, int], ItemModel]:
    def make(categories: int, dimensions: int) -> ItemModel:
        params = {"slope": _slope(dimensions), "intercept": lem.real(), **{name: lem.unit() for name in names}}
        return ItemModel(logistic, params, start=_start_logistic(names), linear=not names)

    return make


def _polytomous(density: Any, start: Any, linear: bool = False, **shapes: Any) -> Callable[[int, int], ItemModel]:
    def make(categories: int, dimensions: int) -> ItemModel:
        return ItemModel(
            density,
            {"slope": _slope(dimensions), **{name: of(categories) for name, of in shapes.items()}},
            start=start,
            linear=linear,
        )

    return make


def _nominal(categories: int, dimensions: int) -> ItemModel:
    if dimensions > 1:
        raise ValueError("item model 'nominal' loads on one ability here: expected a loading mask with one per item")
    width = categories - 1
    return ItemModel(
        nominal, {"slope": lem.real(width), "intercept": lem.real(width)}, start=_start_nominal, linear=True
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
    "graded": Known(_polytomous(graded, _start_graded, threshold=lambda c: lem.ordered(c - 1))),
    "gpcm": Known(_polytomous(partial_credit, _start_partial, linear=True, intercept=_steps)),
    "pcm": Known(_polytomous(partial_credit, _start_partial, linear=True, intercept=_steps), unit_slope=True),
    "rsm": Known(
        _polytomous(
            rating_scale, _start_rating, linear=True, location=lambda c: lem.real(), step=lambda c: lem.real(c - 2)
        ),
        shared=("step",),
        unit_slope=True,
    ),
    "nominal": Known(_nominal),
    "sequential": Known(_polytomous(sequential, _start_sequential, intercept=_steps)),
}
