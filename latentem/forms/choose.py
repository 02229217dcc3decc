"""From a checked model and checked data to the cheapest exact form: a formula, anchors, or the declaration row by
row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from latentem.data import Data, door
from latentem.data.duplicates import collapse
from latentem.forms.anchors.search import Compression, compress, latent_nodes
from latentem.forms.base import Form, Prepared
from latentem.forms.chain.form import ChainForm
from latentem.forms.hard import formula
from latentem.forms.rows import RowForm
from latentem.model import Model
from latentem.model.latents import Chain
from latentem.numerics.compiled import jit

#: Below this many (row, latent value) cells the declaration itself is fast enough.
SMALL = 4096


@dataclass(frozen=True)
class Problem:
    """What a fit runs on.

    Args:
        form: how the model is computed.
        prepared: the data as the form wants them.
        compression: what was found about sufficiency.
        distinct: distinct observations on the host, before any form.
        distinct_weights: their weights.
    """

    form: Form
    prepared: Prepared
    compression: Compression
    distinct: Any
    distinct_weights: np.ndarray


def prepare(
    model: Model,
    data: Data,
    dtype: str,
    choice: Any = "auto",
    centre: Any = None,
    seed: int = 0,
    closed: bool = True,
    provisional: bool = True,
) -> Problem:
    """The form of a fit.

    Args:
        model: the declaration.
        data: checked observations and weights.
        dtype: of the fit; sufficiency is looked for in float64 whatever it is.
        choice: "auto", True (compress or raise) or False (the declaration, or the formula it declares).
        centre: params around which sufficiency is looked for.
        seed: of the params drawn for it.
        closed: the M-step asked for may be a closed form on the rows.
        provisional: accept anchors that hold to a few digits, to be chosen anew at the params reached.

    Raises:
        ValueError: `choice` is True and the density does not compress, with the reason.
    """
    if choice not in ("auto", True, False):
        raise ValueError(f"compress={choice!r}: expected 'auto', True or False")
    n = data.n
    if isinstance(model.latent, Chain):
        if choice is True:
            raise ValueError(f"compress=True: {model.name} is a chain, whose steps are not independent: leave it out")
        form, prepared = choose_form(model, data.observations, None, data.weights, dtype)
        found = Compression(False, "sequences are not exchangeable observations", rows=n, observations=n)
        return Problem(form, prepared, found, data.observations, data.weights)
    if _by_formula(model, data.observations):
        form, prepared = choose_form(model, data.observations, *_on_device(data.observations, data.weights, dtype))
        found = Compression(True, "sufficient statistics by formula", rows=n, observations=n)
        return Problem(form, prepared, found, data.observations, data.weights)
    distinct, distinct_weights = data.observations, np.asarray(data.weights)
    if choice is not False:
        collapsed = collapse(distinct, distinct_weights)
        if collapsed is not None:
            distinct, distinct_weights = collapsed.observations, collapsed.weights
    has_formula = closed and model.m_step is not None
    if choice is True or (choice == "auto" and not has_formula and _large(model, distinct)):
        with jax.enable_x64(True):
            host = jax.tree.map(np.asarray, door.cast(distinct, "float64"))
            u = None if centre is None else np.asarray(model.space.unconstrain(centre), dtype=np.float64)
            found = compress(model, host, n, centre=u, seed=seed)
        if found.verdict or (found.provisional and provisional):
            from latentem.forms.anchors.form import compressed_form

            form, prepared = compressed_form(model, found, host, distinct_weights, dtype)
            return Problem(form, prepared, found, distinct, distinct_weights)
        if choice is True:
            raise ValueError(f"compress=True: {model.name} cannot be compressed: {found.reason}")
    else:
        reason = "compress=False" if choice is False else "small enough as it is"
        found = Compression(False, reason, observations=n)
    found = replace(found, rows=len(distinct_weights))
    form, prepared = choose_form(model, distinct, *_on_device(distinct, distinct_weights, dtype))
    return Problem(form, prepared, found, distinct, distinct_weights)


def choose_form(model: Model, host_rows: Any, rows: Any, weights: Any, dtype: str = "float64") -> tuple[Form, Prepared]:
    """The form that the model declares for these data, without a search for sufficiency: its formula where it has one
    that applies, else the declaration row by row; and the data as that form wants them.

    Args:
        model: the declaration.
        host_rows: observations as NumPy arrays, to see whether a formula applies.
        rows, weights: the same on the device.
        dtype: of the form of a chain, which lays out the rows itself.
    """
    if isinstance(model.latent, Chain):
        form = ChainForm.of(model, host_rows)
        return form, form.prepare(host_rows, np.asarray(weights), dtype)
    if _by_formula(model, host_rows):
        assert model.separable is not None
        context = _context(model.separable, rows, weights)
        return formula(model, model.separable), Prepared(context, rows, weights)
    m_step = model.m_step
    context = () if m_step is None or m_step.context is None else _context(m_step, rows, weights)
    return RowForm(model), Prepared(context, rows, weights)


def _by_formula(model: Model, host_rows: Any) -> bool:
    separable = model.separable
    if separable is None or (getattr(model.latent, "hard", False) and not separable.plain):
        return False
    return separable.applies is None or separable.applies(host_rows)


def _on_device(observations: Any, weights: Any, dtype: str) -> tuple[Any, Any]:
    return jax.device_put(door.cast(observations, dtype)), jnp.asarray(weights, dtype=dtype)


def _large(model: Model, rows: Any) -> bool:
    nodes = model.latent.nodes()
    count = jax.tree.leaves(rows)[0].shape[0]
    if nodes is None:
        # A posterior the user supplies may sum over common nodes; finding out costs a few evaluations.
        if count < SMALL // 8:
            return False
        found = latent_nodes(model, rows)
        return found is not None and count * len(found) >= SMALL
    return count * len(nodes[1]) >= SMALL


_context = jit(lambda source, rows, weights: source.context(rows, weights), static_argnums=0)
