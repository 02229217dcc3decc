"""From a checked model and checked data to the cheapest exact form: rules, of which the first that applies is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from latentem.data import Data, door
from latentem.data.duplicates import collapse
from latentem.forms.anchors.compression import Compression, latent_nodes
from latentem.forms.anchors.form import compressed_form
from latentem.forms.anchors.search import compress
from latentem.forms.base import Form, Prepared
from latentem.forms.chain.form import ChainForm
from latentem.forms.hard import formula as formula_form
from latentem.forms.kalman.declared import StepForm
from latentem.forms.kalman.form import KalmanForm
from latentem.forms.rows import RowForm
from latentem.model import Model

#: Below this many (row, latent value) cells the declaration itself is fast enough.
SMALL = 4096


@dataclass(frozen=True)
class Wishes:
    """What a fit asks of its form.

    Args:
        dtype: of the fit; sufficiency is looked for in float64 whatever it is.
        compress: "auto", True (compress or raise) or False (the declaration, or the formula it declares).
        centre: params around which sufficiency is looked for.
        seed: of the params drawn for it.
        closed: the M-step asked for may be a closed form on the rows.
        provisional: accept anchors that hold to a few digits, to be chosen anew at the params reached.
    """

    dtype: str = "float64"
    compress: Any = "auto"
    centre: Any = None
    seed: int = 0
    closed: bool = True
    provisional: bool = True


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

    @classmethod
    def of(cls, form: Form, data: Data, found: Compression, dtype: str) -> Problem:
        """The problem of a form that takes the observations themselves."""
        return cls(form, form.of_new(data, dtype), found, data.observations, np.asarray(data.weights))


Rule = Callable[[Model, Data, Wishes], Problem | None]


def choose(model: Model, data: Data, wishes: Wishes) -> Problem:
    """What a fit runs on: that of the first of `RULES` which applies.

    Raises:
        ValueError: `wishes.compress` is True and the density does not compress, with the reason.
    """
    if wishes.compress not in ("auto", True, False):
        raise ValueError(f"compress={wishes.compress!r}: expected 'auto', True or False")
    return next(problem for rule in RULES if (problem := rule(model, data, wishes)) is not None)


def chain(model: Model, data: Data, wishes: Wishes) -> Problem | None:
    """Forward-backward, where the latent is a chain."""
    form = ChainForm.of(model, data.observations)
    if form is None:
        return None
    if wishes.compress is True:
        raise ValueError(f"compress=True: {model.name} is a chain, whose steps are not independent: leave it out")
    found = Compression(False, "sequences are not exchangeable observations", rows=data.n, observations=data.n)
    return Problem.of(form, data, found, wishes.dtype)


def kalman(model: Model, data: Data, wishes: Wishes) -> Problem | None:
    """Filter and smoother, where the latent is a Gaussian chain."""
    form = KalmanForm.of(model, data.observations) or StepForm.of(model, data.observations)
    if form is None:
        return None
    if wishes.compress is True:
        raise ValueError(f"compress=True: {model.name} is a chain, whose steps are not independent: leave it out")
    found = Compression(False, "sequences are not exchangeable observations", rows=data.n, observations=data.n)
    return Problem.of(form, data, found, wishes.dtype)


def formula(model: Model, data: Data, wishes: Wishes) -> Problem | None:
    """The formula that the model declares, where it has one that applies to these data."""
    form = _by_formula(model, data.observations)
    if form is None:
        return None
    found = Compression(True, "sufficient statistics by formula", rows=data.n, observations=data.n)
    return Problem.of(form, data, found, wishes.dtype)


def anchors(model: Model, data: Data, wishes: Wishes) -> Problem | None:
    """Anchors, where it pays to look for them and they are found; the rows, with the reason, where they are not."""
    insists = wishes.compress is True
    no_need = wishes.compress is False or (wishes.closed and model.m_step is not None)
    if not insists and (no_need or not _large(model, data.observations)):
        return None
    distinct = _distinct(data)
    if not insists and not _large(model, distinct.observations):
        return _on_rows(model, distinct, Compression(False, SMALL_ENOUGH, observations=data.n), wishes)
    with jax.enable_x64(True):
        host = jax.tree.map(np.asarray, door.cast(distinct.observations, "float64"))
        centre = wishes.centre
        u = None if centre is None else np.asarray(model.space.unconstrain(centre), dtype=np.float64)
        found = compress(model, host, data.n, centre=u, seed=wishes.seed)
    if found.verdict or (found.provisional and wishes.provisional):
        form, prepared = compressed_form(model, found, host, np.asarray(distinct.weights), wishes.dtype)
        return Problem(form, prepared, found, distinct.observations, np.asarray(distinct.weights))
    if insists:
        raise ValueError(f"compress=True: {model.name} cannot be compressed: {found.reason}")
    return _on_rows(model, distinct, found, wishes)


def rows(model: Model, data: Data, wishes: Wishes) -> Problem | None:
    """The declaration on every distinct observation."""
    if wishes.compress is False:
        return _on_rows(model, data, Compression(False, "compress=False", observations=data.n), wishes)
    return _on_rows(model, _distinct(data), Compression(False, SMALL_ENOUGH, observations=data.n), wishes)


#: In order; the last one always applies. To add a form: a rule here, before those that it is better than.
RULES: tuple[Rule, ...] = (chain, kalman, formula, anchors, rows)

SMALL_ENOUGH = "small enough as it is"


def choose_form(model: Model, data: Data, dtype: str = "float64", by_formula: bool = True) -> tuple[Form, Prepared]:
    """The form that the model declares for these data, without a search for sufficiency: a chain's, its formula where
    it has one that applies (and may be used), else the declaration row by row; and the data as that form wants them."""
    formula = _by_formula(model, data.observations) if by_formula else None
    form = of_chain(model, data.observations) or formula or RowForm(model)
    return form, form.of_new(data, dtype)


def as_declared(model: Model, observations: Any = None) -> Form:
    """The form that evaluates the declaration as it stands, on these observations or on any."""
    return of_chain(model, observations) or RowForm(model)


def of_chain(model: Model, observations: Any = None) -> Form | None:
    """The form of a latent that is a chain; None where it is none."""
    rows = observations
    return ChainForm.of(model, rows) or KalmanForm.of(model, rows) or StepForm.of(model, rows)


def _on_rows(model: Model, data: Data, found: Compression, wishes: Wishes) -> Problem:
    return Problem.of(RowForm(model), data, replace(found, rows=data.n), wishes.dtype)


def _by_formula(model: Model, observations: Any) -> Form | None:
    separable = model.separable
    if separable is None or (model.latent.hard and not separable.plain):
        return None
    applies = separable.applies is None or separable.applies(observations)
    return formula_form(model, separable) if applies else None


def _distinct(data: Data) -> Data:
    collapsed = collapse(data.observations, np.asarray(data.weights))
    return data if collapsed is None else Data(collapsed.observations, collapsed.weights)


def _large(model: Model, observations: Any) -> bool:
    nodes = model.latent.nodes()
    count = jax.tree.leaves(observations)[0].shape[0]
    if nodes is None:
        # A posterior the user supplies may sum over common nodes; finding out costs a few evaluations.
        if count < SMALL // 8:
            return False
        found = latent_nodes(model, observations)
        return found is not None and count * len(found) >= SMALL
    return count * len(nodes[1]) >= SMALL
