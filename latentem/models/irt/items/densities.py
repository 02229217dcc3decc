"""Log-probabilities of the categories of ONE item at ONE ability, and the other form of their params.

Sources: Rasch (1960), Birnbaum (1968), Samejima (1969), Andrich (1978), Masters (1982), Muraki (1990, 1992), Bock
(1972), Tutz (1990); Barton and Lord (1981) for the upper asymptote.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Params = dict[str, Any]


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


def graded_rating(item: Params, ability: Any) -> Float[Array, " C"]:
    """Graded, with difficulties whose distances (positive) are common: threshold_1 = -location, threshold_{c+1} =
    threshold_c + |slope| step_c; of several abilities, without the slope."""
    return graded({"slope": item["slope"], "threshold": _thresholds(item)}, ability)


def _thresholds(item: Params) -> Float[Array, " c"]:
    steps = jnp.concatenate([jnp.zeros(1, item["step"].dtype), jnp.cumsum(item["step"])])
    unit = 1.0 if jnp.ndim(item["slope"]) else jnp.abs(item["slope"])
    return unit * steps - item["location"]


def graded_rating_forms(item: Params) -> Params:
    """Where categories c and above reach one half."""
    return {} if jnp.ndim(item["slope"]) else {"difficulty": _thresholds(item) / item["slope"]}


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


# --- the other form of the params


def difficulty(item: Params) -> Params:
    """Where the logit is 0; of one ability."""
    return {} if jnp.ndim(item["slope"]) else {"difficulty": -item["intercept"] / item["slope"]}


def graded_forms(item: Params) -> Params:
    """Intercepts, and where categories c and above reach one half."""
    forms = {"intercept": -item["threshold"]}
    return forms if jnp.ndim(item["slope"]) else {**forms, "difficulty": item["threshold"] / item["slope"]}


def step_difficulty(item: Params) -> Params:
    """Where neighbouring categories are equally probable."""
    steps = jnp.diff(item["intercept"], prepend=jnp.zeros_like(item["intercept"][:1]))
    return {} if jnp.ndim(item["slope"]) else {"difficulty": -steps / item["slope"]}


def rating_difficulty(item: Params) -> Params:
    """Where neighbouring categories are equally probable."""
    end = jnp.zeros(1, item["step"].dtype)
    steps = item["location"] + jnp.diff(jnp.concatenate([end, item["step"], end]))
    return {} if jnp.ndim(item["slope"]) else {"difficulty": -steps / item["slope"]}
