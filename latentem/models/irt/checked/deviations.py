"""How far answers lie from what the model expects of persons at their estimated abilities: what fit statistics of
items and of persons add up."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.building import chunked_map, jit
from latentem.models.irt.abilities import persons
from latentem.models.irt.declared import Declared

#: Smallest variance of an answer that a residual is divided by; the value of mirt, whose outfit hangs on it.
SMALLEST_VARIANCE = 1e-5**0.5
#: Largest standard deviation of a mean square in the cube-root transformation.
LARGEST_DEVIATION = 1.4142


class Deviations(NamedTuple):
    """(N, J) each, 0 where there is no answer.

    Args:
        answered: 1 where there is an answer.
        residual: code of the category - its expectation.
        variance: of the answer.
        fourth: fourth central moment of the answer.
        surprise: log-probability of the answer - its expectation.
        spread: variance of that log-probability.
    """

    answered: Float[Any, "N J"]
    residual: Float[Any, "N J"]
    variance: Float[Any, "N J"]
    fourth: Float[Any, "N J"]
    surprise: Float[Any, "N J"]
    spread: Float[Any, "N J"]


def deviations(fit: Any, x: Any = None) -> Deviations:
    """Deviations of the answers of persons, those of the fit by default, at their posterior mean abilities."""
    irt: Declared = fit.model.declaration
    theta = fit.scores("eap", x)["theta"]
    rows = dict(fit.at(x)[1].observations)
    with jax.enable_x64(True):
        rows["theta"] = theta.reshape(len(theta), -1)
        return Deviations(*map(np.asarray, _deviations(irt, fit.params, rows)))


@partial(jit, static_argnums=0)
def _deviations(irt: Declared, params: Any, rows: Any) -> Deviations:
    def of_chunk(part: Any) -> Deviations:
        table = irt.table(params, part["theta"])
        one = table[:, 0] if table.shape[1] == 1 else table[jnp.arange(len(table)), persons.group_of(part)]
        return _of_table(one, part["answers"].astype(jnp.int32))

    return chunked_map(of_chunk, rows, rows["answers"].shape[0], persons.chunk(irt))


def _of_table(log_p: Float[Array, "n J C"], answers: Array) -> Deviations:
    answered = answers >= 0
    p = jnp.exp(log_p)
    codes = jnp.arange(log_p.shape[-1], dtype=log_p.dtype)
    expected = jnp.sum(p * codes, axis=-1)
    away = codes - expected[..., None]
    variance = jnp.maximum(jnp.sum(p * away**2, axis=-1), SMALLEST_VARIANCE)
    finite = jnp.maximum(log_p, persons.LOG_ZERO)
    finite = jnp.where(p > 0, finite, 0.0)
    mean = jnp.sum(p * finite, axis=-1)
    picked = jnp.take_along_axis(log_p, jnp.maximum(answers, 0)[..., None], axis=-1)[..., 0]
    found = Deviations(
        jnp.ones_like(expected),
        answers - expected,
        variance,
        jnp.sum(p * away**4, axis=-1),
        picked - mean,
        jnp.sum(p * (finite - mean[..., None]) ** 2, axis=-1),
    )
    return jax.tree.map(lambda a: jnp.where(answered, a, 0.0), found)


def mean_squares(found: Deviations, weights: Float[np.ndarray, " N"] | None) -> dict[str, np.ndarray]:
    """Infit and outfit with their cube-root transformations to standard normal (Wright and Masters 1982), and Zh, the
    standardised log-likelihood (Drasgow, Levine and Williams 1985).

    Args:
        found: of persons on items.
        weights: of persons, to add up over persons for every item; over the items of every person without.

    Returns:
        {"infit", "z_infit", "outfit", "z_outfit", "Zh"}; NaN where there is no answer.
    """

    def total(values: Float[np.ndarray, "N J"]) -> np.ndarray:
        return values.sum(axis=1) if weights is None else weights @ values

    divisor = np.where(found.answered > 0, found.variance, 1.0)
    n = total(found.answered)
    with np.errstate(divide="ignore", invalid="ignore"):
        outfit = total(found.residual**2 / divisor) / n
        infit = total(found.residual**2) / total(found.variance)
        # Of the items answered alone; mirt divides the first sum by all items squared where answers are missing.
        of_outfit = np.sqrt(np.maximum(total(found.fourth / divisor**2) / n**2 - 1 / n, 0.0))
        of_infit = np.sqrt(np.maximum(total(found.fourth - found.variance**2), 0.0)) / total(found.variance)
        zh = total(found.surprise) / np.sqrt(total(found.spread))
        return {
            "infit": infit,
            "z_infit": _standardized(infit, of_infit),
            "outfit": outfit,
            "z_outfit": _standardized(outfit, of_outfit),
            "Zh": zh,
        }


def _standardized(mean_square: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Wilson and Hilferty's cube root of a mean square."""
    q = np.minimum(deviation, LARGEST_DEVIATION)
    return (np.cbrt(mean_square) - 1) * 3 / q + q / 3
