"""Abilities of persons: posterior mean and mode, maximum likelihood, weighted likelihood, sum scores, plausible values.

Sources: Bock and Mislevy (1982) for EAP; Warm (1989) for the weighted likelihood, with Jeffreys' weight (the root
of the determinant of the information) in every item model; Thissen, Pommerich, Billeaud, Williams (1995) for sums;
Mislevy (1991) for plausible values.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.building import as_key, chunked_map, jit, newton_ascent
from latentem.models.irt.abilities import persons
from latentem.models.irt.asked.information import of_answered, of_items
from latentem.models.irt.asked.sum_scores import eap_of_sums
from latentem.models.irt.declared import Declared
from latentem.models.irt.estep.bifactor import Bifactor

METHODS = ("eap", "map", "ml", "wle", "eapsum", "plausible")
#: Curvature of a log-likelihood below which it still climbs at infinity; an estimate there has no standard error.
FLAT = 1e-8
#: Metropolis steps behind every plausible value: the heavy-tailed proposal forgets its start by half in each.
STEPS = 16
#: Degrees of freedom of that proposal.
TAILS = 5.0


def scores(fit: Any, method: str = "eap", x: Any = None, key: Any = None, draws: int = 5) -> dict[str, np.ndarray]:
    """Abilities of persons with standard errors.

    Args:
        fit: the fit.
        method: "eap" (posterior mean and standard deviation), "map" (posterior mode), "ml" (maximum likelihood),
            "wle" (the likelihood times the root of the information: Warm's estimate where log-odds are linear in
            ability), "eapsum" (posterior mean given the sum over the items that the person answered), "plausible"
            (draws from the posterior).
        x: other persons, as the data of the fit; those of the fit by default. Items somebody did not answer count
            for nothing.
        key: of random draws, for "plausible".
        draws: plausible values of each person.

    Returns:
        {"theta": (N,), "se": (N,)}, with an axis over abilities where there are several; {"theta": (N, draws)} for
        plausible values. Without any wrong answer, or any right one, the maximum of the likelihood is at +-inf and
        has no standard error (NaN).

    Raises:
        ValueError: an unknown method, no key for random draws, answers the fit does not know.

    >>> from latentem import datasets
    >>> data = datasets.lsat7()
    >>> fit = lem.fit(lem.IRT("2pl"), data.matrix("item_1", "item_2", "item_3"), weights=data.frequency)
    >>> fit.scores("ml", np.array([[1, 1, 1], [0, 0, 0]]))["theta"]
    array([ inf, -inf])
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r}: expected one of {', '.join(map(repr, METHODS))}")
    irt: Declared = fit.model.declaration
    if irt.histogram and method == "map":
        raise ValueError("method='map': this ability is a histogram and has no density; use method='eap'")
    if method == "plausible" and key is None:
        raise ValueError("method='plausible' draws at random: pass key=jax.random.key(0), or another key")
    key = key if method != "plausible" else as_key(key)
    if method == "plausible" and draws < 1:
        raise ValueError(f"draws={draws!r}: expected a positive number")
    if irt.specific is not None and method != "eap":
        raise ValueError(f"method={method!r}: a bifactor model is scored by 'eap'")
    rows = fit.at(x)[1].observations
    with jax.enable_x64(True):
        params = fit.params
        if method == "eapsum":
            theta, variance = eap_of_sums(irt, params, rows)
            return {"theta": persons.squeezed(irt, theta), "se": persons.squeezed(irt, np.sqrt(variance))}
        if method == "plausible":
            return {"theta": persons.squeezed(irt, _plausible(irt, draws, params, rows, key))}
        if method == "eap" and irt.specific is not None:
            theta, errors = _bifactor_eap(irt, params, rows)
        elif method == "eap":
            theta, covariance = _eap(irt, params, rows)
            errors = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
        else:
            theta, errors = _mode(irt, method, params, rows)
        return {"theta": persons.squeezed(irt, theta), "se": persons.squeezed(irt, errors)}


# --- posterior means


@partial(jit, static_argnums=0)
def _eap(irt: Declared, params: Any, rows: Any) -> tuple[Float[Array, "N D"], Float[Array, "N D D"]]:
    n = rows["answers"].shape[0]
    return chunked_map(lambda part: _moments(irt, _posterior(irt, params, part)), rows, n, persons.chunk(irt))


@partial(jit, static_argnums=0)
def _bifactor_eap(irt: Declared, params: Any, rows: Any) -> tuple[Float[Array, "N D"], Float[Array, "N D"]]:
    whole, n = Bifactor(irt), rows["answers"].shape[0]
    return chunked_map(lambda part: whole.abilities(params, part), rows, n, whole.chunk())


def _posterior(irt: Declared, params: Any, rows: Any) -> Float[Array, "n K"]:
    joint = persons.at_nodes(irt, params, rows) + irt.log_weights(params, rows)
    return jax.nn.softmax(joint, axis=1)


def _moments(irt: Declared, posterior: Float[Array, "n K"]) -> tuple[Float[Array, "n D"], Float[Array, "n D D"]]:
    nodes = jnp.asarray(irt.grid.values, posterior.dtype)
    mean = posterior @ nodes
    away = nodes[None] - mean[:, None]
    return mean, jnp.einsum("nk,nkd,nke->nde", posterior, away, away)


# --- modes


@partial(jit, static_argnums=(0, 1))
def _mode(irt: Declared, method: str, params: Any, rows: Any) -> tuple[Float[Array, "N D"], Float[Array, "N D"]]:
    """(estimates, standard errors): Newton for every person, from the best node of the grid."""
    nodes = jnp.asarray(irt.grid.values, jnp.result_type(float))

    def best_node(part: Any) -> Float[Array, "n D"]:
        value = persons.at_nodes(irt, params, part)
        if method == "map":
            value = value + irt.log_weights(params, part) - jnp.asarray(irt.grid.log_weights, nodes.dtype)
        if method == "wle":
            known = of_answered(of_items(irt, params, nodes), part)
            value = value + 0.5 * jnp.linalg.slogdet(known)[1]
        return nodes[jnp.argmax(value, axis=1)]

    def of_chunk(part: Any) -> tuple[Float[Array, "n D"], Float[Array, "n D"]]:
        mean, covariance = persons.priors(irt, params, part)
        return jax.vmap(partial(_climb, irt, method, params))(part, best_node(part), mean, jnp.linalg.inv(covariance))

    return chunked_map(of_chunk, rows, rows["answers"].shape[0], persons.chunk(irt))


def _climb(
    irt: Declared, method: str, params: Any, row: Any, start: Any, mean: Any, precision: Any
) -> tuple[Float[Array, " D"], Float[Array, " D"]]:
    def value(theta: Float[Array, " D"]) -> Float[Array, ""]:
        found = persons.log_prob(irt, params, row, theta)
        if method == "map":
            return found + _log_normal(theta, mean, precision)
        if method == "wle":
            one = jax.tree.map(lambda a: jnp.asarray(a)[None], row)
            known = of_answered(of_items(irt, params, theta[None]), one)[0, 0]
            # Without any answer there is no information, whose logarithm would be -inf.
            answered = jnp.any(row["answers"] >= 0)
            known = jnp.where(answered, known, jnp.eye(len(theta), dtype=theta.dtype))
            return found + 0.5 * jnp.linalg.slogdet(known)[1]
        return found

    def slopes(theta: Float[Array, " D"]) -> tuple[Float[Array, " D"], Float[Array, "D D"]]:
        return jax.grad(value)(theta), jax.jacfwd(jax.grad(value))(theta)

    end = newton_ascent(value, slopes, start, iterations=100, tolerance=1e-15)
    theta = jnp.where(jnp.isfinite(end.value), end.u, jnp.nan)  # no information on some ability: no such estimate
    curvature, vectors = jnp.linalg.eigh(-slopes(theta)[1])
    flat = curvature < FLAT
    infinite = jnp.sum(jnp.where(flat, vectors, 0.0) ** 2, axis=1) > 1e-6
    variance = jnp.sum(jnp.where(flat, 0.0, vectors**2 / jnp.where(flat, 1.0, curvature)), axis=1)
    # Abilities on which no answer depends have no estimate at all: the likelihood is level there.
    level = infinite & (jnp.abs(theta - start) == 0)
    beyond = jnp.where(level, jnp.nan, jnp.copysign(jnp.inf, theta))
    return jnp.where(infinite, beyond, theta), jnp.where(infinite, jnp.nan, jnp.sqrt(variance))


def _log_normal(theta: Any, mean: Any, precision: Any) -> Float[Array, ""]:
    away = theta - mean
    return -0.5 * away @ precision @ away


# --- plausible values


@partial(jit, static_argnums=(0, 1))
def _plausible(irt: Declared, draws: int, params: Any, rows: Any, key: Array) -> Float[Array, "N draws D"]:
    """Draws from the posterior of every person: nodes of a histogram; otherwise ends of Metropolis walks with proposals
    from a heavy-tailed version of the posterior, wherever the walk is."""
    n = rows["answers"].shape[0]
    keys = jax.random.split(key, n)

    def of_chunk(part: Any) -> Float[Array, "n draws D"]:
        persons_keys, part = part
        posterior = _posterior(irt, params, part)
        if irt.histogram:
            nodes = jnp.asarray(irt.grid.values, posterior.dtype)
            pick = jax.vmap(lambda k, p: jax.random.categorical(k, jnp.log(p), shape=(draws,)))(persons_keys, posterior)
            return nodes[pick]
        centre, covariance = _moments(irt, posterior)
        mean, spread = persons.priors(irt, params, part)
        return jax.vmap(partial(_walks, irt, draws, params))(
            persons_keys, part, centre, jnp.linalg.cholesky(covariance), mean, jnp.linalg.inv(spread)
        )

    return chunked_map(of_chunk, (keys, rows), n, persons.chunk(irt))


def _walks(
    irt: Declared, draws: int, params: Any, key: Array, row: Any, centre: Any, factor: Any, mean: Any, precision: Any
) -> Float[Array, "draws D"]:
    d = len(centre)

    def log_ratio(normal: Any, scale: Any) -> tuple[Any, Any]:
        """(ability, log posterior - log proposal) of a t draw, up to a constant."""
        away = normal / jnp.sqrt(scale / TAILS)
        theta = centre + factor @ away
        target = persons.log_prob(irt, params, row, theta) + _log_normal(theta, mean, precision)
        return theta, target + 0.5 * (TAILS + d) * jnp.log1p(away @ away / TAILS)

    def of_draw(key: Array) -> Float[Array, " D"]:
        of_normal, of_scale, of_step = jax.random.split(key, 3)
        normal = jax.random.normal(of_normal, (STEPS, d))
        scale = 2 * jax.random.gamma(of_scale, TAILS / 2, (STEPS,))
        theta, ratio = jax.vmap(log_ratio)(normal, scale)
        level = jnp.log(jax.random.uniform(of_step, (STEPS,)))

        def step(now: Array, new: Array) -> tuple[Array, None]:
            return jnp.where(level[new] < ratio[new] - ratio[now], new, now), None

        last, _ = jax.lax.scan(step, jnp.zeros((), jnp.int32), jnp.arange(1, STEPS, dtype=jnp.int32))
        return theta[last]

    return jax.vmap(of_draw)(jax.random.split(key, draws))
