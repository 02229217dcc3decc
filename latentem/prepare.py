"""From a model and data on the device to a form and the data as that form wants them."""

from __future__ import annotations

from typing import Any

import jax

from latentem.forms import Form, Prepared, RowForm, SeparableForm
from latentem.model import Model


def choose_form(model: Model, host_rows: Any, rows: Any, weights: Any) -> tuple[Form, Prepared]:
    """The cheapest exact form of the model on these data, and the data as that form wants them."""
    separable = model.separable
    if separable is not None and (separable.applies is None or separable.applies(host_rows)):
        return SeparableForm(model, separable), Prepared(_context(separable, rows, weights), rows, weights)
    m_step = model.m_step
    context = () if m_step is None or m_step.context is None else _context(m_step, rows, weights)
    return RowForm(model), Prepared(context, rows, weights)


_context = jax.jit(lambda source, rows, weights: source.context(rows, weights), static_argnums=0)
