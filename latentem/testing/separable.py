"""A separable form computes the declared log p(x, z)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from latentem.forms import Form, Prepared, RowForm, SeparableForm
from latentem.forms.separable import log_products
from latentem.numerics.compiled import seldom
from latentem.testing.case import Case
from latentem.testing.report import Part

NAME = "separable form"
TOLERANCE = 1e-7


@seldom
def _joints(
    form: SeparableForm, params: Any, prepared: Prepared
) -> tuple[Float[Array, "N K"], Float[Array, "N K"], Float[Array, "N K"]]:
    """log p(x, z_k) by the separable form and as declared, and the size of the terms that the first adds."""
    model, nodes = form.model, form.model.latent.nodes()
    assert nodes is not None
    values = jnp.asarray(nodes[0])
    features = form.separable.features(prepared.rows, prepared.context)
    natural = form.separable.natural(params, prepared.context)
    declared = jax.vmap(lambda x: jax.vmap(lambda z: model.complete_log_likelihood(params, x, z))(values))
    terms = jnp.abs(log_products(form.separable, *jax.tree.map(jnp.abs, (natural, features)))).T
    return (
        form.log_joint(params, prepared.context, prepared.rows, features).T,
        declared(prepared.rows) + nodes[1],
        terms,
    )


@seldom
def _log_probs(form: Form, params: Any, prepared: Prepared) -> Float[Array, " N"]:
    return form.log_prob(params, prepared)


def _same_log_prob(case: Case, declared: Form, name: str, of: str) -> Part:
    """Whether a form and the declaration have the same log p(x), at a point and at every start."""
    form, unit, worst = case.form, case.form.unit, 0.0
    plain = declared.of_new(case.data, "float64")
    for params in (case.point, *case.each_start()):
        fast, slow = (
            np.asarray(_log_probs(form, params, case.prepared)),
            np.asarray(_log_probs(declared, params, plain)),
        )
        with np.errstate(invalid="ignore"):
            gap = np.where(fast == slow, 0.0, np.abs(fast - slow) / (1.0 + np.abs(slow)))
        gap = np.nan_to_num(gap, nan=np.inf)
        n = int(np.argmax(gap))
        if gap[n] > TOLERANCE:
            told = f"log p(x) of {unit} {n} is {fast[n]:.9g} by its {of} and {slow[n]:.9g} as declared"
            return Part(name, False, f"{told}: correct one of them")
        worst = max(worst, float(gap[n]))
    return Part(name, True, f"its {of} and the declaration agree on log p(x) to {worst:.1e}")


def factors_part(case: Case) -> Part | None:
    """Whether the factors of a chain say of every sequence what its declared step says."""
    if case.model.factored is None:
        return None
    declared = case.form.of_model(replace(case.model, factored=None))
    return _same_log_prob(case, declared, "factors", "factors")


def separable_part(case: Case) -> Part | None:
    """Whether features . natural is the declared log p(x, z) at every row and latent value."""
    if not isinstance(case.form, SeparableForm):
        return None
    if case.form.separable.e_step is not None:
        return _same_log_prob(case, RowForm(case.model), NAME, "E-step")
    worst = 0.0
    for params in (case.point, *case.each_start()):
        fast, declared, terms = (np.asarray(a) for a in _joints(case.form, params, case.prepared))
        # A matrix product cannot hold -inf: there, what is impossible is a huge negative number.
        both_impossible = np.isneginf(declared) & (fast < -1e100)
        with np.errstate(invalid="ignore"):
            gap = np.abs(fast - declared) / (1.0 + np.abs(declared) + 1e-6 * terms)
        gap = np.where(both_impossible, 0.0, np.nan_to_num(gap, nan=np.inf))
        n, k = np.unravel_index(np.argmax(gap), gap.shape)
        if gap[n, k] > TOLERANCE:
            told = f"log p(x, z) of row {n} at latent value {k} is {fast[n, k]:.9g} by features . natural"
            return Part(NAME, False, f"{told} and {declared[n, k]:.9g} as declared: correct features or natural")
        worst = max(worst, float(gap[n, k]))
    return Part(NAME, True, f"agrees with the declared log p(x, z) to {worst:.1e}")
