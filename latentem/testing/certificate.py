"""The certificate of an E-step: log p(x, z) - log p(z | x) is the same for every z, and is log p(x).

It needs no reference: Bayes' rule says whether what a user supplies is the posterior of this model.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.forms import Form, Prepared
from latentem.forms.choose import as_declared
from latentem.model import Model
from latentem.model.latents import Given
from latentem.numerics.compiled import seldom
from latentem.testing.case import Case
from latentem.testing.report import Part

NAME = "posterior"
TOLERANCE = 1e-7
#: Latent values drawn from a posterior without nodes.
DRAWS = 7
#: Below this, a probability is compared by its size, not by its logarithm.
NEGLIGIBLE = 1e-10


class Compared(NamedTuple):
    """Both sides of Bayes' rule for every row, at M latent values.

    Args:
        log_evidence: what the posterior says log p(x) is.
        log_joint: log p(x, z), or None where the posterior has no density to compare with.
        log_posterior: log p(z | x).
        counted: whether every latent value is one of a finite set (no quadrature weights are involved).
        drawn: whether the latent values are draws, not all the values there are.
    """

    log_evidence: Float[Array, " N"]
    log_joint: Float[Array, "N M"] | None
    log_posterior: Float[Array, "N M"] | None
    counted: Array
    drawn: Array


def posterior_part(case: Case) -> Part:
    """Whether the posterior is that of the declared log p(x, z)."""
    model, rows = case.model, case.prepared.rows
    if model.latent.nodes() is not None or case.form.unit != "row":
        return _derived(case)
    compared: Compared = jax.tree.map(np.asarray, _compare(model, case.point, rows))
    undefined = np.flatnonzero(np.isnan(compared.log_evidence))
    if len(undefined):
        told = f"log_evidence of row {undefined[0]} is NaN ({len(undefined)} rows)"
        return _wrong(f"{told}: is log p(x, z) a log-density, concave in z where it is quadratic?")
    if compared.log_joint is None:
        return _fisher(case)
    advice = "is log p(x, z) quadratic in z? use a grid where it is not"
    if isinstance(model.latent, Given):
        advice = "correct the function in lem.Given"
    verdict = _bayes(compared, advice)
    if verdict.passed or compared.counted.any() or compared.drawn.any():
        return verdict
    # Nodes of a quadrature carry weights of their own, which only Fisher's identity sees through.
    by_identity = _fisher(case)
    return by_identity if by_identity.passed else verdict


def _wrong(message: str) -> Part:
    return Part(NAME, False, message)


def _derived(case: Case) -> Part:
    form, unit = as_declared(case.model, case.data.observations), case.form.unit
    evidence = np.asarray(_log_evidence(form, case.point, form.of_new(case.data, "float64")))
    bad = np.flatnonzero(~np.isfinite(evidence) & (np.asarray(case.prepared.weights) > 0))
    if len(bad) == 0:
        return Part(NAME, True, f"derived from log p(x, z); log p(x) finite in all {len(evidence)} {unit}s")
    told = f"log p(x) of {unit} {bad[0]} is {evidence[bad[0]]} at a start ({len(bad)} of {len(evidence)} {unit}s)"
    return _wrong(f"{told}: check that {unit}, or give the model an initial that makes it possible")


@seldom
def _log_evidence(form: Form, params: Any, prepared: Prepared) -> Float[Array, " N"]:
    return form.log_prob(params, prepared)


@seldom
def _compare(model: Model, params: Any, rows: Any) -> Compared:
    def of_row(x: Any) -> Compared:
        posterior = model.posterior(params, x)
        values, log_posterior, drawn = _values(posterior)
        if values is None:
            return Compared(posterior.log_evidence, None, None, jnp.asarray(False), jnp.asarray(False))
        log_joint = jax.vmap(lambda z: model.complete_log_likelihood(params, x, z))(values)
        counted = all(jnp.issubdtype(leaf.dtype, jnp.integer) for leaf in jax.tree.leaves(values))
        flags = jnp.asarray(counted), jnp.asarray(drawn)
        return Compared(posterior.log_evidence, log_joint, log_posterior, *flags)

    return jax.vmap(of_row)(rows)


def _values(posterior: Any) -> tuple[Any, Any, bool]:
    """(latent values of one observation, their log posterior, whether they are draws); None: no density."""
    if hasattr(posterior, "log_probabilities"):
        return posterior.nodes, posterior.log_probabilities, False
    if hasattr(posterior, "log_prob") and hasattr(posterior, "nodes"):
        return posterior.nodes, jax.vmap(posterior.log_prob)(posterior.nodes), False
    if hasattr(posterior, "log_prob") and hasattr(posterior, "sample"):
        draws = jax.vmap(posterior.sample)(jax.random.split(jax.random.key(0), DRAWS))
        return draws, jax.vmap(posterior.log_prob)(draws), True
    return None, None, False


def _bayes(compared: Compared, advice: str) -> Part:
    assert compared.log_joint is not None and compared.log_posterior is not None
    possible = np.isfinite(compared.log_evidence)
    number = np.flatnonzero(possible)
    joint, log_q, evidence = (a[possible] for a in (compared.log_joint, compared.log_posterior, compared.log_evidence))
    if len(number) == 0:
        return _wrong("log_evidence is -inf in every row: give the model an initial that makes the data possible")
    with np.errstate(invalid="ignore", over="ignore"):
        by_bayes = joint - evidence[:, None]
        present = compared.drawn[possible][:, None] | (log_q > np.log(NEGLIGIBLE))
        constant = np.where(present, joint - log_q, np.nan)
        forgotten = ~present & (by_bayes > np.log(10 * NEGLIGIBLE))
        size = 1.0 + np.max(np.where(present & np.isfinite(joint), np.abs(joint), 0.0), axis=1)
        spread = np.nan_to_num(np.nanmax(constant, axis=1) - np.nanmin(constant, axis=1), nan=np.inf)
        offset = np.nan_to_num(np.nanmean(constant, axis=1) - evidence, nan=np.inf)
    if np.any(forgotten):
        n, k = np.argwhere(forgotten)[0]
        told = f"p(z | x) of latent value {k} in row {number[n]} is {np.exp(log_q[n, k]):.3g}"
        return _wrong(f"{told}, but {np.exp(by_bayes[n, k]):.3g} by Bayes' rule: {advice}")
    n = int(np.argmax(spread / size))
    if spread[n] > TOLERANCE * size[n]:
        told = f"log p(x, z) - log p(z | x) in row {number[n]} varies by {spread[n]:.4g} with z"
        return _wrong(f"{told}: p(z | x) is off by up to {100 * np.expm1(spread[n]):.3g}%; {advice}")
    n = int(np.argmax(np.abs(offset) / size))
    if abs(offset[n]) > TOLERANCE * size[n]:
        told = f"log_evidence of row {number[n]} is {evidence[n]:.9g}"
        return _wrong(f"{told}, but log p(x, z) - log p(z | x) is {evidence[n] + offset[n]:.9g}: {advice}")
    worst = max(float(np.max(spread / size)), float(np.max(np.abs(offset) / size)))
    return Part(NAME, True, f"log p(x, z) - log p(z | x) is log p(x) for every z, to {worst:.1e}")


@seldom
def _gradients(model: Model, params: Any, rows: Any) -> tuple[Float[Array, "N P"], Float[Array, "N P"]]:
    """(posterior expectation of the gradient of log p(x, z), gradient of log p(x)) of every row, in u."""
    space = model.space
    u = space.unconstrain(params)

    def of_row(x: Any) -> tuple[Array, Array]:
        posterior = model.posterior(params, x)

        def q(v: Array) -> Array:
            proposal = space.constrain(v)
            return posterior.expect(lambda z: model.complete_log_likelihood(proposal, x, z))

        return jax.grad(q)(u), jax.grad(lambda v: model.log_evidence(space.constrain(v), x))(u)

    return jax.vmap(of_row)(rows)


def _fisher(case: Case) -> Part:
    """Fisher's identity in every row, for a posterior that only takes expectations."""
    expected, gradient = (np.asarray(a) for a in _gradients(case.model, case.point, case.prepared.rows))
    if expected.shape[1] == 0:
        return Part(NAME, True, "no parameter is free and the posterior has no density: nothing to compare")
    gap = np.abs(expected - gradient) / (1.0 + np.max(np.abs(gradient), axis=1, keepdims=True))
    gap = np.nan_to_num(gap, nan=np.inf)
    n, i = np.unravel_index(np.argmax(gap), gap.shape)
    if gap[n, i] <= TOLERANCE:
        return Part(NAME, True, f"E[d log p(x, z) | x] is d log p(x) in every row, to {gap[n, i]:.1e}")
    told = f"d/d {case.model.space.free_names[i]} in row {n}: expected {expected[n, i]:.6g} of log p(x, z)"
    return _wrong(f"{told} but {gradient[n, i]:.6g} of log_evidence; correct `expect` or `log_evidence` in lem.Given")
